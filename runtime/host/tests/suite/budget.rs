//! `remit:kernel/budget`: accounts split, moved between and given back.

use crate::{
    program::{Arg::*, call, keep, keep_long},
    seen::{Seen, see},
};
use remit_abi::{AccountId, BudgetError, BudgetReply, BudgetRequest, Reply, Request, Shortfall, Tokens};

pub(crate) const OWN: AccountId = AccountId { index: 1, generation: 1 };
pub(crate) const PART: AccountId = AccountId { index: 2, generation: 9 };

const IMPORTS: &str = r#"
  (import "remit:kernel/budget@0.1.0" "own-account" (func $own (result i32)))
  (import "remit:kernel/budget@0.1.0" "[method]account.get-remaining" (func $remaining (param i32) (result i64)))
  (import "remit:kernel/budget@0.1.0" "[method]account.split" (func $split (param i32 i64 i32)))
  (import "remit:kernel/budget@0.1.0" "[static]account.merge" (func $merge (param i32 i32)))
  (import "remit:kernel/budget@0.1.0" "[method]account.transfer" (func $transfer (param i32 i32 i64 i32)))
  (import "remit:kernel/budget@0.1.0" "[method]account.set-soft-limit" (func $limit (param i32 i64)))
  (import "remit:kernel/budget@0.1.0" "[resource-drop]account" (func $drop (param i32)))
"#;

/// Leaves the own account's handle at 2048, and that of a part at 2064.
fn split() -> [String; 2] {
    [keep(2048, "own", &[]), call("split", &[At(2048), L(250), I(2056)])]
}

/// Splits a part off, goes on, and answers what comes then.
fn with_part(body: &[String], answer: Result<BudgetReply, BudgetError>) -> Seen {
    see(IMPORTS, &[&split(), body].concat(), move |request| {
        let Request::Budget(request) = request else { return None };
        Some(Reply::Budget(match request {
            BudgetRequest::OwnAccount => Ok(BudgetReply::Account(OWN)),
            BudgetRequest::Split { account: OWN, amount } if amount.micro() == 250 => Ok(BudgetReply::Split(PART)),
            _ => answer.clone(),
        }))
    })
}

fn tokens(micro: u64) -> Tokens {
    Tokens::from_micro(micro)
}

/// What was asked after the split.
fn check_asked(seen: &Seen, asked: &[BudgetRequest]) {
    let asked: Vec<_> = asked.iter().cloned().map(Request::Budget).collect();
    assert_eq!((seen.asked.get(2..), &seen.fault), (Some(&*asked), &None));
}

#[test]
fn amounts_go_in_and_out_as_they_are() {
    let seen = with_part(&[keep_long(2304, "remaining", &[At(2064)])], Ok(BudgetReply::Remaining(Tokens::MAX)));
    check_asked(&seen, &[BudgetRequest::Remaining { account: PART }]);
    assert_eq!(seen.long(2304), u64::MAX);
    let seen = with_part(&[call("limit", &[At(2048), L(-1)])], Ok(BudgetReply::Done));
    check_asked(&seen, &[BudgetRequest::SetSoftLimit { account: OWN, threshold: Tokens::MAX }]);
    let seen = with_part(&[call("transfer", &[At(2048), At(2064), L(-1), I(2304)])], Ok(BudgetReply::Done));
    check_asked(&seen, &[BudgetRequest::Transfer { from: OWN, to: PART, amount: Tokens::MAX }]);
    assert_eq!(seen.byte(2304), 0);
    let seen = with_part(&[call("merge", &[At(2064), I(2304)])], Ok(BudgetReply::Merged(tokens(249))));
    check_asked(&seen, &[BudgetRequest::Merge { account: PART }]);
    assert_eq!((seen.byte(2304), seen.long(2312)), (0, 249));
}

#[test]
fn every_reason_not_to_move_tokens_has_its_case() {
    let shortfall = Shortfall { needed: tokens(8), remaining: tokens(3) };
    let errors =
        [BudgetError::Shortfall(shortfall), BudgetError::Nothing, BudgetError::TooMany { limit: 64 }, BudgetError::Own];
    for (case, error) in (0..).zip(errors) {
        for body in [
            call("split", &[At(2064), L(0), I(2304)]),
            call("transfer", &[At(2064), At(2048), L(0), I(2304)]),
            call("merge", &[At(2048), I(2304)]),
        ] {
            let seen = with_part(&[body], Err(error));
            assert_eq!((seen.byte(2304), seen.byte(2312)), (1, case));
            match error {
                BudgetError::Shortfall(_) => assert_eq!((seen.long(2320), seen.long(2328)), (8, 3)),
                BudgetError::TooMany { .. } => assert_eq!(seen.long(2320), 64),
                _ => {}
            }
        }
    }
}

#[test]
fn a_part_that_is_dropped_goes_back_and_the_own_account_stays() {
    let merge = BudgetRequest::Merge { account: PART };
    for answer in [Ok(BudgetReply::Merged(tokens(1))), Err(BudgetError::Dead)] {
        let seen = with_part(&[call("drop", &[At(2064)])], answer);
        check_asked(&seen, std::slice::from_ref(&merge));
    }
    let seen = with_part(&[call("drop", &[At(2048)])], Err(BudgetError::Own));
    check_asked(&seen, &[]);
    let merged = call("merge", &[At(2064), I(2304)]);
    for again in [call("merge", &[At(2064), I(2304)]), call("drop", &[At(2064)])] {
        with_part(&[merged.clone(), again], Ok(BudgetReply::Merged(tokens(1)))).broke_the_protocol("handle");
    }
}

#[test]
fn an_account_that_is_gone_is_the_guests_mistake() {
    for body in [
        keep_long(2304, "remaining", &[At(2064)]),
        call("limit", &[At(2064), L(1)]),
        call("split", &[At(2064), L(1), I(2304)]),
        call("transfer", &[At(2064), At(2048), L(1), I(2304)]),
    ] {
        with_part(&[body], Err(BudgetError::Dead)).broke_the_protocol("an account");
    }
}

#[test]
fn a_reply_to_something_else_is_the_hosts_fault() {
    for body in [
        keep_long(2304, "remaining", &[At(2064)]),
        call("split", &[At(2064), L(1), I(2304)]),
        call("merge", &[At(2064), I(2304)]),
        call("drop", &[At(2064)]),
    ] {
        with_part(&[body], Ok(BudgetReply::Account(OWN))).host_failed();
    }
    see(IMPORTS, &[keep(2048, "own", &[])], |_| Some(Reply::Trace)).host_failed();
}
