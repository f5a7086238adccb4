//! `children`: processes that a process starts out of what it has itself.

use super::{Context, Right, passing, process::address};
use crate::{
    control::ControlBlock,
    deadlock::Awaited,
    due::Publish,
    kernel::Shared,
    life::{Ended, Finished},
    outlet::Audience,
    ports::{Change, Note, PackageError, Program},
    process::{Child, Process, TEXT, Value},
    spawn::{Entrant, GivenMessage, check_input},
    supervise::RestartPolicy,
    table::Refused,
};
use remit_abi::{
    Access, CapabilityError, ChildEnded, ChildId, ChildReport, ChildrenError, ChildrenReply, ChildrenRequest,
    GrantKind, Label, Plan, Tokens, ValueId, limits,
};
use std::sync::Arc;

pub(super) fn validate(process: &Process, request: &ChildrenRequest) -> Result<(), ChildrenError> {
    let ChildrenRequest::Spawn(plan) = request else { return Ok(()) };
    if plan.agent.is_empty() || plan.agent.len() > limits::NAME_BYTES_MAX {
        let sentence = format!("an agent's name has 1 to {} bytes", limits::NAME_BYTES_MAX);
        return Err(ChildrenError::Invalid(sentence.into()));
    }
    if process.children.len() as u64 >= process.limits.children_max {
        return Err(ChildrenError::TooMany { limit: process.limits.children_max });
    }
    if plan.funds == process.bill.account() {
        return Err(ChildrenError::Invalid("its own account cannot fund a child: split a part off".into()));
    }
    if !process.parts.contains(&plan.funds) {
        return Err(ChildrenError::Dead);
    }
    passing::check(process, &plan.grants).map_err(ChildrenError::Invalid)
}

pub(super) fn right(process: &Process, request: &ChildrenRequest) -> Right {
    let (grant, access, label) = match request {
        ChildrenRequest::Spawn(plan) => {
            let contents = plan.conversation.iter().map(|input| process.content_label(&input.content));
            (plan.grant, Access::ReadOnly, contents.fold(process.label, Label::join))
        }
        ChildrenRequest::Detach { child } => match process.children.get(*child) {
            Some(child) => (child.grant, Access::ReadWrite, process.label),
            None => return Right::None,
        },
        _ => return Right::None,
    };
    Right::Use { grant, kind: GrantKind::Process, access, tokens: 0, label }
}

pub(super) fn act(context: &mut Context<'_>, request: &ChildrenRequest) -> Result<ChildrenReply, ChildrenError> {
    match request {
        ChildrenRequest::Id { child } => Ok(ChildrenReply::Id(find(context.process, *child)?.pid)),
        ChildrenRequest::Mailbox { child } => {
            let pid = find(context.process, *child)?.pid;
            address(context, pid, "child").map(ChildrenReply::Mailbox).map_err(|error| match error {
                CapabilityError::TooMany { .. } => ChildrenError::NoRoom,
                error => ChildrenError::Invalid(error.to_string().into()),
            })
        }
        ChildrenRequest::Order { child, order } => {
            let block = find(context.process, *child)?;
            context.process.due.publish(Publish::Order { block, order: *order });
            Ok(ChildrenReply::Done)
        }
        ChildrenRequest::Kill { child } => {
            let block = find(context.process, *child)?;
            context.process.due.publish(Publish::Kill { block });
            Ok(ChildrenReply::Done)
        }
        ChildrenRequest::Detach { child } => {
            let pid = context.process.children.remove(*child).ok_or(ChildrenError::Dead)?.block.pid;
            context.process.due.change(|| Change::Detached { pid });
            Ok(ChildrenReply::Done)
        }
        ChildrenRequest::Drop { child } => {
            let child = context.process.children.remove(*child).ok_or(ChildrenError::Dead)?;
            let (process, block) = (&mut *context.process, child.block);
            process.due.change(|| Change::ReportGone { pid: block.pid });
            if !block.has_ended() {
                process.let_child_go(block.clone());
                process.due.publish(Publish::Kill { block });
            }
            Ok(ChildrenReply::Done)
        }
        ChildrenRequest::Spawn(_) | ChildrenRequest::Wait { .. } => {
            unreachable!("a request that may wait becomes a call")
        }
    }
}

fn find(process: &Process, child: ChildId) -> Result<Arc<ControlBlock>, ChildrenError> {
    process.children.get(child).map(|child| child.block.clone()).ok_or(ChildrenError::Dead)
}

/// A child to start.
pub(crate) struct Spawn {
    plan: Plan,
    conversation: Vec<GivenMessage>,
    /// What the parent's choice of all this tells the child.
    label: Label,
    kinds: Vec<GrantKind>,
}

impl Spawn {
    pub(super) fn prepare(context: &mut Context<'_>, plan: &Plan) -> Result<Self, ChildrenError> {
        let process = &*context.process;
        if context.block.facts.depth >= limits::PROCESS_DEPTH_MAX {
            return Err(ChildrenError::TooMany { limit: u64::from(limits::PROCESS_DEPTH_MAX) });
        }
        let mut conversation = Vec::with_capacity(plan.conversation.len());
        for input in &plan.conversation {
            let text = process.resolve(&input.content).ok_or(ChildrenError::Dead)?;
            conversation.push(GivenMessage { role: input.role, bytes: text.bytes, label: text.label });
        }
        let mut kinds: Vec<_> =
            plan.grants.iter().filter_map(|named| process.grants.get(named.grant)).map(|held| held.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        Ok(Self { plan: plan.clone(), conversation, label: process.label, kinds })
    }

    pub(super) async fn act(
        self,
        shared: &Arc<Shared>,
        block: &Arc<ControlBlock>,
    ) -> Result<ChildrenReply, ChildrenError> {
        let opened = shared.ports.packages.open(block.pid.tenant, &self.plan.agent, &self.kinds).await;
        let program = opened.map_err(|PackageError(why)| ChildrenError::Unavailable(why))?;
        self.commit(shared, block, program).map(ChildrenReply::Spawned)
    }

    /// In one step, under the parent's lock: the child is there, and has what was the parent's. It goes when that is written down.
    fn commit(self, shared: &Arc<Shared>, block: &ControlBlock, program: Program) -> Result<ChildId, ChildrenError> {
        let process = &mut *block.process.lock();
        if shared.frozen.lock().holds(block.pid.tenant, &program.name, &program.digest) {
            return Err(ChildrenError::Unavailable("starts of this agent are frozen".into()));
        }
        let limits = program.limits.lowered_to(process.limits);
        check_input(&self.conversation, &limits).map_err(|error| ChildrenError::Invalid(error.to_string().into()))?;
        let mut grants = passing::give(process, &self.plan.grants);
        let (account, image) = (self.plan.funds, Program { limits, ..program });
        let funds = shared.accounts.lock().remaining(account).map_err(|_| ChildrenError::Dead)?;
        let entered = shared.enter(Entrant {
            tenant: block.pid.tenant,
            program: image.clone(),
            name: None,
            parent: Some((block.pid, block.facts.depth)),
            label: self.label,
            account,
            funds,
            grants: &mut grants,
            conversation: self.conversation,
            resumed: None,
            restart: RestartPolicy::of(self.plan.restart),
            priority: self.plan.priority,
            audience: Audience::Nobody,
            durability: block.facts.durability,
        });
        match entered {
            Ok(entered) => {
                process.parts.retain(|part| *part != account);
                // The child's, from here on: its parent is told of it no more.
                let _open = shared.accounts.set_soft_limit(account, Tokens::ZERO, &block.signals);
                let mut tree = shared.grants.lock();
                // It runs nothing yet, so that nobody else holds it.
                entered.process.lock().grants.iter().for_each(|held| tree.relabel(held.id, &held.label));
                drop(tree);
                process.due.note(|| Note::Child(entered.pid));
                process.due.publish(Publish::Start { block: entered.clone(), program: image });
                Ok(process.children.insert(Child { block: entered, grant: self.plan.grant }))
            }
            Err(refused) => {
                passing::take_back(shared, process, grants);
                Err(match refused {
                    Refused::TooMany { limit } => ChildrenError::TooMany { limit },
                    Refused::NameTaken => unreachable!("a child has no name"),
                })
            }
        }
    }
}

/// Waiting for a child's end.
pub(crate) struct WaitForChild {
    child: Arc<ControlBlock>,
}

impl WaitForChild {
    pub(super) fn prepare(process: &Process, child: ChildId) -> Result<Self, ChildrenError> {
        find(process, child).map(|child| Self { child })
    }

    /// Waits for the end, and does not take the report.
    pub(super) async fn ready(&self, shared: &Shared, block: &ControlBlock) -> Result<(), ChildrenError> {
        if !self.child.has_ended() {
            let edge = shared.waits.wait(block.pid, Awaited::End(self.child.clone()));
            let _edge = edge.map_err(|_circle| ChildrenError::Deadlock)?;
            self.child.ended().await;
        }
        Ok(())
    }

    pub(super) async fn act(self, shared: &Shared, block: &ControlBlock) -> Result<ChildrenReply, ChildrenError> {
        self.ready(shared, block).await?;
        let Self { child } = self;
        let finished = child.take_finished().ok_or(ChildrenError::Taken)?;
        let process = &mut *block.process.lock();
        match report(process, &finished) {
            Ok(report) => {
                process.due.change(|| Change::ReportGone { pid: child.pid });
                Ok(ChildrenReply::Ended(Box::new(report)))
            }
            Err(error) => {
                child.put_back(finished);
                Err(error)
            }
        }
    }
}

/// What a parent is told, with what the child chose as values that it has not read.
fn report(process: &mut Process, finished: &Finished) -> Result<ChildReport, ChildrenError> {
    let mut keep = |bytes, media_type, label| -> Result<ValueId, ChildrenError> {
        let value = Value { bytes, media_type, label };
        let image = value.image();
        let id = process.values.insert(value, &process.limits).map_err(|_| ChildrenError::NoRoom)?;
        process.due.note(|| Note::Value(id, image));
        Ok(id)
    };
    let ended = match &finished.ended {
        Ended::Done(status, None) => ChildEnded::Done(*status, None),
        Ended::Done(status, Some(output)) => {
            ChildEnded::Done(*status, Some(keep(output.bytes.clone(), output.media_type.clone(), output.label)?))
        }
        Ended::Failed(failure) => {
            let message = keep(failure.message.as_bytes().to_vec().into(), TEXT.into(), finished.label)?;
            ChildEnded::Failed { message, retryable: failure.retryable }
        }
        Ended::Faulted(fault) => ChildEnded::Faulted(fault.clone()),
    };
    let (paid, refunded, restarts) = (finished.paid, finished.refunded, finished.restarts);
    Ok(ChildReport { ended, paid, refunded, restarts })
}
