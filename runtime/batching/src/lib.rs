//! Continuous batching as decisions over plain numbers: which sequences a step computes, how many tokens of each, and where their
//! keys and values are.
//!
//! Nothing here knows a model, a device, a thread or a clock: times are handed in. An engine's thread has one [`Batcher`] for each
//! model's pool of blocks, and loops:
//!
//! | it does | by |
//! | --- | --- |
//! | take what has come in | [`Batcher::add`], [`Batcher::cancel`], [`Batcher::pause`], [`Batcher::resume`] |
//! | ask what to compute | [`Batcher::plan`] |
//! | make the plan's moves in their order, then compute its spans in one step | |
//! | draw tokens, and say how it went | [`Batcher::finish`] |
//!
//! | part | decides | knows |
//! | --- | --- | --- |
//! | [`blocks`] | which blocks are free | reference counts |
//! | `tree` | whose tokens are at hand, and which of them go | token runs, worth |
//! | [`policy`] | who goes first, and who gives way | what each has had |
//! | [`speed`] | how long a step will take | measured steps |
//! | `programs` | when a program comes back | the gaps between its calls |
//! | [`Chain`] | under which name keys and values are kept elsewhere | hashes |
//! | [`drafts`] | which tokens may come next | what a sequence has so far |
//! | [`Batcher`] | what the next step computes | all of the above |
//!
//! Principles:
//!
//! - A sequence's tokens stay here until it ends, and its keys and values can always be computed again. So it gives way, is paused
//!   and goes on after a loss without anybody's help, and to the same tokens.
//! - What is computed belongs to the tree at once, and sequences only share it. Giving way, pausing and ending are then the same:
//!   a sequence lets go of what it shares, and whether that is kept is a question of worth.
//! - Each limit is a field of [`Config`], with a reason.

mod batcher;
pub mod blocks;
mod chain;
pub mod drafts;
pub mod policy;
mod programs;
pub mod speed;
mod stats;
mod tree;

pub use batcher::{Batcher, Config, Ended, Move, Outcome, Plan, Refusal, Request, Restorable, SequenceId, Span, Swap};
pub use blocks::{BLOCK_TOKENS, Block, Slot};
pub use chain::{Chain, Prefix};
pub use drafts::{Draft, Drafter};
pub use policy::{Account, Class, Fair, Fifo, Policy, Rank, RoundRobin, Task};
pub use speed::{Load, Speed};
pub use stats::{Report, Totals};
pub use tree::{Namespace, Place};
