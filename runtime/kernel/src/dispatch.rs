//! The Door: every syscall takes the same four steps here.
//!
//! | step | what happens | where a syscall says its part |
//! | --- | --- | --- |
//! | validate | is what the guest says possible at all? | `syscalls::validate` |
//! | authorise | does a live grant allow it? | `syscalls::right` |
//! | charge | is it paid, or set aside? | `Call::quote`; fuel pays itself |
//! | do | tables change, ports are called | `syscalls::act`, `Call::act` |
//!
//! Around them the dispatcher journals what the process is told before it is told, makes an effect's intent durable before
//! it is done, and logs every denial.

use crate::{
    kernel::{Kernel, Shared},
    ports::Entry,
    process::Process,
    syscalls::{self, Call, Context, Right},
};
use parking_lot::Mutex;
use remit_abi::{Class, Denial, Dispatch, Door, Fault, Pid, Reply, Request, Tokens};
use std::sync::Arc;

impl Door for Kernel {
    fn try_dispatch(&self, pid: Pid, request: &Request) -> Option<Reply> {
        if request.may_wait() {
            return None;
        }
        let Some(process) = self.shared.process(pid) else { return Some(Reply::Fault(Fault::Dead)) };
        Some(self.shared.dispatch_now(&process, request))
    }

    fn dispatch(&self, pid: Pid, request: Request) -> Dispatch<'_> {
        let Some(process) = self.shared.process(pid) else {
            return Box::pin(std::future::ready(Reply::Fault(Fault::Dead)));
        };
        if !request.may_wait() {
            return Box::pin(std::future::ready(self.shared.dispatch_now(&process, &request)));
        }
        Box::pin(async move { self.shared.dispatch_later(&process, request).await })
    }
}

impl Shared {
    /// The four steps of a syscall that never waits, under one lock of its process.
    fn dispatch_now(&self, process: &Mutex<Process>, request: &Request) -> Reply {
        let process = &mut *process.lock();
        let paid_before = process.bill.ledger().paid;
        let reply = syscalls::validate(process, request)
            .and_then(|()| self.authorise(process, request))
            .map_or_else(|reply| reply, |()| syscalls::act(&mut Context { shared: self, process }, request));
        if request.class() == Class::Pure {
            return reply;
        }
        let paid = process.bill.ledger().paid.saturating_sub(paid_before);
        self.journaled(process, request.clone(), reply, paid)
    }

    /// The four steps of one that may, with its process unlocked while it waits.
    async fn dispatch_later(&self, process: &Arc<Mutex<Process>>, request: Request) -> Reply {
        let paid_before = process.lock().bill.ledger().paid;
        let reply = match self.begin(process, &request) {
            Ok(call) => self.pay_and_do(process, &request, call).await,
            Err(reply) => reply,
        };
        let process = process.lock();
        let paid = process.bill.ledger().paid.saturating_sub(paid_before);
        self.journaled(&process, request, reply, paid)
    }

    /// Validate, authorise, and take out of the process what the call needs.
    fn begin(&self, process: &Mutex<Process>, request: &Request) -> Result<Call, Reply> {
        let process = &mut *process.lock();
        syscalls::validate(process, request)?;
        self.authorise(process, request)?;
        Call::prepare(&mut Context { shared: self, process }, request)
    }

    async fn pay_and_do(&self, process: &Arc<Mutex<Process>>, request: &Request, mut call: Call) -> Reply {
        let quote = match call.quote(self) {
            Ok(quote) => quote,
            Err(reply) => return reply,
        };
        let (bill, pid) = {
            let process = process.lock();
            (process.bill.clone(), process.pid)
        };
        let reserved = match bill.reserve(quote) {
            Ok(reserved) => reserved,
            Err(shortfall) => return syscalls::unpaid(request, shortfall),
        };
        if request.class() == Class::Effect {
            let journal = &self.ports.journal;
            let mut durable = journal.append(pid, Entry::Intent(request.clone()));
            if durable.is_ok() {
                durable = journal.flush(pid).await;
            }
            if let Err(error) = durable {
                return Reply::Fault(Fault::Host(error.to_string().into()));
            }
        }
        call.act(self, process, reserved).await
    }

    /// Step 2: the one place where a right is checked.
    fn authorise(&self, process: &Process, request: &Request) -> Result<(), Reply> {
        let Right::Generate { grant, max_tokens } = syscalls::right(process, request) else { return Ok(()) };
        let held = process.grants.iter().any(|(_, id)| *id == grant);
        let checked = match held {
            true => self.grants.lock().check_generation(grant, max_tokens).map(drop),
            false => Err(Denial::NotGranted("model".into())),
        };
        checked.map_err(|denial| {
            tracing::warn!(pid = %process.pid, %denial, "denied");
            syscalls::denied(request, denial)
        })
    }

    /// Writes down what the process is about to be told. A process whose journal fails stops rather than going on
    /// unrecorded.
    fn journaled(&self, process: &Process, request: Request, reply: Reply, paid: Tokens) -> Reply {
        let entry = Entry::Reply { request, reply: reply.clone(), paid, label: process.label };
        match self.ports.journal.append(process.pid, entry) {
            Ok(()) => reply,
            Err(error) => Reply::Fault(Fault::Host(error.to_string().into())),
        }
    }
}
