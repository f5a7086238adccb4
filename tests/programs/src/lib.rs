//! Guests for tests: one file a behaviour in `examples/`, each with what it does in its first lines.
//!
//! What the SDK cannot write, such as a component that imports what no agent gets, is WebAssembly text in `wat/`.
//! `cargo xtask agents` makes components of both. A program that is new in `examples/` is also listed in `Cargo.toml`.
