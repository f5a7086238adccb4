//! A host that ends, or a process that sleeps, while people are asked: no question is lost, none is asked twice, and no answer is
//! given in vain.

use crate::{
    fakes::{Given, Guest, TestNode, done},
    hibernation::sleeping_until,
    human::{approval, choices, clerk, words},
    recovery::{Result, emit, life},
};
use remit_abi::{Exit, HumanError, HumanRequest, Said, WaitId, Wanted};
use remit_kernel::{
    Durability, Ended, Kernel, MemoryJournal, Spawned, State,
    ports::{Change, Journal, Position, PostedQuestion, Response},
};

/// Asks, tells and proposes, and shows what it heard.
async fn asks(guest: Guest) -> Exit {
    guest.notify("I begin.").await.expect("it may");
    let name = guest.put(words(), "Which name?").await;
    let never = guest.put(words(), "Never mind?").await;
    let Said::Text(said) = guest.heard(name).await.expect("it is answered").said else { panic!("it is in words") };
    let said = guest.read(said).await;
    emit(&guest, std::str::from_utf8(&said).expect("text")).await;
    assert_eq!(guest.heard(name).await, Err(HumanError::Taken));
    guest.human(HumanRequest::Drop { question: never }).await.expect("it holds it");
    for _ in 0..3 {
        let send = guest.put(approval("send"), "A letter").await;
        guest.wait_for(&[WaitId::Question(send)]).await;
        let answered = guest.heard(send).await.expect("it is answered");
        emit(&guest, &format!("{:?} by {} at {}", answered.said, answered.by, answered.at_ns)).await;
    }
    let (burn, drink) =
        (guest.put(approval("burn"), "All letters").await, guest.put(choices(&["tea", "coffee"]), "Or?").await);
    let Said::Rejected(why) = guest.heard(burn).await.expect("it is answered").said else { panic!("it is rejected") };
    let why = guest.read(why).await;
    emit(&guest, std::str::from_utf8(&why).expect("text")).await;
    assert_eq!(guest.heard(drink).await.expect("it is answered").said, Said::Choice(1));
    guest.notify("I end.").await.expect("it may");
    done()
}

fn given() -> Given {
    Given { package: "asks", ..clerk() }
}

fn response(question: &PostedQuestion) -> Option<Response> {
    match &question.wanted {
        Wanted::Answer { choices } if !choices.is_empty() => Some(Response::Choice(1)),
        Wanted::Answer { .. } if *question.content.bytes == *b"Never mind?" => None,
        Wanted::Answer { .. } => Some(Response::Text("Ada".into())),
        Wanted::Approval { action } if **action == *"send" => Some(Response::ApproveAlways),
        Wanted::Approval { .. } => Some(Response::Reject("They are dear to me.".into())),
    }
}

/// Answers whatever is asked, for ever.
async fn answers(kernel: Kernel) {
    loop {
        for question in kernel.inbox(None) {
            if let Some(response) = response(&question) {
                kernel.answer(question.number, "ann", response).expect("it was open just now");
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Does something while a person answers.
async fn answered<T>(node: &TestNode, work: impl Future<Output = T>) -> T {
    let person = tokio::spawn(answers(node.kernel.clone()));
    let outcome = work.await;
    person.abort();
    assert!(person.await.is_err_and(|error| error.is_cancelled()), "every answer was taken");
    outcome
}

/// Every question that was asked and every answer that was given, in the order of their numbers, and how many notices.
fn told(memory: &MemoryJournal) -> (Vec<u64>, Vec<u64>, usize) {
    let (mut asked, mut answered, mut notices) = (Vec::new(), Vec::new(), 0);
    for change in memory.records().iter().flat_map(|record| &record.changes) {
        match change {
            Change::Questioned(posted) => asked.push(posted.number),
            Change::QuestionAnswered { number, .. } => answered.push(*number),
            Change::Notified(_) => notices += 1,
            _ => {}
        }
    }
    answered.sort_unstable();
    (asked, answered, notices)
}

#[tokio::test]
async fn nothing_is_asked_twice_and_no_answer_is_lost_wherever_the_host_ended() {
    let node = TestNode::new();
    node.install("asks", asks);
    let (finished, shown) = answered(&node, node.run(given(), asks)).await;
    assert_eq!(shown.len(), 5, "{shown:?}");
    let expect = Result { finished, shown, left: node.withdraw() };
    let memory = node.journal.memory.up_to(node.journal.memory.end());
    let all = told(&memory);
    assert_eq!((all.0.len(), all.1.len(), all.2), (7, 6, 2), "one was never answered");
    let (born, dead) = life(&memory);
    for at in (born.0..dead.0).map(Position) {
        let node = TestNode::after(memory.up_to(at));
        node.install("asks", asks);
        let (result, kernel) = answered(&node, async { (goes_on(&node).await, node.kernel.clone()) }).await;
        assert_eq!(result, expect, "at {at}");
        assert_eq!(told(&node.journal.memory), all, "at {at}");
        assert_eq!((kernel.inbox(None), kernel.notices(None).len()), (Vec::new(), 2), "at {at}");
        let approvals = kernel.approvals(None);
        assert_eq!(approvals.iter().map(|approval| &*approval.by).collect::<Vec<_>>(), ["ann"], "at {at}");
        let image = node.journal.node().expect("it is in memory");
        assert_eq!((image.questions, image.next.question), (Vec::new(), 10), "at {at}");
    }
}

/// Puts a node together again, and runs its one process to the end.
async fn goes_on(node: &TestNode) -> Result {
    let recovery = node.kernel.recover().expect("it can be read");
    let resumed = recovery.go_on().await.pop().expect("it lives");
    let events = node.kernel.events(resumed.pid).expect("it lives");
    let (finished, shown) = tokio::join!(resumed.finished, async {
        let (mut shown, mut after) = (Vec::new(), 0);
        loop {
            let more = events.after(after).await;
            let Some(last) = more.last() else { break shown };
            after = last.number;
            shown.extend(more.into_iter().map(|kept| kept.event));
        }
    });
    assert!(node.kernel.is_conserved(), "tokens were made or lost");
    let left = node.kernel.withdraw(resumed.payer.expect("a root account pays"));
    Result { finished, shown, left }
}

/// Asks once, and ends with the answer.
async fn asks_once(guest: Guest) -> Exit {
    let question = guest.put(words(), "Well?").await;
    match guest.heard(question).await {
        Ok(answered) => emit(&guest, &answered.by).await,
        Err(error) => emit(&guest, &error.to_string()).await,
    }
    done()
}

/// A node after the end of its host, on which the question of [`asks_once`] was open.
async fn after_the_end(durability: Durability) -> TestNode {
    let node = TestNode::new();
    let spawned = node.spawn(Given { package: "once", durability, ..clerk() }, asks_once);
    let finished = tokio::spawn(spawned.finished);
    node.settle().await;
    assert_eq!(node.kernel.inbox(None).len(), 1);
    let again = TestNode::after(node.journal.memory.up_to(node.journal.memory.end()));
    again.install("once", asks_once);
    drop(finished);
    again
}

#[tokio::test]
async fn a_question_is_there_again_before_its_asker_is_and_its_time_goes_on() {
    let node = after_the_end(Durability::Durable).await;
    let recovery = node.kernel.recover().expect("it can be read");
    let [question] = &node.kernel.inbox(None)[..] else { panic!("one is open") };
    assert_eq!(question.number, 1);
    node.kernel.answer(1, "ann", Response::Text("Well.".into())).expect("it is open");
    let resumed = recovery.go_on().await.pop().expect("it lives");
    let events = node.kernel.events(resumed.pid).expect("it lives");
    assert!(matches!(resumed.finished.await.ended, Ended::Done(..)));
    assert_eq!(format!("{:?}", events.known(0).await[0].event).matches("ann").count(), 1);

    let node = after_the_end(Durability::Durable).await;
    node.clock.advance(crate::human::HOUR_NS);
    let resumed = node.kernel.recover().expect("it can be read").go_on().await.pop().expect("it lives");
    assert_eq!(node.kernel.inbox(None), [], "its time went by while no host ran");
    let events = node.kernel.events(resumed.pid).expect("it lives");
    assert!(matches!(resumed.finished.await.ended, Ended::Done(..)));
    assert!(format!("{:?}", events.known(0).await[0].event).contains("not answered in time"));
}

#[tokio::test]
async fn a_question_of_one_that_ended_with_its_host_is_withdrawn_for_good() {
    let node = after_the_end(Durability::Ephemeral).await;
    assert_eq!(node.journal.node().expect("it is in memory").questions.len(), 1);
    assert!(node.kernel.recover().expect("it can be read").go_on().await.is_empty());
    assert_eq!(node.kernel.inbox(None), []);
    let image = node.journal.node().expect("it is in memory");
    assert_eq!((image.questions, image.next.question), (Vec::new(), 2));
}

/// Answers what is asked by those who sleep, and by nobody else.
async fn answers_sleepers(kernel: Kernel) {
    loop {
        for question in kernel.inbox(None) {
            let asker = kernel.process(question.asker).expect("it lives as long as its question");
            if let Some(response) = response(&question).filter(|_| asker.state == State::Asleep) {
                kernel.answer(question.number, "ann", response).expect("it was open just now");
            }
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_sleeps_through_its_questions_ends_as_one_who_never_sleeps() {
    let node = TestNode::new();
    node.install("asks", asks);
    let (finished, shown) = answered(&node, node.run(given(), asks)).await;
    let expect = told(&node.journal.memory);
    let sleepy = TestNode::new();
    sleepy.kernel.set_patience(Some(1));
    let person = tokio::spawn(answers_sleepers(sleepy.kernel.clone()));
    let ((slept, seen), asleep) = sleeping_until(&sleepy, sleepy.run(given(), asks)).await;
    person.abort();
    assert!(person.await.is_err_and(|error| error.is_cancelled()), "every answer was taken");
    assert!(asleep >= 3, "it slept for each person that it waited for: {asleep}");
    assert_eq!((slept.ended, slept.ledger, seen.len()), (finished.ended, finished.ledger, shown.len()));
    assert_eq!(told(&sleepy.journal.memory), expect);
}

#[tokio::test]
async fn a_sleeper_that_is_killed_or_whose_right_is_taken_back_leaves_no_question() {
    for revokes in [false, true] {
        let node = TestNode::new();
        node.kernel.set_patience(Some(1));
        let Spawned { pid, finished, events } = node.spawn(clerk(), asks_once);
        let finished = tokio::spawn(finished);
        let is_asleep = async {
            while node.kernel.process(pid).is_none_or(|view| view.state != State::Asleep) {
                tokio::task::yield_now().await;
            }
        };
        sleeping_until(&node, is_asleep).await;
        assert_eq!(node.kernel.inbox(None).len(), 1, "it is asked while it sleeps");
        match revokes {
            true => drop(node.kernel.revoke(node.kernel.grant_tree(Some(pid))[0].id)),
            false => node.kernel.kill(pid),
        }
        let (finished, _) = sleeping_until(&node, finished).await;
        let ended = finished.expect("it ends").ended;
        assert_eq!(matches!(ended, Ended::Done(..)), revokes, "{ended:?}");
        drop(events);
        assert_eq!(node.kernel.inbox(None), []);
        assert_eq!(node.journal.node().expect("it is in memory").questions, []);
    }
}
