//! `remit:kernel/children`: plans, reports, and what becomes of what a plan gives away.

use crate::{
    budget::{OWN, PART},
    capability::GRANT,
    process::PID,
    program::{Arg::*, call, keep, put},
    seen::{Seen, see},
};
use remit_abi::{
    BudgetError, BudgetReply, BudgetRequest, CapabilityReply, CapabilityRequest, ChildEnded, ChildId, ChildInput,
    ChildReport, ChildrenError, ChildrenReply, ChildrenRequest, Content, Denial, Fault, GrantId, NamedGrant, Order,
    Plan, Priority, Reply, Request, Restart, Role, Status, Tokens, ValueId, ValueReply, ValueRequest, WaitId,
    WaitRequest,
};

const CHILD: ChildId = ChildId { index: 3, generation: 7 };
const VALUE: ValueId = ValueId { index: 9, generation: 1 };
const PASSED: GrantId = GrantId { index: 12, generation: 1 };

const IMPORTS: &str = r#"
  (import "remit:kernel/capability@0.1.0" "take" (func $take (param i32 i32 i32)))
  (import "remit:kernel/capability@0.1.0" "[method]grant.check" (func $check (param i32 i32)))
  (import "remit:kernel/capability@0.1.0" "[resource-drop]grant" (func $drop_grant (param i32)))
  (import "remit:kernel/budget@0.1.0" "own-account" (func $own (result i32)))
  (import "remit:kernel/budget@0.1.0" "[method]account.split" (func $split (param i32 i64 i32)))
  (import "remit:kernel/budget@0.1.0" "[resource-drop]account" (func $drop_account (param i32)))
  (import "remit:kernel/value@0.1.0" "[resource-drop]value" (func $drop_value (param i32)))
  (import "remit:kernel/children@0.1.0" "spawn" (func $spawn (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "remit:kernel/children@0.1.0" "[method]child.get-id" (func $id (param i32 i32)))
  (import "remit:kernel/children@0.1.0" "[method]child.get-mailbox" (func $mailbox (param i32 i32)))
  (import "remit:kernel/children@0.1.0" "[method]child.wait" (func $wait (param i32 i32)))
  (import "remit:kernel/children@0.1.0" "[method]child.subscribe" (func $subscribe (param i32) (result i32)))
  (import "remit:kernel/children@0.1.0" "[method]child.signal" (func $signal (param i32 i32)))
  (import "remit:kernel/children@0.1.0" "[method]child.kill" (func $kill (param i32)))
  (import "remit:kernel/children@0.1.0" "[static]child.detach" (func $detach (param i32 i32)))
  (import "remit:kernel/children@0.1.0" "[resource-drop]child" (func $drop (param i32)))
  (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $drop_pollable (param i32)))
  (data (i32.const 512) "workerschathello")
"#;

/// Takes a grant to spawn under (its handle at 2056) and one to pass on (at 2088), splits funds off (their handle at 2136,
/// the own account's at 2120), and spawns `worker` with one message and the grant; the answer is at 2304.
fn spawn() -> Vec<String> {
    let mut body = vec![
        call("take", &[I(512), I(7), I(2048)]),
        call("take", &[I(519), I(4), I(2080)]),
        keep(2120, "own", &[]),
        call("split", &[At(2120), L(250), I(2128)]),
        // The assistant says "hello".
        put(3072, 2),
        put(3080, 523),
        put(3084, 5),
        // The grant as "chat".
        put(3200, 519),
        put(3204, 4),
        "(i32.store (i32.const 3208) (i32.load (i32.const 2088)))".to_owned(),
    ];
    body.push(spawn_with(At(2136)));
    body
}

fn spawn_with(funds: crate::program::Arg) -> String {
    let [restart, priority] = [I(1), I(3)];
    call("spawn", &[At(2056), I(512), I(6), I(3072), I(1), I(3200), I(1), funds, restart, priority, I(2304)])
}

/// Grants and accounts are there; children answer what they are told to.
fn door(request: &Request, answer: &Result<ChildrenReply, ChildrenError>) -> Option<Reply> {
    match request {
        Request::Capability(CapabilityRequest::Take { label }) => {
            let grant = if &**label == "chat" { PASSED } else { GRANT };
            Some(Reply::Capability(Ok(CapabilityReply::Taken(grant))))
        }
        Request::Capability(_) => Some(Reply::Capability(Ok(CapabilityReply::Live))),
        Request::Budget(BudgetRequest::OwnAccount) => Some(Reply::Budget(Ok(BudgetReply::Account(OWN)))),
        Request::Budget(BudgetRequest::Split { .. }) => Some(Reply::Budget(Ok(BudgetReply::Split(PART)))),
        Request::Budget(_) => Some(Reply::Budget(Err(BudgetError::Dead))),
        Request::Children(_) => Some(Reply::Children(answer.clone())),
        Request::Value(ValueRequest::Drop { .. }) => Some(Reply::Value(Ok(ValueReply::Dropped))),
        _ => None,
    }
}

fn spawning(more: &[String], answer: Result<ChildrenReply, ChildrenError>) -> Seen {
    see(IMPORTS, &[&*spawn(), more].concat(), move |request| door(request, &answer))
}

/// Spawns a child (its handle at 2312), goes on, and answers what comes then.
fn with_child(body: &[String], answer: Result<ChildrenReply, ChildrenError>) -> Seen {
    see(IMPORTS, &[&*spawn(), body].concat(), move |request| match request {
        Request::Children(ChildrenRequest::Spawn(_)) => door(request, &Ok(ChildrenReply::Spawned(CHILD))),
        _ => door(request, &answer),
    })
}

/// What was asked after the child was started.
fn check_asked(seen: &Seen, asked: &[ChildrenRequest]) {
    let asked: Vec<_> = asked.iter().cloned().map(Request::Children).collect();
    assert_eq!((seen.asked.get(5..), &seen.fault), (Some(&*asked), &None));
}

#[test]
fn a_plan_reaches_the_kernel_whole() {
    let seen = spawning(&[], Ok(ChildrenReply::Spawned(CHILD)));
    let plan = Plan {
        grant: GRANT,
        agent: "worker".into(),
        conversation: vec![ChildInput { role: Role::Assistant, content: Content::Text("hello".into()) }],
        grants: vec![NamedGrant { label: "chat".into(), grant: PASSED }],
        funds: PART,
        restart: Restart::OnFailure,
        priority: Priority::High,
    };
    assert_eq!(seen.asked.last(), Some(&Request::Children(ChildrenRequest::Spawn(Box::new(plan)))));
    assert_eq!(seen.byte(2304), 0);
}

#[test]
fn what_a_plan_gave_away_cannot_be_used_again() {
    for again in [
        call("check", &[At(2088), I(2400)]),
        call("drop_grant", &[At(2088)]),
        call("split", &[At(2136), L(1), I(2400)]),
        call("drop_account", &[At(2136)]),
        spawn_with(At(2120)),
    ] {
        spawning(&[again], Ok(ChildrenReply::Spawned(CHILD))).broke_the_protocol("handle");
    }
    // Not even in the plan itself: the grant to spawn under is lent for the call.
    let lend = "(i32.store (i32.const 3208) (i32.load (i32.const 2056)))".to_owned();
    let mut twice = spawn();
    twice.insert(twice.len() - 1, lend);
    let seen = see(IMPORTS, &twice, |request| door(request, &Ok(ChildrenReply::Spawned(CHILD))));
    seen.broke_the_protocol("borrow");
}

#[test]
fn every_reason_not_to_start_has_its_case() {
    let errors = [
        ChildrenError::Denied(Denial::OutOfScope { grant: "workers".into() }),
        ChildrenError::TooMany { limit: 64 },
        ChildrenError::Invalid("the label chat is taken".into()),
        ChildrenError::Unavailable("worker is not installed".into()),
    ];
    for (case, error) in (0..).zip(errors) {
        let seen = spawning(&[], Err(error));
        assert_eq!((seen.byte(2304), seen.byte(2312)), (1, case));
        match case {
            0 => assert_eq!((seen.byte(2320), seen.text(2328)), (6, "workers")),
            1 => assert_eq!(seen.long(2320), 64),
            2 => assert_eq!(seen.text(2320), "the label chat is taken"),
            _ => assert_eq!(seen.text(2320), "worker is not installed"),
        }
        // What it was to be given goes back without being asked for: the kernel saw that it was not started.
        assert!(matches!(seen.asked.last(), Some(Request::Children(_))), "{:?}", seen.asked);
    }
    // Its own account is nobody's to give.
    let mut own = spawn();
    own.pop();
    own.push(spawn_with(At(2120)));
    let invalid = Err(ChildrenError::Invalid("the account is its own".into()));
    let seen = see(IMPORTS, &own, move |request| door(request, &invalid));
    assert!(matches!(seen.asked.last(), Some(Request::Children(_))), "{:?}", seen.asked);
    spawning(&[], Err(ChildrenError::Dead)).broke_the_protocol("an account");
    for unfit in [ChildrenError::Taken, ChildrenError::Deadlock, ChildrenError::NoRoom] {
        spawning(&[], Err(unfit)).host_failed();
    }
}

fn ended(ended: ChildEnded) -> Result<ChildrenReply, ChildrenError> {
    let (paid, refunded) = (Tokens::from_micro(200), Tokens::from_micro(50));
    Ok(ChildrenReply::Ended(Box::new(ChildReport { ended, paid, refunded, restarts: 2 })))
}

#[test]
fn a_report_reaches_the_guest_whole() {
    let wait = call("wait", &[At(2312), I(2400)]);
    let seen = with_child(std::slice::from_ref(&wait), ended(ChildEnded::Done(Status::Partial, None)));
    check_asked(&seen, &[ChildrenRequest::Wait { child: CHILD }]);
    assert_eq!((seen.byte(2400), seen.byte(2408), seen.byte(2412), seen.byte(2416)), (0, 0, 1, 0));
    assert_eq!((seen.long(2424), seen.long(2432), seen.word(2440)), (200, 50, 2));
    let drop = Request::Value(ValueRequest::Drop { value: VALUE });
    let drops = |handle: i32, end: ChildEnded| {
        let seen = with_child(&[wait.clone(), call("drop_value", &[At(handle)])], ended(end));
        assert_eq!((seen.asked.last(), &seen.fault), (Some(&drop), &None));
        seen
    };
    let seen = drops(2420, ChildEnded::Done(Status::Complete, Some(VALUE)));
    assert_eq!((seen.byte(2408), seen.byte(2412), seen.byte(2416)), (0, 0, 1));
    let seen = drops(2412, ChildEnded::Failed { message: VALUE, retryable: true });
    assert_eq!((seen.byte(2408), seen.byte(2416)), (1, 1));
    let seen = with_child(&[wait], ended(ChildEnded::Faulted(Fault::Killed)));
    assert_eq!((seen.byte(2408), seen.text(2412)), (2, "the process was killed"));
}

#[test]
fn every_reason_for_no_report_has_its_case() {
    let wait = || [call("wait", &[At(2312), I(2400)])];
    for (case, error) in (0..).zip([ChildrenError::Taken, ChildrenError::Deadlock, ChildrenError::NoRoom]) {
        let seen = with_child(&wait(), Err(error));
        assert_eq!((seen.byte(2400), seen.byte(2408)), (1, case));
    }
    with_child(&wait(), Err(ChildrenError::Dead)).broke_the_protocol("a child");
    with_child(&wait(), Err(ChildrenError::TooMany { limit: 1 })).host_failed();
    with_child(&wait(), Ok(ChildrenReply::Done)).host_failed();
}

#[test]
fn a_child_is_named_written_to_and_waited_for() {
    let seen = with_child(&[call("id", &[At(2312), I(2400)])], Ok(ChildrenReply::Id(PID)));
    check_asked(&seen, &[ChildrenRequest::Id { child: CHILD }]);
    assert_eq!(seen.text(2400), "2.31.4");
    let mailbox = call("mailbox", &[At(2312), I(2400)]);
    let more = [mailbox.clone(), call("drop_grant", &[At(2408)])];
    let seen = with_child(&more, Ok(ChildrenReply::Mailbox(PASSED)));
    check_asked(&seen, &[ChildrenRequest::Mailbox { child: CHILD }]);
    let errors = [
        (0, ChildrenError::Denied(Denial::Revoked("workers".into()))),
        (2, ChildrenError::Invalid("no".into())),
        (3, ChildrenError::TooMany { limit: 256 }),
    ];
    for (case, error) in errors {
        let seen = with_child(std::slice::from_ref(&mailbox), Err(error));
        assert_eq!((seen.byte(2400), seen.byte(2408)), (1, case));
    }
    with_child(&[mailbox], Err(ChildrenError::Dead)).broke_the_protocol("a child");
    let subscribed = keep(2400, "subscribe", &[At(2312)]);
    let orderly = [subscribed.clone(), call("block", &[At(2400)]), call("drop_pollable", &[At(2400)])];
    let seen = with_child(&orderly, Err(ChildrenError::Dead));
    let wait = Request::Wait(WaitRequest::Any { ids: [WaitId::Child(CHILD)].into() });
    assert_eq!((seen.asked.last(), &seen.fault), (Some(&wait), &None), "the pollable owns nothing");
    with_child(&[subscribed, call("drop", &[At(2312)])], Ok(ChildrenReply::Done)).broke_the_protocol("pollable");
}

#[test]
fn orders_are_passed_on() {
    for (case, order) in (0..).zip([Order::Cancel, Order::Suspend, Order::Resume]) {
        let seen = with_child(&[call("signal", &[At(2312), I(case)])], Ok(ChildrenReply::Done));
        check_asked(&seen, &[ChildrenRequest::Order { child: CHILD, order }]);
    }
    let seen = with_child(&[call("kill", &[At(2312)])], Ok(ChildrenReply::Done));
    check_asked(&seen, &[ChildrenRequest::Kill { child: CHILD }]);
    for body in [call("kill", &[At(2312)]), call("signal", &[At(2312), I(0)]), call("id", &[At(2312), I(2400)])] {
        with_child(std::slice::from_ref(&body), Err(ChildrenError::Dead)).broke_the_protocol("a child");
        with_child(&[body], Ok(ChildrenReply::Spawned(CHILD))).host_failed();
    }
}

#[test]
fn a_child_is_let_go_once() {
    let drop = [call("drop", &[At(2312)])];
    for answer in [Ok(ChildrenReply::Done), Err(ChildrenError::Dead)] {
        check_asked(&with_child(&drop, answer), &[ChildrenRequest::Drop { child: CHILD }]);
    }
    let detach = call("detach", &[At(2312), I(2400)]);
    let seen = with_child(std::slice::from_ref(&detach), Ok(ChildrenReply::Done));
    check_asked(&seen, &[ChildrenRequest::Detach { child: CHILD }]);
    for again in [detach.clone(), call("drop", &[At(2312)]), call("kill", &[At(2312)])] {
        with_child(&[detach.clone(), again], Ok(ChildrenReply::Done)).broke_the_protocol("handle");
    }
    with_child(&[detach], Err(ChildrenError::Dead)).broke_the_protocol("a child");
}

#[test]
fn a_child_that_may_not_live_on_alone_is_let_go() {
    let seen = see(IMPORTS, &[&*spawn(), &[call("detach", &[At(2312), I(2400)])]].concat(), |request| {
        let answer = match request {
            Request::Children(ChildrenRequest::Spawn(_)) => Ok(ChildrenReply::Spawned(CHILD)),
            Request::Children(ChildrenRequest::Detach { .. }) => {
                Err(ChildrenError::Denied(Denial::NotGranted("workers".into())))
            }
            _ => Ok(ChildrenReply::Done),
        };
        door(request, &answer)
    });
    check_asked(&seen, &[ChildrenRequest::Detach { child: CHILD }, ChildrenRequest::Drop { child: CHILD }]);
    assert_eq!((seen.byte(2400), seen.byte(2408), seen.text(2416)), (1, 0, "workers"));
}
