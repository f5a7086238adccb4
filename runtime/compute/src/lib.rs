//! What a language model computes on the CPU: products with packed weights, attention over paged keys and values, and the
//! small steps between.
//!
//! | module | has |
//! | --- | --- |
//! | `isa` | which instructions the processor has, found at run time |
//! | `lanes` | vectors of eight outputs, for each of these: the one place where instructions are chosen |
//! | `sixteen` | sums of attention and the elementwise steps, sixteen side by side |
//! | `team` | threads that go through a step together |
//! | `pages` | memory in large pages |
//! | `weights` | matrices in the block formats of their files, repacked once |
//! | `rows` | what a product takes: rows of numbers, quantized to 8 bits, eight rows side by side |
//! | `product` | products of both, for one row as for hundreds |
//! | `blocks` | keys and values of all sequences, in blocks of [`BLOCK_TOKENS`](blocks::BLOCK_TOKENS) tokens |
//! | `attention` | attention of new rows to the blocks of their sequence |
//! | `bidirectional` | attention of every row of a text to every other, for encoders |
//! | `elementwise` | norms, rotary turns, gates |
//!
//! Principles:
//!
//! - A number of the result depends on its own row, its own weights and its own sequence, and on nothing else: neither on the
//!   rows beside it, nor on how a prompt was cut, nor on the number of threads. Integers are added exactly; every chain of
//!   additions of floating-point numbers has one order, that of the inputs or of the absolute positions.
//! - The same bits come from every instruction set: a lane of a vector is an output, never a part of a sum, and what is fused
//!   is fused everywhere.
//! - Nothing here knows a model, a file or a request; it is plain memory in and out.
//! - `unsafe` stays inside: vector instructions behind a check that the processor has them, and disjoint parts of one buffer
//!   that several threads write.

pub mod attention;
pub mod bidirectional;
pub mod blocks;
pub mod elementwise;
mod functions;
mod halves;
mod isa;
mod lanes;
mod pages;
mod parts;
pub mod product;
pub mod rows;
mod sixteen;
pub mod team;
pub mod weights;

pub use isa::Isa;
pub use rows::Rows;
pub use team::Team;
pub use weights::{Format, Matrix, PackError, Packer, Part};
