//! Records as a kernel might append them, out of plain numbers.

use crate::{
    memory::{applied, forget, found, put},
    model::{Model, Owned},
};
use bytes::Bytes;
use remit_abi::{
    Access, AccountId, ClockReply, ClockRequest, Exit, Fuel, GrantId, GrantKind, GrantLimits, GrantSpec, Label,
    Outcome, Pid, Priority, Reply, Request, Role, Scope, Status, TenantId, Tokens, ValueId, limits::Limits,
};
use remit_kernel::{
    Ended, Finished, Ledger, Output, RestartPolicy, Selection,
    ports::{
        Asked, Beginning, CallImage, Change, Created, Entry, GrantImage, HeldImage, LetterImage, Note, Sleeper,
        SleeperKind, Told, ValueImage,
    },
};
use std::{borrow::Cow, sync::Arc};

/// A step, and what it is about: any numbers do.
pub(crate) type Choice = (u8, u16, u16);

/// How many steps there are.
pub(crate) const STEPS: u8 = 33;

/// What a text of a guest looks like: tests look for it in files.
pub(crate) const SECRET: &str = "the heron stands in the reeds";

/// Records, and what is true after them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    pub(crate) records: Vec<Owned>,
    pub(crate) model: Model,
    ids: u32,
}

pub(crate) fn pid(tenant: u32, index: u32) -> Pid {
    Pid { tenant: TenantId(tenant), index, generation: index % 3 + 1 }
}

pub(crate) fn value(text: &str) -> ValueImage {
    ValueImage {
        bytes: Bytes::copy_from_slice(text.as_bytes()),
        media_type: "text/plain".into(),
        label: Label::UNTRUSTED,
    }
}

pub(crate) fn letter(sender: Pid, text: &str, call: Option<u64>) -> LetterImage {
    LetterImage {
        sender,
        sender_label: Label::UNTRUSTED,
        topic: "news".into(),
        body: value(text),
        grants: Vec::new(),
        call,
    }
}

pub(crate) fn created(parent: Option<Pid>, account: AccountId) -> Entry<'static> {
    Entry::Created(Box::new(Created {
        package: "heron".into(),
        digest: "d1".into(),
        kinds: vec![GrantKind::Model],
        limits: Limits::default(),
        name: Some("one".into()),
        parent,
        depth: 1,
        priority: Priority::High,
        restart: RestartPolicy::default(),
        account,
        funds: Tokens::from_micro(7),
        started_ns: 5,
        input: vec![(Role::User, value(SECRET))],
    }))
}

pub(crate) fn began(restarts: u32) -> Entry<'static> {
    Entry::Began(Box::new(Beginning {
        checkpoint: Some(Bytes::from_static(SECRET.as_bytes())),
        label: Label::TRUSTED,
        ledger: Ledger::default(),
        grants: vec![held(1)],
        alarms: vec![("tick".into(), 9)],
        restarts,
        clock_ns: 3,
        events: 2,
    }))
}

fn held(index: u32) -> HeldImage {
    HeldImage { label: "model".into(), grant: GrantId { index, generation: 1 }, kind: GrantKind::Model }
}

/// A reply as agents get most: what the clock reads.
pub(crate) fn told(wall_ns: u64) -> Entry<'static> {
    Entry::Told(Told {
        asked: Asked::of(&Request::Clock(ClockRequest::Wall)),
        reply: Cow::Owned(Reply::Clock(ClockReply::Wall(wall_ns))),
        notes: Vec::new(),
        paid: Tokens::from_micro(1),
        label: Label::TRUSTED,
    })
}

/// A reply that brings a text.
pub(crate) fn told_text(text: &str) -> Entry<'static> {
    let note = Note::Value(ValueId { index: 1, generation: 1 }, value(text));
    match told(1) {
        Entry::Told(told) => Entry::Told(Told { notes: vec![note, Note::Call(4)], ..told }),
        other => other,
    }
}

pub(crate) fn finished() -> Box<Finished> {
    let output =
        Output { bytes: Bytes::from_static(SECRET.as_bytes()), media_type: "text/plain".into(), label: Label::TRUSTED };
    Box::new(Finished {
        ended: Ended::Done(Status::Complete, Some(output)),
        ledger: Ledger::default(),
        paid: Tokens::from_micro(4),
        refunded: Tokens::from_micro(2),
        checkpoint: None,
        label: Label::TRUSTED,
        restarts: 1,
        logs_dropped: 0,
    })
}

fn exited() -> Entry<'static> {
    let end = Ok(Ok(Outcome { status: Status::Partial, output: None }));
    Entry::Exited(Cow::Owned(Exit { end, fuel: Some(Fuel(3)) }))
}

pub(crate) fn grant(index: u32, parent: Option<GrantId>, revoked: bool) -> Change {
    let spec = GrantSpec {
        label: SECRET.into(),
        kind: GrantKind::Model,
        scope: Scope::parse(GrantKind::Model, &["small"]).expect("it is a model's name"),
        access: Access::default(),
        limits: GrantLimits { uses: Some(3), ..GrantLimits::default() },
    };
    Change::Granted(Box::new(GrantImage {
        grant: GrantId { index, generation: 1 },
        parent,
        spec,
        derived_as: "part".into(),
        uses: 0,
        revoked,
        released: false,
    }))
}

/// A process that left memory, with what is its own.
pub(crate) fn sleeper(pid: Pid, account: AccountId, payer: Option<AccountId>, grant: Option<GrantId>) -> Sleeper {
    Sleeper {
        pid,
        kind: Arc::new(SleeperKind {
            package: "heron".into(),
            digest: "d1".into(),
            priority: Priority::High,
            restart: RestartPolicy::default(),
        }),
        name: pid.index.is_multiple_of(2).then(|| SECRET.into()),
        account,
        payer,
        grants: grant.into_iter().collect(),
        funds: Tokens::from_micro(7),
        remaining: Tokens::from_micro(3),
        started_ns: 5,
        zero_ns: -4,
        wakes_ns: pid.index.is_multiple_of(3).then_some(u64::MAX),
    }
}

/// One of them, where there is one.
fn pick<T>(mut of: impl Iterator<Item = T> + Clone, number: u16) -> Option<T> {
    let count = of.clone().count();
    of.nth(usize::from(number).checked_rem(count)?)
}

impl Story {
    pub(crate) fn of(choices: &[Choice]) -> Self {
        let mut story = Self::default();
        choices.iter().for_each(|choice| story.step(*choice));
        story
    }

    /// Adds a record.
    pub(crate) fn add(&mut self, pid: Option<Pid>, entry: Option<Entry<'static>>, changes: Vec<Change>) {
        let record = Owned { pid, entry, changes };
        self.model.apply(&record);
        self.records.push(record);
    }

    fn id(&mut self) -> u32 {
        self.ids += 1;
        self.ids
    }

    fn living(&self) -> impl Iterator<Item = Pid> + Clone {
        self.model.processes.iter().filter(|(_, process)| !process.ended).map(|(pid, _)| *pid)
    }

    /// Starts a process with two records.
    pub(crate) fn start(&mut self, tenant: u32, parent: Option<Pid>) -> Pid {
        let index = self.id();
        let pid = pid(tenant, index);
        let account = AccountId { index, generation: 1 };
        self.add(Some(pid), Some(created(parent, account)), vec![]);
        self.add(Some(pid), Some(began(0)), vec![]);
        pid
    }

    /// What a choice comes to; nothing where it is about what is not there.
    pub(crate) fn step(&mut self, (step, a, b): Choice) {
        match step % STEPS {
            0..=5 => self.amounts(step % STEPS, a, b),
            6..=11 => self.runs(step % STEPS, a, b),
            12..=15 => self.grants(step % STEPS, a, b),
            16..=21 => self.mail(step % STEPS, a, b),
            28..=32 => self.memory(step % STEPS, a, b),
            other => self.rest(other, a, b),
        }
    }

    fn amounts(&mut self, step: u8, a: u16, b: u16) {
        let accounts = self.model.accounts.values().copied();
        let (one, other) = (pick(accounts.clone(), a), pick(accounts, b));
        let part = |of: Tokens| Tokens::from_micro(of.micro() / (u64::from(b % 7) + 1));
        let change = match (step, one, other) {
            (0, ..) => {
                let account = AccountId { index: self.id(), generation: 2 };
                Change::Deposited { account, amount: Tokens::from_micro(u64::from(a) * u64::from(b)) }
            }
            (1, Some(from), _) => {
                let account = AccountId { index: self.id(), generation: 1 };
                Change::Split { from: from.account, account, amount: part(from.balance) }
            }
            (2, Some(from), Some(to)) => {
                Change::Moved { from: from.account, to: to.account, amount: part(from.balance) }
            }
            (3, Some(of), _) => Change::Paid { account: of.account, amount: part(of.balance) },
            (4, Some(of), _) => Change::Refunded { account: of.account, amount: part(of.spent) },
            (5, Some(of), _) => Change::Closed { account: of.account },
            _ => return,
        };
        let pid = pick(self.living(), b);
        self.add(pid, None, vec![change]);
    }

    fn runs(&mut self, step: u8, a: u16, b: u16) {
        match (step, pick(self.living(), a)) {
            (6, parent) => drop(self.start(u32::from(b % 3), parent)),
            (7, Some(pid)) => self.add(Some(pid), Some(told(b.into())), vec![]),
            (8, Some(pid)) => self.add(Some(pid), Some(told_text(&SECRET.repeat(b.into()))), vec![]),
            (9, Some(pid)) => self.add(Some(pid), Some(exited()), vec![]),
            (10, Some(pid)) => self.add(Some(pid), Some(began(b.into())), vec![]),
            (11, Some(pid)) => {
                let asked = Asked::of(&Request::Clock(ClockRequest::Monotonic));
                self.add(Some(pid), Some(Entry::Intended(asked)), vec![]);
            }
            _ => {}
        }
    }

    fn grants(&mut self, step: u8, a: u16, b: u16) {
        let pid = pick(self.living(), b);
        let known = pick(self.model.grants.values().cloned(), a);
        match (step, known) {
            (12, known) => {
                let parent = known.filter(|_| !b.is_multiple_of(4)).map(|known| known.grant);
                let (index, entry) = (self.id(), pid.map(|_| Entry::Given(held(1))));
                self.add(pid, entry, vec![grant(index, parent, false)]);
            }
            (13, Some(known)) => {
                let changed = grant(known.grant.index, known.parent, true);
                self.add(None, None, vec![changed]);
            }
            (14, Some(known)) => {
                let is_leaf = self.model.grants.values().all(|other| other.parent != Some(known.grant));
                if is_leaf {
                    self.add(pid, None, vec![Change::GrantGone { grant: known.grant }]);
                }
            }
            (_, Some(known)) => {
                let uses = vec![Change::GrantUsed { grant: known.grant }; usize::from(b % 3) + 1];
                self.add(pid, pid.map(|_| told(4)), uses);
            }
            _ => {}
        }
    }

    fn mail(&mut self, step: u8, a: u16, b: u16) {
        let (Some(one), Some(other)) = (pick(self.living(), a), pick(self.living(), b)) else { return };
        let call = pick(self.model.calls.keys().copied(), a);
        let (entry, changes) = match (step, call) {
            (16, _) => {
                let number = self.id().into();
                let letter = Box::new(letter(one, SECRET, None));
                (Some(told(1)), vec![Change::Sent { number, to: other, letter }])
            }
            (17, _) => match pick(self.model.letters.keys().copied(), a) {
                Some(number) => (Some(told(1)), vec![Change::LetterGone { number }]),
                None => return,
            },
            (18, _) => {
                let number = self.id().into();
                let letter = Box::new(letter(one, SECRET, Some(number)));
                let image = CallImage { number, caller: one, receiver: other, deadline_ns: b.into() };
                (Some(told(1)), vec![Change::Called(image), Change::Sent { number, to: other, letter }])
            }
            (19, Some(number)) => {
                let letter = Box::new(letter(other, SECRET, Some(number)));
                (Some(told(1)), vec![Change::Answered { number, letter }])
            }
            (20, Some(number)) => (None, vec![Change::Unanswered { number }]),
            (21, Some(number)) => (Some(told(1)), vec![Change::CallGone { number }]),
            _ => return,
        };
        self.add(Some(one), entry, changes);
    }

    fn rest(&mut self, step: u8, a: u16, b: u16) {
        let pid = pick(self.living(), a);
        let selection = match b % 3 {
            0 => Selection::All,
            1 => Selection::Tenant(TenantId(u32::from(a % 3))),
            _ => Selection::Package("heron".into()),
        };
        match (step, pid) {
            (22, Some(pid)) => self.add(Some(pid), Some(exited()), vec![Change::Ended { pid, finished: finished() }]),
            (23, _) => {
                if let Some(pid) = pick(self.model.reports.keys().copied(), a) {
                    self.add(None, None, vec![Change::ReportGone { pid }]);
                }
            }
            (24, Some(pid)) => {
                let change = match b % 3 {
                    0 => Change::Detached { pid },
                    1 => Change::Held { pid, holds: a as u8 },
                    _ => Change::Signalled { pid, signals: a as u8 },
                };
                self.add(Some(pid), None, vec![change]);
            }
            (25, _) => {
                let change = if a.is_multiple_of(2) { Change::Frozen(selection) } else { Change::Thawed(selection) };
                self.add(None, None, vec![change]);
            }
            (27, Some(pid)) => {
                let accounts = self.model.accounts.values();
                let payer = pick(accounts.clone().map(|row| row.account), b);
                let account = pick(accounts.map(|row| row.account), a).unwrap_or(AccountId { index: 0, generation: 1 });
                let grant = pick(self.model.grants.keys().copied(), a);
                let sleeper = sleeper(pid, account, payer.filter(|payer| *payer != account), grant);
                self.add(Some(pid), None, vec![Change::Slept(Box::new(sleeper))]);
            }
            _ => {
                let name = format!("{SECRET} {b}").into();
                self.add(None, None, vec![Change::Tagged { tenant: TenantId(1), index: u32::from(a % 64), name }]);
            }
        }
    }

    fn memory(&mut self, step: u8, a: u16, b: u16) {
        let (number, tenant) = (self.model.next.memory_write.max(1), u32::from(a % 3));
        // Few entries, so that several records are about each.
        let [one, other] = [a, b].map(|number| u64::from(number % 7) + 1);
        let text = format!("{SECRET} {b}");
        let told = found(&[(one, &text), (other, SECRET), (one, "")]);
        let (entry, changes) = match step {
            28 => (None, vec![put(tenant, number, one, &text)]),
            29 => (Some(told), vec![]),
            30 => (None, vec![forget(tenant, number, &[one, other], b.is_multiple_of(3))]),
            31 => (None, vec![applied(tenant, number.saturating_sub(u64::from(b % 4)))]),
            _ => {
                let purged = forget(tenant, number + 1, &[other], a.is_multiple_of(4));
                (Some(told), vec![put(tenant, number, other, &text), purged, put(tenant, number + 2, other, "")])
            }
        };
        let pid = pick(self.living(), b);
        self.add(pid, entry.filter(|_| pid.is_some()), changes);
    }
}
