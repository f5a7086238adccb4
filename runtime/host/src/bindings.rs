//! What `bindgen!` makes of the world `agent`.

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
    path: "../../wit",
    world: "agent",
    imports: {
        // What may wait; everything else is linked synchronously, which costs no future.
        "remit:kernel/llm.[method]model.count-tokens": async | trappable,
        "remit:kernel/llm.[method]model.chat": async | trappable,
        "remit:kernel/llm.[method]model.chat-stream": async | trappable,
        "remit:kernel/llm.[method]model.embed": async | trappable,
        "remit:kernel/llm.[method]model.complete": async | trappable,
        "remit:kernel/llm.[method]generation.next": async | trappable,
        "remit:kernel/children.spawn": async | trappable,
        "remit:kernel/children.[method]child.wait": async | trappable,
        "remit:kernel/mailbox.send": async | trappable,
        "remit:kernel/mailbox.call": async | trappable,
        "remit:kernel/mailbox.receive": async | trappable,
        "remit:kernel/mailbox.[method]pending.get": async | trappable,
        "remit:kernel/human.[method]pending-answer.get": async | trappable,
        "remit:kernel/human.[method]pending-decision.get": async | trappable,
        "remit:kernel/tool.[method]pending-result.get": async | trappable,
        "remit:kernel/task.emit": async | trappable,
        "remit:kernel/checkpoint.commit": async | trappable,
        "wasi:io/poll.poll": async | trappable,
        "wasi:io/poll.[method]pollable.block": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "remit:kernel/value.value": crate::row::ValueRow,
        "remit:kernel/capability.grant": crate::row::GrantRow,
        "remit:kernel/budget.account": crate::row::AccountRow,
        "remit:kernel/llm.model": crate::row::ModelRow,
        "remit:kernel/llm.generation": crate::row::GenerationRow,
        "remit:kernel/children.child": crate::row::ChildRow,
        "remit:kernel/mailbox.pending": crate::row::CallRow,
        "remit:kernel/mailbox.answer": crate::row::AnswerRow,
        "remit:kernel/alarm.alarm": crate::row::AlarmRow,
        "remit:kernel/human.pending-answer": crate::row::AskedRow,
        "remit:kernel/human.pending-decision": crate::row::ProposedRow,
        "remit:kernel/tool.pending-result": crate::row::ToolCallRow,
        "wasi:io/poll.pollable": crate::row::PollableRow,
    },
    require_store_data_send: true,
});
