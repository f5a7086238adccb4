//! What `bindgen!` makes of `wasi:io`, beside the world `agent`: a Rust agent imports no stream.

#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    unsafe_code,
    dead_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::needless_pass_by_value,
    reason = "generated from wit/, where each item is documented; its unsafe code is wasmtime's own"
)]

wasmtime::component::bindgen!({
    path: "../../wit/deps/io.wit",
    world: "wasi:io/imports",
    imports: { default: trappable },
    with: {
        "wasi:io/poll": crate::bindings::wasi::io::poll,
        "wasi:io/error.error": crate::row::ErrorRow,
        "wasi:io/streams.input-stream": crate::row::InputStreamRow,
        "wasi:io/streams.output-stream": crate::row::OutputStreamRow,
    },
    require_store_data_send: true,
});
