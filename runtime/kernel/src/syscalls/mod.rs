//! What is particular to each syscall, one file per interface. The steps that all share are in [`crate::dispatch`].
//!
//! A syscall that never waits is one function over the process's tables. One that may wait is a [`Call`]: its request with
//! everything looked up, so that nothing of the process stays locked while it waits.

mod again;
mod alarm;
mod budget;
mod capability;
mod checkpoint;
mod children;
mod clock;
mod context;
mod embed;
mod files;
mod fuel;
mod generate;
mod human;
mod llm;
mod mailbox;
mod memory;
mod params;
mod passing;
mod process;
mod prompt;
mod random;
mod route;
mod streaming;
mod task;
mod tool;
mod toolset;
mod trace;
mod value;
mod wait;
mod watch;

pub(crate) use again::again;
pub(crate) use memory::{check_filter, check_particulars, check_search, vector_of};
pub use params::validate_params;
pub(crate) use streaming::Streaming;
pub(crate) use watch::{Watch, sleeps_through, wakes_ns};

use crate::{
    bill::{Quote, Reservation},
    control::ControlBlock,
    kernel::Shared,
    process::Process,
};
use remit_abi::{
    Access, CapabilityError, ChildrenError, ChildrenRequest, ContextRequest, Denial, FileError, FuelReply, GrantId,
    GrantKind, HumanError, HumanRequest, Label, LlmError, LlmRequest, MailboxError, MailboxRequest, MemoryError, Reply,
    Request, Shortfall, Tokens, ToolError, ToolRequest, WaitRequest,
};
use std::sync::Arc;

/// What a syscall needs a right to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Nothing but its own process.
    None,
    /// A grant that would still open something. No use is counted.
    Look { grant: GrantId, kind: GrantKind },
    /// A use of a grant: of the thing that [`used_name`] says, with so many output tokens, with data of this label.
    Use { grant: GrantId, kind: GrantKind, access: Access, tokens: u32, label: Label },
}

impl Right {
    /// Under which grant.
    pub(crate) const fn grant(self) -> Option<GrantId> {
        match self {
            Self::None => None,
            Self::Look { grant, .. } | Self::Use { grant, .. } => Some(grant),
        }
    }
}

/// What an act may touch.
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) block: &'a Arc<ControlBlock>,
    pub(crate) process: &'a mut Process,
}

/// Step 1: whether what the guest says is possible at all. The error is the reply.
pub(crate) fn validate(process: &Process, request: &Request) -> Result<(), Reply> {
    match request {
        Request::Value(request) => value::validate(request).map_err(|error| Reply::Value(Err(error))),
        Request::Llm(request) => llm::validate(process, request).map_err(|error| Reply::Llm(Err(error))),
        Request::Children(request) => children::validate(process, request).map_err(|error| Reply::Children(Err(error))),
        Request::Mailbox(request) => mailbox::validate(process, request).map_err(|error| Reply::Mailbox(Err(error))),
        Request::Human(request) => human::validate(process, request).map_err(|error| Reply::Human(Err(error))),
        Request::Tool(request) => tool::validate(process, request).map_err(|error| Reply::Tool(Err(error))),
        Request::Memory(request) => memory::validate(process, request).map_err(|error| Reply::Memory(Err(error))),
        Request::File(request) => files::validate(request).map_err(|error| Reply::File(Err(error))),
        Request::Context(request) => context::validate(process, request).map_err(|error| Reply::Context(Err(error))),
        Request::Alarm(request) => alarm::validate(process, request).map_err(|error| Reply::Alarm(Err(error))),
        Request::Task(request) => task::validate(process, request).map_err(|error| Reply::Task(Err(error))),
        Request::Checkpoint(request) => checkpoint::validate(request).map_err(|error| Reply::Checkpoint(Err(error))),
        Request::Clock(request) => clock::validate(process, request).map_err(Reply::Fault),
        Request::Random(request) => random::validate(request).map_err(Reply::Fault),
        Request::Wait(request) => wait::validate(process, request).map_err(Reply::Fault),
        Request::Capability(_) | Request::Budget(_) | Request::Process(_) | Request::Trace(_) | Request::Fuel(_) => {
            Ok(())
        }
    }
}

/// Step 2 asks for this. The error is the reply.
pub(crate) fn right(context: &Context<'_>, request: &Request) -> Result<Right, Reply> {
    match request {
        Request::Llm(request) => Ok(llm::right(context.process, request)),
        Request::Capability(request) => Ok(capability::right(context, request)),
        Request::Children(request) => Ok(children::right(context.process, request)),
        Request::Mailbox(request) => Ok(mailbox::right(context.process, request)),
        Request::Human(request) => Ok(human::right(context.process, request)),
        Request::Tool(request) => Ok(tool::right(context, request)),
        Request::Memory(request) => Ok(memory::right(context.process, request)),
        Request::Context(request) => Ok(context::right(context.process, request)),
        Request::File(request) => Ok(files::right(request)),
        _ => Ok(Right::None),
    }
}

/// The single thing that a request uses, where the guest names one.
pub(crate) fn used_name(request: &Request) -> Option<&str> {
    match request {
        Request::Children(ChildrenRequest::Spawn(plan)) => Some(&plan.agent),
        Request::File(request) => Some(request.path()),
        _ => None,
    }
}

/// The reply to a request whose right is missing.
pub(crate) fn denied(request: &Request, denial: Denial) -> Reply {
    match request {
        Request::Llm(_) => Reply::Llm(Err(denial.into())),
        Request::Children(_) => Reply::Children(Err(denial.into())),
        Request::Mailbox(_) => Reply::Mailbox(Err(denial.into())),
        Request::Human(_) => Reply::Human(Err(denial.into())),
        Request::Tool(_) => Reply::Tool(Err(denial.into())),
        Request::Memory(_) => Reply::Memory(Err(denial.into())),
        Request::Context(_) => Reply::Context(Err(denial.into())),
        Request::File(_) => Reply::File(Err(denial.into())),
        _ => Reply::Capability(Err(CapabilityError::Denied(denial))),
    }
}

/// The reply to a request that the account cannot pay.
pub(crate) fn unpaid(request: &Request, shortfall: Shortfall) -> Reply {
    match request {
        Request::Llm(_) => Reply::Llm(Err(LlmError::Shortfall(shortfall))),
        Request::Children(_) => Reply::Children(Err(ChildrenError::Invalid(shortfall.to_string().into()))),
        Request::Mailbox(_) => Reply::Mailbox(Err(MailboxError::Invalid(shortfall.to_string().into()))),
        Request::Human(_) => Reply::Human(Err(HumanError::Invalid(shortfall.to_string().into()))),
        Request::Tool(_) => Reply::Tool(Err(ToolError::Invalid(shortfall.to_string().into()))),
        Request::Memory(_) => Reply::Memory(Err(MemoryError::Shortfall(shortfall))),
        Request::Context(_) => Reply::Context(Err(shortfall.into())),
        Request::File(_) => Reply::File(Err(FileError::Invalid(shortfall.to_string().into()))),
        _ => Reply::Fuel(FuelReply::Refused(shortfall)),
    }
}

/// Steps 3 and 4 of a syscall that never waits.
pub(crate) fn act(context: &mut Context<'_>, request: &Request) -> Reply {
    match request {
        Request::Value(request) => Reply::Value(value::act(context, request)),
        Request::Capability(request) => Reply::Capability(capability::act(context, request)),
        Request::Budget(request) => Reply::Budget(budget::act(context, request)),
        Request::Llm(request) => Reply::Llm(llm::act(context, request)),
        Request::Process(request) => Reply::Process(process::act(context, *request)),
        Request::Children(request) => Reply::Children(children::act(context, request)),
        Request::Mailbox(request) => Reply::Mailbox(mailbox::act(context, request)),
        Request::Human(request) => Reply::Human(human::act(context, request)),
        Request::Tool(request) => Reply::Tool(tool::act(context, request)),
        Request::Alarm(request) => Reply::Alarm(alarm::act(context, request)),
        Request::Trace(request) => trace::act(context, request),
        Request::Clock(request) => clock::act(context, request),
        Request::Random(request) => random::act(context, request),
        Request::Wait(request) => wait::act(context, request),
        Request::Context(request) => Reply::Context(context::act(context, request)),
        Request::Fuel(request) => Reply::Fuel(fuel::act(context, *request)),
        Request::Task(_) | Request::Checkpoint(_) | Request::Memory(_) | Request::File(_) => {
            unreachable!("a request that may wait becomes a call")
        }
    }
}

/// After a call that may have waited: what is undone where it failed.
pub(crate) fn settle(context: &mut Context<'_>, request: &Request, reply: &Reply) {
    if let (Request::Children(ChildrenRequest::Spawn(plan)), Reply::Children(Err(_))) = (request, reply) {
        budget::give_back(context, plan.funds);
    }
}

/// A syscall that may wait, with everything that it needs taken out of the process.
pub(crate) enum Call {
    Count(llm::Count),
    Generate(Box<generate::Generate>),
    Embed(embed::Embed),
    Next(llm::Next),
    Spawn(children::Spawn),
    WaitForChild(children::WaitForChild),
    Send(mailbox::Send),
    Receive(mailbox::Receive),
    Collect(mailbox::Collect),
    CollectFromPeople(human::Collect),
    CollectFromTool(tool::Collect),
    Memory(Box<memory::Work>),
    Files(Box<files::Work>),
    Say(Box<context::Say>),
    Turn(Box<context::Turn>),
    Emit(task::Emit),
    Commit(checkpoint::Commit),
    Wait(wait::Wait),
}

impl Call {
    /// Looks everything up. The error is the reply.
    pub(crate) fn prepare(context: &mut Context<'_>, request: &Request) -> Result<Self, Reply> {
        match request {
            Request::Llm(request) => Self::of_llm(context, request).map_err(|error| Reply::Llm(Err(error))),
            Request::Children(request) => Self::of_children(context, request).map_err(|e| Reply::Children(Err(e))),
            Request::Mailbox(request) => Self::of_mailbox(context, request).map_err(|error| Reply::Mailbox(Err(error))),
            Request::Human(HumanRequest::Collect { question }) => {
                let collect = human::Collect::prepare(context.process, *question).map(Self::CollectFromPeople);
                collect.map_err(|error| Reply::Human(Err(error)))
            }
            Request::Tool(ToolRequest::Collect { call }) => {
                let collect = tool::Collect::prepare(context.process, *call).map(Self::CollectFromTool);
                collect.map_err(|error| Reply::Tool(Err(error)))
            }
            Request::Memory(request) => {
                let work = memory::Work::prepare(context, request).map(Box::new).map(Self::Memory);
                work.map_err(|error| Reply::Memory(Err(error)))
            }
            Request::File(request) => {
                let work = files::Work::prepare(context, request).map(Box::new).map(Self::Files);
                work.map_err(|error| Reply::File(Err(error)))
            }
            Request::Context(ContextRequest::Chat { context: id, turn }) => {
                let turn = context::Turn::prepare(context, *id, turn).map(Box::new).map(Self::Turn);
                turn.map_err(|error| Reply::Context(Err(error)))
            }
            Request::Context(request) => {
                let say = context::Say::prepare(context, request).map(Box::new).map(Self::Say);
                say.map_err(|error| Reply::Context(Err(error)))
            }
            Request::Task(request) => {
                task::Emit::prepare(context.process, request).map(Self::Emit).map_err(|e| Reply::Task(Err(e)))
            }
            Request::Checkpoint(request) => Ok(Self::Commit(checkpoint::Commit::prepare(request))),
            Request::Wait(WaitRequest::Any { ids }) => Ok(Self::Wait(wait::Wait::prepare(context, ids))),
            _ => unreachable!("a request that never waits is acted on at once"),
        }
    }

    fn of_llm(context: &Context<'_>, request: &LlmRequest) -> Result<Self, LlmError> {
        let process = &*context.process;
        match request {
            LlmRequest::CountTokens { model, prompt } => llm::Count::prepare(context, *model, prompt).map(Self::Count),
            LlmRequest::Chat(generate) => generate::Generate::prepare(context, generate, generate::Delivery::Whole)
                .map(Box::new)
                .map(Self::Generate),
            LlmRequest::Start(generate) => generate::Generate::prepare(context, generate, generate::Delivery::Stream)
                .map(Box::new)
                .map(Self::Generate),
            LlmRequest::Embed { model, texts } => embed::Embed::prepare(process, *model, texts).map(Self::Embed),
            LlmRequest::Next { generation } => llm::Next::prepare(process, *generation).map(Self::Next),
            _ => unreachable!("a request that never waits is acted on at once"),
        }
    }

    fn of_children(context: &mut Context<'_>, request: &ChildrenRequest) -> Result<Self, ChildrenError> {
        match request {
            ChildrenRequest::Spawn(plan) => children::Spawn::prepare(context, plan).map(Self::Spawn),
            ChildrenRequest::Wait { child } => {
                children::WaitForChild::prepare(context.process, *child).map(Self::WaitForChild)
            }
            _ => unreachable!("a request that never waits is acted on at once"),
        }
    }

    fn of_mailbox(context: &mut Context<'_>, request: &MailboxRequest) -> Result<Self, MailboxError> {
        match request {
            MailboxRequest::Send { to, message } => mailbox::Send::prepare(context, *to, message, None).map(Self::Send),
            MailboxRequest::Call { to, message, timeout_ns } => {
                mailbox::Send::prepare(context, *to, message, Some(*timeout_ns)).map(Self::Send)
            }
            MailboxRequest::Receive { filter } => Ok(Self::Receive(mailbox::Receive::prepare(filter))),
            MailboxRequest::Collect { call } => mailbox::Collect::prepare(context.process, *call).map(Self::Collect),
            _ => unreachable!("a request that never waits is acted on at once"),
        }
    }

    /// Step 3's question: what it may cost. Work that is needed to know is done here, unlocked.
    pub(crate) fn quote(&mut self, shared: &Shared) -> Result<Quote, Reply> {
        match self {
            Self::Count(count) => Ok(count.quote(shared)),
            Self::Generate(generate) => generate.quote(shared).map_err(|error| Reply::Llm(Err(error))),
            Self::Embed(embed) => embed.quote(shared).map_err(|error| Reply::Llm(Err(error))),
            Self::Send(send) => Ok(send.quote(shared)),
            Self::Say(say) => Ok(say.quote(shared)),
            Self::Memory(work) => work.quote(shared).map_err(|error| Reply::Memory(Err(error))),
            // It pays for each of its generations by itself.
            Self::Turn(_)
            | Self::Files(_)
            | Self::Next(_)
            | Self::Spawn(_)
            | Self::WaitForChild(_)
            | Self::Receive(_)
            | Self::Collect(_)
            | Self::CollectFromPeople(_)
            | Self::CollectFromTool(_)
            | Self::Emit(_)
            | Self::Commit(_)
            | Self::Wait(_) => Ok(Quote::exactly(Tokens::ZERO)),
        }
    }

    /// Step 4.
    pub(crate) async fn act(self, shared: &Arc<Shared>, block: &Arc<ControlBlock>, reserved: Reservation) -> Reply {
        match self {
            Self::Count(count) => Reply::Llm(count.act(shared, reserved)),
            Self::Generate(generate) => Reply::Llm(generate.act(shared, block, reserved).await),
            Self::Embed(embed) => Reply::Llm(embed.act(shared, block, reserved).await),
            Self::Next(next) => Reply::Llm(next.act(shared, block).await),
            Self::Spawn(spawn) => Reply::Children(spawn.act(shared, block).await),
            Self::WaitForChild(wait) => Reply::Children(wait.act(shared, block).await),
            Self::Send(send) => Reply::Mailbox(send.act(shared, block, reserved).await),
            Self::Receive(receive) => Reply::Mailbox(receive.act(shared, block).await),
            Self::Collect(collect) => Reply::Mailbox(collect.act(shared, block).await),
            Self::CollectFromPeople(collect) => Reply::Human(collect.act(shared, block).await),
            Self::CollectFromTool(collect) => Reply::Tool(collect.act(shared, block).await),
            Self::Memory(work) => Reply::Memory(work.act(shared, block, reserved).await),
            Self::Files(work) => Reply::File(work.act(shared, block).await),
            Self::Say(say) => Reply::Context(say.act(shared, block, reserved)),
            Self::Turn(turn) => Reply::Context(turn.act(shared, block).await),
            Self::Emit(emit) => Reply::Task(emit.act(block).await),
            Self::Commit(commit) => Reply::Checkpoint(commit.act(shared, block).await),
            Self::Wait(wait) => wait.act(shared, block).await,
        }
    }
}
