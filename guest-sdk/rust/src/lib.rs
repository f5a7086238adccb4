//! sdk
#[allow(missing_docs, unsafe_code, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "agent",
        ownership: Borrowing { duplicate_if_necessary: false },
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "remit::bindings",
    });
}
