//! `process`: the process itself.

use super::Context;
use crate::{
    ports::{Change, HeldImage, Note},
    process::Held,
};
use remit_abi::{
    Access, CapabilityError, GrantId, GrantKind, GrantLimits, GrantSpec, Pid, ProcessReply, ProcessRequest, Scope,
};

pub(super) fn act(context: &mut Context<'_>, request: ProcessRequest) -> Result<ProcessReply, CapabilityError> {
    match request {
        ProcessRequest::OwnId => Ok(ProcessReply::Id(context.block.pid)),
        ProcessRequest::OwnMailbox => address(context, context.block.pid, "mailbox").map(ProcessReply::Mailbox),
        ProcessRequest::NextSignal => {
            let (taken, pid) = (context.block.signals.take(), context.block.pid);
            if taken.is_some() {
                let signals = context.block.signals.bits();
                context.process.due.change(|| Change::Signalled { pid, signals });
            }
            Ok(ProcessReply::Signal(taken))
        }
    }
}

/// A new right to send messages to a process, in the caller's table.
pub(super) fn address(context: &mut Context<'_>, to: Pid, label: &str) -> Result<GrantId, CapabilityError> {
    let process = &mut *context.process;
    if !process.grants.has_room_for(1, &process.limits) {
        return Err(CapabilityError::TooMany { limit: process.limits.grants_max });
    }
    let kind = GrantKind::Mailbox;
    let invalid = |error: &dyn std::error::Error| CapabilityError::Invalid(error.to_string().into());
    let scope = Scope::parse(kind, &[to.to_string()]).map_err(|error| invalid(&error))?;
    let spec =
        GrantSpec { label: label.into(), kind, scope, access: Access::ReadWrite, limits: GrantLimits::default() };
    let mut tree = context.shared.grants.lock();
    let id = tree.issue(spec).map_err(|error| invalid(&error))?;
    let label = process.grants.adopt(Held { label: label.into(), id, kind });
    tree.relabel(id, &label);
    process.due.note(|| Note::Grant(HeldImage { label, grant: id, kind }));
    Ok(id)
}
