//! `remit:kernel/human`: questions, proposals and notices out, answers and decisions in.

use crate::{
    capability::GRANT,
    program::{
        Arg::{self, *},
        call, keep,
    },
    seen::{Seen, see},
};
use remit_abi::{
    Answered, CapabilityReply, Content, Denial, HumanError, HumanReply, HumanRequest, Question, QuestionId, Reply,
    Request, Said, ValueId, ValueReply, ValueRequest, WaitId, WaitRequest, Wanted,
};

const QUESTION: QuestionId = QuestionId { index: 3, generation: 2 };
const WORDS: ValueId = ValueId { index: 9, generation: 1 };

const IMPORTS: &str = r#"
  (import "remit:kernel/capability@0.1.0" "take" (func $take (param i32 i32 i32)))
  (import "remit:kernel/value@0.1.0" "[resource-drop]value" (func $drop_value (param i32)))
  (import "remit:kernel/human@0.1.0" "ask" (func $ask (param i32 i32 i32 i32 i32 i32 i64 i32)))
  (import "remit:kernel/human@0.1.0" "propose" (func $propose (param i32 i32 i32 i32 i32 i32 i64 i32)))
  (import "remit:kernel/human@0.1.0" "notify" (func $notify (param i32 i32 i32 i32 i32)))
  (import "remit:kernel/human@0.1.0" "[method]pending-answer.get" (func $get_answer (param i32 i32)))
  (import "remit:kernel/human@0.1.0" "[method]pending-answer.subscribe" (func $subscribe_answer (param i32) (result i32)))
  (import "remit:kernel/human@0.1.0" "[resource-drop]pending-answer" (func $drop_answer (param i32)))
  (import "remit:kernel/human@0.1.0" "[method]pending-decision.get" (func $get_decision (param i32 i32)))
  (import "remit:kernel/human@0.1.0" "[method]pending-decision.subscribe" (func $subscribe_decision (param i32) (result i32)))
  (import "remit:kernel/human@0.1.0" "[resource-drop]pending-decision" (func $drop_decision (param i32)))
  (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $drop_pollable (param i32)))
  (data (i32.const 512) "bossWhy?teasend")
  (data (i32.const 640) "\08\02\00\00\03\00\00\00")
"#;

/// The text `Why?`.
const WHY: [Arg; 3] = [I(0), I(516), I(4)];

/// A way to put something to people, and what it is answered with later.
struct Way {
    name: &'static str,
    /// Leaves its answer at 2304.
    call: String,
    wanted: Wanted,
}

/// A question with the choice `tea`, and a proposal to `send`.
fn ways() -> [Way; 2] {
    let ask = [&[At(2056)], &WHY[..], &[I(640), I(1), L(-1), I(2304)]].concat();
    let propose = [&[At(2056), I(523), I(4)], &WHY[..], &[L(-1), I(2304)]].concat();
    [
        Way { name: "answer", call: call("ask", &ask), wanted: Wanted::Answer { choices: ["tea".into()].into() } },
        Way { name: "decision", call: call("propose", &propose), wanted: Wanted::Approval { action: "send".into() } },
    ]
}

fn asked(wanted: Wanted) -> Request {
    let question = Question { grant: GRANT, content: Content::Text("Why?".into()), wanted, timeout_ns: u64::MAX };
    Request::Human(HumanRequest::Ask(Box::new(question)))
}

/// Takes the grant (its handle at 2056), goes on, and answers as people's desk.
fn with_grant(
    body: &[String],
    answer: impl Fn(&HumanRequest) -> Result<HumanReply, HumanError> + Send + Sync + 'static,
) -> Seen {
    let take = call("take", &[I(512), I(4), I(2048)]);
    see(IMPORTS, &[&[take], body].concat(), move |request| match request {
        Request::Human(request) => Some(Reply::Human(answer(request))),
        Request::Capability(_) => Some(Reply::Capability(Ok(CapabilityReply::Taken(GRANT)))),
        Request::Value(ValueRequest::Drop { .. }) => Some(Reply::Value(Ok(ValueReply::Dropped))),
        _ => None,
    })
}

/// Puts it to people (the handle at 2312), goes on, and answers what comes then.
fn asking(way: &Way, body: &[String], answer: Result<HumanReply, HumanError>) -> Seen {
    with_grant(&[std::slice::from_ref(&way.call), body].concat(), move |request| match request {
        HumanRequest::Ask(_) => Ok(HumanReply::Asked(QUESTION)),
        _ => answer.clone(),
    })
}

#[test]
fn a_question_and_a_proposal_reach_the_kernel_whole() {
    for way in ways() {
        let seen = asking(&way, &[], Ok(HumanReply::Done));
        assert_eq!((seen.asked.last(), seen.byte(2304)), (Some(&asked(way.wanted)), 0));
    }
    let notify = call("notify", &[&[At(2056)], &WHY[..], &[I(2304)]].concat());
    let seen = with_grant(std::slice::from_ref(&notify), |_| Ok(HumanReply::Done));
    let told = HumanRequest::Notify { grant: GRANT, content: Content::Text("Why?".into()) };
    assert_eq!((seen.asked.last(), seen.byte(2304)), (Some(&Request::Human(told)), 0));
    with_grant(&[notify], |_| Ok(HumanReply::Asked(QUESTION))).host_failed();
}

#[test]
fn every_reason_not_to_ask_has_its_case() {
    let errors = [
        HumanError::Denied(Denial::Tainted { grant: "boss".into() }),
        HumanError::TooLarge { limit: 1 << 16 },
        HumanError::TooMany { limit: 16 },
        HumanError::Invalid("an action's name".into()),
    ];
    let notify = call("notify", &[&[At(2056)], &WHY[..], &[I(2304)]].concat());
    let [ask, propose] = ways().map(|way| way.call);
    for way in [ask, propose, notify] {
        let way = std::slice::from_ref(&way);
        for (case, error) in (0..).zip(errors.clone()) {
            let seen = with_grant(way, move |_| Err(error.clone()));
            assert_eq!((seen.byte(2304), seen.byte(2312)), (1, case));
            match case {
                0 => assert_eq!((seen.byte(2320), seen.text(2328)), (7, "boss")),
                1 => assert_eq!(seen.long(2320), 1 << 16),
                2 => assert_eq!(seen.long(2320), 16),
                _ => assert_eq!(seen.text(2320), "an action's name"),
            }
        }
        with_grant(way, |_| Err(HumanError::Dead)).broke_the_protocol("a grant");
        with_grant(way, |_| Err(HumanError::Expired)).host_failed();
    }
}

#[test]
fn an_answer_says_who_when_and_what_and_is_no_decision() {
    let cases = [
        (0, Said::Text(WORDS), Some(0)),
        (0, Said::Choice(7), Some(1)),
        (0, Said::ApprovedOnce, None),
        (1, Said::ApprovedOnce, Some(0)),
        (1, Said::ApprovedAlways, Some(1)),
        (1, Said::Rejected(WORDS), Some(2)),
        (1, Said::Choice(0), None),
        (1, Said::Text(WORDS), None),
    ];
    for (index, said, case) in cases {
        let way = &ways()[index];
        let mut body = vec![call(&format!("get_{}", way.name), &[At(2312), I(2400)])];
        let has_words = matches!(said, Said::Text(_) | Said::Rejected(_));
        if has_words && case.is_some() {
            body.push(call("drop_value", &[At(2428)]));
        }
        let answered = Answered { by: "ann".into(), at_ns: 1 << 40, said };
        let seen = asking(way, &body, Ok(HumanReply::Answered(Box::new(answered))));
        let Some(case) = case else {
            seen.host_failed();
            continue;
        };
        assert!(seen.asked.contains(&Request::Human(HumanRequest::Collect { question: QUESTION })));
        assert_eq!((seen.byte(2400), seen.text(2408), seen.long(2416), seen.byte(2424)), (0, "ann", 1 << 40, case));
        match said {
            Said::Choice(choice) => assert_eq!(seen.word(2428), choice),
            _ if has_words => {
                let dropped = Request::Value(ValueRequest::Drop { value: WORDS });
                assert_eq!(seen.asked.last(), Some(&dropped), "its handle is live");
            }
            _ => {}
        }
    }
}

#[test]
fn every_reason_for_no_answer_has_its_case() {
    let errors = [HumanError::Expired, HumanError::Withdrawn, HumanError::Taken, HumanError::NoRoom];
    for way in ways() {
        let get = call(&format!("get_{}", way.name), &[At(2312), I(2400)]);
        for (case, error) in (0..).zip(errors.clone()) {
            let seen = asking(&way, std::slice::from_ref(&get), Err(error));
            assert_eq!((seen.byte(2400), seen.byte(2408)), (1, case));
        }
        let get = std::slice::from_ref(&get);
        asking(&way, get, Err(HumanError::Dead)).broke_the_protocol("a question");
        asking(&way, get, Err(HumanError::TooMany { limit: 1 })).host_failed();
        asking(&way, get, Ok(HumanReply::Done)).host_failed();
    }
}

#[test]
fn it_is_waited_for_and_withdrawn_with_its_handle() {
    for way in ways() {
        let drop = call(&format!("drop_{}", way.name), &[At(2312)]);
        for answer in [Ok(HumanReply::Done), Err(HumanError::Dead)] {
            let seen = asking(&way, std::slice::from_ref(&drop), answer);
            let request = Request::Human(HumanRequest::Drop { question: QUESTION });
            assert_eq!((seen.asked.last(), &seen.fault), (Some(&request), &None));
        }
        let get = call(&format!("get_{}", way.name), &[At(2312), I(2400)]);
        asking(&way, &[drop.clone(), get], Ok(HumanReply::Done)).broke_the_protocol("handle");
        let subscribe = keep(2400, &format!("subscribe_{}", way.name), &[At(2312)]);
        let waits = [subscribe.clone(), call("block", &[At(2400)]), call("drop_pollable", &[At(2400)]), drop.clone()];
        let seen = asking(&way, &waits, Ok(HumanReply::Done));
        let wait = Request::Wait(WaitRequest::Any { ids: [WaitId::Question(QUESTION)].into() });
        assert_eq!((seen.asked.iter().nth_back(1), &seen.fault), (Some(&wait), &None));
        asking(&way, &[subscribe, drop], Ok(HumanReply::Done)).broke_the_protocol("pollable");
    }
}
