//! Where a run's time and tokens went, as a tree made of its log.
//!
//! A log has answers, each with the moment it was given; so a step lasts from the answer before it to its own, the guest's computing
//! included. Three things last for longer than one step, and are spans from their first answer to their last: the stream of a model's
//! answer, the call of a tool, and the life of a child. Steps of one kind that follow each other are one span with a count.

use remit_abi::{
    ChildId, ChildrenReply, ChildrenRequest, Delta, GenerationId, LlmReply, LlmRequest, Pid, Reply, Request, Tokens,
    Usage,
};
use remit_kernel::{
    Run,
    ports::{Entry, Note, Told},
};
use std::collections::HashMap;

/// A part of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// What it is: an interface's name, `answer of MODEL`, `tool NAME`, or `child`.
    pub name: String,
    /// When it began, on the wall clock.
    pub began_ns: u64,
    /// When it ended, as far as the log goes.
    pub ended_ns: u64,
    /// How many answers it is made of.
    pub steps: u32,
    /// What models did.
    pub usage: Usage,
    /// What the process paid by its answers; of a child, what that spent.
    pub paid: Tokens,
    /// The process that a child is: its own log says more.
    pub child: Option<Pid>,
}

/// A run: all of it, and its parts in the order in which they began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// All of it. What it paid does not include what its children spent.
    pub whole: Span,
    /// Its parts, without the slices of fuel.
    pub parts: Vec<Span>,
    /// How many slices of fuel it bought.
    pub fuel_slices: u32,
}

/// What an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Lasting {
    Generation(GenerationId),
    Tool(u64),
    Child(ChildId),
}

/// Where the time and the tokens of a run went.
#[must_use]
pub fn spans(run: &Run) -> Spans {
    let whole = Span { name: "run".to_owned(), began_ns: run.at_ns, ended_ns: run.at_ns, ..Span::default() };
    let mut tree = Tree { spans: Spans { whole, ..Spans::default() }, lasting: HashMap::new(), last_ns: run.at_ns };
    for line in &run.lines {
        match &line.entry {
            Entry::Told(told) => tree.told(told, line.at_ns),
            Entry::Exited(_) => tree.spans.whole.ended_ns = line.at_ns,
            _ => {}
        }
        tree.last_ns = line.at_ns;
    }
    tree.spans
}

struct Tree {
    spans: Spans,
    /// The places of those that may go on.
    lasting: HashMap<Lasting, usize>,
    last_ns: u64,
}

impl Tree {
    fn told(&mut self, told: &Told<'_>, at_ns: u64) {
        let (reply, usage) = (&*told.reply, usage_of(told));
        let whole = &mut self.spans.whole;
        (whole.ended_ns, whole.steps) = (at_ns, whole.steps.saturating_add(1));
        whole.paid = whole.paid.saturating_add(told.paid);
        whole.usage = whole.usage.plus(usage);
        if matches!(reply, Reply::Fuel(_)) {
            self.spans.fuel_slices = self.spans.fuel_slices.saturating_add(1);
            return;
        }
        let span = Span {
            name: name_of(told),
            began_ns: self.last_ns,
            ended_ns: at_ns,
            steps: 1,
            usage,
            paid: told.paid,
            child: child_of(told),
        };
        let lasting = lasting_of(told);
        let place = lasting.and_then(|lasting| self.lasting.get(&lasting).copied());
        let same = || {
            let place = self.spans.parts.len().checked_sub(1)?;
            let is_same = self.spans.parts.last().is_some_and(|last| last.name == span.name);
            (lasting.is_none() && is_same && !self.lasting.values().any(|other| *other == place)).then_some(place)
        };
        let place = place.or_else(same);
        match place.and_then(|place| self.spans.parts.get_mut(place)) {
            Some(part) => part.take(&span, reply),
            None => {
                self.lasting.extend(lasting.map(|lasting| (lasting, self.spans.parts.len())));
                self.spans.parts.push(span);
            }
        }
    }
}

impl Span {
    /// Goes on with one more answer.
    fn take(&mut self, more: &Self, reply: &Reply) {
        self.ended_ns = more.ended_ns;
        self.steps = self.steps.saturating_add(more.steps);
        self.usage = self.usage.plus(more.usage);
        // What a child spent was the parent's before, and is not paid by being told of it.
        self.paid = match reply {
            Reply::Children(Ok(ChildrenReply::Ended(report))) => report.paid,
            _ => self.paid.saturating_add(more.paid),
        };
    }
}

/// What a model did, where an answer tells that it is done.
fn usage_of(told: &Told<'_>) -> Usage {
    match &*told.reply {
        Reply::Llm(Ok(LlmReply::Completed(completion))) => completion.summary.usage,
        Reply::Llm(Ok(LlmReply::Next(Delta::End(summary)))) => summary.usage,
        // A stream that goes on has been told of by what it did so far.
        Reply::Llm(Ok(LlmReply::Started(_) | LlmReply::Next(_))) => Usage::default(),
        _ => used(told).map(|(_, usage)| usage).unwrap_or_default(),
    }
}

/// The model that an answer tells of, with what it did.
fn used<'t>(told: &'t Told<'_>) -> Option<(&'t str, Usage)> {
    told.notes.iter().find_map(|note| match note {
        Note::Used(used) => Some((&*used.name, used.usage)),
        _ => None,
    })
}

fn child_of(told: &Told<'_>) -> Option<Pid> {
    told.notes.iter().find_map(|note| match note {
        Note::Child(pid) => Some(*pid),
        _ => None,
    })
}

/// What an answer belongs to, where that may last for longer.
fn lasting_of(told: &Told<'_>) -> Option<Lasting> {
    let of_note = |note: &Note| match note {
        Note::CalledTool(called) => Some(Lasting::Tool(called.number)),
        Note::ReturnedTool(returned) => Some(Lasting::Tool(returned.number)),
        _ => None,
    };
    match (&*told.reply, told.asked.request()) {
        (Reply::Llm(Ok(LlmReply::Started(generation))), _) => Some(Lasting::Generation(*generation)),
        (_, Some(Request::Llm(LlmRequest::Next { generation } | LlmRequest::Cancel { generation }))) => {
            Some(Lasting::Generation(generation))
        }
        (Reply::Children(Ok(ChildrenReply::Spawned(child))), _) => Some(Lasting::Child(*child)),
        (_, Some(Request::Children(ChildrenRequest::Wait { child }))) => Some(Lasting::Child(child)),
        _ => told.notes.iter().find_map(of_note),
    }
}

fn name_of(told: &Told<'_>) -> String {
    let tool = told.notes.iter().find_map(|note| match note {
        Note::CalledTool(called) => Some(format!("tool {}", called.tool)),
        _ => None,
    });
    if let Some(tool) = tool {
        return tool;
    }
    match &*told.reply {
        Reply::Llm(Ok(LlmReply::Completed(_) | LlmReply::Started(_))) => match used(told) {
            Some((model, _)) => format!("answer of {model}"),
            None => "answer".to_owned(),
        },
        Reply::Children(Ok(ChildrenReply::Spawned(_))) => "child".to_owned(),
        reply => interface_of(reply).to_owned(),
    }
}

/// The interface that an answer is from: a log keeps large requests by their digests alone.
const fn interface_of(reply: &Reply) -> &'static str {
    match reply {
        Reply::Value(_) => "value",
        Reply::Capability(_) => "capability",
        Reply::Budget(_) => "budget",
        Reply::Llm(_) => "llm",
        Reply::Process(_) => "process",
        Reply::Children(_) => "children",
        Reply::Mailbox(_) => "mailbox",
        Reply::Alarm(_) => "alarm",
        Reply::Task(_) => "task",
        Reply::Checkpoint(_) => "checkpoint",
        Reply::Trace => "trace",
        Reply::Clock(_) => "clocks",
        Reply::Random(_) => "random",
        Reply::Ready(_) => "poll",
        Reply::Fuel(_) => "fuel",
        Reply::Fault(_) => "fault",
        Reply::Human(_) => "human",
        Reply::Tool(_) => "tool",
        Reply::Memory(_) => "memory",
        Reply::Context(_) => "context",
        Reply::File(_) => "files",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_abi::{ClockReply, FinishReason, FuelReply, Label, Summary};
    use remit_kernel::ports::{Asked, Beginning, Line};
    use std::borrow::Cow;

    fn id(index: u32) -> GenerationId {
        GenerationId { index, generation: 1 }
    }

    fn next(index: u32) -> Request {
        Request::Llm(LlmRequest::Next { generation: id(index) })
    }

    fn text(piece: &str) -> Reply {
        Reply::Llm(Ok(LlmReply::Next(Delta::Text(piece.into()))))
    }

    fn run(answers: Vec<(u64, Request, Reply)>) -> Run {
        let line = |(at_ns, request, reply): (u64, Request, Reply)| Line {
            sequence: at_ns,
            at_ns,
            entry: Entry::Told(Told {
                asked: Asked::of(&request),
                reply: Cow::Owned(reply),
                notes: Vec::new(),
                paid: Tokens::from_micro(10),
                label: Label::default(),
            }),
        };
        let lines = answers.into_iter().map(line).collect();
        Run { sequence: 1, at_ns: 100, began: Beginning::default(), lines }
    }

    #[test]
    fn a_stream_is_one_span_and_steps_of_a_kind_are_another() {
        use remit_abi::{ClockRequest, FuelRequest};
        let (clock, wall) = (Request::Clock(ClockRequest::Wall), Reply::Clock(ClockReply::Wall(0)));
        let usage = Usage { input: 7, cached: 2, output: 3 };
        let summary = Summary { finish: FinishReason::Stop, usage, paid: Tokens::ZERO, routed: None };
        let tree = spans(&run(vec![
            (110, clock.clone(), wall.clone()),
            (120, clock.clone(), wall.clone()),
            (130, next(1), Reply::Llm(Ok(LlmReply::Started(id(1))))),
            (140, next(1), text("a ")),
            (150, clock.clone(), wall.clone()),
            (160, Request::Fuel(FuelRequest::BuySlice), Reply::Fuel(FuelReply::Granted)),
            (170, next(1), text("b")),
            (180, clock, wall),
            (200, next(1), Reply::Llm(Ok(LlmReply::Next(Delta::End(summary))))),
        ]));
        let parts: Vec<_> = tree
            .parts
            .iter()
            .map(|part| (part.name.as_str(), part.began_ns, part.ended_ns, part.steps, part.usage.output))
            .collect();
        assert_eq!(parts, [("clocks", 100, 120, 2, 0), ("answer", 120, 200, 4, 3), ("clocks", 140, 180, 2, 0)]);
        assert_eq!((tree.fuel_slices, tree.whole.steps), (1, 9));
        assert_eq!((tree.whole.began_ns, tree.whole.ended_ns), (100, 200));
        assert_eq!((tree.whole.usage, tree.whole.paid), (usage, Tokens::from_micro(90)));
    }

    #[test]
    fn two_streams_side_by_side_are_two_spans() {
        let started = |index| Reply::Llm(Ok(LlmReply::Started(id(index))));
        let tree = spans(&run(vec![
            (110, next(1), started(1)),
            (120, next(2), started(2)),
            (130, next(1), text("a")),
            (140, next(2), text("b")),
        ]));
        let parts: Vec<_> = tree.parts.iter().map(|part| (part.began_ns, part.ended_ns, part.steps)).collect();
        assert_eq!(parts, [(100, 130, 2), (110, 140, 2)]);
    }

    #[test]
    fn a_run_that_was_told_nothing_has_no_parts() {
        let tree = spans(&run(Vec::new()));
        assert_eq!((tree.parts.len(), tree.whole.ended_ns), (0, 100));
    }
}
