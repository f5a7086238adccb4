//! What a process that sleeps waits for, watched in its place and not taken.

use super::{Call, Context};
use crate::{control::ControlBlock, kernel::Shared, ports::Clock, process::Process};
use remit_abi::{ChildrenRequest, HumanRequest, MailboxRequest, QuestionId, Request, ToolRequest, WaitId, WaitRequest};
use std::sync::Arc;

/// The request itself, where a process can sleep through it: no engine works for it meanwhile.
pub(crate) fn sleeps_through(request: &Request) -> Option<Request> {
    let sleeps = match request {
        Request::Mailbox(request) => {
            matches!(request, MailboxRequest::Receive { .. } | MailboxRequest::Collect { .. })
        }
        Request::Children(request) => matches!(request, ChildrenRequest::Wait { .. }),
        Request::Human(request) => matches!(request, HumanRequest::Collect { .. }),
        Request::Tool(request) => matches!(request, ToolRequest::Collect { .. }),
        Request::Wait(WaitRequest::Any { ids }) => !ids.iter().any(|id| matches!(id, WaitId::Generation(_))),
        _ => false,
    };
    sleeps.then(|| request.clone())
}

/// When a process that waits so wakes of itself, on the wall clock; `None` where only others wake it.
pub(crate) fn wakes_ns(shared: &Shared, process: &Process, request: &Request) -> Option<u64> {
    let zero_ns = i128::from(shared.zero_wall_ns(process));
    let expiry = |id: QuestionId| process.questions.get(id).map(|question| question.expires_ns());
    let moment = |id: &WaitId| match *id {
        WaitId::Timer(timer) => {
            let deadline_ns = i128::from(*process.timers.get(timer)?);
            Some(u64::try_from((zero_ns + deadline_ns).max(0)).unwrap_or(u64::MAX))
        }
        WaitId::Alarm(alarm) => process.alarms.get(alarm).map(|alarm| alarm.at_ns),
        WaitId::Question(question) => expiry(question),
        _ => None,
    };
    match request {
        Request::Wait(WaitRequest::Any { ids }) => ids.iter().filter_map(moment).min(),
        Request::Human(HumanRequest::Collect { question }) => expiry(*question),
        _ => None,
    }
}

/// What is watched; nothing where the request could be answered at once.
pub(crate) struct Watch(Option<Call>);

impl Watch {
    /// Looks everything up that a request waits for.
    pub(crate) fn of(
        shared: &Arc<Shared>,
        block: &Arc<ControlBlock>,
        process: &mut Process,
        request: &Request,
    ) -> Self {
        Self(Call::prepare(&mut Context { shared, block, process }, request).ok())
    }

    /// Waits until there is something for the process to do.
    pub(crate) async fn ready(&self, shared: &Arc<Shared>, block: &ControlBlock) {
        match &self.0 {
            Some(Call::Receive(receive)) => receive.ready(block).await,
            Some(Call::Collect(collect)) => drop(collect.ready(shared, block).await),
            Some(Call::CollectFromPeople(collect)) => collect.ready(shared).await,
            Some(Call::CollectFromTool(collect)) => collect.ready().await,
            Some(Call::WaitForChild(wait)) => drop(wait.ready(shared, block).await),
            Some(Call::Wait(wait)) => drop(wait.ready(shared, block).await),
            _ => {}
        }
    }
    /// Whether something became of a question to people that is waited for. What became of others wakes nobody.
    pub(crate) fn is_answered(&self, clock: &dyn Clock) -> bool {
        match &self.0 {
            Some(Call::CollectFromPeople(collect)) => collect.is_ready(clock),
            Some(Call::Wait(wait)) => wait.is_answered(clock),
            _ => false,
        }
    }
}
