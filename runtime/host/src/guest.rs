//! What stands behind one guest's store: its control block, its table of handles, its limits.
//!
//! Split by lifetime: the [`Control`] is shared with whoever may kill or suspend the guest and with the future that drives it; the
//! [`Guest`] lives in the store and goes with it.

use crate::{limiter::Limiter, streams::Printed};
use parking_lot::Mutex;
use remit_abi::{Door, Fault, FuelReply, FuelRequest, Pid, Reply, Request, limits::Limits};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
};
use wasmtime::component::{Resource, ResourceTable};

/// Rows of a guest's table of handles, as a multiple of the kernel objects it may hold of each kind. The kernel answers
/// "too many" first, as an error; this stops a guest that takes handles on the same object over and over.
const HANDLES_PER_OBJECT: u64 = 4;

/// How a guest that must end is told so: the error that its host call returns.
#[derive(Debug)]
pub(crate) struct Halt(pub(crate) Fault);

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Halt {}

/// The end of a guest by the host's or the kernel's mistake.
pub(crate) fn host_fault(text: impl Into<Box<str>>) -> wasmtime::Error {
    wasmtime::Error::new(Halt(Fault::Host(text.into())))
}

/// A reply that does not answer the request that was made.
pub(crate) fn mismatch(call: &str) -> wasmtime::Error {
    host_fault(format!("{call} was answered with a reply to something else; please report this"))
}

/// A kernel object that has died while the one handle that owns it lives.
pub(crate) fn dead(what: &str) -> wasmtime::Error {
    host_fault(format!("the {what} behind a live handle is gone; please report this"))
}

/// A call about what is not the guest's any more, where the interface has no error to say so.
pub(crate) fn gone(what: &str) -> wasmtime::Error {
    wasmtime::Error::new(Halt(Fault::Protocol(format!("it uses {what} that it has given up or passed on").into())))
}

/// What a guest, its driver and its killer share.
pub(crate) struct Control {
    pub(crate) pid: Pid,
    door: Arc<dyn Door>,
    killed: AtomicBool,
    suspended: AtomicBool,
    /// Set where the guest gave way to a tick: then what it yielded for was not fuel.
    preempted: AtomicBool,
    /// Set while a host call waits: then the guest is not running at all.
    waiting: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("pid", &self.pid).field("killed", &self.killed).finish_non_exhaustive()
    }
}

impl Control {
    pub(crate) fn new(door: Arc<dyn Door>, pid: Pid) -> Self {
        Self {
            pid,
            door,
            killed: AtomicBool::new(false),
            suspended: AtomicBool::new(false),
            preempted: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
            waker: Mutex::new(None),
        }
    }

    /// Ends the guest at its next tick, or at once where it waits or is suspended.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.wake();
    }

    /// Keeps the guest from its next turn; the one that it has ends at its next tick.
    pub(crate) fn suspend(&self) {
        self.suspended.store(true, Ordering::Release);
    }

    /// Gives a suspended guest its turns back.
    pub(crate) fn resume(&self) {
        if self.suspended.swap(false, Ordering::AcqRel) {
            self.wake();
        }
    }

    fn wake(&self) {
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// What stands before every turn: a guest that was killed has none, one that is suspended has none yet.
    ///
    /// The waker is in its place before the marks are looked at. So whoever changes a mark and then wakes is either seen
    /// here or wakes this guest.
    pub(crate) fn admit(&self, waker: &Waker) -> Poll<Result<(), Fault>> {
        self.wakes(waker);
        if self.is_killed() {
            return Poll::Ready(Err(Fault::Killed));
        }
        if self.suspended.load(Ordering::Acquire) { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// Remembers whom [`Control::kill`] and [`Control::resume`] wake.
    fn wakes(&self, waker: &Waker) {
        let mut place = self.waker.lock();
        if !place.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *place = Some(waker.clone());
        }
    }

    /// Lets go of the waker, which holds the driver.
    pub(crate) fn forget_waker(&self) {
        let waker = self.waker.lock().take();
        drop(waker);
    }

    /// The guest gives way to a tick.
    pub(crate) fn preempt(&self) {
        self.preempted.store(true, Ordering::Relaxed);
    }

    /// Whether the guest, which has just given way, did so because its slice of fuel is used up.
    pub(crate) fn used_its_slice(&self) -> bool {
        let preempted = self.preempted.swap(false, Ordering::Relaxed);
        !preempted && !self.waiting.load(Ordering::Relaxed)
    }

    /// Buys the next slice of fuel.
    pub(crate) fn buy_slice(&self) -> Result<(), Fault> {
        match self.door.try_dispatch(self.pid, &Request::Fuel(FuelRequest::BuySlice)) {
            Some(Reply::Fuel(FuelReply::Granted)) => Ok(()),
            Some(Reply::Fuel(FuelReply::Refused(shortfall))) => Err(Fault::BudgetExhausted(shortfall)),
            Some(Reply::Fault(fault)) => Err(fault),
            _ => Err(Fault::Host("fuel was answered with a reply to something else".into())),
        }
    }
}

/// Marks a host call that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicBool);

impl<'a> Waiting<'a> {
    fn begin(control: &'a Control) -> Self {
        control.waiting.store(true, Ordering::Relaxed);
        Self(&control.waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// The data of one guest's store.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) control: Arc<Control>,
    pub(crate) limiter: Limiter,
    pub(crate) printed: Printed,
    table: ResourceTable,
}

/// How many handles of a component a process with these limits may hold.
pub(crate) fn handles_max(limits: Limits) -> usize {
    usize::try_from(limits.objects_max.saturating_mul(HANDLES_PER_OBJECT)).unwrap_or(usize::MAX)
}

impl Guest {
    pub(crate) fn new(control: Arc<Control>, limits: Limits) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(handles_max(limits));
        Self { control, limiter: Limiter::new(limits), printed: Printed::default(), table }
    }

    /// Does a syscall that never waits. What ends the guest is an error.
    pub(crate) fn call(&self, request: &Request) -> wasmtime::Result<Reply> {
        match self.control.door.try_dispatch(self.control.pid, request) {
            Some(Reply::Fault(fault)) => Err(wasmtime::Error::new(Halt(fault))),
            Some(reply) => Ok(reply),
            None => Err(host_fault("a syscall that never waits was asked to wait; please report this")),
        }
    }

    /// Does a syscall that may wait.
    pub(crate) async fn call_waiting(&mut self, request: Request) -> wasmtime::Result<Reply> {
        let _waiting = Waiting::begin(&self.control);
        match self.control.door.dispatch(self.control.pid, request).await {
            Reply::Fault(fault) => Err(wasmtime::Error::new(Halt(fault))),
            reply => Ok(reply),
        }
    }

    /// The kernel id in a row.
    pub(crate) fn row<T: Copy + 'static>(&self, handle: &Resource<T>) -> wasmtime::Result<T> {
        self.table.get(handle).copied().map_err(|error| host_fault(format!("a handle's row: {error}")))
    }

    /// A new row for a kernel id.
    pub(crate) fn push<T: Send + 'static>(&mut self, row: T) -> wasmtime::Result<Resource<T>> {
        self.table.push(row).map_err(|_| self.too_many_handles())
    }

    /// A new row that must go before its parent does.
    pub(crate) fn push_child<T: Send + 'static, P: 'static>(
        &mut self,
        row: T,
        parent: &Resource<P>,
    ) -> wasmtime::Result<Resource<T>> {
        self.table.push_child(row, parent).map_err(|_| self.too_many_handles())
    }

    /// Takes a row out, when the guest dropped its handle or gave it away.
    pub(crate) fn remove<T: 'static>(&mut self, handle: Resource<T>) -> wasmtime::Result<T> {
        self.table.delete(handle).map_err(|error| match error {
            wasmtime::component::ResourceTableError::HasChildren => wasmtime::Error::new(Halt(Fault::Protocol(
                "a handle was dropped or given away before the pollable that waits for it".into(),
            ))),
            error => host_fault(format!("a dropped handle's row: {error}")),
        })
    }

    fn too_many_handles(&self) -> wasmtime::Error {
        wasmtime::Error::new(Halt(Fault::Limit(handles_text(self.table.max_capacity()))))
    }
}

/// How the limit on handles is named.
pub(crate) fn handles_text(max: usize) -> Box<str> {
    format!("it may hold {max} handles ({HANDLES_PER_OBJECT} times objects_max): drop what is no longer needed").into()
}
