//! Attending to processes that are not in memory: one future waits for all their moments, and brings back who is reached for. It also has
//! processes sleep whose places others need.

use crate::{
    away::Keeper,
    control::{ControlBlock, Presence},
    kernel::{Kernel, Shared},
    life::Life,
    ports::{Created, JournalError, PortFuture, Program},
    recovery::{Resumed, resumed},
};
use futures::stream::{FuturesUnordered, StreamExt};
use remit_abi::{GrantKind, GrantSpec};
use std::{
    future::Future,
    mem,
    sync::{Arc, atomic::Ordering},
};

/// Processes that are read at a time. 32: enough to keep the disk busy, and no more than wait for it in a journal's commit.
const COMING_MAX: usize = 32;
/// Components that are kept open for processes that come back.
const PROGRAMS_MAX: usize = 64;

/// What the node's host does for processes that come back.
pub trait Attendant: Send + Sync + 'static {
    /// Makes ready what a process may use that is about to go on.
    fn prepare(&self, _grants: Vec<GrantSpec>) -> PortFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    /// A process goes on, and nobody waits for its end yet: whoever has this does from here on.
    fn resumed(&self, resumed: Resumed);
}

/// As long as it is there, processes leave memory.
struct Attended(Arc<Shared>);

impl Drop for Attended {
    fn drop(&mut self) {
        self.0.keeper.is_attended.store(false, Ordering::Release);
    }
}

impl Keeper {
    fn next(&self) -> Option<Arc<ControlBlock>> {
        self.queue.lock().pop_front()
    }
}

impl Kernel {
    /// Lets processes leave memory altogether that sleep, as long as the future is there; polled, it brings back who is reached for or
    /// whose moment has come, and has processes sleep whose places others need. To be called before [`Kernel::recover`], which leaves out who
    /// sleeps only where somebody attends.
    pub fn attend(&self, attendant: Arc<dyn Attendant>) -> impl Future<Output = ()> + Send + use<> {
        self.shared.keeper.is_attended.store(true, Ordering::Release);
        let (kernel, attended) = (self.clone(), Attended(self.shared.clone()));
        async move {
            let _attended = attended;
            tokio::join!(kernel.see_to_sleepers(&*attendant), kernel.shared.make_places());
        }
    }

    async fn see_to_sleepers(&self, attendant: &dyn Attendant) {
        let shared = &self.shared;
        let (keeper, clock) = (&shared.keeper, &shared.ports.clock);
        let mut programs = Programs::default();
        let mut coming = FuturesUnordered::new();
        loop {
            let moment_ns = shared.call_who_is_due();
            while coming.len() < COMING_MAX
                && let Some(block) = keeper.next()
            {
                coming.push(self.bring_back(block, attendant));
            }
            let moment = async {
                match moment_ns {
                    Some(moment_ns) => clock.sleep_towards(moment_ns).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(back) = coming.next() => {
                    if let Some((block, created)) = back {
                        self.let_go_on(&block, *created, attendant, &mut programs).await;
                    }
                }
                () = keeper.rang.notified(), if coming.len() < COMING_MAX => {}
                () = moment, if coming.len() < COMING_MAX => {}
            }
        }
    }

    /// Reads what a process holds, where nobody has.
    async fn bring_back(
        &self,
        block: Arc<ControlBlock>,
        attendant: &dyn Attendant,
    ) -> Option<(Arc<ControlBlock>, Box<Created>)> {
        let shared = &self.shared;
        if let Some(sleeper) = block.absent() {
            let roused = shared.ports.journal.rouse_later(sleeper).await;
            if let Err(error) = roused.and_then(|roused| shared.fill(&block, roused)) {
                self.park_unread(&block, attendant, &error);
                return None;
            }
        }
        let presence = mem::take(&mut *block.presence.lock());
        match presence {
            Presence::Back(created) => Some((block, created)),
            Presence::Whole | Presence::Away(_) => None,
        }
    }

    /// Begins the life of a process that cannot be read: it is parked, until it is killed.
    fn park_unread(&self, block: &Arc<ControlBlock>, attendant: &dyn Attendant, error: &JournalError) {
        if !self.shared.hold_unread(block) {
            return;
        }
        let resumed = (!block.end.is_awaited()).then(|| resumed(self, block));
        let parked = Life::parked(self.clone(), block.clone(), &format!("it slept and cannot be woken: {error}"));
        self.shared.ports.runner.start(block.pid, block.facts.priority, parked);
        if let Some(resumed) = resumed {
            attendant.resumed(resumed);
        }
    }

    /// Begins the life of a process that came back.
    async fn let_go_on(
        &self,
        block: &Arc<ControlBlock>,
        created: Created,
        attendant: &dyn Attendant,
        programs: &mut Programs,
    ) {
        attendant.prepare(self.shared.specs_of(block)).await;
        let resumed = (!block.end.is_awaited()).then(|| resumed(self, block));
        match programs.find(&created) {
            Some(program) => self.go_on_with(block, &created, Ok(program)),
            None => {
                let opened = self.reopen(block.pid.tenant, &created).await;
                if let Ok(program) = &opened {
                    programs.keep(&created, program.clone());
                }
                self.go_on_with(block, &created, opened);
            }
        }
        if let Some(resumed) = resumed {
            attendant.resumed(resumed);
        }
    }
}

impl Shared {
    /// Calls back whose moment has come, as many as are read at a time; the next moment.
    fn call_who_is_due(&self) -> Option<u64> {
        let wall_ns = self.ports.clock.wall_ns();
        while self.keeper.queue.lock().len() < COMING_MAX {
            let (moment_ns, pid) = self.table.read().next_moment()?;
            if moment_ns > wall_ns {
                return Some(moment_ns);
            }
            self.reach(pid);
        }
        Some(wall_ns)
    }

    /// What a process may use.
    pub(crate) fn specs_of(&self, block: &ControlBlock) -> Vec<GrantSpec> {
        let held: Vec<_> = block.process.lock().grants.iter().map(|held| held.id).collect();
        let grants = self.grants.lock();
        let live = held.into_iter().filter_map(|id| grants.node(id)).filter(|node| !node.revoked);
        live.map(|node| node.spec.clone()).collect()
    }
}

/// Components that were opened for processes that came back, each by its digest and the kinds of grants that it is linked for.
#[derive(Default)]
struct Programs(Vec<Opened>);

struct Opened {
    package: Arc<str>,
    digest: Arc<str>,
    kinds: Vec<GrantKind>,
    program: Program,
}

impl Programs {
    fn find(&self, created: &Created) -> Option<Program> {
        let is_it = |opened: &&Opened| {
            (&opened.package, &opened.digest, &opened.kinds) == (&created.package, &created.digest, &created.kinds)
        };
        self.0.iter().find(is_it).map(|opened| opened.program.clone())
    }

    fn keep(&mut self, created: &Created, program: Program) {
        if self.0.len() >= PROGRAMS_MAX {
            self.0.remove(0);
        }
        let Created { package, digest, kinds, .. } = created.clone();
        self.0.push(Opened { package, digest, kinds, program });
    }
}
