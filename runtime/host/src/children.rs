//! `remit:kernel/children`: processes that this one starts. Linked only where a grant of kind `process` was given.
//!
//! A child lives as long as its handle, unless it is detached. What a plan gives away leaves the guest's table before the
//! kernel is asked; funds that the kernel did not take are given back as if their handle had been dropped.

use crate::{
    bindings::remit::kernel::{children, types},
    capability::{Derived, denial_to_wit},
    guest::{Guest, gone, mismatch},
    row::{ChildRow, GrantRow, PollableRow, ValueRow},
    task::{role_from_wit, status_to_wit},
};
use remit_abi::{
    CapabilityError, ChildEnded, ChildId, ChildInput, ChildReport, ChildrenError, ChildrenReply, ChildrenRequest,
    GrantId, Order, Plan, Priority, Reply, Request, Restart, WaitId,
};
use wasmtime::{Result, component::Resource};

impl Guest {
    fn call_children(&self, request: ChildrenRequest) -> Result<std::result::Result<ChildrenReply, ChildrenError>> {
        answered(self.call(&Request::Children(request))?)
    }

    async fn call_children_waiting(
        &mut self,
        request: ChildrenRequest,
    ) -> Result<std::result::Result<ChildrenReply, ChildrenError>> {
        answered(self.call_waiting(Request::Children(request)).await?)
    }

    /// A request about a live child that is answered with "done" alone.
    fn order(&self, call: &str, request: ChildrenRequest) -> Result<()> {
        match self.call_children(request)? {
            Ok(ChildrenReply::Done) => Ok(()),
            Err(ChildrenError::Dead) => Err(gone("a child")),
            _ => Err(mismatch(call)),
        }
    }

    /// Lets go of a child that nobody has a handle on any more. Of one that is gone, all is let go.
    fn let_go(&self, child: ChildId) -> Result<()> {
        match self.call_children(ChildrenRequest::Drop { child })? {
            Ok(ChildrenReply::Done) | Err(ChildrenError::Dead) => Ok(()),
            _ => Err(mismatch("child.drop")),
        }
    }

    /// A plan as the guest gives it; what it gives away leaves the table.
    fn plan(&mut self, grant: GrantId, plan: children::Plan) -> Result<Plan> {
        let input = |input: children::Input| {
            Ok(ChildInput { role: role_from_wit(input.role), content: self.content(input.content)? })
        };
        let conversation = plan.conversation.into_iter().map(input).collect::<Result<_>>()?;
        let funds = self.remove(plan.funds)?;
        Ok(Plan {
            grant,
            agent: plan.agent.into(),
            conversation,
            grants: self.passed_on(plan.grants)?,
            funds: funds.id(),
            restart: match plan.restart {
                children::Restart::Never => Restart::Never,
                children::Restart::OnFailure => Restart::OnFailure,
                children::Restart::Always => Restart::Always,
            },
            priority: match plan.priority {
                children::Priority::Background => Priority::Background,
                children::Priority::Low => Priority::Low,
                children::Priority::Normal => Priority::Normal,
                children::Priority::High => Priority::High,
            },
        })
    }

    fn report(&mut self, report: ChildReport) -> Result<children::Report> {
        let ended = match report.ended {
            ChildEnded::Done(status, output) => children::Ended::Done(children::ChildOutcome {
                status: status_to_wit(status),
                output: output.map(|output| self.push(ValueRow(output))).transpose()?,
            }),
            ChildEnded::Failed { message, retryable } => {
                children::Ended::Failed(children::ChildFailure { message: self.push(ValueRow(message))?, retryable })
            }
            ChildEnded::Faulted(fault) => children::Ended::Faulted(fault.to_string()),
        };
        Ok(children::Report {
            ended,
            paid: report.paid.micro(),
            refunded: report.refunded.micro(),
            restarts: report.restarts,
        })
    }
}

impl children::Host for Guest {
    async fn spawn(
        &mut self,
        grant: Resource<GrantRow>,
        plan: children::Plan,
    ) -> Result<std::result::Result<Resource<ChildRow>, children::SpawnError>> {
        let GrantRow(grant) = self.row(&grant)?;
        let plan = self.plan(grant, plan)?;
        match self.call_children_waiting(ChildrenRequest::Spawn(Box::new(plan))).await? {
            Ok(ChildrenReply::Spawned(child)) => self.push(ChildRow(child)).map(Ok),
            Ok(_) => Err(mismatch("children.spawn")),
            Err(error) => spawn_error_to_wit(error).map(Err),
        }
    }
}

impl children::HostChild for Guest {
    fn get_id(&mut self, handle: Resource<ChildRow>) -> Result<String> {
        let ChildRow(child) = self.row(&handle)?;
        match self.call_children(ChildrenRequest::Id { child })? {
            Ok(ChildrenReply::Id(pid)) => Ok(pid.to_string()),
            Err(ChildrenError::Dead) => Err(gone("a child")),
            _ => Err(mismatch("child.get-id")),
        }
    }

    fn get_mailbox(&mut self, handle: Resource<ChildRow>) -> Derived {
        let ChildRow(child) = self.row(&handle)?;
        let answer = match self.call_children(ChildrenRequest::Mailbox { child })? {
            Ok(ChildrenReply::Mailbox(grant)) => Ok(grant),
            Err(ChildrenError::Denied(denial)) => Err(CapabilityError::Denied(denial)),
            Err(ChildrenError::Invalid(reason)) => Err(CapabilityError::Invalid(reason)),
            Err(ChildrenError::TooMany { limit }) => Err(CapabilityError::TooMany { limit }),
            Err(ChildrenError::Dead) => return Err(gone("a child")),
            _ => return Err(mismatch("child.get-mailbox")),
        };
        self.derived(answer)
    }

    async fn wait(
        &mut self,
        handle: Resource<ChildRow>,
    ) -> Result<std::result::Result<children::Report, children::WaitError>> {
        let ChildRow(child) = self.row(&handle)?;
        match self.call_children_waiting(ChildrenRequest::Wait { child }).await? {
            Ok(ChildrenReply::Ended(report)) => self.report(*report).map(Ok),
            Err(ChildrenError::Taken) => Ok(Err(children::WaitError::Taken)),
            Err(ChildrenError::Deadlock) => Ok(Err(children::WaitError::Deadlock)),
            Err(ChildrenError::NoRoom) => Ok(Err(children::WaitError::NoRoom)),
            Err(ChildrenError::Dead) => Err(gone("a child")),
            _ => Err(mismatch("child.wait")),
        }
    }

    fn subscribe(&mut self, handle: Resource<ChildRow>) -> Result<Resource<PollableRow>> {
        let ChildRow(child) = self.row(&handle)?;
        self.push_child(PollableRow(WaitId::Child(child)), &handle)
    }

    fn signal(&mut self, handle: Resource<ChildRow>, order: children::Order) -> Result<()> {
        let ChildRow(child) = self.row(&handle)?;
        let order = match order {
            children::Order::Cancel => Order::Cancel,
            children::Order::Suspend => Order::Suspend,
            children::Order::Resume => Order::Resume,
        };
        self.order("child.signal", ChildrenRequest::Order { child, order })
    }

    fn kill(&mut self, handle: Resource<ChildRow>) -> Result<()> {
        let ChildRow(child) = self.row(&handle)?;
        self.order("child.kill", ChildrenRequest::Kill { child })
    }

    /// A child that may not live on alone ends as if its handle had been dropped.
    fn detach(&mut self, handle: Resource<ChildRow>) -> Result<std::result::Result<(), types::Denial>> {
        let ChildRow(child) = self.remove(handle)?;
        match self.call_children(ChildrenRequest::Detach { child })? {
            Ok(ChildrenReply::Done) => Ok(Ok(())),
            Err(ChildrenError::Denied(denial)) => {
                self.let_go(child)?;
                Ok(Err(denial_to_wit(denial)))
            }
            Err(ChildrenError::Dead) => Err(gone("a child")),
            _ => Err(mismatch("child.detach")),
        }
    }

    fn drop(&mut self, handle: Resource<ChildRow>) -> Result<()> {
        let ChildRow(child) = self.remove(handle)?;
        self.let_go(child)
    }
}

fn answered(reply: Reply) -> Result<std::result::Result<ChildrenReply, ChildrenError>> {
    match reply {
        Reply::Children(reply) => Ok(reply),
        _ => Err(mismatch("children")),
    }
}

fn spawn_error_to_wit(error: ChildrenError) -> Result<children::SpawnError> {
    Ok(match error {
        ChildrenError::Denied(denial) => children::SpawnError::Denied(denial_to_wit(denial)),
        ChildrenError::TooMany { limit } => children::SpawnError::TooMany(limit),
        ChildrenError::Invalid(reason) => children::SpawnError::Invalid(reason.into()),
        ChildrenError::Unavailable(reason) => children::SpawnError::Unavailable(reason.into()),
        ChildrenError::Dead => return Err(gone("an account, a grant or a value")),
        ChildrenError::Taken | ChildrenError::Deadlock | ChildrenError::NoRoom => {
            return Err(mismatch("children.spawn"));
        }
    })
}
