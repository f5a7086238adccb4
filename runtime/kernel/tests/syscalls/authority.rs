//! No right comes out of a string or a number.

use crate::fakes::{Given, TestNode, done, generate, model_grant, prompt};
use remit_abi::{
    CapabilityError, CapabilityReply, CapabilityRequest, Denial, Fault, GrantId, GrantLimits, LlmError, LlmRequest,
    Pid, Reply, Request, TenantId,
};

#[tokio::test]
async fn a_process_without_grants_finds_none() {
    let node = TestNode::new();
    let given = Given { grants: Vec::new(), ..Given::default() };
    node.run(given, |guest| async move {
        let reply = guest.call(Request::Capability(CapabilityRequest::List)).await;
        assert_eq!(reply, Reply::Capability(Ok(CapabilityReply::Listed(Vec::new()))));
        let reply = guest.call(Request::Capability(CapabilityRequest::Take { label: "chat".into() })).await;
        let denial = Denial::NotGranted("chat".into());
        assert_eq!(reply, Reply::Capability(Err(CapabilityError::Denied(denial))));
        done()
    })
    .await;
}

#[tokio::test]
async fn another_processs_grant_opens_nothing() {
    let node = TestNode::new();
    let other = node.spawn(Given::default(), |_| std::future::pending());
    let given = Given { grants: Vec::new(), ..Given::default() };
    node.run(given, |guest| async move {
        for index in 0..4 {
            for generation in 0..4 {
                let open = LlmRequest::Open { grant: GrantId { index, generation } };
                assert_eq!(guest.llm(open).await, Err(LlmError::Denied(Denial::NotGranted("model".into()))));
            }
        }
        done()
    })
    .await;
    drop(other);
}

#[tokio::test]
async fn a_grants_limit_holds_at_every_use() {
    let node = TestNode::new();
    let grants = vec![model_grant(GrantLimits { max_tokens_per_call: Some(5), ..GrantLimits::default() })];
    node.run(Given { grants, ..Given::default() }, |guest| async move {
        let model = guest.open_model().await;
        let denied = Err(LlmError::Denied(Denial::Exceeded("chat".into())));
        assert_eq!(guest.llm(LlmRequest::Chat(generate(model, prompt("q"), 6))).await, denied);
        assert!(guest.llm(LlmRequest::Chat(generate(model, prompt("q"), 5))).await.is_ok());
        done()
    })
    .await;
    assert_eq!(node.engine.jobs.lock().len(), 1, "the denied generation never reached the engine");
}

#[tokio::test]
async fn stale_and_foreign_pids_answer_dead() {
    let node = TestNode::new();
    let (finished, pid) = {
        let spawned = node.spawn(Given::default(), |guest| async move {
            let foreign = Pid { tenant: TenantId(2), ..guest.pid };
            let reply = guest.door.dispatch(foreign, Request::Capability(CapabilityRequest::List)).await;
            assert_eq!(reply, Reply::Fault(Fault::Dead));
            done()
        });
        (spawned.finished.await, spawned.pid)
    };
    assert_eq!(finished.logs_dropped, 0);
    use remit_abi::Door;
    let request = Request::Capability(CapabilityRequest::List);
    assert_eq!(node.kernel.try_dispatch(pid, &request), Some(Reply::Fault(Fault::Dead)));
    let successor = node.spawn(Given::default(), |_| std::future::pending());
    assert_ne!(successor.pid, pid, "no number is given out twice");
    assert_eq!(node.kernel.try_dispatch(pid, &request), Some(Reply::Fault(Fault::Dead)));
}
