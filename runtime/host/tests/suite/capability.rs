//! `remit:kernel/capability`: grants described, narrowed, taken back and given up.

use crate::{
    program::{Arg::*, call, keep, put},
    seen::{Seen, see},
};
use remit_abi::{
    Access, AccountId, Attenuate, BudgetReply, CapabilityError, CapabilityReply, CapabilityRequest, Denial, Fault,
    GrantId, GrantInfo, GrantKind, GrantLimits, HeldGrant, Integrity, Label, Rate, Reply, Request, TagSet,
};

pub(crate) const GRANT: GrantId = GrantId { index: 5, generation: 3 };
const DERIVED: GrantId = GrantId { index: 6, generation: 1 };

const IMPORTS: &str = r#"
  (import "remit:kernel/capability@0.1.0" "take" (func $take (param i32 i32 i32)))
  (import "remit:kernel/capability@0.1.0" "list" (func $list (param i32)))
  (import "remit:kernel/capability@0.1.0" "[method]grant.get-info" (func $info (param i32 i32)))
  (import "remit:kernel/capability@0.1.0" "[method]grant.check" (func $check (param i32 i32)))
  (import "remit:kernel/capability@0.1.0" "[method]grant.attenuate" (func $attenuate (param i32 i32)))
  (import "remit:kernel/capability@0.1.0" "[method]grant.revoke-derived" (func $revoke (param i32 i32 i32) (result i32)))
  (import "remit:kernel/capability@0.1.0" "[static]grant.discard" (func $discard (param i32)))
  (import "remit:kernel/capability@0.1.0" "[resource-drop]grant" (func $drop (param i32)))
  (import "remit:kernel/budget@0.1.0" "own-account" (func $account (result i32)))
  (data (i32.const 512) "chatsecretsmol")
"#;

/// Takes the grant `chat`; its handle is at 2056.
fn take() -> String {
    call("take", &[I(512), I(4), I(2048)])
}

fn reply(reply: CapabilityReply) -> Option<Reply> {
    Some(Reply::Capability(Ok(reply)))
}

/// Takes the grant, goes on, and answers what comes then.
fn with_grant(body: &[String], answer: Result<CapabilityReply, CapabilityError>) -> Seen {
    see(IMPORTS, &[&[take()], body].concat(), move |request| match request {
        Request::Capability(CapabilityRequest::Take { .. }) => reply(CapabilityReply::Taken(GRANT)),
        Request::Capability(_) => Some(Reply::Capability(answer.clone())),
        Request::Budget(_) => Some(Reply::Budget(Ok(BudgetReply::Account(AccountId { index: 1, generation: 1 })))),
        _ => None,
    })
}

fn held() -> HeldGrant {
    HeldGrant {
        info: GrantInfo {
            label: "chat".into(),
            kind: GrantKind::Model,
            scope: vec!["smol*".into()],
            access: Access::ReadWrite,
            limits: GrantLimits {
                uses: Some(7),
                rate: Some(Rate { uses: 2, per_ms: 1000 }),
                expires_ns: None,
                max_tokens_per_call: Some(64),
                ceiling: Some(Label { integrity: Integrity::Untrusted, tags: TagSet::EMPTY }),
            },
            revoked: false,
        },
        ceiling_tags: vec!["secret".into()],
    }
}

/// What the guest was told of [`held`], at this address.
fn check_held(seen: &Seen, at: usize) {
    assert_eq!((seen.text(at), seen.text(at + 8)), ("chat", "model"));
    assert_eq!(seen.word(at + 20), 1);
    assert_eq!(seen.text(seen.word(at + 16) as usize), "smol*");
    assert_eq!(seen.byte(at + 24), 1, "read and write");
    let limits = at + 32;
    assert_eq!((seen.byte(limits), seen.long(limits + 8)), (1, 7));
    assert_eq!((seen.byte(limits + 16), seen.word(limits + 24), seen.long(limits + 32)), (1, 2, 1000));
    assert_eq!(seen.byte(limits + 40), 0, "it does not expire");
    assert_eq!((seen.byte(limits + 56), seen.word(limits + 60)), (1, 64));
    assert_eq!((seen.byte(limits + 64), seen.byte(limits + 68)), (1, 1), "a ceiling, untrusted");
    assert_eq!(seen.text(seen.word(limits + 72) as usize), "secret");
}

#[test]
fn a_grant_is_described_whole() {
    let seen = with_grant(&[call("info", &[At(2056), I(2304)])], Ok(CapabilityReply::Described(Box::new(held()))));
    assert_eq!(seen.asked[0], Request::Capability(CapabilityRequest::Take { label: "chat".into() }));
    assert_eq!(seen.asked[1], Request::Capability(CapabilityRequest::Describe { grant: GRANT }));
    assert_eq!(seen.byte(2304), 0);
    check_held(&seen, 2312);
    let seen = with_grant(&[call("list", &[I(2304)])], Ok(CapabilityReply::Listed(vec![held(), held()])));
    assert_eq!(seen.word(2308), 2);
    check_held(&seen, seen.word(2304) as usize);
    check_held(&seen, seen.word(2304) as usize + 112);
}

#[test]
fn every_denial_has_its_case() {
    let label = || "chat".into();
    let denials = [
        Denial::NotGranted(label()),
        Denial::Revoked(label()),
        Denial::Expired(label()),
        Denial::Exhausted(label()),
        Denial::TooFast { grant: label(), retry_after_ms: 250 },
        Denial::Exceeded(label()),
        Denial::OutOfScope { grant: label() },
        Denial::Tainted { grant: label() },
    ];
    for (case, denial) in (0..).zip(denials) {
        let calls = [call("check", &[At(2056), I(2304)]), call("info", &[At(2056), I(2400)])];
        let seen = with_grant(&calls, Err(CapabilityError::Denied(denial.clone())));
        for at in [2304, 2400] {
            assert_eq!((seen.byte(at), seen.byte(at + 8), seen.text(at + 16)), (1, case, "chat"), "{denial:?}");
        }
        if matches!(denial, Denial::TooFast { .. }) {
            assert_eq!(seen.long(2304 + 24), 250);
        }
    }
    let seen = with_grant(&[call("check", &[At(2056), I(2304)])], Ok(CapabilityReply::Live));
    assert_eq!((seen.byte(2304), &seen.asked[1]), (0, &Request::Capability(CapabilityRequest::Check { grant: GRANT })));
}

/// Puts the arguments of `attenuate` at 3072, with every limit set, and calls it; the answer is at 2304.
fn attenuate() -> Vec<String> {
    let mut body = vec![format!("(i32.store (i32.const 3072) {})", "(i32.load (i32.const 2056))")];
    let words = [
        // The label `chat`; the scope is one text, `smol`.
        (4, 512),
        (8, 4),
        (16, 1),
        (20, 3200),
        (24, 1),
        (128, 522),
        (132, 4),
        // Read-only; 9 uses; 3 in 4000 ms; expires at 77; 16 tokens a call; untrusted with one tag, `secret`.
        (28, 1),
        (32, 1),
        (40, 9),
        (48, 1),
        (56, 3),
        (64, 4000),
        (72, 1),
        (80, 77),
        (88, 1),
        (92, 16),
        (96, 1),
        (100, 1),
        (104, 3208),
        (108, 1),
        (136, 516),
        (140, 6),
    ];
    body.extend(words.map(|(offset, word)| put(3072 + offset, word)));
    body.push(call("attenuate", &[I(3072), I(2304)]));
    body
}

#[test]
fn a_narrowing_reaches_the_kernel_whole() {
    let seen = with_grant(&attenuate(), Ok(CapabilityReply::Derived(DERIVED)));
    assert_eq!(seen.byte(2304), 0);
    let whole = Attenuate {
        grant: GRANT,
        label: "chat".into(),
        scope: Some(["smol".into()].into()),
        access: Some(Access::ReadOnly),
        uses: Some(9),
        rate: Some(Rate { uses: 3, per_ms: 4000 }),
        expires_ns: Some(77),
        max_tokens_per_call: Some(16),
        ceiling: Some((Integrity::Untrusted, ["secret".into()].into())),
    };
    assert_eq!(seen.asked[1], Request::Capability(CapabilityRequest::Attenuate(Box::new(whole))));
    // Nothing but a label, and the derived grant is a grant.
    let bare = [
        format!("(i32.store (i32.const 3072) {})", "(i32.load (i32.const 2056))"),
        call("attenuate", &[I(3072), I(2304)]),
        call("drop", &[At(2312)]),
    ];
    let seen = with_grant(&bare, Ok(CapabilityReply::Derived(DERIVED)));
    assert_eq!(seen.fault, None);
    let bare = Attenuate {
        grant: GRANT,
        label: "".into(),
        scope: None,
        access: None,
        uses: None,
        rate: None,
        expires_ns: None,
        max_tokens_per_call: None,
        ceiling: None,
    };
    assert_eq!(seen.asked[1..], [Request::Capability(CapabilityRequest::Attenuate(Box::new(bare)))]);
}

#[test]
fn every_reason_not_to_derive_has_its_case() {
    let errors = [
        CapabilityError::Denied(Denial::Revoked("chat".into())),
        CapabilityError::Widens("uses".into()),
        CapabilityError::Invalid("no name".into()),
        CapabilityError::TooMany { limit: 256 },
    ];
    for (case, error) in (0..).zip(errors) {
        let seen = with_grant(&attenuate(), Err(error));
        assert_eq!((seen.byte(2304), seen.byte(2312)), (1, case));
        match case {
            0 => assert_eq!((seen.byte(2320), seen.text(2328)), (1, "chat")),
            1 => assert_eq!(seen.text(2320), "uses"),
            2 => assert_eq!(seen.text(2320), "no name"),
            _ => assert_eq!(seen.long(2320), 256),
        }
    }
}

#[test]
fn what_was_derived_is_taken_back_by_its_label() {
    let revoke = [keep(2304, "revoke", &[At(2056), I(512), I(4)])];
    let seen = with_grant(&revoke, Ok(CapabilityReply::Revoked(3)));
    assert_eq!(seen.word(2304), 3);
    let request = CapabilityRequest::RevokeDerived { grant: GRANT, label: "chat".into() };
    assert_eq!(seen.asked[1], Request::Capability(request));
    let seen = with_grant(&revoke, Err(CapabilityError::Denied(Denial::Revoked("chat".into()))));
    assert_eq!(seen.word(2304), 0, "what it had is gone with it");
}

#[test]
fn a_grant_is_given_up_once_and_its_handles_own_nothing() {
    let discard = call("discard", &[At(2056)]);
    let seen = with_grant(std::slice::from_ref(&discard), Ok(CapabilityReply::Discarded));
    assert_eq!(seen.asked[1..], [Request::Capability(CapabilityRequest::Discard { grant: GRANT })]);
    let gone = Err(CapabilityError::Denied(Denial::NotGranted("chat".into())));
    assert_eq!(with_grant(std::slice::from_ref(&discard), gone).fault, None, "what is gone is given up");
    for again in [call("discard", &[At(2056)]), call("check", &[At(2056), I(2304)]), call("drop", &[At(2056)])] {
        with_grant(&[discard.clone(), again], Ok(CapabilityReply::Discarded)).broke_the_protocol("handle");
    }
    let seen = with_grant(&[call("drop", &[At(2056)])], Ok(CapabilityReply::Live));
    assert_eq!((seen.fault, seen.asked.len()), (None, 1), "nothing is asked of a handle that is dropped");
}

#[test]
fn a_handle_of_another_sort_is_none() {
    let wrong = [keep(2304, "account", &[]), call("check", &[At(2304), I(2400)])];
    with_grant(&wrong, Ok(CapabilityReply::Live)).broke_the_protocol("handle");
    for guess in [0, 1, 2, 3, 100, -1] {
        let seen = see(IMPORTS, &[call("check", &[I(guess), I(2400)])], |_| None);
        seen.broke_the_protocol("handle");
        assert_eq!(seen.asked, [], "a guess reaches no kernel");
    }
}

#[test]
fn a_reply_to_something_else_is_the_hosts_fault() {
    for body in [attenuate(), vec![call("check", &[At(2056), I(2304)])], vec![call("discard", &[At(2056)])]] {
        with_grant(&body, Ok(CapabilityReply::Taken(GRANT))).host_failed();
    }
    see(IMPORTS, &[take()], |_| Some(Reply::Trace)).host_failed();
    see(IMPORTS, &[take()], |_| Some(Reply::Capability(Err(CapabilityError::TooMany { limit: 1 })))).host_failed();
}

#[test]
fn a_list_that_is_larger_than_memory_or_than_a_call_is_refused() {
    // A scope of so many names, all of them the empty one.
    let scope = |count: i32| {
        let grow = "(drop (memory.grow (i32.const 500)))".to_owned();
        let words = [(16, 1), (20, 65536), (24, count)].map(|(offset, word)| put(3072 + offset, word));
        let handle = "(i32.store (i32.const 3072) (i32.load (i32.const 2056)))".to_owned();
        let mut body = vec![grow, handle];
        body.extend(words);
        body.push(call("attenuate", &[I(3072), I(2304)]));
        with_grant(&body, Ok(CapabilityReply::Derived(DERIVED)))
    };
    assert_eq!(scope(1000).fault, None);
    scope(5_000_000).broke_the_protocol("bounds");
    scope(-1).broke_the_protocol("");
    let seen = scope(4_000_000);
    assert!(matches!(&seen.fault, Some(Fault::Limit(_))), "{:?}", seen.fault);
}
