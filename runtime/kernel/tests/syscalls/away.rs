//! Processes that sleep and are tied to nobody leave memory altogether; whoever touches one finds it as it was, also after a host
//! that starts anew.

use crate::{
    fakes::{Given, Guest, TENANT, TestNode, done, generate, grant, model_grant, prompt, tokens},
    guest::{message, topic},
    hibernation::sleeping_until,
    human::{clerk, words},
    recovery::emit,
    tool::user,
};
use parking_lot::Mutex;
use remit_abi::{
    AccountId, ClockReply, ClockRequest, Exit, Fault, GrantKind, GrantLimits, Label, LlmReply, LlmRequest, Pid, Rate,
    Reply, Request, Said, Signal, WaitId,
};
use remit_kernel::{
    Attendant, Durability, Ended, Finished, MemoryJournal, Resumed, Selection, Spawned, State,
    ports::{Change, Response},
};
use std::sync::Arc;

/// The end of a process that came back.
pub(crate) struct SeenEnd {
    pub(crate) pid: Pid,
    pub(crate) payer: Option<AccountId>,
    pub(crate) finished: Finished,
}

/// Takes the ends of processes that came back and that nobody waited for.
#[derive(Default)]
pub(crate) struct Ends(pub(crate) Arc<Mutex<Vec<SeenEnd>>>);

impl Attendant for Ends {
    fn resumed(&self, Resumed { pid, payer, finished }: Resumed) {
        let ends = self.0.clone();
        tokio::spawn(async move {
            let finished = finished.await;
            ends.lock().push(SeenEnd { pid, payer, finished });
        });
    }
}

/// Has who sleeps leave memory.
pub(crate) fn attend(node: &TestNode) -> Arc<Ends> {
    let ends = Arc::new(Ends::default());
    node.kernel.set_patience(Some(1));
    tokio::spawn(node.kernel.attend(ends.clone()));
    ends
}

/// Starts a script that nobody listens to.
pub(crate) fn start<F, R>(
    node: &TestNode,
    given: Given,
    script: F,
) -> (Pid, impl Future<Output = Finished> + Send + use<F, R>)
where
    F: Fn(Guest) -> R + Send + Sync + 'static,
    R: Future<Output = Exit> + Send + 'static,
{
    let Spawned { pid, events, finished } = node.spawn(given, script);
    events.leave();
    (pid, finished)
}

/// Waits until so many have left memory, and nobody else is awake.
pub(crate) async fn until_away(node: &TestNode, count: usize) {
    let away = async {
        while node.kernel.away() < count {
            tokio::task::yield_now().await;
        }
    };
    sleeping_until(node, away).await;
    node.settle().await;
}

/// Waits until nobody lives any more, while time goes by.
pub(crate) async fn until_all_ended(node: &TestNode) {
    let ended = async {
        while !node.kernel.processes().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    sleeping_until(node, ended).await;
    node.settle().await;
}

/// Who does something to a process of a script that has left memory, and how that one ended.
async fn touched<F, R>(given: Given, script: F, touches: impl AsyncFnOnce(&TestNode, Pid)) -> (Finished, TestNode)
where
    F: Fn(Guest) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Exit> + Send + 'static,
{
    let node = TestNode::new();
    attend(&node);
    node.install("late", script.clone());
    let (pid, finished) = start(&node, Given { package: "late", ..given }, script);
    let finished = tokio::spawn(finished);
    until_away(&node, 1).await;
    assert_eq!(node.kernel.grant_tree(Some(Pid { index: 99, ..pid })), [], "nobody's");
    touches(&node, pid).await;
    let (finished, _) = sleeping_until(&node, finished).await;
    node.settle().await;
    assert!(node.kernel.is_conserved());
    assert_eq!((node.kernel.away(), node.kernel.processes().len()), (0, 0));
    (finished.expect("it ends"), node)
}

/// Waits for a message, and shows that its right and its account are as they were.
pub(crate) async fn waits(guest: Guest) -> Exit {
    let before = guest.remaining().await;
    emit(&guest, "begun").await;
    guest.receive(topic("go")).await.expect("there is room");
    assert!(guest.remaining().await <= before);
    let model = guest.open_model().await;
    guest.llm(LlmRequest::Chat(generate(model, prompt("q"), 2))).await.expect("the right came back");
    done()
}

/// Sends one message, to a process of this name.
pub(crate) async fn sends(node: &TestNode, to: &str, about: &'static str) {
    let given = Given { grants: vec![grant("to", GrantKind::Mailbox, &[to])], ..Given::default() };
    let sender = node.spawn(given, move |guest| async move {
        let to = guest.take("to").await;
        guest.try_send(to, message(about, "")).await.expect("it lives");
        done()
    });
    let (finished, _) = sleeping_until(node, sender.finished).await;
    assert!(matches!(finished.ended, Ended::Done(..)), "{finished:?}");
}

pub(crate) fn is_done(finished: &Finished) -> bool {
    matches!(finished.ended, Ended::Done(..))
}

#[tokio::test]
async fn a_message_brings_it_back_by_its_name_and_by_its_pid() {
    let given = || Given { name: Some("late"), ..Given::default() };
    let (finished, _) = touched(given(), waits, async |node, _| sends(node, "late", "go").await).await;
    assert!(is_done(&finished), "{finished:?}");
    let (finished, _) = touched(given(), waits, async |node, pid| {
        // What it does not wait for stays in its mailbox.
        sends(node, &pid.to_string(), "other").await;
        node.settle().await;
        assert_eq!(node.kernel.process(pid).expect("it lives").messages, 1);
        sends(node, &pid.to_string(), "go").await;
    })
    .await;
    assert!(is_done(&finished), "{finished:?}");
}

#[tokio::test]
async fn it_is_seen_and_counted_where_it_is_not_in_memory() {
    let given = Given { name: Some("late"), budget: tokens(7), ..Given::default() };
    touched(given, waits, async |node, pid| {
        let (spent, views) = (node.kernel.spent(), node.kernel.processes());
        let [view] = &*views else { panic!("it alone lives: {views:?}") };
        assert_eq!((view.pid, view.state, view.name.as_deref()), (pid, State::Asleep, Some("late")));
        assert_eq!((&*view.package, view.funds, view.grants), ("late", tokens(7), 1));
        assert_eq!(view.remaining, tokens(7).saturating_sub(spent), "all that was spent, it spent");
        let grants = node.kernel.grant_tree(None);
        assert_eq!(grants.iter().map(|grant| grant.holder).collect::<Vec<_>>(), [Some(pid)]);
        assert!(node.kernel.is_conserved());
        assert_eq!(node.kernel.away(), 1, "nobody woke it");
        assert_eq!(node.kernel.history(pid).expect("it has a log").runs.len(), 1);
        assert_eq!(node.kernel.away(), 1, "nor did this");
        // Looked at by its pid, it is read.
        let tree = node.kernel.grant_tree(Some(pid));
        assert_eq!((tree, node.kernel.away()), (grants, 0));
        assert_eq!(node.kernel.process(pid).expect("it lives").remaining, view.remaining);
        sends(node, "late", "go").await;
    })
    .await;
}

#[tokio::test]
async fn its_books_and_its_label_are_shown_also_where_it_is_yet_to_be_told_again() {
    async fn chats(guest: Guest) -> Exit {
        let model = guest.open_model().await;
        let Ok(LlmReply::Completed(answer)) = guest.llm(LlmRequest::Chat(generate(model, prompt("q"), 2))).await else {
            panic!("the engine answers");
        };
        guest.read(answer.content).await;
        guest.read(guest.start.conversation[0].content).await;
        waits(guest).await
    }
    let node = TestNode::new();
    attend(&node);
    node.install("late", chats);
    let input = vec![("a page", Label::UNTRUSTED)];
    let (pid, finished) = start(&node, Given { package: "late", name: Some("late"), input, ..Given::default() }, chats);
    let finished = tokio::spawn(finished);
    node.settle().await;
    let before = node.kernel.process(pid).expect("it lives");
    until_away(&node, 1).await;
    // It is read, and has not been told anything again yet.
    let after = node.kernel.process(pid).expect("it lives");
    assert_eq!((after.ledger, after.label), (before.ledger, before.label));
    assert!(after.ledger.usage.output > 0 && after.label == Label::UNTRUSTED, "{after:?}");
    sends(&node, "late", "go").await;
    let (finished, _) = sleeping_until(&node, finished).await;
    assert!(is_done(&finished.expect("it ends")));
}

#[tokio::test]
async fn a_kill_ends_it_and_its_funds_come_back() {
    let (finished, node) = touched(Given::default(), waits, async |node, pid| node.kernel.kill(pid)).await;
    assert_eq!(finished.ended, Ended::Faulted(Fault::Killed));
    assert_eq!(finished.refunded, tokens(1000).saturating_sub(finished.paid));
    assert_eq!(node.withdraw(), finished.refunded);
    assert_eq!(node.kernel.grant_tree(None), []);
}

#[tokio::test]
async fn who_no_longer_waits_for_its_end_ends_it() {
    let node = TestNode::new();
    attend(&node);
    node.install("script", waits);
    let (_, finished) = start(&node, Given::default(), waits);
    until_away(&node, 1).await;
    drop(finished);
    until_all_ended(&node).await;
    assert_eq!((node.withdraw(), node.kernel.is_conserved()), (tokens(1000).saturating_sub(node.kernel.spent()), true));
}

#[tokio::test]
async fn a_signal_wakes_who_waits_for_one() {
    async fn obeys(guest: Guest) -> Exit {
        guest.wait_for(&[WaitId::Signal]).await;
        assert_eq!(guest.signal().await, Some(Signal::Cancel));
        done()
    }
    let cancels = async |node: &TestNode, pid| assert!(node.kernel.cancel(pid));
    let (finished, _) = touched(Given::default(), obeys, cancels).await;
    assert!(is_done(&finished), "{finished:?}");
}

#[tokio::test]
async fn one_that_is_held_takes_no_turn_and_stays_until_it_is_let_go() {
    let given = || Given { name: Some("late"), ..Given::default() };
    touched(given(), waits, async |node, pid| {
        assert!(node.kernel.suspend(pid));
        sends(node, "late", "go").await;
        node.settle().await;
        assert_eq!(node.kernel.process(pid).expect("it lives").state, State::Suspended);
        assert!(node.kernel.resume(pid));
    })
    .await;
    touched(given(), waits, async |node, pid| {
        let selection = Selection::Package("late".into());
        assert_eq!(node.kernel.freeze(&selection), 1);
        assert_eq!(node.kernel.processes()[0].state, State::Frozen);
        assert_eq!(node.kernel.away(), 1, "it needs no waking for that");
        sends(node, "late", "go").await;
        node.settle().await;
        assert_eq!(node.kernel.process(pid).expect("it lives").state, State::Frozen);
        assert_eq!(node.kernel.thaw(&selection), 1);
    })
    .await;
    touched(given(), waits, async |node, _| {
        let selection = Selection::Tenant(TENANT);
        assert_eq!((node.kernel.freeze(&selection), node.kernel.thaw(&selection)), (1, 1));
        assert_eq!(node.kernel.away(), 1);
        sends(node, "late", "go").await;
    })
    .await;
}

#[tokio::test]
async fn a_grant_can_be_given_to_it_and_taken_from_it() {
    async fn lists(guest: Guest) -> Exit {
        guest.receive(topic("go")).await.expect("there is room");
        assert_eq!(guest.labels().await, ["chat", "more"]);
        let (chat, more) = (guest.take("chat").await, guest.take("more").await);
        assert!(guest.check(chat).await.is_err(), "it was revoked");
        assert!(guest.check(more).await.is_ok());
        done()
    }
    let given = Given { name: Some("late"), ..Given::default() };
    let (finished, node) = touched(given, lists, async |node, pid| {
        let chat = node.kernel.grant_tree(None)[0].id;
        assert_eq!(node.kernel.away(), 1);
        assert_eq!(node.kernel.revoke(chat), Ok(1));
        until_away(node, 1).await;
        let more = grant("more", GrantKind::Mailbox, &["late"]);
        node.kernel.give(pid, more).expect("it has room");
        until_away(node, 1).await;
        sends(node, "late", "go").await;
    })
    .await;
    assert!(is_done(&finished), "{finished:?}");
    assert_eq!(node.kernel.grant_tree(None), []);
}

#[tokio::test]
async fn who_looks_on_sees_what_it_showed_once() {
    let given = Given { name: Some("late"), ..Given::default() };
    touched(given, waits, async |node, pid| {
        let events = node.kernel.events(pid).expect("it lives");
        let (shown, _) = sleeping_until(node, events.after(0)).await;
        assert_eq!(shown.iter().map(|kept| kept.number).collect::<Vec<_>>(), [1]);
        node.settle().await;
        assert_eq!(events.known(0).await.len(), 1, "told again, it shows it once");
        sends(node, "late", "go").await;
    })
    .await;
}

#[tokio::test]
async fn a_person_s_answer_and_a_grant_s_revocation_wake_who_asked() {
    async fn asks(guest: Guest) -> Exit {
        let (name, never) = (guest.put(words(), "Which name?").await, guest.put(words(), "And?").await);
        let Said::Text(said) = guest.heard(name).await.expect("it is answered").said else { panic!("in words") };
        assert_eq!(guest.read(said).await, "Ada");
        guest.wait_for(&[WaitId::Question(never)]).await;
        assert!(guest.heard(never).await.is_err(), "the right to ask was taken back");
        done()
    }
    let answers = async |node: &TestNode, _| {
        let questions = node.kernel.inbox(None);
        assert_eq!((questions.len(), node.kernel.away()), (2, 1));
        node.kernel.answer(questions[0].number, "ann", Response::Text("Ada".into())).expect("it is open");
        until_away(node, 1).await;
        assert_eq!(node.kernel.revoke(questions[0].grant), Ok(1));
    };
    let (finished, _) = touched(clerk(), asks, answers).await;
    assert!(is_done(&finished), "{finished:?}");
}

#[tokio::test]
async fn its_own_clock_goes_on_and_its_moments_wake_it() {
    async fn now(guest: &Guest) -> u64 {
        match guest.call(Request::Clock(ClockRequest::Monotonic)).await {
            Reply::Clock(ClockReply::Monotonic(now)) => now,
            other => panic!("a clock: {other:?}"),
        }
    }
    async fn reads(guest: Guest) -> Exit {
        let before = now(&guest).await;
        let timer = guest.timer(before + 50_000).await;
        guest.wait_for(&[WaitId::Timer(timer)]).await;
        let after = now(&guest).await;
        assert!((before + 50_000..before + 60_000).contains(&after), "{after} after {before}");
        let Reply::Clock(ClockReply::Wall(wall)) = guest.call(Request::Clock(ClockRequest::Wall)).await else {
            panic!("a clock")
        };
        let alarm = guest.alarm("later", wall + 50_000).await;
        guest.wait_for(&[WaitId::Alarm(alarm), WaitId::Signal]).await;
        done()
    }
    let (finished, node) = touched(Given::default(), reads, async |_, _| {}).await;
    assert!(is_done(&finished), "{finished:?}");
    assert!(slept(&node.journal.memory) >= 2, "it left for both");
}

/// How often a process left memory, by the log.
pub(crate) fn slept(memory: &MemoryJournal) -> usize {
    let records = memory.records();
    records.iter().flat_map(|record| &record.changes).filter(|change| matches!(change, Change::Slept(_))).count()
}

#[tokio::test]
async fn who_is_tied_to_somebody_stays() {
    let limits = GrantLimits { rate: Some(Rate { uses: 1, per_ms: 1000 }), ..GrantLimits::default() };
    let counted = Given { grants: vec![model_grant(limits)], ..Given::default() };
    let watched = Given { soft_limit: tokens(1), ..Given::default() };
    let ephemeral = Given { durability: Durability::Ephemeral, ..Given::default() };
    for given in [counted, watched, ephemeral] {
        let node = TestNode::new();
        attend(&node);
        let (pid, finished) = start(&node, given, waits);
        sleeping_until(&node, node.settle()).await;
        assert_eq!(node.kernel.away(), 0);
        node.kernel.kill(pid);
        finished.await;
    }
    let node = TestNode::new();
    attend(&node);
    let Spawned { pid, events, finished } = node.spawn(Given::default(), waits);
    sleeping_until(&node, node.settle()).await;
    assert_eq!(node.kernel.away(), 0, "somebody listens");
    drop(events);
    until_away(&node, 1).await;
    node.kernel.kill(pid);
    finished.await;
}

#[tokio::test]
async fn whose_tool_runs_stays_until_it_lets_go_of_the_call() {
    async fn acts(guest: Guest) -> Exit {
        let call = guest.use_tool("set", "{\"slow\":1}").await;
        guest.came(call).await.expect("something came of it").expect("it was done");
        guest.drop_tool(call).await;
        guest.receive(topic("go")).await.expect("there is room");
        done()
    }
    let node = TestNode::new();
    attend(&node);
    node.install("script", acts);
    let (_, finished) = start(&node, Given { name: Some("late"), ..user() }, acts);
    sleeping_until(&node, node.settle()).await;
    assert_eq!((node.tools.begun.lock().len(), node.kernel.processes()[0].state), (1, State::Asleep));
    assert_eq!(node.kernel.away(), 0, "its tool runs");
    node.tools.release();
    until_away(&node, 1).await;
    sends(&node, "late", "go").await;
    let (finished, _) = sleeping_until(&node, finished).await;
    assert!(is_done(&finished), "{finished:?}");
    assert_eq!(node.tools.begun.lock().len(), 1, "told again, it is not begun again");
}

#[tokio::test]
async fn a_node_that_ends_leaves_nobody_waiting() {
    let node = TestNode::new();
    attend(&node);
    let (_, finished) = start(&node, Given::default(), waits);
    until_away(&node, 1).await;
    node.kernel.stop();
    assert_eq!(finished.await.ended, Ended::Faulted(Fault::Killed));
}
