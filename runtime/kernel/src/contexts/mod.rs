//! Contexts of processes: conversations whose window the kernel pages.
//!
//! `remit_context` decides what is shown; here is what it decides about. Whatever a context is told from outside (counts, what a search found,
//! texts of summaries, an answer) comes as a [`PageStep`], live as in a replay: so a replay needs the steps and nobody else.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `body` | what a segment says |
//! | `words` | pieces as messages of a prompt |
//! | `names` | which pages of a store are a context's |
//! | `kept` | a context as the bytes of a snapshot |

mod body;
mod kept;
mod names;
mod words;

pub(crate) use body::{Body, Kind};
pub(crate) use kept::MEDIA_TYPE;
pub(crate) use names::{CONTEXT, Names, ROLE, SEGMENT};
pub(crate) use words::{name as role_name, samples};

use crate::{
    ports::{ChatMessage, ContextImage, PageStep, WrittenSummary},
    process::OpenModel,
};
use remit_abi::{
    BlockEdit, ContextError, ContextId, ContextOptions, GrantId, InItsPlace, Label, PageOrder, Place, Role,
    SegmentInfo, limits,
};
use remit_context::{
    Budget, Candidate, Clipping, Config, Context, InPlace, NewSegment, Order, Plan, PlanError, Policy, Segment,
    SegmentId, Whereabouts, Written,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A context that a process has open.
#[derive(Debug)]
pub(crate) struct OpenContext {
    pub(crate) model: OpenModel,
    pub(crate) options: ContextOptions,
    pub(crate) context: Context<Body>,
    pub(crate) names: Names,
    /// What the agent wants to go out first.
    first_out: Vec<SegmentId>,
    /// Calls that were asked for, by their ids.
    calls: Arc<BTreeMap<Box<str>, Call>>,
    /// Segments that are in the store, or may not be.
    filed: Arc<BTreeSet<u64>>,
    /// Segments that went out and are not in the store.
    unfiled: BTreeSet<u64>,
    /// What it counts of its process's values.
    pub(crate) bytes: u64,
}

/// A call that the model asked for.
#[derive(Clone, Debug)]
struct Call {
    segment: SegmentId,
    tool: Box<str>,
    has_result: bool,
}

impl OpenContext {
    /// An empty one.
    pub(crate) fn new(model: OpenModel, options: ContextOptions, image: &ContextImage, id: ContextId) -> Self {
        let ContextImage { base, stub_tokens, note_tokens } = image;
        let (names, first_out, calls, filed, unfiled) =
            (Names::new(base, id), Vec::new(), Arc::default(), Arc::default(), BTreeSet::new());
        let mut opened = Self {
            model,
            options,
            context: Context::new(Config::default()),
            names,
            first_out,
            calls,
            filed,
            unfiled,
            bytes: 0,
        };
        // Blocks leave at least half of the window to what is said.
        let (stub_tokens, note_tokens, blocks_tokens_max) = (*stub_tokens, *note_tokens, opened.window() / 2);
        opened.context = Context::new(Config { stub_tokens, note_tokens, blocks_tokens_max });
        opened
    }

    /// The same, to be tried something with.
    pub(crate) fn fork(&self) -> Self {
        Self {
            model: self.model.clone(),
            options: self.options,
            context: self.context.fork(),
            names: self.names.clone(),
            first_out: self.first_out.clone(),
            calls: self.calls.clone(),
            filed: self.filed.clone(),
            unfiled: self.unfiled.clone(),
            bytes: self.bytes,
        }
    }

    /// One that goes its own way from here on.
    pub(crate) fn branch(&self, id: ContextId) -> Self {
        let names = self.names.branch(None, id, self.context.len() as u64);
        Self { names, ..self.fork() }
    }

    /// Reads its grants in other names.
    pub(crate) fn belongs_under(&mut self, name: impl Fn(&mut GrantId)) {
        name(&mut self.model.grant);
        self.options.store.iter_mut().for_each(name);
    }

    /// Prompt and output together.
    pub(crate) fn window(&self) -> u32 {
        match self.options.window {
            0 => self.model.card.context_length,
            window => window.min(self.model.card.context_length),
        }
    }

    /// What the window has room for, where a turn asks for so much output.
    pub(crate) fn budget(&self, output: u32) -> Budget {
        let window = self.window();
        let output_reserve = match self.options.output_reserve {
            0 => output.min(window / 2),
            reserve => reserve,
        };
        let recall_budget = self.options.store.map_or(0, |_| self.options.recall_budget);
        Budget { window, output_reserve, recall_budget }
    }

    fn policy(&self) -> Policy {
        let order = match self.options.order {
            _ if !self.first_out.is_empty() => Order::Given(self.first_out.clone()),
            PageOrder::LeastRecentlyUsed => Order::LeastRecentlyUsed,
            PageOrder::Importance => Order::Importance,
        };
        let in_place = match self.options.in_place {
            InItsPlace::Stub => InPlace::Stub,
            InItsPlace::Summary => InPlace::Summary,
        };
        Policy { order, in_place, ..Policy::default() }
    }

    pub(crate) fn set_order(&mut self, segments: &[u64]) -> Result<(), ContextError> {
        segments.iter().try_for_each(|segment| self.known(*segment).map(drop))?;
        self.first_out = segments.iter().copied().map(SegmentId).collect();
        Ok(())
    }

    /// A segment, or that there is none.
    pub(crate) fn known(&self, segment: u64) -> Result<&Segment<Body>, ContextError> {
        let count = self.context.len() as u64;
        self.context.segment(SegmentId(segment)).ok_or(ContextError::NoSuchSegment { segment, count })
    }

    /// Appends what is said; its segment. A result depends on its call.
    pub(crate) fn append(&mut self, mut new: NewSegment<Body>) -> Result<u64, ContextError> {
        if let Kind::Result { call, .. } = &new.body.kind {
            new.depends_on = Some(self.open_call(call)?.segment);
        }
        let (kind, bytes) = (new.body.kind.clone(), cost_of(&new.body));
        let SegmentId(id) = self.context.append(new).map_err(|error| of_context(&error))?;
        self.bytes = self.bytes.saturating_add(bytes);
        self.note_calls(SegmentId(id), &kind);
        Ok(id)
    }

    /// The tool of a call that has no result yet.
    pub(crate) fn tool_of(&self, call: &str) -> Result<&str, ContextError> {
        self.open_call(call).map(|call| &*call.tool)
    }

    fn open_call(&self, id: &str) -> Result<&Call, ContextError> {
        self.calls.get(id).filter(|call| !call.has_result).ok_or_else(|| {
            let id: String = id.chars().take(limits::TOOL_NAME_BYTES_MAX).collect();
            ContextError::Invalid(format!("no call {id:?} waits for its result").into())
        })
    }

    /// Models give ids anew: the latest call of an id is the one that a result is of.
    fn note_calls(&mut self, segment: SegmentId, kind: &Kind) {
        match kind {
            Kind::Said => {}
            Kind::Called(calls) => Arc::make_mut(&mut self.calls).extend(
                calls
                    .iter()
                    .map(|call| (call.id.clone(), Call { segment, tool: call.name.clone(), has_result: false })),
            ),
            Kind::Result { call, .. } => {
                if let Some(call) = Arc::make_mut(&mut self.calls).get_mut(call) {
                    call.has_result = true;
                }
            }
        }
    }

    /// The prompt, as the model is given it.
    pub(crate) fn messages(&self) -> Vec<ChatMessage> {
        words::messages(&self.context)
    }

    /// The last that a user said who was not told of a tool.
    pub(crate) fn question(&self) -> Option<&Segment<Body>> {
        let newest = (0..self.context.len() as u64).rev().filter_map(|id| self.context.segment(SegmentId(id)));
        newest.into_iter().find(|segment| segment.role == Role::User && segment.depends_on.is_none())
    }

    /// Whether there is anything that a search could find.
    pub(crate) fn has_pages(&self) -> bool {
        !self.filed.is_empty()
    }

    /// What went out and is not in the store.
    pub(crate) fn unfiled(&self) -> impl Iterator<Item = &Segment<Body>> {
        self.unfiled.iter().filter_map(|id| self.context.segment(SegmentId(*id)))
    }

    pub(crate) fn plan(&self, budget: Budget) -> Result<Plan, ContextError> {
        self.context.plan(budget, &self.policy()).map_err(of_plan)
    }

    /// Shows what was found and is out, the best first; what there was room for.
    pub(crate) fn recall(&mut self, found: &[u64]) -> Vec<SegmentId> {
        let rank = |(rank, id): (u16, &u64)| Candidate { id: SegmentId(*id), score: -f32::from(rank) };
        let candidates: Vec<_> = (0..).zip(found).map(rank).collect();
        self.context.recall(&candidates, self.options.recall_budget)
    }

    /// Pages out what has to leave.
    fn page(&mut self, budget: Budget, written: &[Option<WrittenSummary>]) -> Result<(), ContextError> {
        let plan = self.plan(budget)?;
        if self.options.store.is_some() {
            let ids = plan.leaving.iter().flat_map(|leaving| leaving.first.0..=leaving.last.0);
            self.unfiled.extend(ids.filter(|id| !self.filed.contains(id)));
        }
        let written = written.iter().map(|written| {
            let WrittenSummary { tokens, text } = written.as_ref()?;
            Some(Written { tokens: *tokens, body: Body::said(text.clone()) })
        });
        self.context.apply(plan, written.collect()).map_err(|error| of_context(&error))
    }

    /// Goes on by a step of a turn. The answer comes besides, where there is one.
    pub(crate) fn take(&mut self, step: &PageStep) -> Result<(), ContextError> {
        match step {
            PageStep::Recalled(found) => {
                self.recall(found);
                Ok(())
            }
            PageStep::Paged { window, output_reserve, written, .. } => {
                let (window, output_reserve) = (*window, *output_reserve);
                self.page(Budget { window, output_reserve, ..self.budget(0) }, written)
            }
            PageStep::Counted(tokens) => {
                self.context.correct(*tokens);
                Ok(())
            }
            PageStep::Filed(segments) => {
                Arc::make_mut(&mut self.filed).extend(segments.iter());
                self.unfiled.retain(|segment| !segments.contains(segment));
                Ok(())
            }
        }
    }

    /// The model was given what is shown, and this is its answer, where it said anything. The turn is over.
    pub(crate) fn answered(&mut self, answer: Option<NewSegment<Body>>) -> Result<Option<u64>, ContextError> {
        self.context.mark_sent();
        let segment = answer.map(|answer| self.append(answer)).transpose()?;
        self.context.end_turn(&self.policy());
        Ok(segment)
    }

    /// The label of all that it has, in the window or out of it.
    pub(crate) fn whole_label(&self) -> Label {
        let segments = (0..self.context.len() as u64).filter_map(|id| self.context.segment(SegmentId(id)));
        let labels = segments.map(|segment| segment.label);
        labels.chain(self.context.blocks().iter().map(|block| block.label)).fold(Label::TRUSTED, Label::join)
    }

    /// Segments in their order, from the first behind one.
    pub(crate) fn listed(&self, after: Option<u64>, count: u32) -> Box<[SegmentInfo]> {
        let from = after.map_or(0, |after| after.saturating_add(1));
        let until = (self.context.len() as u64).min(from.saturating_add(u64::from(count)));
        (from..until).filter_map(|id| self.info(SegmentId(id))).collect()
    }

    fn info(&self, id: SegmentId) -> Option<SegmentInfo> {
        let segment = self.context.segment(id)?;
        let place = match self.context.whereabouts(id)? {
            Whereabouts::Resident => Place::Resident,
            Whereabouts::Clipped(_) => Place::Clipped,
            Whereabouts::Stub => Place::Stub,
            Whereabouts::Summary(_) => Place::Summary,
            Whereabouts::Recalled => Place::Recalled,
        };
        let (pinned, importance) = (self.context.is_pinned(id), self.context.importance(id).unwrap_or_default());
        Some(SegmentInfo { segment: id.0, role: segment.role, tokens: segment.tokens, place, pinned, importance })
    }
}

/// What a segment counts of its process's values.
pub(crate) fn cost_of(body: &Body) -> u64 {
    body.bytes().saturating_add(limits::SEGMENT_BYTES)
}

/// A segment of what is said.
pub(crate) fn segment_of(role: Role, tokens: u32, label: Label, body: Body) -> NewSegment<Body> {
    let clipping = match body.kind {
        Kind::Said | Kind::Result { .. } => Clipping::Allowed,
        Kind::Called(_) => Clipping::Never,
    };
    NewSegment { label, clipping, ..NewSegment::new(role, tokens, body) }
}

/// An edit with its texts.
pub(crate) fn edit_of(edit: &BlockEdit, mut texts: impl Iterator<Item = Box<str>>) -> remit_context::Edit {
    let mut next = || texts.next().unwrap_or_default();
    match edit {
        BlockEdit::Replace(_) => remit_context::Edit::Replace(next()),
        BlockEdit::Append(_) => remit_context::Edit::Append(next()),
        BlockEdit::ReplacePart { .. } => remit_context::Edit::ReplacePart { old: next(), new: next() },
    }
}

pub(crate) fn of_context(error: &remit_context::ContextError) -> ContextError {
    match error {
        remit_context::ContextError::UnknownSegment { id, count } => {
            ContextError::NoSuchSegment { segment: id.0, count: *count as u64 }
        }
        remit_context::ContextError::Full | remit_context::ContextError::StalePlan => {
            ContextError::Invalid(error.to_string().into())
        }
    }
}

fn of_plan(error: PlanError) -> ContextError {
    match error {
        PlanError::Pinned { excess, blocks, unpin } => {
            ContextError::Pinned { excess, blocks, unpin: unpin.iter().map(|id| id.0).collect() }
        }
        PlanError::NoRoom { .. } | PlanError::Turn { .. } => ContextError::NoRoom(error.to_string().into()),
    }
}
