//! `wasi:io/poll`: waiting is a syscall too.
//!
//! A pollable holds the kernel's id of what it waits for, and no future: so that a wait can be journaled, can hibernate and
//! can cross a channel.

use crate::{
    bindings::wasi::io::poll,
    guest::{Guest, Halt, mismatch},
    row::PollableRow,
};
use remit_abi::{ClockReply, ClockRequest, Fault, Reply, Request, WaitId, WaitRequest};
use wasmtime::{Result, component::Resource};

impl Guest {
    async fn wait(&mut self, ids: Box<[WaitId]>) -> Result<Box<[u32]>> {
        let count = ids.len();
        match self.call_waiting(Request::Wait(WaitRequest::Any { ids })).await? {
            Reply::Ready(ready) if !ready.is_empty() && ready.iter().all(|&index| (index as usize) < count) => {
                Ok(ready)
            }
            _ => Err(mismatch("poll")),
        }
    }
}

impl poll::Host for Guest {
    async fn poll(&mut self, handles: Vec<Resource<PollableRow>>) -> Result<Vec<u32>> {
        if handles.is_empty() {
            return Err(wasmtime::Error::new(Halt(Fault::Protocol("poll was called with nothing to wait for".into()))));
        }
        let ids = handles.iter().map(|handle| Ok(self.row(handle)?.0)).collect::<Result<_>>()?;
        Ok(self.wait(ids).await?.into())
    }
}

impl poll::HostPollable for Guest {
    fn ready(&mut self, handle: Resource<PollableRow>) -> Result<bool> {
        let PollableRow(id) = self.row(&handle)?;
        match self.call(&Request::Wait(WaitRequest::IsReady { id }))? {
            Reply::Ready(ready) => Ok(!ready.is_empty()),
            _ => Err(mismatch("pollable.ready")),
        }
    }

    async fn block(&mut self, handle: Resource<PollableRow>) -> Result<()> {
        let PollableRow(id) = self.row(&handle)?;
        self.wait(Box::new([id])).await.map(drop)
    }

    /// A timer and a filter on the mailbox live as long as their pollable; everything else has a handle of its own, or
    /// needs none.
    fn drop(&mut self, handle: Resource<PollableRow>) -> Result<()> {
        match self.remove(handle)?.0 {
            WaitId::Timer(timer) => match self.call(&Request::Clock(ClockRequest::DropTimer { timer }))? {
                Reply::Clock(ClockReply::Dropped) => Ok(()),
                _ => Err(mismatch("pollable.drop")),
            },
            WaitId::Watch(watch) => self.drop_watch(watch),
            WaitId::Generation(_)
            | WaitId::Child(_)
            | WaitId::Call(_)
            | WaitId::Alarm(_)
            | WaitId::Signal
            | WaitId::Question(_)
            | WaitId::ToolCall(_) => Ok(()),
        }
    }
}
