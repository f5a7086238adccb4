//! The Door: every syscall takes the same four steps here.
//!
//! | step | what happens | where a syscall says its part |
//! | --- | --- | --- |
//! | validate | is what the guest says possible at all? | `syscalls::validate` |
//! | authorise | does a live grant allow it, and is its use counted? | `syscalls::right` |
//! | charge | is the host's own work paid, and the rest paid or set aside? | `Toll`, `Call::quote`; fuel pays itself |
//! | do | tables change, ports are called | `syscalls::act`, `Call::act` |
//!
//! Around them the dispatcher journals what the process is told before it is told, makes an effect's intent durable before
//! it is done, and logs every denial. A call under way whose grant is revoked ends with the denial that it would get now.
//!
//! A runner gets a door of its own for each process, which finds the process without a look at the table. The kernel itself
//! is a door for every process.

use crate::{
    control::ControlBlock,
    denials::Denied,
    hibernation::Waiting,
    kernel::{Kernel, Shared},
    ports::{Asked, Change, Clock, Entry},
    process::Process,
    syscalls::{self, Call, Context, Right, sleeps_through},
};
use remit_abi::{Class, Denial, Dispatch, Door, Fault, GrantId, Pid, Reply, Request};
use remit_authority::{Explanation, Use};
use std::{future::ready, sync::Arc};

impl Door for Kernel {
    fn try_dispatch(&self, pid: Pid, request: &Request) -> Option<Reply> {
        if request.may_wait() {
            return None;
        }
        let Some(block) = self.shared.block(pid) else { return Some(Reply::Fault(Fault::Dead)) };
        Some(self.shared.dispatch_now(&block, request))
    }

    fn dispatch(&self, pid: Pid, request: Request) -> Dispatch<'_> {
        match self.shared.block(pid) {
            Some(block) => Box::pin(self.shared.dispatch(block, request)),
            None => Box::pin(ready(Reply::Fault(Fault::Dead))),
        }
    }
}

/// The door of one process.
pub(crate) struct ProcessDoor {
    shared: Arc<Shared>,
    block: Arc<ControlBlock>,
}

impl ProcessDoor {
    pub(crate) fn new(shared: Arc<Shared>, block: Arc<ControlBlock>) -> Self {
        Self { shared, block }
    }

    fn is_for(&self, pid: Pid) -> bool {
        pid == self.block.pid && !self.block.has_ended()
    }
}

impl Door for ProcessDoor {
    fn try_dispatch(&self, pid: Pid, request: &Request) -> Option<Reply> {
        if request.may_wait() {
            return None;
        }
        Some(match self.is_for(pid) {
            true => self.shared.dispatch_now(&self.block, request),
            false => Reply::Fault(Fault::Dead),
        })
    }

    fn dispatch(&self, pid: Pid, request: Request) -> Dispatch<'_> {
        match self.is_for(pid) {
            true => Box::pin(self.shared.dispatch(self.block.clone(), request)),
            false => Box::pin(ready(Reply::Fault(Fault::Dead))),
        }
    }
}

impl Shared {
    async fn dispatch(self: &Arc<Self>, block: Arc<ControlBlock>, request: Request) -> Reply {
        match request.may_wait() {
            true => self.dispatch_later(&block, request).await,
            false => self.dispatch_now(&block, &request),
        }
    }

    /// The four steps of a syscall that never waits, under one lock of its process.
    fn dispatch_now(self: &Arc<Self>, block: &Arc<ControlBlock>, request: &Request) -> Reply {
        let process = &mut *block.process.lock();
        let mut context = Context { shared: self, block, process };
        if let Some(reply) = self.replayed(&mut context, request) {
            return reply;
        }
        let own = context.process.in_own_names(request);
        let reply = self.admit(&mut context, &own);
        let reply = reply.map_or_else(|reply| reply, |_| syscalls::act(&mut context, &own));
        match request.class() {
            Class::Pure => reply,
            Class::Observed | Class::Effect => self.told(context.process, request, reply),
        }
    }

    /// The four steps of one that may, with its process unlocked while it waits.
    async fn dispatch_later(self: &Arc<Self>, block: &Arc<ControlBlock>, request: Request) -> Reply {
        let _waits = Waits::begin(block, &request, &*self.ports.clock);
        let (own, begun) = {
            let process = &mut *block.process.lock();
            let mut context = Context { shared: self, block, process };
            if let Some(reply) = self.replayed(&mut context, &request) {
                return reply;
            }
            let own = context.process.in_own_names(&request);
            let begun = self.admit(&mut context, &own);
            let begun = begun.and_then(|right| Ok((right, Call::prepare(&mut context, &own)?)));
            (own, begun)
        };
        let reply = match begun {
            Ok((under, call)) => self.do_under(under, block, &own, call).await,
            Err(reply) => reply,
        };
        let process = &mut *block.process.lock();
        let mut context = Context { shared: self, block, process };
        syscalls::settle(&mut context, &own, &reply);
        self.told(context.process, &request, reply)
    }

    /// Pays the toll, validates and authorises. The error is the reply.
    fn admit(&self, context: &mut Context<'_>, request: &Request) -> Result<Right, Reply> {
        if !matches!(request, Request::Fuel(_)) {
            let process = &mut *context.process;
            let paid = process.toll.pay(&process.bill);
            paid.map_err(|shortfall| Reply::Fault(Fault::BudgetExhausted(shortfall)))?;
        }
        syscalls::validate(context.process, request)?;
        self.authorise(context, request)
    }

    /// Does a call, unless the grant that it is done under is revoked meanwhile.
    async fn do_under(
        self: &Arc<Self>,
        under: Right,
        block: &Arc<ControlBlock>,
        request: &Request,
        call: Call,
    ) -> Reply {
        let work = self.pay_and_do(block, request, call);
        let Some(grant) = under.grant() else { return work.await };
        tokio::select! {
            biased;
            reply = work => reply,
            () = self.revoked(grant) => {
                let process = &mut *block.process.lock();
                let mut context = Context { shared: self, block, process };
                match self.authorise(&mut context, request) {
                    Err(denied) => denied,
                    Ok(_) => syscalls::denied(request, Denial::Revoked("of this call".into())),
                }
            }
        }
    }

    async fn pay_and_do(self: &Arc<Self>, block: &Arc<ControlBlock>, request: &Request, mut call: Call) -> Reply {
        let quote = match call.quote(self) {
            Ok(quote) => quote,
            Err(reply) => return reply,
        };
        let bill = block.process.lock().bill.clone();
        let reserved = match bill.reserve(quote) {
            Ok(reserved) => reserved,
            Err(shortfall) => return syscalls::unpaid(request, shortfall),
        };
        if request.class() == Class::Effect {
            let journal = &self.ports.journal;
            let entry = Entry::Intended(Asked::of(request));
            let written = self.write(&mut block.process.lock(), Some(entry));
            let durable = match written {
                Ok(at) => journal.durable(at).await,
                Err(error) => Err(error),
            };
            if let Err(error) = durable {
                return Reply::Fault(Fault::Host(error.to_string().into()));
            }
        }
        call.act(self, block, reserved).await
    }

    /// Step 2: the one place where a right is checked, and its use counted.
    fn authorise(&self, context: &mut Context<'_>, request: &Request) -> Result<Right, Reply> {
        let right = syscalls::right(context, request)?;
        let (grant, wanted, counts) = match &right {
            Right::None => return Ok(right),
            Right::Look { grant, kind } => (*grant, Use::least(*kind), false),
            Right::Use { grant, kind, access, tokens, label } => {
                let name = syscalls::used_name(request);
                (*grant, Use { kind: *kind, name, access: *access, tokens: *tokens, label: *label }, true)
            }
        };
        let checked = self.check_grant(context.block, context.process, (grant, request.interface()), &wanted, counts);
        checked.map(|()| right).map_err(|denial| syscalls::denied(request, denial))
    }

    /// A use of a grant in the middle of a call that was let in under another one: checked, counted and logged as every other.
    pub(crate) fn use_besides(
        &self,
        block: &ControlBlock,
        under: (GrantId, &'static str),
        wanted: &Use<'_>,
    ) -> Result<(), Denial> {
        self.check_grant(block, &mut block.process.lock(), under, wanted, true)
    }

    fn check_grant(
        &self,
        block: &ControlBlock,
        process: &mut Process,
        (grant, interface): (GrantId, &'static str),
        wanted: &Use<'_>,
        counts: bool,
    ) -> Result<(), Denial> {
        if process.grants.get(grant).is_none() {
            let denial = Denial::NotGranted(wanted.kind.name().into());
            let explanation = Explanation::not_granted(wanted.kind.name(), wanted);
            self.denied(block, interface, denial.clone(), explanation);
            return Err(denial);
        }
        let now = || self.ports.clock.wall_ns();
        let mut grants = self.grants.lock();
        let checked = match counts {
            true => grants.check(grant, wanted, now),
            false => grants.peek(grant, wanted, now),
        };
        match checked {
            Ok(()) => {
                if counts {
                    process.due.change(|| Change::GrantUsed { grant });
                }
                Ok(())
            }
            Err(denial) => {
                let explanation = grants.explain(grant, wanted, now);
                drop(grants);
                let explanation = explanation.unwrap_or_else(|| Explanation::not_granted(wanted.kind.name(), wanted));
                self.denied(block, interface, denial.clone(), explanation);
                Err(denial)
            }
        }
    }

    /// Keeps a denial for the operator.
    pub(crate) fn denied(
        &self,
        block: &ControlBlock,
        interface: &'static str,
        denial: Denial,
        explanation: Explanation,
    ) {
        let (pid, package) = (block.pid, block.facts.package.clone());
        tracing::warn!(%pid, interface, %denial, "denied");
        let at_ns = self.ports.clock.wall_ns();
        self.denials.keep(Denied { number: 0, pid, package, interface, at_ns, denial, explanation });
    }
}

/// Says in which syscall a process waits, until it is dropped.
struct Waits<'a>(&'a ControlBlock);

impl<'a> Waits<'a> {
    fn begin(block: &'a ControlBlock, request: &Request, clock: &dyn Clock) -> Self {
        let waiting = Waiting {
            interface: request.interface(),
            request: sleeps_through(request),
            since_ns: clock.monotonic_ns(),
        };
        block.process.lock().waits_in = Some(waiting);
        Self(block)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.process.lock().waits_in = None;
    }
}
