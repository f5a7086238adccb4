//! What `bindgen!` makes of the world `agent`.

#![allow(missing_docs, clippy::all, reason = "generated from wit/, where each item is documented")]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "agent",
    imports: {
        // What may wait; everything else is linked synchronously, which costs no future.
        "remit:kernel/llm.[method]model.count-tokens": async | trappable,
        "remit:kernel/llm.[method]model.chat": async | trappable,
        "remit:kernel/llm.[method]model.chat-stream": async | trappable,
        "remit:kernel/llm.[method]model.complete": async | trappable,
        "remit:kernel/llm.[method]generation.next": async | trappable,
        "remit:kernel/task.emit": async | trappable,
        "remit:kernel/checkpoint.commit": async | trappable,
        "wasi:io/poll.poll": async | trappable,
        "wasi:io/poll.[method]pollable.block": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "remit:kernel/value.value": crate::value::ValueRow,
        "remit:kernel/capability.grant": crate::capability::GrantRow,
        "remit:kernel/budget.account": crate::budget::AccountRow,
        "remit:kernel/llm.model": crate::llm::ModelRow,
        "remit:kernel/llm.generation": crate::llm::GenerationRow,
        "wasi:io/poll.pollable": crate::poll::PollableRow,
    },
    require_store_data_send: true,
});
