//! What the node shows, as the protocol says it.

use crate::protocol::{
    Approval, Breaker, Content, Denied, DeviceMemory, End, ExplainRequest, Explanation, Explanations, FaultKind,
    Figures, Finished, Grant, GrantName, KeptSnapshots, Ledger, Marking, MissedRule, Model, ModelPlace, Models, Notice,
    Process, ProcessState, Question, RankedModel, Reason, Response, Route, RouteArm, RouteTier, Routes, Selection,
    Shown, TaskResult, Terms, Wanted,
};
use remit_abi::{
    Event, Fault, GrantLimits, GrantSpec, Label, Scope, Status, TagSet, TenantId, Tokens, Wanted as Asked,
};
use remit_assembly::{
    Denied as DeniedView, Ended, Finished as FinishedView, GrantError, GrantView, Kernel, Ledger as Books, Node,
    Notice as Told, Output, PostedQuestion, ProcessView, Refusal as Cause, Response as Said, Selection as Chosen,
    StandingApproval, State, StoredResult,
    models::{ModelFigures, ModelView, Place, ResidencyView, SnapshotFigures},
    routing::{ArmExplained, ArmView, RouteView, breaker::BreakerState, count::CountsView, policy::RequestClass},
    want_lines,
};
use std::sync::Arc;

mod deployment;
mod memory;

pub(crate) use deployment::deployment;
pub(crate) use memory::{entry, hit, memory, recalled};

/// An event, with the names of its label's tags as the node's local tenant has them.
#[must_use]
pub fn shown(node: &Node, event: Event) -> Shown {
    let marking = |label: Label| Marking { integrity: label.integrity, tags: node.tag_names(label) };
    match event {
        Event::Text { text, label } => Shown::Text { content: (&*text).into(), label: marking(label) },
        Event::Progress { done, total, note } => Shown::Progress { done, total, note },
        Event::Artifact { name, media_type, bytes, label } => {
            Shown::Artifact { name, media_type, content: (&*bytes).into(), label: marking(label) }
        }
        Event::Log { level, message } => Shown::Log { level, message },
    }
}

/// The end of a task, and the state that it committed last where that is asked for.
#[must_use]
pub fn finished(node: &Node, finished: FinishedView, keep_state: bool) -> Finished {
    let content = |output: Option<Output>| output.map(|output| Content::from(&*output.bytes));
    Finished {
        end: match finished.ended {
            Ended::Done(Status::Complete, output) => End::Complete { output: content(output) },
            Ended::Done(Status::Partial, output) => End::Partial { output: content(output) },
            Ended::Failed(failure) => End::Failed { message: failure.message, retryable: failure.retryable },
            Ended::Faulted(fault) => End::Faulted { message: fault.to_string(), fault: fault_kind(&fault) },
        },
        ledger: Ledger { refunded_micro_tokens: finished.refunded.micro(), ..ledger(node.kernel(), &finished.ledger) },
        paid_micro_tokens: finished.paid.micro(),
        paid_money: node.kernel().prices().money(finished.paid).map(|money| money.to_string()),
        restarts: finished.restarts,
        logs_dropped: finished.logs_dropped,
        state: finished.checkpoint.filter(|_| keep_state).map(Into::into),
    }
}

/// What a detached task came to.
pub(crate) fn result(node: &Node, result: StoredResult) -> TaskResult {
    let StoredResult { pid, created, ended_ns, finished } = result;
    TaskResult {
        pid,
        package: created.as_ref().map(|created| created.package.to_string()),
        name: created.as_ref().and_then(|created| created.name.as_deref().map(str::to_owned)),
        started_ns: created.as_ref().map(|created| created.started_ns),
        ended_ns,
        finished: self::finished(node, finished, true),
    }
}

const fn fault_kind(fault: &Fault) -> FaultKind {
    match fault {
        Fault::BudgetExhausted(_) => FaultKind::Budget,
        Fault::Trap(_) => FaultKind::Crash,
        Fault::Protocol(_) => FaultKind::Protocol,
        Fault::Limit(_) => FaultKind::Limit,
        Fault::Killed | Fault::Dead => FaultKind::Killed,
        Fault::Host(_) | Fault::Diverged(_) => FaultKind::Host,
    }
}

fn ledger(kernel: &Kernel, books: &Books) -> Ledger {
    Ledger {
        input_tokens: books.usage.input,
        cached_tokens: books.usage.cached,
        output_tokens: books.usage.output,
        fuel: books.fuel.0,
        paid_micro_tokens: books.paid.micro(),
        paid_money: kernel.prices().money(books.paid).map(|money| money.to_string()),
        refunded_micro_tokens: 0,
        price_version: books.price_version,
        supported_citations: books.citations.supported,
        unsupported_citations: books.citations.unsupported,
    }
}

/// The node's models; none where it has an engine of its own.
pub(crate) fn models(node: &Node) -> Models {
    let Some(residency) = node.residency() else { return Models::default() };
    let figures = node.figures();
    let model = |view: ModelView| Model {
        figures: figures.iter().find(|figures| figures.model == view.name).map(of_model),
        name: (*view.name).into(),
        place: match view.place {
            Place::Away => ModelPlace::Away,
            Place::Loading => ModelPlace::Loading,
            Place::In => ModelPlace::In,
            Place::Leaving => ModelPlace::Leaving,
        },
        bytes: view.bytes,
        loads: view.loads,
    };
    let ResidencyView { bytes_max, bytes_held, models, devices } = residency;
    let device = |(name, bytes): (Arc<str>, u64)| DeviceMemory { name: (*name).into(), bytes };
    let devices = devices.into_iter().map(device).collect();
    let snapshots = node.snapshots().map(kept_snapshots);
    Models { bytes_max, bytes_held, models: models.into_iter().map(model).collect(), devices, snapshots }
}

fn kept_snapshots(figures: SnapshotFigures) -> KeptSnapshots {
    let SnapshotFigures { blocks, bytes, bytes_max, written, read, missing, damaged, refused, evicted } = figures;
    KeptSnapshots { blocks, bytes, bytes_max, written, read, missing, damaged, refused, evicted }
}

fn of_model(figures: &ModelFigures) -> Figures {
    let ModelFigures { totals, swapped_bytes, rebuilds, .. } = figures;
    Figures {
        running: totals.running,
        waiting: totals.waiting,
        paused: totals.paused,
        steps: totals.steps,
        ended: totals.ended,
        cancelled: totals.cancelled,
        input_tokens: totals.prefill_rows,
        cached_tokens: totals.cached,
        output_tokens: totals.drawn,
        proposed_tokens: totals.proposed,
        accepted_tokens: totals.accepted,
        preemptions: totals.preemptions,
        blocks: totals.blocks,
        blocks_held: totals.blocks_held,
        blocks_kept: totals.blocks_kept,
        places: totals.places,
        places_empty: totals.places_empty,
        blocks_dropped: totals.dropped,
        swapped_out: totals.swapped_out,
        swapped_in: totals.swapped_in,
        swapped_bytes: *swapped_bytes,
        restored: totals.restored,
        rebuilds: *rebuilds,
    }
}

/// One process, at a moment in nanoseconds since 1970-01-01T00:00:00Z.
pub(crate) fn process(kernel: &Kernel, view: ProcessView, now_ns: u64) -> Process {
    Process {
        pid: view.pid,
        package: (*view.package).into(),
        digest: (*view.digest).into(),
        name: view.name.map(|name| (*name).into()),
        parent: view.parent,
        priority: view.priority,
        restart: view.restart,
        restarts: view.restarts,
        state: match view.state {
            State::Running => ProcessState::Running,
            State::Waiting(interface) => ProcessState::Waiting { waits_in: interface.to_owned() },
            State::Asleep => ProcessState::Asleep,
            State::Suspended => ProcessState::Suspended,
            State::Frozen => ProcessState::Frozen,
            State::Parked => ProcessState::Parked { why: view.parked.as_deref().unwrap_or_default().to_owned() },
        },
        durable: view.durable,
        started_ns: view.started_ns,
        age_ms: now_ns.saturating_sub(view.started_ns) / 1_000_000,
        label: Marking { integrity: view.label.integrity, tags: view.tags },
        funds_micro_tokens: view.funds.micro(),
        remaining_micro_tokens: view.remaining.micro(),
        remaining_money: kernel.prices().money(view.remaining).map(|money| money.to_string()),
        ledger: ledger(kernel, &view.ledger),
        messages: view.messages,
        children: view.children,
        grants: view.grants,
        value_bytes: view.value_bytes,
    }
}

/// One node of the grant tree.
pub(crate) fn grant(kernel: &Kernel, view: &GrantView) -> Grant {
    let tenant = view.holder.map_or(TenantId(0), |pid| pid.tenant);
    Grant {
        id: GrantName(view.id),
        parent: view.parent.map(GrantName),
        depth: view.depth,
        holder: view.holder,
        terms: terms(kernel, tenant, &view.spec),
        uses: view.uses,
        revoked: view.revoked,
        released: view.released,
    }
}

fn terms(kernel: &Kernel, tenant: TenantId, spec: &GrantSpec) -> Terms {
    let limits = spec.limits;
    Terms {
        label: (*spec.label).into(),
        kind: spec.kind,
        scope: spec.scope.entries().iter().map(|entry| (**entry).into()).collect(),
        access: spec.access,
        uses: limits.uses,
        rate: limits.rate,
        expires_ns: limits.expires_ns,
        max_tokens_per_call: limits.max_tokens_per_call,
        ceiling: limits.ceiling.map(|ceiling| marking(kernel, tenant, ceiling)),
    }
}

/// Terms that cannot be those of a grant.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TermsError {
    /// The scope, most of all.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// More tags than a tenant has.
    #[error("there are more than {} different tags: use fewer", TagSet::CAPACITY)]
    Tags,
}

/// A label of a tenant, whose tags go by names.
pub(crate) fn label(kernel: &Kernel, tenant: TenantId, marking: &Marking) -> Result<Label, TermsError> {
    let tag = |tags: TagSet, name: &str| Some(tags.union(kernel.tag(tenant, name)?));
    let tags = marking.tags.iter().map(|name| &**name).try_fold(TagSet::EMPTY, tag).ok_or(TermsError::Tags)?;
    Ok(Label { integrity: marking.integrity, tags })
}

/// The grant that a tenant's process is to be given.
pub(crate) fn spec(kernel: &Kernel, tenant: TenantId, terms: Terms) -> Result<GrantSpec, TermsError> {
    Ok(GrantSpec {
        scope: Scope::parse(terms.kind, &terms.scope).map_err(GrantError::from)?,
        label: terms.label.into(),
        kind: terms.kind,
        access: terms.access,
        limits: GrantLimits {
            uses: terms.uses,
            rate: terms.rate,
            expires_ns: terms.expires_ns,
            max_tokens_per_call: terms.max_tokens_per_call,
            ceiling: terms.ceiling.map(|ceiling| label(kernel, tenant, &ceiling)).transpose()?,
        },
    })
}

/// One denial.
pub(crate) fn denied(kernel: &Kernel, view: &DeniedView) -> Denied {
    let (tenant, why) = (view.pid.tenant, &view.explanation);
    let tag_name = |index: u32| {
        let names = TagSet::single(index).map(|tag| kernel.tag_names(tenant, tag)).unwrap_or_default();
        names.into_iter().next().map(String::from).unwrap_or_default()
    };
    Denied {
        number: view.number,
        at_ns: view.at_ns,
        pid: view.pid,
        alive: kernel.process(view.pid).is_some(),
        package: (*view.package).into(),
        interface: view.interface.to_owned(),
        told: view.denial.to_string(),
        reason: match why.refusal {
            Cause::NotHeld => Reason::Missing,
            Cause::OtherKind => Reason::OtherKind,
            Cause::Revoked => Reason::Revoked,
            Cause::Expired => Reason::Expired,
            Cause::Scope => Reason::OutOfScope,
            Cause::Access => Reason::ReadOnly,
            Cause::Tokens => Reason::TooManyTokens,
            Cause::Ceiling => Reason::Label,
            Cause::Uses => Reason::UsedUp,
            Cause::Rate { .. } => Reason::TooFast,
        },
        refused_by: why.refused_by.map(GrantName),
        enough: why.enough.as_ref().map(|enough| terms(kernel, tenant, enough)),
        manifest: why.enough.as_ref().map(|enough| want_lines(enough, tag_name)),
    }
}

/// A question that waits for people.
pub(crate) fn question(kernel: &Kernel, posted: &PostedQuestion) -> Question {
    Question {
        number: posted.number,
        asker: posted.asker,
        package: (*posted.package).into(),
        digest: (*posted.digest).into(),
        desk: (*posted.desk).into(),
        wanted: match &posted.wanted {
            Asked::Answer { choices } if choices.is_empty() => Wanted::Words,
            Asked::Answer { choices } => Wanted::Choice { choices: choices.iter().map(|c| (**c).into()).collect() },
            Asked::Approval { action } => Wanted::Approval { action: (**action).into() },
        },
        text: String::from_utf8_lossy(&posted.content.bytes).into_owned(),
        label: marking(kernel, posted.asker.tenant, posted.content.label),
        asked_ns: posted.asked_ns,
        expires_ns: posted.expires_ns,
    }
}

/// What people were told.
pub(crate) fn notice(kernel: &Kernel, told: &Told) -> Notice {
    Notice {
        number: told.number,
        sender: told.sender,
        package: (*told.package).into(),
        desk: (*told.desk).into(),
        text: String::from_utf8_lossy(&told.content.bytes).into_owned(),
        label: marking(kernel, told.sender.tenant, told.content.label),
        at_ns: told.at_ns,
    }
}

/// An approval that stands.
pub(crate) fn approval(kernel: &Kernel, standing: &StandingApproval) -> Approval {
    Approval {
        number: standing.number,
        tenant: standing.tenant.0,
        package: (*standing.package).into(),
        digest: (*standing.digest).into(),
        desk: (*standing.desk).into(),
        action: (*standing.action).into(),
        label: marking(kernel, standing.tenant, standing.label),
        by: (*standing.by).into(),
        at_ns: standing.at_ns,
    }
}

fn marking(kernel: &Kernel, tenant: TenantId, label: Label) -> Marking {
    Marking { integrity: label.integrity, tags: kernel.tag_names(tenant, label.tags) }
}

impl From<Response> for Said {
    fn from(response: Response) -> Self {
        match response {
            Response::Words(text) => Self::Text(text.into()),
            Response::Choice(choice) => Self::Choice(choice),
            Response::ApproveOnce => Self::ApproveOnce,
            Response::ApproveAlways => Self::ApproveAlways,
            Response::Reject(why) => Self::Reject(why.into()),
        }
    }
}

/// Every route.
pub(crate) fn routes(kernel: &Kernel) -> Routes {
    let tier = |tier: remit_assembly::routing::TierView| RouteTier {
        model: tier.model.into(),
        breaker: match tier.breaker {
            BreakerState::Closed => Breaker::Closed,
            BreakerState::Open => Breaker::Open,
            BreakerState::HalfOpen => Breaker::HalfOpen,
        },
    };
    let route = |view: RouteView| Route {
        name: view.name.into(),
        arms: view.arms.iter().map(arm).collect(),
        tiers: view.tiers.into_iter().map(tier).collect(),
    };
    Routes { routes: kernel.routes().into_iter().map(route).collect() }
}

fn arm(view: &ArmView) -> RouteArm {
    let ArmView { arm, version, share_per_mille, counts: CountsView { tally, p50_us, p90_us, p99_us } } = *view;
    RouteArm {
        arm,
        version,
        share_per_mille,
        requests: tally.requests,
        answered: tally.answered,
        failed: tally.failed,
        given_up: tally.given_up,
        fell_back: tally.fell_back,
        tried_again: tally.tried_again,
        input_tokens: tally.usage.input,
        cached_tokens: tally.usage.cached,
        output_tokens: tally.usage.output,
        p50_us,
        p90_us,
        p99_us,
    }
}

/// What a request would get from a route; `None` where there is none of that name.
pub(crate) fn explained(kernel: &Kernel, request: &ExplainRequest) -> Option<Explanations> {
    let class = RequestClass {
        task: request.task.as_str().into(),
        prompt_tokens: request.prompt_tokens,
        output_tokens: request.output_tokens,
        priority: request.priority,
        tenant: TenantId(request.tenant),
        budget: Tokens::from_micro(request.budget_micro_tokens),
    };
    let explanation = |told: ArmExplained| Explanation {
        arm: told.arm,
        version: told.version,
        missed: told.explained.missed.into_iter().map(|(rule, why)| MissedRule { rule: rule.into(), why }).collect(),
        rule: told.explained.rule.into(),
        models: told.explained.models.into_iter().map(ranked).collect(),
    };
    let arms = kernel.explain_route(&request.route, &class, request.pid)?;
    Some(Explanations { arms: arms.into_iter().map(explanation).collect() })
}

fn ranked(ranked: remit_assembly::routing::policy::Ranked) -> RankedModel {
    RankedModel { model: ranked.model.into(), skipped: ranked.skip.map(|skip| skip.to_string()) }
}

impl From<Selection> for Chosen {
    fn from(selection: Selection) -> Self {
        match selection {
            Selection::All => Self::All,
            Selection::Tenant(tenant) => Self::Tenant(TenantId(tenant)),
            Selection::Package(name) => Self::Package(name.into()),
            Selection::Component(digest) => Self::Component(digest.into()),
        }
    }
}

impl From<Chosen> for Selection {
    fn from(chosen: Chosen) -> Self {
        match chosen {
            Chosen::All => Self::All,
            Chosen::Tenant(TenantId(tenant)) => Self::Tenant(tenant),
            Chosen::Package(name) => Self::Package((*name).into()),
            Chosen::Component(digest) => Self::Component((*digest).into()),
        }
    }
}
