//! `context`: conversations whose window the kernel pages.
//!
//! | a request that | is | and in a log as |
//! | --- | --- | --- |
//! | opens, restores, appends, or edits a block | counted by the model's tokenizer | its reply, which has the counts |
//! | chats | a turn: the table of [`remit_context`] is its steps | its reply, and the steps that were told from outside |
//! | does anything else | done at once, in the process's own tables | nothing: it follows |
//!
//! A segment has the label of its content, joined with the process's when it was appended. A prompt has that of its pieces: it is checked before
//! a turn as it is then, and again before each thing that is sent to the model, since recalling may raise it. What is not let in is not
//! recalled, and not summarised.

mod pages;
mod say;
mod summarise;
mod turn;

pub(crate) use say::Say;
pub(super) use say::said_again;
pub(crate) use turn::Turn;
pub(super) use turn::turned_again;

use super::{Context, Right, llm, toolset};
use crate::{
    contexts::{MEDIA_TYPE, OpenContext, of_context},
    process::{Process, TEXT, Value},
};
use remit_abi::{
    Access, BlockInfo, ContextError, ContextId, ContextReply, ContextRequest, ContextUsage, GrantKind, Label, ModelId,
    ValueId, limits,
};
use remit_context::SegmentId;

type Checked = Result<(), ContextError>;

/// The interface's name in WIT.
const INTERFACE: &str = "context";

fn invalid(why: impl Into<Box<str>>) -> ContextError {
    ContextError::Invalid(why.into())
}

fn get(process: &Process, id: ContextId) -> Result<&OpenContext, ContextError> {
    process.contexts.get(id).ok_or(ContextError::Dead)
}

fn get_mut(process: &mut Process, id: ContextId) -> Result<&mut OpenContext, ContextError> {
    process.contexts.get_mut(id).ok_or(ContextError::Dead)
}

/// Which context a request is about.
const fn context_of(request: &ContextRequest) -> Option<ContextId> {
    match request {
        ContextRequest::Open { .. } | ContextRequest::Restore { .. } => None,
        ContextRequest::Append { context, .. }
        | ContextRequest::MakeBlock { context, .. }
        | ContextRequest::EditBlock { context, .. }
        | ContextRequest::RemoveBlock { context, .. }
        | ContextRequest::Blocks { context }
        | ContextRequest::Pin { context, .. }
        | ContextRequest::Unpin { context, .. }
        | ContextRequest::SetImportance { context, .. }
        | ContextRequest::SetOrder { context, .. }
        | ContextRequest::PageIn { context, .. }
        | ContextRequest::Usage { context }
        | ContextRequest::Segments { context, .. }
        | ContextRequest::Read { context, .. }
        | ContextRequest::Fork { context }
        | ContextRequest::Snapshot { context }
        | ContextRequest::Chat { context, .. }
        | ContextRequest::Drop { context } => Some(*context),
    }
}

pub(super) fn validate(process: &Process, request: &ContextRequest) -> Checked {
    let open = context_of(request).map(|context| get(process, context)).transpose()?;
    match (request, open) {
        (ContextRequest::Open { .. } | ContextRequest::Fork { .. }, _) => check_room(process),
        (ContextRequest::Restore { snapshot, .. }, _) => {
            check_room(process)?;
            check_count(snapshot.len(), limits::SNAPSHOT_PIECES_MAX)
        }
        (ContextRequest::Append { segment, .. }, _) => say::validate(process, segment),
        (ContextRequest::MakeBlock { block, .. }, _) => say::validate_text(process, &block.text),
        (ContextRequest::EditBlock { edit, .. }, _) => {
            say::texts_of(edit).try_for_each(|text| say::validate_text(process, text))
        }
        (ContextRequest::SetOrder { segments, .. } | ContextRequest::PageIn { segments, .. }, _) => {
            check_count(segments.len(), limits::CONTEXT_SEGMENTS_MAX)
        }
        (ContextRequest::Segments { count, .. }, _) => check_count(*count as usize, limits::CONTEXT_SEGMENTS_MAX),
        (ContextRequest::Chat { turn, .. }, Some(open)) => {
            let tools = turn.tools.as_deref();
            tools.map_or(Ok(0), toolset::validate)?;
            llm::validate_params_of(&open.model, &turn.params, tools)?;
            match open.context.is_empty() && open.context.blocks().is_empty() {
                true => Err(ContextError::Empty),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn check_room(process: &Process) -> Checked {
    match process.contexts.len() < limits::CONTEXTS_MAX {
        true => Ok(()),
        false => Err(ContextError::TooMany { limit: limits::CONTEXTS_MAX as u64 }),
    }
}

fn check_count(count: usize, most: usize) -> Checked {
    match count <= most {
        true => Ok(()),
        false => Err(invalid(format!("{count} are named, and {most} are the most"))),
    }
}

pub(super) fn right(process: &Process, request: &ContextRequest) -> Right {
    let look = |model: ModelId| match process.models.get(model) {
        Some(open) => Right::Look { grant: open.grant, kind: GrantKind::Model },
        None => Right::None,
    };
    let open = context_of(request).and_then(|context| process.contexts.get(context));
    match (request, open) {
        (ContextRequest::Open { model, options } | ContextRequest::Restore { model, options, .. }, _) => {
            match options.store {
                // Nothing flows yet; it is opened by whoever may write.
                Some(grant) => Right::Use {
                    grant,
                    kind: GrantKind::Memory,
                    access: Access::ReadWrite,
                    tokens: 0,
                    label: Label::TRUSTED,
                },
                None => look(*model),
            }
        }
        (
            ContextRequest::Append { .. } | ContextRequest::MakeBlock { .. } | ContextRequest::EditBlock { .. },
            Some(open),
        ) => Right::Look { grant: open.model.grant, kind: GrantKind::Model },
        (ContextRequest::Chat { turn, .. }, Some(open)) => Right::Use {
            grant: open.model.grant,
            kind: GrantKind::Model,
            access: Access::ReadWrite,
            tokens: turn.params.max_tokens,
            label: open.context.label().join(process.label),
        },
        _ => Right::None,
    }
}

pub(super) fn act(context: &mut Context<'_>, request: &ContextRequest) -> Result<ContextReply, ContextError> {
    let process = &mut *context.process;
    match request {
        ContextRequest::RemoveBlock { context, name } => {
            let removed = get_mut(process, *context)?.context.remove_block(name);
            let bytes = removed.map_err(|error| invalid(error.to_string()))?.text.len() as u64;
            let open = get_mut(process, *context)?;
            open.bytes = open.bytes.saturating_sub(bytes);
            process.values.count_out(bytes);
            Ok(ContextReply::Done)
        }
        ContextRequest::Blocks { context } => blocks(process, *context),
        ContextRequest::Pin { context, segment } => changed(process, *context, |open| {
            open.known(*segment)?;
            open.context.pin(SegmentId(*segment)).map_err(|error| of_context(&error))
        }),
        ContextRequest::Unpin { context, segment } => changed(process, *context, |open| {
            open.context.unpin(SegmentId(*segment)).map_err(|error| of_context(&error))
        }),
        ContextRequest::SetImportance { context, segment, importance } => changed(process, *context, |open| {
            open.context.set_importance(SegmentId(*segment), *importance).map_err(|error| of_context(&error))
        }),
        ContextRequest::SetOrder { context, segments } => changed(process, *context, |open| open.set_order(segments)),
        ContextRequest::PageIn { context, segments } => changed(process, *context, |open| {
            let ids: Vec<_> = segments.iter().copied().map(SegmentId).collect();
            open.context.page_in(&ids).map_err(|error| of_context(&error))
        }),
        ContextRequest::Usage { context } => Ok(ContextReply::Usage(Box::new(usage(get(process, *context)?)))),
        ContextRequest::Segments { context, after, count } => {
            Ok(ContextReply::Segments(get(process, *context)?.listed(*after, *count)))
        }
        ContextRequest::Read { context, segment } => {
            let segment = get(process, *context)?.known(*segment)?;
            let (text, label) = (segment.body.in_words(), segment.label);
            insert(process, text.into_bytes(), TEXT, label).map(ContextReply::Value)
        }
        ContextRequest::Fork { context } => fork(process, *context),
        ContextRequest::Snapshot { context } => {
            let open = get(process, *context)?;
            let (bytes, label) = (open.to_bytes()?, open.whole_label().join(process.label));
            insert(process, bytes, MEDIA_TYPE, label).map(ContextReply::Value)
        }
        ContextRequest::Drop { context } => {
            let open = process.contexts.remove(*context).ok_or(ContextError::Dead)?;
            process.values.count_out(open.bytes);
            Ok(ContextReply::Done)
        }
        ContextRequest::Open { .. }
        | ContextRequest::Restore { .. }
        | ContextRequest::Append { .. }
        | ContextRequest::MakeBlock { .. }
        | ContextRequest::EditBlock { .. }
        | ContextRequest::Chat { .. } => unreachable!("a request that may wait becomes a call"),
    }
}

fn changed(
    process: &mut Process,
    context: ContextId,
    change: impl FnOnce(&mut OpenContext) -> Checked,
) -> Result<ContextReply, ContextError> {
    change(get_mut(process, context)?).map(|()| ContextReply::Done)
}

fn insert(process: &mut Process, bytes: Vec<u8>, media_type: &str, label: Label) -> Result<ValueId, ContextError> {
    let value = Value { bytes: bytes.into(), media_type: media_type.into(), label };
    Ok(process.values.insert(value, &process.limits)?)
}

fn blocks(process: &mut Process, context: ContextId) -> Result<ContextReply, ContextError> {
    let blocks = get(process, context)?.context.blocks().to_vec();
    if !process.values.has_room_for(blocks.iter().map(|block| block.text.len()), &process.limits) {
        return Err(ContextError::TooLarge { limit: process.limits.value_bytes_max });
    }
    let infos = blocks.into_iter().map(|block| {
        let text = insert(process, block.text.as_bytes().to_vec(), TEXT, block.label)?;
        Ok(BlockInfo { name: block.name, text, tokens: block.tokens, tokens_max: block.tokens_max })
    });
    infos.collect::<Result<_, _>>().map(ContextReply::Blocks)
}

fn usage(open: &OpenContext) -> ContextUsage {
    let budget = open.budget(0);
    let remit_context::Usage { blocks, resident, clipped, stubs, summaries, recalled, overhead, free } =
        open.context.usage(budget);
    let segments = open.context.len() as u64;
    ContextUsage {
        window: budget.window,
        blocks,
        resident,
        clipped,
        stubs,
        summaries,
        recalled,
        overhead,
        free,
        segments,
    }
}

/// What both say counts twice: either may outlive the other.
fn fork(process: &mut Process, context: ContextId) -> Result<ContextReply, ContextError> {
    let bytes = get(process, context)?.bytes;
    process.values.count_in(bytes, &process.limits)?;
    let original = get(process, context)?.fork();
    Ok(ContextReply::Opened(process.contexts.insert_with(|id| original.branch(id))))
}
