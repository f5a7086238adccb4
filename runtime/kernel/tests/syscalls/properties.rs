//! Whatever processes do to each other in whatever order: every grant is in exactly one place, none grows, every token is
//! accounted for, and nothing is left when they have ended. Held to a plain model, in which a grant is a set of letters.

use crate::{
    fakes::{Given, Guest, done, grant},
    guest::{self, named, parcel, plan, same},
    model::{Letter, Model, PRICE, Place, Process, Right},
    stage::{Stage, crashed, failed},
};
use futures::FutureExt;
use proptest::prelude::*;
use remit_abi::{
    Attenuate, BudgetReply, BudgetRequest, CapabilityError, CapabilityRequest, ChildrenRequest, GrantId, GrantKind,
    MailboxError, MailboxRequest, NamedGrant, Plan, Tokens,
};
use std::collections::BTreeSet;

const HOUR_NS: u64 = 3_600_000_000_000;
const PROCESSES_MAX: usize = 6;

/// Something to do: what, and three numbers that say with what.
type Step = (u8, usize, usize, usize);

struct World {
    stage: Stage,
    model: Model,
}

fn letters(mask: usize) -> BTreeSet<Box<str>> {
    ["a", "b", "c", "d"].iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, l)| (*l).into()).collect()
}

/// One of so many, where there are any.
fn pick(number: usize, of: usize) -> Option<usize> {
    number.checked_rem(of)
}

fn micro(amount: u64) -> Tokens {
    Tokens::from_micro(amount)
}

impl World {
    /// Two processes with all letters and a million micro-tokens each.
    async fn new() -> Self {
        let mut world = Self { stage: Stage::new(), model: Model::default() };
        for _ in 0..2 {
            let tool = grant("tool", GrantKind::Tool, &["a", "b", "c", "d"]);
            let grants = vec![grant("run", GrantKind::Process, &["worker"]), tool];
            let played = world.stage.start(Given { grants, budget: micro(1_000_000), ..Given::default() }).await;
            let payer = world.model.open(None, 0);
            let account = world.model.open(Some(payer), 1_000_000);
            let mut process = Process::new((*played).clone(), account);
            process.played = Some(played);
            let index = world.model.processes.len();
            for (label, scope) in [("run", ["worker".into()].into()), ("tool", letters(15))] {
                let id = process.guest.take(label).await;
                world.model.rights.insert(id, Right::new(None, scope, index));
                process.held.push(id);
            }
            process.own = process.guest.own_account().await;
            world.model.processes.push(process);
        }
        world
    }

    fn guest(&self, who: usize) -> &Guest {
        &self.model.processes[who].guest
    }

    /// Up to two of the tools that a process holds.
    fn some_tools(&self, who: usize, number: usize) -> Vec<GrantId> {
        let tools = self.model.tools(who);
        let first = pick(number, tools.len()).map(|index| tools[index]);
        let second = pick(number / 7, tools.len() + 2).and_then(|index| tools.get(index).copied());
        let mut some: Vec<_> = first.into_iter().chain(second).collect();
        some.dedup();
        some
    }

    /// Each under a label that no other has.
    fn named(tools: &[GrantId]) -> Vec<NamedGrant> {
        tools.iter().map(|tool| named(&format!("tool-{}-{}", tool.index, tool.generation), *tool)).collect()
    }

    async fn step(&mut self, (kind, who, x, y): Step) {
        let living = self.model.living();
        let Some(who) = pick(who, living.len()).map(|index| living[index]) else { return };
        let other = living[x % living.len()];
        match kind {
            0..=2 => self.spawn(who, x, y).await,
            3 => self.exit(who, x).await,
            4 => self.let_a_child_go(who, x).await,
            5..=6 => self.send(who, other, y).await,
            7..=8 => self.ask(who, other, y).await,
            9..=11 => self.receive(who).await,
            12..=13 => self.reply(who, x, y).await,
            14..=15 => self.collect(who, x).await,
            16..=18 => self.attenuate(who, x, y).await,
            19 => self.revoke(x),
            20 => self.discard(who, x).await,
            21 => self.split(who, x, y).await,
            22 => self.merge(who, x).await,
            23..=24 => self.transfer(who, x, y).await,
            _ => self.forget(who, x).await,
        }
    }

    async fn spawn(&mut self, who: usize, x: usize, y: usize) {
        let amount = 10_000 * (1 + y as u64 % 20);
        if self.model.living().len() >= PROCESSES_MAX || self.model.balance(who) < amount {
            return;
        }
        let (run, parent) = (self.model.processes[who].held[0], self.guest(who).clone());
        let Some(part) = self.split_off(who, self.model.processes[who].account, amount).await else { return };
        let (account, funds) = part;
        let label = format!("run-{}", self.model.processes.len());
        let narrow = Attenuate { label: label.into(), ..same(run, "x") };
        let passed = match parent.attenuate(narrow).await {
            Ok(passed) => passed,
            Err(error) => panic!("processes nest less deep than grants: {error}"),
        };
        let tools = self.some_tools(who, x);
        let mut grants = vec![named("run", passed)];
        grants.extend(Self::named(&tools));
        let (child, guest) = self.stage.child(&parent, Plan { grants, ..plan(run, funds) }).await;
        let index = self.model.processes.len();
        let mut process = Process::new(guest, account);
        self.model.rights.insert(passed, Right::new(Some(run), ["worker".into()].into(), index));
        process.held.push(passed);
        self.model.processes.push(process);
        self.model.processes[who].parts.retain(|(_, id)| *id != funds);
        self.model.processes[who].children.push((child, index));
        self.model.move_to(&tools, Place::Held(index));
        let own = self.guest(index).own_account().await;
        self.model.processes[index].own = own;
    }

    async fn exit(&mut self, who: usize, x: usize) {
        let pid = self.guest(who).pid;
        match x % 4 {
            0 => self.stage.exit(pid, done()).await,
            1 => self.stage.exit(pid, failed("x", true)).await,
            2 => self.stage.exit(pid, crashed()).await,
            _ => {
                self.stage.node.kernel.kill(pid);
                self.stage.node.settle().await;
            }
        }
        self.model.end(who);
    }

    async fn let_a_child_go(&mut self, who: usize, x: usize) {
        let children = self.model.processes[who].children.clone();
        let Some((child, index)) = pick(x, children.len()).map(|number| children[number]) else { return };
        self.guest(who).children(ChildrenRequest::Drop { child }).await.expect("it holds it");
        self.stage.node.settle().await;
        self.model.end(index);
        self.model.processes[who].children.retain(|(id, _)| *id != child);
    }

    async fn send(&mut self, who: usize, other: usize, y: usize) {
        let (to, tools) = (self.stage.connect(self.guest(who), self.guest(other)), self.some_tools(who, y));
        let sent = self.guest(who).try_send(to, parcel("x", Self::named(&tools))).await;
        self.guest(who).capability(CapabilityRequest::Discard { grant: to }).await.expect("it holds it");
        match self.model.charge(who, PRICE) {
            true => {
                assert_eq!(sent, Ok(()));
                self.model.move_to(&tools, Place::OnTheWay);
                self.model.processes[other].mail.push_back(Letter { grants: tools, call: None });
            }
            false => assert!(matches!(sent, Err(MailboxError::Invalid(_))), "{sent:?}"),
        }
    }

    async fn ask(&mut self, who: usize, other: usize, y: usize) {
        let (to, tools) = (self.stage.connect(self.guest(who), self.guest(other)), self.some_tools(who, y));
        let asked = self.guest(who).ask(to, parcel("x", Self::named(&tools)), HOUR_NS).now_or_never();
        let asked = asked.expect("there is room for all messages of a case");
        self.guest(who).capability(CapabilityRequest::Discard { grant: to }).await.expect("it holds it");
        match self.model.charge(who, PRICE) {
            true => {
                let number = self.model.call(who);
                self.model.processes[who].calls.push((asked.expect("it is paid"), number));
                self.model.move_to(&tools, Place::OnTheWay);
                self.model.processes[other].mail.push_back(Letter { grants: tools, call: Some(number) });
            }
            false => assert!(matches!(asked, Err(MailboxError::Invalid(_))), "{asked:?}"),
        }
    }

    async fn receive(&mut self, who: usize) {
        let received = self.guest(who).try_receive(guest::any()).await.expect("there is room");
        let letter = self.model.processes[who].mail.pop_front();
        assert_eq!(received.is_some(), letter.is_some());
        let (Some(incoming), Some(letter)) = (received, letter) else { return };
        assert_eq!(incoming.grants.iter().map(|named| named.grant).collect::<Vec<_>>(), letter.grants);
        self.model.move_to(&letter.grants, Place::Held(who));
        assert_eq!(incoming.answer.is_some(), letter.call.is_some());
        self.model.processes[who].answers.extend(incoming.answer.zip(letter.call));
    }

    async fn reply(&mut self, who: usize, x: usize, y: usize) {
        let answers = &mut self.model.processes[who].answers;
        let Some((answer, call)) = pick(x, answers.len()).map(|index| answers.remove(index)) else { return };
        let tools = self.some_tools(who, y);
        let replied = self.guest(who).reply(answer, parcel("x", Self::named(&tools))).await;
        match self.model.answer(call, tools.clone()) {
            true => {
                assert_eq!(replied, Ok(()));
                self.model.move_to(&tools, Place::OnTheWay);
            }
            false => assert_eq!(replied, Err(MailboxError::Gone)),
        }
    }

    async fn collect(&mut self, who: usize, x: usize) {
        let calls = &self.model.processes[who].calls;
        let Some((call, number)) = pick(x, calls.len()).map(|index| calls[index]) else { return };
        let collected = self.guest(who).collect(call).now_or_never();
        let Some(answered) = self.model.settled(number) else {
            // To itself it would wait for ever, and is told so.
            assert!(matches!(collected, None | Some(Err(MailboxError::Deadlock))), "{collected:?}");
            return;
        };
        match (collected.expect("it is settled"), answered) {
            (Ok(incoming), Some(grants)) => {
                assert_eq!(incoming.grants.iter().map(|named| named.grant).collect::<Vec<_>>(), grants);
                self.model.move_to(&grants, Place::Held(who));
            }
            (collected, answered) => assert_eq!((collected.err(), answered), (Some(MailboxError::Unanswered), None)),
        }
        self.guest(who).mailbox(MailboxRequest::DropCall { call }).await.expect("it holds it");
        self.model.processes[who].calls.retain(|(id, _)| *id != call);
    }

    async fn forget(&mut self, who: usize, x: usize) {
        let calls = &mut self.model.processes[who].calls;
        let Some((call, number)) = pick(x, calls.len()).map(|index| calls.remove(index)) else { return };
        self.guest(who).mailbox(MailboxRequest::DropCall { call }).await.expect("it holds it");
        self.model.forget(number);
    }

    async fn attenuate(&mut self, who: usize, x: usize, y: usize) {
        let tools = self.model.tools(who);
        let Some(parent) = pick(x, tools.len()).map(|index| tools[index]) else { return };
        let scope = letters(1 + y % 15);
        let label = format!("derived-{}", self.model.rights.len());
        let entries = Some(scope.iter().cloned().collect());
        let derived = self.guest(who).attenuate(Attenuate { scope: entries, ..same(parent, &label) }).await;
        let right = &self.model.rights[&parent];
        match derived {
            Ok(id) => {
                assert!(!right.revoked && scope.is_subset(&right.scope));
                self.model.rights.insert(id, Right::new(Some(parent), scope, who));
                self.model.processes[who].held.push(id);
            }
            Err(CapabilityError::Widens(_)) => assert!(!scope.is_subset(&right.scope)),
            Err(CapabilityError::Denied(_)) => assert!(right.revoked),
            Err(CapabilityError::TooMany { .. }) => assert!(self.model.depth(parent) >= 31),
            Err(error) => panic!("{error}"),
        }
    }

    fn revoke(&mut self, x: usize) {
        let tools = self.model.all_tools();
        let Some(tool) = pick(x, tools.len()).map(|index| tools[index]) else { return };
        let revoked = self.stage.node.kernel.revoke(tool).expect("it is in the tree");
        assert_eq!(revoked, self.model.revoke(tool));
    }

    async fn discard(&mut self, who: usize, x: usize) {
        let tools = self.model.tools(who);
        let Some(grant) = pick(x, tools.len()).map(|index| tools[index]) else { return };
        self.guest(who).capability(CapabilityRequest::Discard { grant }).await.expect("it holds it");
        self.model.move_to(&[grant], Place::Gone);
    }

    /// A part of an account of a process, in both worlds.
    async fn split_off(&mut self, who: usize, from: usize, amount: u64) -> Option<(usize, remit_abi::AccountId)> {
        let account = self.model.id_of(who, from);
        let split = self.guest(who).budget(BudgetRequest::Split { account, amount: micro(amount) }).await;
        match (split, self.model.split(from, amount)) {
            (Ok(BudgetReply::Split(id)), Some(part)) => {
                self.model.processes[who].parts.push((part, id));
                Some((part, id))
            }
            (Err(_), None) => None,
            (split, expected) => panic!("{split:?}, and the model says {expected:?}"),
        }
    }

    async fn split(&mut self, who: usize, x: usize, y: usize) {
        let accounts = self.model.accounts_of(who);
        self.split_off(who, accounts[x % accounts.len()], 1000 * (y as u64 % 300)).await;
    }

    async fn merge(&mut self, who: usize, x: usize) {
        let parts = &self.model.processes[who].parts;
        let Some((part, account)) = pick(x, parts.len()).map(|index| parts[index]) else { return };
        let held = micro(self.model.accounts[part].balance);
        assert_eq!(self.guest(who).budget(BudgetRequest::Merge { account }).await, Ok(BudgetReply::Merged(held)));
        self.model.processes[who].parts.retain(|(_, id)| *id != account);
        self.model.close(part);
    }

    async fn transfer(&mut self, who: usize, x: usize, y: usize) {
        let accounts = self.model.accounts_of(who);
        let (from, to) = (accounts[x % accounts.len()], accounts[y % accounts.len()]);
        let amount = 1000 * (y as u64 % 300);
        let (from_id, to_id) = (self.model.id_of(who, from), self.model.id_of(who, to));
        let request = BudgetRequest::Transfer { from: from_id, to: to_id, amount: micro(amount) };
        let moved = self.guest(who).budget(request).await;
        assert_eq!(moved.is_ok(), self.model.transfer(from, to, amount), "{moved:?}");
    }

    /// Kernel and model say the same.
    fn check(&self) {
        let kernel = &self.stage.node.kernel;
        assert!(kernel.is_conserved(), "tokens were made or lost");
        let living = self.model.living();
        assert_eq!(kernel.processes().len(), living.len());
        for who in living {
            let process = &self.model.processes[who];
            let view = kernel.process(process.guest.pid).expect("it lives");
            assert_eq!(view.grants, process.held.len(), "a grant is held once");
            assert_eq!(view.remaining, micro(self.model.balance(who)));
            assert_eq!((view.messages, view.children), (process.mail.len(), process.children.len()));
        }
        let tree = kernel.grant_tree(None);
        assert_eq!(tree.iter().filter(|view| !view.released).count(), self.model.live_rights());
        for view in &tree {
            let right = &self.model.rights[&view.id];
            let holder = match right.place {
                Place::Held(who) => Some(self.guest(who).pid),
                Place::OnTheWay | Place::Gone => None,
            };
            assert_eq!((view.holder, view.released), (holder, right.place == Place::Gone));
            assert_eq!((view.parent, view.revoked), (right.parent, right.revoked));
            let scope: BTreeSet<Box<str>> = view.spec.scope.entries().iter().cloned().collect();
            assert_eq!(scope, right.scope, "no right changes");
            assert!(view.parent.is_none_or(|parent| scope.is_subset(&self.model.rights[&parent].scope)));
            assert!(
                !view.released || tree.iter().any(|below| below.parent == Some(view.id)),
                "it is kept for somebody"
            );
        }
    }

    /// Ends whoever still lives: nothing is left, and the payers have what the model says.
    async fn end(mut self, x: usize) {
        while let Some(who) = self.model.living().first().copied() {
            self.exit(who, x).await;
            self.check();
        }
        assert_eq!(self.stage.assert_empty(), micro(self.model.paid_back()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn grants_and_tokens_are_where_a_plain_model_has_them(
        steps in prop::collection::vec((0..27_u8, any::<usize>(), any::<usize>(), any::<usize>()), 1..120),
        last in 0..4_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("no system resource is needed");
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.step(step).await;
                world.check();
            }
            world.end(last).await;
        });
    }
}
