//! `remit:kernel/process`: the process itself.

use crate::{
    bindings::remit::kernel::process,
    capability::Derived,
    guest::{Guest, mismatch},
    row::PollableRow,
};
use remit_abi::{CapabilityError, ProcessReply, ProcessRequest, Reply, Request, Signal, WaitId};
use wasmtime::{Result, component::Resource};

impl Guest {
    fn call_process(&self, request: ProcessRequest) -> Result<std::result::Result<ProcessReply, CapabilityError>> {
        match self.call(&Request::Process(request))? {
            Reply::Process(reply) => Ok(reply),
            _ => Err(mismatch("process")),
        }
    }
}

impl process::Host for Guest {
    fn get_id(&mut self) -> Result<String> {
        match self.call_process(ProcessRequest::OwnId)? {
            Ok(ProcessReply::Id(pid)) => Ok(pid.to_string()),
            _ => Err(mismatch("process.get-id")),
        }
    }

    fn get_mailbox(&mut self) -> Derived {
        let answer = match self.call_process(ProcessRequest::OwnMailbox)? {
            Ok(ProcessReply::Mailbox(grant)) => Ok(grant),
            Ok(_) => return Err(mismatch("process.get-mailbox")),
            Err(error) => Err(error),
        };
        self.derived(answer)
    }

    fn next_signal(&mut self) -> Result<Option<process::Signal>> {
        match self.call_process(ProcessRequest::NextSignal)? {
            Ok(ProcessReply::Signal(signal)) => Ok(signal.map(|signal| match signal {
                Signal::Cancel => process::Signal::Cancel,
                Signal::BudgetLow => process::Signal::BudgetLow,
                Signal::ChildFailed => process::Signal::ChildFailed,
            })),
            _ => Err(mismatch("process.next-signal")),
        }
    }

    fn subscribe_signals(&mut self) -> Result<Resource<PollableRow>> {
        self.push(PollableRow(WaitId::Signal))
    }
}
