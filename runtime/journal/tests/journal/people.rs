//! What people are asked, told and have approved, beside the kernel's own journal in memory.

use crate::{
    sample::{pid, value},
    stage::Stage,
};
use remit_abi::{GrantId, Label, Pid, TenantId, Wanted};
use remit_kernel::{
    MemoryJournal,
    ports::{
        Change, GivenAnswer, Journal, NodeImage, Notice, PostedQuestion, QuestionState, Record, Response,
        StandingApproval,
    },
};
use std::fs;

/// Nobody says that elsewhere.
const SECRET: &str = "may the lighthouse be painted green";

fn question(number: u64, asker: Pid) -> Change {
    Change::Questioned(Box::new(PostedQuestion {
        number,
        asker,
        package: "painter".into(),
        digest: "00".into(),
        grant: GrantId { index: 3, generation: 1 },
        desk: "harbour".into(),
        wanted: Wanted::Approval { action: "paint".into() },
        content: value(SECRET),
        asked_ns: 5,
        expires_ns: 50,
    }))
}

fn answer(number: u64, response: Response) -> Change {
    let answer = GivenAnswer { by: "ada (uid 7)".into(), at_ns: 9, response };
    Change::QuestionAnswered { number, answer }
}

fn approval(number: u64, tenant: u32) -> Change {
    Change::Approved(Box::new(StandingApproval {
        number,
        tenant: TenantId(tenant),
        package: "painter".into(),
        digest: "00".into(),
        desk: "harbour".into(),
        action: "paint".into(),
        label: Label::TRUSTED,
        by: "ada (uid 7)".into(),
        at_ns: 9,
    }))
}

fn notice(number: u64, sender: Pid) -> Change {
    let (package, desk, content) = ("painter".into(), "harbour".into(), value(SECRET));
    Change::Notified(Box::new(Notice { number, sender, package, desk, content, at_ns: 11 }))
}

/// All that can happen to a question, and what cannot.
pub(crate) fn changes() -> Vec<Change> {
    let (first, second) = (pid(1, 1), pid(2, 2));
    vec![
        question(1, first),
        question(2, first),
        question(3, second),
        question(4, second),
        answer(1, Response::ApproveAlways),
        approval(1, 1),
        // It was answered before.
        answer(1, Response::Reject("no".into())),
        Change::QuestionWithdrawn { number: 1 },
        Change::QuestionWithdrawn { number: 2 },
        answer(2, Response::Text("too late".into())),
        answer(3, Response::Text("yes".into())),
        Change::QuestionGone { number: 3 },
        // Nobody asked that.
        answer(99, Response::Choice(1)),
        notice(5, first),
        notice(6, second),
        notice(7, second),
        Change::NoticeGone { number: 6 },
        approval(8, 2),
        approval(9, 2),
        Change::ApprovalWithdrawn { number: 8, by: "ada (uid 7)".into(), at_ns: 12 },
    ]
}

/// Questions, approvals, notices, and the next number.
type Inbox = (Vec<(PostedQuestion, QuestionState)>, Vec<StandingApproval>, Vec<Notice>, u64);

pub(crate) fn inbox(node: NodeImage) -> Inbox {
    (node.questions, node.approvals, node.notices, node.next.question)
}

#[test]
fn what_people_are_asked_and_say_is_kept_as_the_kernel_says_it() {
    let (mut stage, model) = (Stage::new(), MemoryJournal::default());
    for change in changes() {
        let record = [Record { pid: None, entry: None, changes: &[change] }];
        stage.journal().append(&record).expect("there is room");
        model.append(&record).expect("it takes everything");
        // Each in a commit of its own.
        stage.settle();
        let kept = |journal: &dyn Journal| inbox(journal.node().expect("it can be read"));
        assert_eq!(kept(stage.journal()), kept(&model));
    }
    // And all in one.
    let at_once = Stage::new();
    let all = changes();
    at_once.journal().append(&[Record { pid: None, entry: None, changes: &all }]).expect("there is room");
    stage.reopen();
    let expect = inbox(model.node().expect("it is in memory"));
    assert_eq!(inbox(stage.journal().node().expect("it can be read")), expect);
    assert_eq!(inbox(at_once.journal().node().expect("it can be read")), expect);
}

#[test]
fn a_tenant_that_is_erased_is_asked_nothing_any_more_and_nobody_reads_what_it_said() {
    let mut stage = Stage::new();
    stage.journal().append(&[Record { pid: None, entry: None, changes: &changes() }]).expect("there is room");
    stage.settle();
    stage.journal().forget_tenant(TenantId(1)).expect("it can be erased");
    let (questions, approvals, notices, next) = inbox(stage.journal().node().expect("it can be read"));
    assert!(questions.iter().all(|(question, _)| question.asker.tenant == TenantId(2)));
    assert!(approvals.iter().all(|approval| approval.tenant == TenantId(2)));
    assert!(notices.iter().all(|notice| notice.sender.tenant == TenantId(2)));
    assert_eq!((questions.len(), approvals.len(), notices.len(), next), (1, 1, 1, 8));
    stage.close();
    for file in fs::read_dir(stage.folder()).expect("it is there").flatten().filter(|file| file.path().is_file()) {
        let bytes = fs::read(file.path()).expect("it can be read");
        let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "{} has it in plain", file.path().display());
    }
}
