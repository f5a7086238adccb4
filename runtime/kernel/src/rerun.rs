//! Running a process again, offline: the same component is told what it was told, and whoever asked sees each step.
//!
//! It is the recovery of a node that has this one process and nothing else, and that ends where the log does: no engine is there to be
//! asked, no message goes anywhere, nothing is paid and nothing written. Its runner's doors look on, so that the dispatcher knows
//! nothing of it. A guest that asks something else than it did is a divergence, as after a crash.

use crate::{
    history::{History, HistoryError, Run},
    kernel::{Kernel, Ports},
    ports::{
        AccountImage, Clock, Engine, EngineError, EngineStream, Entropy, Entry, GenerationJob, Holdings, Journal,
        JournalError, Line, Memory, ModelCard, NoFolders, NoTools, NodeImage, PackageError, Packages, PortFuture,
        Position, Program, PromptText, Record, Runner, StoredProcess, StoredResult, Told,
    },
};
use parking_lot::Mutex;
use remit_abi::{
    AccountId, Class, Dispatch, Door, Exit, Fault, GrantId, GrantKind, Pid, Priority, Reply, Request, Start, TenantId,
    Tokens,
};
use remit_authority::PriceList;
use std::{
    collections::VecDeque,
    future::{pending, ready},
    sync::Arc,
};
use thiserror::Error;
use tokio::sync::oneshot;

/// A process to run again.
pub struct Rerun {
    /// Runs it.
    pub runner: Arc<dyn Runner>,
    /// The node's.
    pub clock: Arc<dyn Clock>,
    /// The node's.
    pub entropy: Arc<dyn Entropy>,
    /// The component that it ran, linked for the kinds of grants of [`Created`](crate::ports::Created).
    pub program: Program,
    /// Its log.
    pub history: History,
    /// Which run of it, from 1 on; the last one without.
    pub run: Option<usize>,
    /// The last entry to tell; all without.
    pub until: Option<u64>,
}

/// A syscall of a process that runs again.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What it asks.
    pub request: Request,
    /// What it is told.
    pub reply: Reply,
    /// What the log says of it; nothing of a pure one.
    pub logged: Option<Logged>,
}

/// An answer in a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// Its place.
    pub sequence: u64,
    /// When it was given, on the wall clock.
    pub at_ns: u64,
    /// All that it says.
    pub told: Told<'static>,
}

/// Where a process that runs again stops.
#[derive(Clone, Debug, PartialEq)]
pub enum Reran {
    /// Where it was to.
    Until,
    /// Where the log does: it asks this, and the log has no answer. How the run ended from outside, where the log says it.
    LogEnds {
        /// What it asks.
        asks: Box<Request>,
        /// For example, it was killed.
        exit: Option<Exit>,
    },
    /// It ended, as it did then.
    Ended(Exit),
    /// It does something else than it did; both sides, in a sentence.
    Diverged(Box<str>),
}

/// A process that cannot be run again.
#[derive(Debug, Error)]
pub enum RerunError {
    /// Its log.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Another component.
    #[error("the component has the digest {given}, and the process ran {wanted}")]
    OtherComponent {
        /// What was given.
        given: Arc<str>,
        /// What the log says.
        wanted: Arc<str>,
    },
    /// The runner let go of it.
    #[error("it was stopped before it had been told all")]
    Stopped,
}

impl Rerun {
    /// Runs it again, and shows each step.
    ///
    /// # Errors
    /// [`RerunError`].
    pub async fn go(self, show: impl FnMut(Step) + Send + 'static) -> Result<Reran, RerunError> {
        let Self { runner, clock, entropy, program, history, run, until } = self;
        let History { pid, ref created, .. } = history;
        if program.digest != created.digest {
            return Err(RerunError::OtherComponent { given: program.digest, wanted: created.digest.clone() });
        }
        let run = history.run(run)?;
        let (over, is_over) = oneshot::channel();
        let tape = Tape::of(run, until, over, Box::new(show));
        let stored = stored(&history, run);
        let ports = Ports {
            runner: Arc::new(Watched { runner, tape: Arc::new(Mutex::new(tape)) }),
            engine: Arc::new(NoEngine),
            packages: Arc::new(OneProgram(program)),
            journal: Arc::new(OneProcess(stored)),
            clock,
            entropy,
            // What tools said is in the log, and none is called again.
            tools: Arc::new(NoTools),
            folders: Arc::new(NoFolders),
            // Nor is anything looked for.
            memory: Memory::none(),
        };
        let kernel = Kernel::new(ports, PriceList::built_in());
        // It is read from memory.
        let Ok(recovery) = kernel.recover() else { return Err(RerunError::Stopped) };
        let resumed = recovery.go_on().await;
        let reran = is_over.await.map_err(|_| RerunError::Stopped);
        kernel.kill(pid);
        for process in resumed {
            drop(process.finished.await);
        }
        reran
    }
}

/// A run as a journal would find it that nothing followed.
fn stored(history: &History, run: &Run) -> StoredProcess {
    // A committed state at the end would be gone on from, and how it ended is found out.
    let is_told = |line: &&Line| !matches!(line.entry, Entry::Committed(_) | Entry::Exited(_));
    StoredProcess {
        pid: history.pid,
        created: history.created.clone(),
        began: run.began.clone(),
        lines: run.lines.iter().filter(is_told).cloned().collect(),
        letters: Vec::new(),
        holds: 0,
        signals: 0,
        detached: false,
    }
}

/// What is still to be told, and who looks on.
struct Tape {
    told: VecDeque<Logged>,
    until: Option<u64>,
    /// How the run ended, as far as the log says it.
    exit: Option<Exit>,
    /// Taken when it is over.
    over: Option<oneshot::Sender<Reran>>,
    show: Box<dyn FnMut(Step) + Send>,
}

impl Tape {
    fn of(run: &Run, until: Option<u64>, over: oneshot::Sender<Reran>, show: Box<dyn FnMut(Step) + Send>) -> Self {
        let (mut told, mut exit) = (VecDeque::new(), None);
        for Line { sequence, at_ns, entry } in &run.lines {
            match entry {
                Entry::Told(answer) => {
                    told.push_back(Logged { sequence: *sequence, at_ns: *at_ns, told: answer.clone() });
                }
                Entry::Exited(ended) => exit = Some(ended.clone().into_owned()),
                _ => {}
            }
        }
        Self { told, until, exit, over: Some(over), show }
    }

    /// What the log answers to the next request that it answers at all.
    fn next(&mut self, request: &Request) -> Option<Logged> {
        let reran = match self.told.front() {
            Some(next) if self.until.is_some_and(|until| next.sequence > until) => Reran::Until,
            Some(_) => return self.told.pop_front(),
            None => Reran::LogEnds { asks: Box::new(request.clone()), exit: self.exit.take() },
        };
        self.is_over(reran);
        None
    }

    fn is_over(&mut self, reran: Reran) {
        if let Some(over) = self.over.take() {
            // Who does not wait for it any more has stopped it.
            let _unheard = over.send(reran);
        }
    }

    fn ended(&mut self, exit: Exit) {
        let reran = match (&exit.end, self.told.front()) {
            (Err(Fault::Diverged(why)), _) => Reran::Diverged(why.clone()),
            (_, Some(next)) => {
                Reran::Diverged(format!("it ended before entry {}, and did not then", next.sequence).into())
            }
            (_, None) => Reran::Ended(exit),
        };
        self.is_over(reran);
    }
}

/// A runner whose guests are looked at.
struct Watched {
    runner: Arc<dyn Runner>,
    tape: Arc<Mutex<Tape>>,
}

impl Runner for Watched {
    fn start(&self, pid: Pid, priority: Priority, life: PortFuture<'static, ()>) {
        self.runner.start(pid, priority, life);
    }

    fn run(&self, door: Arc<dyn Door>, pid: Pid, program: Program, start: Start) -> PortFuture<'static, Exit> {
        let tape = self.tape.clone();
        let run = self.runner.run(Arc::new(WatchedDoor { door, tape: tape.clone() }), pid, program, start);
        Box::pin(async move {
            let exit = run.await;
            tape.lock().ended(exit);
            // What would follow is another run.
            pending().await
        })
    }

    fn kill(&self, pid: Pid) {
        self.runner.kill(pid);
    }

    fn suspend(&self, pid: Pid) {
        self.runner.suspend(pid);
    }

    fn resume(&self, pid: Pid) {
        self.runner.resume(pid);
    }
}

/// The kernel's door, as far as the log goes.
struct WatchedDoor {
    door: Arc<dyn Door>,
    tape: Arc<Mutex<Tape>>,
}

impl WatchedDoor {
    /// What the log says to it; the error ends the guest, which has been told all.
    fn logged(&self, request: &Request) -> Result<Option<Logged>, Reply> {
        match request.class() {
            Class::Pure => Ok(None),
            Class::Observed | Class::Effect => match self.tape.lock().next(request) {
                Some(logged) => Ok(Some(logged)),
                None => Err(Reply::Fault(Fault::Killed)),
            },
        }
    }

    fn show(&self, request: &Request, reply: &Reply, logged: Option<Logged>) {
        // A divergence is said at the end.
        if !matches!(reply, Reply::Fault(Fault::Diverged(_))) {
            (self.tape.lock().show)(Step { request: request.clone(), reply: reply.clone(), logged });
        }
    }
}

impl Door for WatchedDoor {
    fn try_dispatch(&self, pid: Pid, request: &Request) -> Option<Reply> {
        if request.may_wait() {
            return None;
        }
        let logged = match self.logged(request) {
            Ok(logged) => logged,
            Err(reply) => return Some(reply),
        };
        let reply = self.door.try_dispatch(pid, request)?;
        self.show(request, &reply, logged);
        Some(reply)
    }

    fn dispatch(&self, pid: Pid, request: Request) -> Dispatch<'_> {
        let logged = match self.logged(&request) {
            Ok(logged) => logged,
            // It waits for what nobody will say, until it is thrown away.
            Err(_) => return Box::pin(pending()),
        };
        Box::pin(async move {
            let reply = self.door.dispatch(pid, request.clone()).await;
            self.show(&request, &reply, logged);
            reply
        })
    }
}

/// Answers nothing: all answers are in the log.
struct NoEngine;

impl NoEngine {
    fn refusal() -> EngineError {
        EngineError::Stopped("no model answers while a process is run again".into())
    }
}

impl Engine for NoEngine {
    fn card(&self, _: &str) -> Result<ModelCard, EngineError> {
        Err(Self::refusal())
    }

    fn tokenize(&self, _: &str, _: &PromptText) -> Result<Arc<[u32]>, EngineError> {
        Err(Self::refusal())
    }

    fn generate(&self, _: GenerationJob) -> Result<EngineStream, EngineError> {
        Err(Self::refusal())
    }
}

/// The one component.
struct OneProgram(Program);

impl Packages for OneProgram {
    fn open(&self, _: TenantId, _: &str, _: &[GrantKind]) -> PortFuture<'static, Result<Program, PackageError>> {
        Box::pin(ready(Err(PackageError("nothing is started while a process is run again".into()))))
    }

    fn reopen(
        &self,
        _: TenantId,
        _: &str,
        _: &str,
        _: &[GrantKind],
    ) -> PortFuture<'static, Result<Program, PackageError>> {
        Box::pin(ready(Ok(self.0.clone())))
    }
}

/// A journal that has one process, and takes nothing.
struct OneProcess(StoredProcess);

impl Journal for OneProcess {
    fn keeps(&self) -> bool {
        false
    }

    fn append(&self, _: &[Record<'_>]) -> Result<Position, JournalError> {
        Ok(Position::default())
    }

    fn durable(&self, _: Position) -> PortFuture<'_, Result<(), JournalError>> {
        Box::pin(ready(Ok(())))
    }

    fn node(&self) -> Result<NodeImage, JournalError> {
        let (none, balance) = (Tokens::ZERO, Tokens::MAX);
        // Its pure syscalls are paid for as ever, out of nobody's money.
        let account =
            AccountImage { account: self.0.created.account, parent: None, balance, spent: none, spent_below: none };
        Ok(NodeImage { accounts: vec![account], living: vec![self.0.pid], ..NodeImage::default() })
    }

    fn holdings(&self, _: &[AccountId], _: &[GrantId]) -> Result<Holdings, JournalError> {
        Ok(Holdings::default())
    }

    fn process(&self, pid: Pid) -> Result<Option<StoredProcess>, JournalError> {
        Ok((pid == self.0.pid).then(|| self.0.clone()))
    }

    fn results(&self, _: Option<Pid>, _: usize) -> Result<Vec<StoredResult>, JournalError> {
        Ok(Vec::new())
    }

    fn history(&self, _: Pid, _: u64, _: usize) -> Result<Vec<Line>, JournalError> {
        Ok(Vec::new())
    }
}
