//! What a reply did to its process, done again from the log: the process's tables become what they were, and nobody is asked
//! anything.
//!
//! A reply that was an error did nothing, but for the few that say so here. Objects are put into tables in the order in which they
//! were, so that they get the ids that they had; where they do not, the process is not what it was.

use super::{
    Context, alarm, budget, context,
    generate::{Delivery, Generate},
    passing,
    streaming::Streaming,
    task,
};
use crate::{
    mailbox::Select,
    ports::{ContextImage, ModelImage, Note, PageStep, Position, Told, ValueImage},
    process::{Child, Held, OpenModel, Process, Value},
    replay::Links,
};
use remit_abi::{
    BudgetReply, BudgetRequest, CapabilityReply, CapabilityRequest, CheckpointRequest, ChildEnded, ChildrenReply,
    ChildrenRequest, ClockReply, ClockRequest, Completion, ContextError, ContextReply, ContextRequest, Delta,
    FileReply, FuelReply, GenerationId, HumanReply, HumanRequest, Incoming, LlmError, LlmReply, LlmRequest,
    MailboxError, MailboxReply, MailboxRequest, MemoryReply, Reply, Request, Said, TaskRequest, ToolReply, ToolRequest,
    ValueId, limits,
};
use std::sync::Arc;

/// What stands behind the ids of one reply, in its order.
struct Notes<'a>(std::slice::Iter<'a, Note>);

/// What is missing in the log, or not as it was.
type Again = Result<(), &'static str>;

const MISSING: &str = "the log does not say what came with the reply";
const OTHER_ID: &str = "what came with the reply has another id now";
const PURGED: &str = "it was told what has been purged since: it can only be started anew";

impl Notes<'_> {
    fn value(&mut self) -> Result<(ValueId, ValueImage), &'static str> {
        match self.0.next() {
            Some(Note::Value(id, image) | Note::Remembered(id, _, Some(image))) => Ok((*id, image.clone())),
            Some(Note::Remembered(_, _, None)) => Err(PURGED),
            _ => Err(MISSING),
        }
    }

    fn model(&mut self) -> Result<ModelImage, &'static str> {
        match self.0.next() {
            Some(Note::Model(image)) => Ok(image.clone()),
            _ => Err(MISSING),
        }
    }

    fn call(&mut self) -> Result<u64, &'static str> {
        match self.0.next() {
            Some(Note::Call(number)) => Ok(*number),
            _ => Err(MISSING),
        }
    }

    fn question(&mut self) -> Result<u64, &'static str> {
        match self.0.next() {
            Some(Note::Question(number)) => Ok(*number),
            _ => Err(MISSING),
        }
    }

    fn called_tool(&mut self) -> Result<u64, &'static str> {
        match self.0.next() {
            Some(Note::CalledTool(called)) => Ok(called.number),
            _ => Err(MISSING),
        }
    }

    fn context(&mut self) -> Option<&ContextImage> {
        self.0.find_map(|note| match note {
            Note::Context(image) => Some(image),
            _ => None,
        })
    }

    fn steps(&mut self) -> Result<&[PageStep], &'static str> {
        let steps = self.0.find_map(|note| match note {
            Note::Paged(steps) => Some(&**steps),
            _ => None,
        });
        steps.ok_or(MISSING)
    }

    fn child(&mut self) -> Result<remit_abi::Pid, &'static str> {
        match self.0.next() {
            Some(Note::Child(pid)) => Ok(*pid),
            _ => Err(MISSING),
        }
    }

    /// Takes in all grants that come next.
    fn adopt_grants(&mut self, process: &mut Process) {
        while let Some(Note::Grant(held)) = self.0.as_slice().first() {
            self.0.next();
            process.grants.adopt(Held::from(held.clone()));
        }
    }

    /// Takes in the value that comes next, where the reply names one.
    fn insert_value(&mut self, process: &mut Process, named: Option<ValueId>) -> Again {
        let Some(named) = named else { return Ok(()) };
        let (id, image) = self.value()?;
        let inserted = process.values.insert(Value::from(image), &process.limits);
        same(&inserted.map_err(|_| OTHER_ID)?, &id)?;
        same(&id, &named)
    }
}

fn same<T: PartialEq>(now: &T, then: &T) -> Again {
    if now == then { Ok(()) } else { Err(OTHER_ID) }
}

/// Does again what the reply did to its process.
pub(crate) fn again(context: &mut Context<'_>, links: &Links, request: &Request, told: &Told<'_>) -> Again {
    let mut notes = Notes(told.notes.iter());
    match (request, &*told.reply) {
        (Request::Llm(LlmRequest::Next { generation }), Reply::Llm(reply)) => {
            read(context.process, *generation, reply.as_ref())
        }
        (Request::Llm(LlmRequest::Cancel { generation }), Reply::Llm(Ok(_))) => {
            context.process.generations.get(*generation).ok_or(OTHER_ID)?.cancel();
            Ok(())
        }
        (Request::Llm(request), Reply::Llm(Ok(reply))) => llm(context, request, reply, &mut notes),
        (Request::Mailbox(request), Reply::Mailbox(reply)) => {
            mailbox(context, links, request, reply.as_ref(), &mut notes)
        }
        (Request::Children(request), Reply::Children(reply)) => {
            children(context, links, request, reply.as_ref().ok(), &mut notes)
        }
        (Request::Human(request), Reply::Human(Ok(reply))) => human(context, links, request, reply, &mut notes),
        (Request::Tool(request), Reply::Tool(Ok(reply))) => tool(context, links, request, reply, &mut notes),
        (Request::Memory(_), Reply::Memory(Ok(reply))) => {
            let hits = match reply {
                MemoryReply::Got(hit) => std::slice::from_ref(hit),
                MemoryReply::Found(hits) => hits,
                _ => &[],
            };
            if let MemoryReply::Cited(cited) = reply {
                context.process.bill.cited(cited.offset.is_some());
            }
            hits.iter().try_for_each(|hit| notes.insert_value(context.process, Some(hit.content)))
        }
        (Request::File(_), Reply::File(Ok(FileReply::Read { content, .. }))) => {
            notes.insert_value(context.process, Some(*content))
        }
        (Request::Context(request), Reply::Context(reply)) => {
            contexts(context.process, request, reply.as_ref(), &mut notes)
        }
        (Request::Budget(request), Reply::Budget(Ok(reply))) => {
            budgets(context, links, request, reply);
            Ok(())
        }
        (Request::Capability(request), Reply::Capability(Ok(reply))) => {
            match (request, reply) {
                (CapabilityRequest::Discard { grant }, CapabilityReply::Discarded) => {
                    context.process.grants.remove(*grant);
                }
                _ => notes.adopt_grants(context.process),
            }
            Ok(())
        }
        (Request::Process(_), Reply::Process(Ok(_))) => {
            notes.adopt_grants(context.process);
            Ok(())
        }
        (Request::Alarm(request), reply @ Reply::Alarm(Ok(_))) => {
            same(&Reply::Alarm(alarm::act(context, request)), reply)
        }
        (Request::Task(request), Reply::Task(Ok(()))) => shown(context, request),
        (Request::Checkpoint(CheckpointRequest::Commit { state }), Reply::Checkpoint(Ok(()))) => {
            context.process.checkpoint = Some(state.clone());
            Ok(())
        }
        (Request::Clock(request), Reply::Clock(reply)) => clock(context, request, *reply),
        (Request::Fuel(_), Reply::Fuel(FuelReply::Granted)) => {
            context.process.bill.bought_before(limits::FUEL_SLICE);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn llm(context: &mut Context<'_>, request: &LlmRequest, reply: &LlmReply, notes: &mut Notes<'_>) -> Again {
    match (request, reply) {
        (LlmRequest::Open { grant }, LlmReply::Opened(model)) => {
            let open = OpenModel::of_image(*grant, notes.model()?);
            same(&context.process.models.insert(open), model)
        }
        (LlmRequest::Chat(_), LlmReply::Completed(Completion { content, calls, logprobs, summary })) => {
            context.process.bill.did_before(summary.usage);
            let mut named = [Some(*content), *calls, *logprobs].into_iter();
            named.try_for_each(|named| notes.insert_value(context.process, named))
        }
        (LlmRequest::Start(generate), LlmReply::Started(generation)) => {
            let again = Generate::prepare(context, generate, Delivery::Stream).map_err(|_| OTHER_ID)?;
            same(&context.process.generations.insert(Streaming::cut(again)), generation)
        }
        _ => Ok(()),
    }
}

/// What was told from outside is taken again; a turn that failed kept what it had paged.
fn contexts(
    process: &mut Process,
    request: &ContextRequest,
    reply: Result<&ContextReply, &ContextError>,
    notes: &mut Notes<'_>,
) -> Again {
    match (request, reply) {
        (ContextRequest::Chat { context, .. }, Ok(ContextReply::Answered(answering))) => {
            let Completion { content, calls, logprobs, .. } = answering.completion;
            let mut named = [Some(content), calls, logprobs].into_iter();
            named.try_for_each(|named| notes.insert_value(process, named))?;
            context::turned_again(process, *context, Some(answering), notes.steps()?).map_err(|_| OTHER_ID)
        }
        (ContextRequest::Chat { context, .. }, Err(_)) => match notes.steps() {
            Ok(steps) => context::turned_again(process, *context, None, steps).map_err(|_| OTHER_ID),
            Err(_) => Ok(()),
        },
        (_, Ok(reply)) => {
            let now = context::said_again(process, request, reply, notes.context());
            same(&now.as_ref(), &Ok(reply))
        }
        (_, Err(_)) => Ok(()),
    }
}

/// What was read of a generation.
fn read(process: &Process, generation: GenerationId, reply: Result<&LlmReply, &LlmError>) -> Again {
    let delta = match reply {
        Ok(LlmReply::Next(delta)) => Ok(delta),
        Ok(_) => return Err(OTHER_ID),
        Err(error) => Err(error),
    };
    if let Ok(Delta::End(summary)) = delta {
        process.bill.did_before(summary.usage);
    }
    match process.generations.get(generation) {
        Some(Streaming::Cut(cut)) => {
            cut.was_read(delta);
            Ok(())
        }
        // What it was told then: that there is no such generation.
        _ if delta.is_err() => Ok(()),
        _ => Err(OTHER_ID),
    }
}

fn mailbox(
    context: &mut Context<'_>,
    links: &Links,
    request: &MailboxRequest,
    reply: Result<&MailboxReply, &MailboxError>,
    notes: &mut Notes<'_>,
) -> Again {
    let process = &mut *context.process;
    match (request, reply) {
        (MailboxRequest::Send { message, .. } | MailboxRequest::TrySend { message, .. }, Ok(MailboxReply::Done)) => {
            passing::give(process, &message.grants);
            Ok(())
        }
        (MailboxRequest::Call { message, .. }, Ok(MailboxReply::Called(call))) => {
            passing::give(process, &message.grants);
            let pending = links.call(notes.call()?);
            same(&process.calls.insert(pending), call)
        }
        (_, Ok(MailboxReply::Received(incoming))) => {
            let Incoming { body, answer, .. } = &**incoming;
            notes.insert_value(process, Some(*body))?;
            notes.adopt_grants(process);
            match answer {
                Some(answer) => {
                    let waiting = links.answer(notes.call()?);
                    same(&process.answers.insert(waiting), answer)
                }
                None => Ok(()),
            }
        }
        (MailboxRequest::Watch { filter }, Ok(MailboxReply::Watching(watch))) => {
            same(&process.watches.insert(Arc::new(Select::of(filter))), watch)
        }
        (MailboxRequest::DropWatch { watch }, Ok(_)) => {
            process.watches.remove(*watch);
            Ok(())
        }
        (MailboxRequest::DropAnswer { answer }, Ok(_))
        | (MailboxRequest::Reply { answer, .. }, Err(MailboxError::Gone)) => {
            process.answers.remove(*answer);
            Ok(())
        }
        (MailboxRequest::Reply { answer, message }, Ok(_)) => {
            process.answers.remove(*answer);
            passing::give(process, &message.grants);
            Ok(())
        }
        (MailboxRequest::DropCall { call }, Ok(_)) => {
            process.calls.remove(*call);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn children(
    context: &mut Context<'_>,
    links: &Links,
    request: &ChildrenRequest,
    reply: Option<&ChildrenReply>,
    notes: &mut Notes<'_>,
) -> Again {
    match (request, reply) {
        (ChildrenRequest::Spawn(plan), Some(ChildrenReply::Spawned(child))) => {
            let block = links.child(context.shared, notes.child()?, plan.funds);
            let process = &mut *context.process;
            passing::give(process, &plan.grants);
            process.parts.retain(|part| *part != plan.funds);
            same(&process.children.insert(Child { block, grant: plan.grant }), child)
        }
        // The funds were given back.
        (ChildrenRequest::Spawn(plan), None) => {
            context.process.parts.retain(|part| *part != plan.funds);
            Ok(())
        }
        (ChildrenRequest::Wait { child }, Some(ChildrenReply::Ended(report))) => {
            let process = &mut *context.process;
            let taken = process.children.get(*child).and_then(|child| child.block.take_finished());
            drop(taken);
            match &report.ended {
                ChildEnded::Done(_, output) => notes.insert_value(process, *output),
                ChildEnded::Failed { message, .. } => notes.insert_value(process, Some(*message)),
                ChildEnded::Faulted(_) => Ok(()),
            }
        }
        (ChildrenRequest::Detach { child } | ChildrenRequest::Drop { child }, Some(_)) => {
            context.process.children.remove(*child);
            Ok(())
        }
        (_, Some(_)) => {
            notes.adopt_grants(context.process);
            Ok(())
        }
        (_, None) => Ok(()),
    }
}

fn human(
    context: &mut Context<'_>,
    links: &Links,
    request: &HumanRequest,
    reply: &HumanReply,
    notes: &mut Notes<'_>,
) -> Again {
    let process = &mut *context.process;
    match (request, reply) {
        (_, HumanReply::Asked(question)) => {
            let pending = links.question(notes.question()?);
            same(&process.questions.insert(pending), question)
        }
        (_, HumanReply::Answered(answered)) => match answered.said {
            Said::Text(words) | Said::Rejected(words) => notes.insert_value(process, Some(words)),
            Said::Choice(_) | Said::ApprovedOnce | Said::ApprovedAlways => Ok(()),
        },
        (HumanRequest::Drop { question }, HumanReply::Done) => {
            process.questions.remove(*question);
            Ok(())
        }
        (_, HumanReply::Done) => Ok(()),
    }
}

fn tool(
    context: &mut Context<'_>,
    links: &Links,
    request: &ToolRequest,
    reply: &ToolReply,
    notes: &mut Notes<'_>,
) -> Again {
    let process = &mut *context.process;
    match (request, reply) {
        (_, ToolReply::Called(call)) => {
            let pending = links.tool_call(notes.called_tool()?);
            same(&process.tool_calls.insert(pending), call)
        }
        (_, ToolReply::Returned(said) | ToolReply::Failed(said)) => notes.insert_value(process, Some(*said)),
        (ToolRequest::Drop { call }, ToolReply::Done) => {
            process.tool_calls.remove(*call);
            Ok(())
        }
        (_, ToolReply::Done | ToolReply::Described(_)) => Ok(()),
    }
}

fn budgets(context: &mut Context<'_>, links: &Links, request: &BudgetRequest, reply: &BudgetReply) {
    let process = &mut *context.process;
    match (request, reply) {
        // A part that another process split off is not its own.
        (_, BudgetReply::Split(_)) if links.is_anothers() => {}
        (_, BudgetReply::Split(part)) => process.parts.push(*part),
        (BudgetRequest::Merge { account }, _) => process.parts.retain(|part| part != account),
        // Where it is in what is told again does not matter: it is the last one that holds.
        (BudgetRequest::SetSoftLimit { .. }, _) => drop(budget::act(context, request)),
        _ => {}
    }
}

/// It was shown, and is kept for whoever asks later.
fn shown(context: &mut Context<'_>, request: &TaskRequest) -> Again {
    if context.process.is_silent {
        return Ok(());
    }
    let emit = task::Emit::prepare(context.process, request).map_err(|_| OTHER_ID)?;
    context.block.outlet.keep(emit.into_event(), false, Position::default());
    Ok(())
}

fn clock(context: &mut Context<'_>, request: &ClockRequest, reply: ClockReply) -> Again {
    let process = &mut *context.process;
    match (request, reply) {
        (ClockRequest::StartTimer { deadline_ns }, ClockReply::Timer(timer)) => {
            same(&process.timers.insert(*deadline_ns), &timer)
        }
        (_, ClockReply::Monotonic(read_ns)) => {
            process.clock_reads_at_least(read_ns, context.shared.ports.clock.monotonic_ns());
            Ok(())
        }
        _ => Ok(()),
    }
}
