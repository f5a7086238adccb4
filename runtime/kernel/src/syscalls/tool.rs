//! `tool`: acts outside the node, each of them once.
//!
//! What a tool is given leaves the node: it is checked against the grant's ceiling with the label of all that went into it. A grant that
//! is for reading only calls tools that change nothing; all others need read-write access. A call is written down with its key before
//! it is begun, and begun when that is on the disk ([`crate::effects`]).

use super::{Context, Right};
use crate::{
    control::ControlBlock,
    due::Publish,
    effects::{Full, PendingToolCall, Settled},
    kernel::Shared,
    ports::{CalledTool, Change, Effect, Note, PostedToolCall, ReturnedTool, ToolFacts, ToolOutcome, ValueImage},
    process::{Process, Value},
    tool_calls::idempotency_key,
};
use remit_abi::{
    Access, Content, GrantId, GrantKind, Label, Tool, ToolCallId, ToolError, ToolReply, ToolRequest, ToolUse, ValueId,
    limits,
};
use std::sync::Arc;

pub(super) fn validate(process: &Process, request: &ToolRequest) -> Result<(), ToolError> {
    let ToolRequest::Call(called) = request else { return Ok(()) };
    if process.tool_calls.len() as u64 >= limits::TOOL_CALLS_MAX {
        return Err(ToolError::TooMany { limit: limits::TOOL_CALLS_MAX });
    }
    let bytes = match &called.arguments {
        Content::Text(text) => text.as_bytes(),
        Content::Value(id) => &process.values.get(*id).ok_or(ToolError::Dead)?.bytes,
    };
    if bytes.len() > limits::TOOL_BYTES_MAX {
        return Err(ToolError::TooLarge { limit: limits::TOOL_BYTES_MAX as u64 });
    }
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(ToolError::Invalid("its arguments are not UTF-8 text".into())),
    }
}

pub(super) fn right(context: &Context<'_>, request: &ToolRequest) -> Right {
    match request {
        ToolRequest::Describe { grant } => Right::Look { grant: *grant, kind: GrantKind::Tool },
        ToolRequest::Call(called) => {
            let access = match declared(context, called.grant) {
                Ok(facts) if facts.effect != Effect::None => Access::ReadWrite,
                // What is not declared is called by nobody.
                _ => Access::ReadOnly,
            };
            let label = context.process.content_label(&called.arguments);
            Right::Use { grant: called.grant, kind: GrantKind::Tool, access, tokens: 0, label }
        }
        // What was begun may return, as long as the grant is not revoked: then it is withdrawn.
        ToolRequest::Collect { .. } | ToolRequest::Drop { .. } => Right::None,
    }
}

pub(super) fn act(context: &mut Context<'_>, request: &ToolRequest) -> Result<ToolReply, ToolError> {
    match request {
        ToolRequest::Describe { grant } => describe(context, *grant),
        ToolRequest::Call(called) => call(context, called),
        ToolRequest::Drop { call } => {
            let number = context.process.tool_calls.remove(*call).ok_or(ToolError::Dead)?.number;
            context.shared.drop_tool_call(context.process, number);
            Ok(ToolReply::Done)
        }
        ToolRequest::Collect { .. } => unreachable!("a request that may wait becomes a call"),
    }
}

/// What is declared of all that a grant opens.
fn describe(context: &Context<'_>, grant: GrantId) -> Result<ToolReply, ToolError> {
    let scope = {
        let grants = context.shared.grants.lock();
        grants.node(grant).ok_or(ToolError::Dead)?.spec.scope.clone()
    };
    let (tools, tenant) = (&context.shared.ports.tools, context.process.pid.tenant);
    let names = tools.names(tenant).into_iter().filter(|name| scope.contains(name));
    let described: Box<[Tool]> =
        names.filter_map(|name| Some(tools.facts(tenant, &name)?.tool.clone())).take(limits::TOOLS_MAX).collect();
    match scope.entries() {
        [name] if described.is_empty() && !name.ends_with('*') => Err(ToolError::NoSuchTool(name.clone())),
        _ => Ok(ToolReply::Described(described)),
    }
}

/// It is begun when it is on the disk.
fn call(context: &mut Context<'_>, called: &ToolUse) -> Result<ToolReply, ToolError> {
    let facts = declared(context, called.grant)?;
    let posted = posted(context, called, &facts)?;
    let (caller, number, grant) = (posted.caller, posted.number, posted.grant);
    let shared = context.shared;
    let put_in = shared.effects.lock().post(posted.clone(), |other| shared.holds_caller(other));
    let (pending, begins) = put_in.map_err(|Full(limit)| ToolError::TooMany { limit: limit as u64 })?;
    charge(context).inspect_err(|_| context.shared.unmake_tool_call(caller, number))?;
    let process = &mut *context.process;
    let PostedToolCall { tool, effect, key, .. } = posted.clone();
    process.due.note(|| Note::CalledTool(CalledTool { number, tool, effect, key }));
    process.due.change(|| Change::ToolCalled(Box::new(posted)));
    if begins {
        process.due.change(|| Change::ToolBegun { number, decided: None });
    }
    process.due.publish(Publish::ToolCall { number, caller, grant });
    Ok(ToolReply::Called(process.tool_calls.insert(pending)))
}

/// A call as it is written down.
fn posted(context: &mut Context<'_>, called: &ToolUse, facts: &ToolFacts) -> Result<PostedToolCall, ToolError> {
    let (shared, process) = (context.shared, &*context.process);
    let (caller, tool) = (process.pid, facts.tool.name.clone());
    let text = process.resolve(&called.arguments).ok_or(ToolError::Dead)?;
    let accepted = shared.ports.tools.accepts(caller.tenant, &tool, &text.bytes);
    accepted.map_err(|why| ToolError::Invalid(why.into()))?;
    let label = text.label.join(process.label);
    let mut returns = label.join(Label { integrity: facts.integrity, tags: remit_abi::TagSet::EMPTY });
    for name in &facts.tags {
        let tag = shared.tag(caller.tenant, name);
        let full = || ToolError::Invalid("its tenant has too many tags to mark what it says".into());
        returns.tags = returns.tags.union(tag.ok_or_else(full)?);
    }
    let mut drawn = [0; 16];
    let unlucky = |_| ToolError::Invalid("this host has no random numbers for its key".into());
    shared.ports.entropy.fill(&mut drawn).map_err(unlucky)?;
    let (number, called_ns) = (shared.next_tool_call(), shared.ports.clock.wall_ns());
    Ok(PostedToolCall {
        number,
        caller,
        package: context.block.facts.package.clone(),
        grant: called.grant,
        tool,
        effect: facts.effect,
        key: idempotency_key(caller, number, called_ns, &drawn),
        arguments: ValueImage { bytes: text.bytes, media_type: text.media_type, label },
        returns,
        called_ns,
    })
}

fn charge(context: &Context<'_>) -> Result<(), ToolError> {
    let paid = context.process.bill.charge(context.shared.prices.tool_call());
    paid.map(drop).map_err(|shortfall| ToolError::Invalid(shortfall.to_string().into()))
}

/// What is declared of the tool that a grant opens. A grant of several has to be narrowed to one first.
fn declared(context: &Context<'_>, grant: GrantId) -> Result<Arc<ToolFacts>, ToolError> {
    let name = {
        let grants = context.shared.grants.lock();
        match grants.node(grant).ok_or(ToolError::Dead)?.spec.scope.entries() {
            [name] if !name.ends_with('*') => name.clone(),
            _ => return Err(ToolError::Invalid("the grant opens several tools: attenuate it to one".into())),
        }
    };
    let facts = context.shared.ports.tools.facts(context.process.pid.tenant, &name);
    facts.ok_or(ToolError::NoSuchTool(name))
}

/// Waiting for what comes of a call.
pub(crate) struct Collect {
    call: Arc<PendingToolCall>,
}

impl Collect {
    pub(super) fn prepare(process: &Process, call: ToolCallId) -> Result<Self, ToolError> {
        process.tool_calls.get(call).cloned().map(|call| Self { call }).ok_or(ToolError::Dead)
    }

    /// Waits until it is there, and does not take it.
    pub(super) async fn ready(&self) {
        self.call.ready().await;
    }

    pub(super) async fn act(self, shared: &Shared, block: &ControlBlock) -> Result<ToolReply, ToolError> {
        self.ready().await;
        let process = &mut *block.process.lock();
        let number = self.call.number;
        let (taken, returned) = self.call.take(|settled| take_in(process, number, settled))?;
        shared.effects.lock().remove(process.pid.tenant, number);
        process.due.note(|| Note::ReturnedTool(returned));
        process.due.change(|| Change::ToolCallGone { number });
        taken
    }
}

/// What came of a call, as its caller is told it.
type Taken = (Result<ToolReply, ToolError>, ReturnedTool);

/// Makes what a tool said its caller's, or hands it back where there is no room. It is a value that is not read yet; what a person
/// decided is told at once, and so it raises the caller's label: they saw arguments that the caller need not have read.
fn take_in(process: &mut Process, number: u64, settled: Box<Settled>) -> Result<Taken, (Box<Settled>, ToolError)> {
    let outcome = settled.outcome.clone();
    let kind = outcome.kind();
    let taken = match outcome {
        ToolOutcome::Done(said) => keep(process, said).map(ToolReply::Returned),
        ToolOutcome::Failed(said) => keep(process, said).map(ToolReply::Failed),
        ToolOutcome::TimedOut => Err(ToolError::TimedOut),
        ToolOutcome::Unavailable(why) => Err(ToolError::Unavailable(why)),
        ToolOutcome::Uncertain(why) => Err(ToolError::Uncertain(why)),
        ToolOutcome::Lost(who) => Err(ToolError::Lost(who)),
        ToolOutcome::Withdrawn => Err(ToolError::Withdrawn),
    };
    if taken == Err(ToolError::NoRoom) {
        return Err((settled, ToolError::NoRoom));
    }
    let Settled { attempts, decided, decision, .. } = *settled;
    if decided.is_some() {
        process.label = process.label.join(decision);
    }
    Ok((taken, ReturnedTool { number, attempts, outcome: kind, decided }))
}

fn keep(process: &mut Process, said: ValueImage) -> Result<ValueId, ToolError> {
    let id = process.values.insert(Value::from(said.clone()), &process.limits).map_err(|_| ToolError::NoRoom)?;
    process.due.note(|| Note::Value(id, said));
    Ok(id)
}
