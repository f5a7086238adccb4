//! What `wit/` says, in Rust. Generated; the rest of this crate is its only user.

#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::semicolon_if_nothing_returned,
    clippy::undocumented_unsafe_blocks,
    reason = "generated code follows its generator's style"
)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "agent",
    ownership: Borrowing { duplicate_if_necessary: false },
    generate_all,
    pub_export_macro: true,
    default_bindings_module: "remit::__private",
});
