//! Putting a node together again from its journal.
//!
//! What is true of the node (accounts, grants, calls, reports) is read as it is; each process that had not ended is made anew as its
//! last run began, and runs from there on what the log says. One that cannot is parked or named, and the others go on.
//!
//! | a process that | is read | runs |
//! | --- | --- | --- |
//! | was awake, or asleep and tied to somebody | whole | at once, until it waits |
//! | had left memory, where somebody [attends](Kernel::attend) the node | as one row, without its log, its account and its grants | when somebody reaches for it, or its moment comes |
//! | had left memory, where nobody does | whole | at once, until it waits |

use crate::{
    bill::Bill,
    control::{ControlBlock, Durability, Facts, Hold},
    doubts::Doubt,
    inbox::PendingQuestion,
    kernel::{Kernel, Shared},
    life::{Finished, Life},
    mailbox::Letter,
    outlet::{Audience, Outlet},
    ports::{
        Beginning, Change, Created, Entry, JournalError, Line, NodeImage, PackageError, PostedQuestion, Program,
        QuestionState, Record, StoredProcess, Told,
    },
    process::{Process, Value},
    replay::{Links, Replay},
    spawn::Unfinished,
};
use futures::future::BoxFuture;
use remit_abi::{AccountId, CheckpointRequest, GrantSpec, Pid, Reply, Request, TenantId, Tokens, limits};
use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};

/// A node that was put together again, and whose processes run nothing yet.
pub struct Recovery {
    kernel: Kernel,
    processes: Vec<Rebuilt>,
    /// Who is not in memory, and has something to do.
    answered: HashSet<Pid>,
    /// Calls of tools that people are asked about.
    doubts: Vec<Doubt>,
    /// Those whose log cannot be read, and why: nothing of them was changed.
    pub unreadable: Vec<(Pid, JournalError)>,
}

struct Rebuilt {
    block: Arc<ControlBlock>,
    created: Created,
    /// Whether nobody but an operator waits for its end.
    is_an_operators: bool,
}

/// A process that goes on where it was, or where another one was. It stops when `finished` is dropped before its end.
pub struct Resumed {
    /// Its name.
    pub pid: Pid,
    /// Whose account pays.
    pub payer: Option<AccountId>,
    /// Its end.
    pub finished: BoxFuture<'static, Finished>,
}

impl Kernel {
    /// Puts together again what the journal knows. To be called once, before anything else but [`Kernel::attend`]; blocks while it reads.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`] where the node's own tables cannot be read.
    pub fn recover(&self) -> Result<Recovery, JournalError> {
        let shared = &self.shared;
        let mut sleepers = Vec::new();
        let node = match shared.keeper.attends() {
            true => shared.ports.journal.awake(&mut |sleeper| sleepers.push(sleeper))?,
            false => shared.ports.journal.node()?,
        };
        shared.table.write().restore_away(sleepers);
        let (mut stored, mut unreadable) = (Vec::new(), Vec::new());
        for pid in &node.living {
            match shared.ports.journal.process(*pid) {
                Ok(process) => stored.extend(process),
                Err(error) => {
                    tracing::error!(%pid, %error, "a process cannot be resumed");
                    unreadable.push((*pid, error));
                }
            }
        }
        let links = Arc::new(Links::default());
        let kept: HashSet<Pid> = node.living.iter().copied().collect();
        let (answered, doubts) = shared.restore(node, &links, &kept);
        let rebuilt = |process: StoredProcess| Rebuilt {
            block: shared.rebuild(&process, &links),
            is_an_operators: process.detached || process.created.parent.is_none_or(|parent| !kept.contains(&parent)),
            created: process.created,
        };
        let processes = stored.into_iter().map(rebuilt).collect();
        Ok(Recovery { kernel: self.clone(), processes, answered, doubts, unreadable })
    }
}

impl Recovery {
    /// What those may use that go on at once.
    #[must_use]
    pub fn held(&self) -> Vec<GrantSpec> {
        self.processes.iter().flat_map(|rebuilt| self.kernel.shared.specs_of(&rebuilt.block)).collect()
    }

    /// Sets every process going again.
    pub async fn go_on(self) -> Vec<Resumed> {
        let Self { kernel, processes, answered, doubts, .. } = self;
        let mut goes_on = Vec::new();
        for Rebuilt { block, created, is_an_operators } in processes {
            kernel.go_on(&block, created).await;
            if is_an_operators {
                goes_on.push(resumed(&kernel, &block));
            }
        }
        // Who sleeps may have to do with any of the others.
        let shared = &kernel.shared;
        answered.into_iter().for_each(|asker| drop(shared.reach(asker)));
        shared.table.write().begin_moments();
        shared.keeper.rang.notify_one();
        shared.resume_tool_calls(doubts);
        goes_on
    }
}

/// A process that an operator waits for.
pub(crate) fn resumed(kernel: &Kernel, block: &Arc<ControlBlock>) -> Resumed {
    let account = block.process.lock().bill.account();
    let payer = kernel.shared.accounts.lock().node(account).and_then(|node| node.parent);
    let finished = Box::pin(Unfinished::of(kernel, block).finished());
    Resumed { pid: block.pid, payer, finished }
}

impl Kernel {
    async fn go_on(&self, block: &Arc<ControlBlock>, created: Created) {
        let opened = self.reopen(block.pid.tenant, &created).await;
        self.go_on_with(block, &created, opened);
    }

    /// The component that a process runs.
    pub(crate) async fn reopen(&self, tenant: TenantId, created: &Created) -> Result<Program, PackageError> {
        let Created { package, digest, kinds, .. } = created;
        self.shared.ports.packages.reopen(tenant, package, digest, kinds).await
    }

    /// Sets a process going again, or parks it where it has no component.
    pub(crate) fn go_on_with(
        &self,
        block: &Arc<ControlBlock>,
        created: &Created,
        opened: Result<Program, PackageError>,
    ) {
        block.set_asleep(false);
        match opened {
            Ok(program) => self.shared.set_going(block, Program { limits: created.limits, ..program }),
            Err(PackageError(why)) => {
                let why = format!("its package cannot be loaded again: {why}");
                let parked = Life::parked(self.clone(), block.clone(), &why);
                self.shared.ports.runner.start(block.pid, created.priority, parked);
            }
        }
    }
}

impl Shared {
    /// The node's own tables. Who is not in memory, and has something to do; the calls of tools that people are asked about.
    fn restore(
        self: &Arc<Self>,
        mut node: NodeImage,
        links: &Links,
        living: &HashSet<Pid>,
    ) -> (HashSet<Pid>, Vec<Doubt>) {
        let clock = &self.ports.clock;
        let (now_ns, wall_ns) = (clock.monotonic_ns(), clock.wall_ns());
        self.restore_memory(&mut node);
        node.tags.iter().for_each(|(tenant, index, name)| self.tags.restore(*tenant, *index, name));
        self.frozen.lock().restore(node.frozen);
        self.deployments.lock().restore(node.deployments);
        {
            let mut grants = self.grants.lock();
            let lost = node.grants.into_iter().filter(|grant| !grants.restore(grant.clone())).count();
            grants.skip_to(node.next.grant);
            if lost > 0 {
                tracing::error!(lost, "grants of the journal have no place in the tree");
            }
        }
        {
            let mut accounts = self.accounts.lock();
            let lost = node.accounts.iter().filter(|account| !accounts.restore(account)).count();
            accounts.skip_to(node.next.account);
            accounts.restore_away(node.away);
            if lost > 0 {
                tracing::error!(lost, "accounts of the journal have no place in the tree");
            }
        }
        self.table.write().skip_to(node.next.process);
        self.skip_letters_to(node.next.letter);
        for (call, state) in node.calls {
            // The wall clock may have been set back meanwhile: no call waits longer than any may.
            let left_ns = call.deadline_ns.saturating_sub(wall_ns).min(limits::CALL_TIMEOUT_NS_MAX);
            links.restore_call(call, state, now_ns.saturating_add(left_ns));
        }
        {
            for (pid, parent, finished) in node.reports {
                links.keep_child(Arc::new(ControlBlock::ended_before(pid, parent, finished)));
            }
        }
        self.skip_questions_to(node.next.question);
        let questions = node.questions.into_iter();
        let answered = questions.filter_map(|(posted, state)| self.restore_question(posted, state, links, living));
        let answered = answered.collect();
        {
            let mut inbox = self.inbox.lock();
            node.approvals.into_iter().for_each(|approval| inbox.approve(approval));
            node.notices.into_iter().for_each(|notice| inbox.restore_notice(notice));
        }
        self.skip_tool_calls_to(node.next.tool_call);
        let calls = node.tool_calls.into_iter();
        (answered, calls.filter_map(|call| self.restore_tool_call(call, links, living)).collect())
    }

    /// A question that nobody has taken the answer of. One whose asker ended with its host is withdrawn. Its asker, where that is not in
    /// memory and need not wait for it any longer.
    fn restore_question(
        &self,
        posted: PostedQuestion,
        state: QuestionState,
        links: &Links,
        living: &HashSet<Pid>,
    ) -> Option<Pid> {
        let is_open = state == QuestionState::Open;
        let (asker, pending) = (posted.asker, PendingQuestion::of(&posted, state));
        let is_away = self.table.write().get_away(asker).map(|row| row.keep_question(pending.clone())).is_some();
        if !is_away && !living.contains(&asker) {
            self.change(None, [Change::QuestionGone { number: posted.number }]);
            return None;
        }
        if !is_away {
            links.keep_question(pending.clone());
        }
        if is_open {
            self.inbox.lock().restore(posted, pending);
        }
        (is_away && !is_open).then_some(asker)
    }

    /// A process as its last run began, with what it is to be told again. It runs nothing yet.
    fn rebuild(self: &Arc<Self>, stored: &StoredProcess, links: &Arc<Links>) -> Arc<ControlBlock> {
        let StoredProcess { pid, created, letters, holds, signals, .. } = stored.clone();
        let (began, lines, anew) = last_run(stored);
        let block = Arc::new(self.block_of(pid, &created, &began));
        block.signals.restore(signals);
        block.process.lock().replay = Replay::of(lines, links.clone());
        // What is frozen is told by the freezes.
        block.restore_holds(holds & !Hold::Frozen.bit());
        for (number, letter) in letters {
            let answer = letter.call.map(|call| links.answer(call));
            block.mailbox.restore(Box::new(Letter::of_image(number, letter, answer)));
        }
        self.table.write().restore(block.clone());
        if created.parent.is_some() {
            links.keep_child(block.clone());
        }
        if anew {
            let record = Record { pid: Some(pid), entry: Some(Entry::Began(Box::new(began))), changes: &[] };
            if let Err(error) = self.keep(&[record]) {
                tracing::error!(%pid, %error, "a new run was not journaled");
            }
        }
        if block.is_held_by(Hold::Killed) {
            self.kill(&block);
        }
        block
    }

    /// A process as a run of it began, for others.
    pub(crate) fn block_of(&self, pid: Pid, created: &Created, began: &Beginning) -> ControlBlock {
        let process = self.process_of(pid, created, began);
        let created = created.clone();
        let facts = Facts {
            package: created.package,
            digest: created.digest,
            name: created.name,
            parent: created.parent,
            depth: created.depth,
            priority: created.priority,
            restart: created.restart,
            funds: created.funds,
            started_ns: created.started_ns,
            durability: Durability::Durable,
        };
        let outlet = Outlet::new(Audience::Nobody);
        outlet.count_from(began.events);
        let block = ControlBlock::new(pid, facts, process, outlet, Arc::default());
        block.restarts.store(began.restarts, Ordering::Relaxed);
        block
    }

    /// What it holds.
    pub(crate) fn process_of(&self, pid: Pid, created: &Created, began: &Beginning) -> Process {
        let bill = self.bill_of(created.account).with_ledger(began.ledger);
        let now_ns = self.ports.clock.monotonic_ns();
        let zero_ns = i128::from(now_ns) - i128::from(began.clock_ns);
        let mut process = Process::new(pid, created.limits, began.label, Arc::new(bill), zero_ns);
        process.due = self.due(Durability::Durable);
        process.begin(began);
        process.input = created.input.iter().map(|(role, value)| (*role, Value::from(value.clone()))).collect();
        process
    }

    /// The bill of an account.
    pub(crate) fn bill_of(&self, account: AccountId) -> Bill {
        Bill::new(self.accounts.clone(), account, self.prices.clone())
    }
}

/// Where a process goes on, and whether that is a new run: one that had committed a state and was told nothing since begins anew,
/// every other runs its last run again. How a run ended is found out again.
pub(crate) fn last_run(stored: &StoredProcess) -> (Beginning, Vec<Line>, bool) {
    let mut lines = stored.lines.clone();
    while let Some(Line { entry: Entry::Exited(_), .. }) = lines.last() {
        lines.pop();
    }
    let (committed, paid) = match lines.as_slice() {
        [.., committed, Line { entry: Entry::Told(told), .. }] if is_commit(told) => (Some(committed), told.paid),
        lines => (lines.last(), Tokens::ZERO),
    };
    match committed {
        Some(Line { entry: Entry::Committed(beginning), .. }) => {
            let mut beginning = (**beginning).clone();
            // What the commit itself cost.
            beginning.ledger.paid = beginning.ledger.paid.saturating_add(paid);
            (beginning, Vec::new(), true)
        }
        _ => (stored.began.clone(), lines, false),
    }
}

fn is_commit(told: &Told<'_>) -> bool {
    let asked = |request: &Request| matches!(request, Request::Checkpoint(CheckpointRequest::Commit { .. }));
    matches!(*told.reply, Reply::Checkpoint(Ok(()))) && told.asked.request().is_none_or(|request| asked(&request))
}
