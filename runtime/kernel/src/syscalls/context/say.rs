//! What is said in a context and has to be counted: a new one's own lines, segments, and texts of blocks.
//!
//! Each is prepared from the process's tables alone, counted by a tokenizer, and then done. A replay does the first and the last.

use super::{super::Context, get, get_mut, invalid};
use crate::{
    bill::{Quote, Reservation},
    contexts::{Body, Kind, OpenContext, cost_of, edit_of, samples, segment_of},
    control::ControlBlock,
    generation::unavailable,
    kernel::Shared,
    ports::{ContextImage, Note, PromptText},
    process::{OpenModel, Process},
    syscalls::{llm, toolset::Calls},
};
use remit_abi::{
    Appending, BlockEdit, BlockMaking, Content, ContextError, ContextId, ContextOptions, ContextReply, ContextRequest,
    Fuel, Label, LlmError, Message, ModelId, Part, Role, Utterance, ValueId, limits,
};
use remit_context::{Edit, NewBlock, NewSegment, SegmentId};
use std::sync::Arc;

/// What a guest says is text, and not too long.
pub(super) fn validate_text(process: &Process, content: &Content) -> Result<(), ContextError> {
    let bytes = match content {
        Content::Text(text) => text.as_bytes(),
        Content::Value(id) => &process.values.get(*id).ok_or(ContextError::Dead)?.bytes,
    };
    if bytes.len() as u64 > limits::PROMPT_BYTES_MAX {
        let most = limits::PROMPT_BYTES_MAX;
        return Err(invalid(format!("a text of a context has {most} bytes at most: say it in parts")));
    }
    std::str::from_utf8(bytes).map(drop).map_err(|_| invalid("a value that is said is not UTF-8 text"))
}

pub(super) fn validate(process: &Process, segment: &Appending) -> Result<(), ContextError> {
    let Appending { role, said, .. } = segment;
    match said {
        Utterance::Text(content) => {
            validate_text(process, content)?;
            match process.content_size(content) {
                0 => Err(invalid("there is nothing said")),
                _ => Ok(()),
            }
        }
        Utterance::Calls(content, calls) => {
            validate_text(process, content)?;
            if calls.is_empty() || calls.len() > limits::MESSAGE_PARTS_MAX {
                let most = limits::MESSAGE_PARTS_MAX;
                return Err(invalid(format!("a message asks for 1 to {most} calls")));
            }
            let parts = calls.iter().cloned().map(Part::ToolCall).collect();
            Calls::default().validate(&Message { role: *role, content: parts })?;
            Ok(())
        }
        Utterance::Result(_, content) if *role == Role::User => validate_text(process, content),
        Utterance::Result(..) => Err(invalid("a tool-result is in a message that is not the user's")),
    }
}

/// The texts of an edit.
pub(super) fn texts_of(edit: &BlockEdit) -> impl Iterator<Item = &Content> {
    let (first, second) = match edit {
        BlockEdit::Replace(text) | BlockEdit::Append(text) => (text, None),
        BlockEdit::ReplacePart { old, new } => (old, Some(new)),
    };
    std::iter::once(first).chain(second)
}

/// A content's text, and what went into it besides what the process has read.
fn text_of(process: &Process, content: &Content) -> Result<(Box<str>, Label), ContextError> {
    let resolved = process.resolve(content).ok_or(ContextError::Dead)?;
    let text = std::str::from_utf8(&resolved.bytes).map_err(|_| invalid("a value that is said is not UTF-8 text"))?;
    Ok((text.into(), process.label.join(resolved.label)))
}

/// What is to be done once it is counted.
enum What {
    Open { model: OpenModel, options: ContextOptions, snapshot: Option<(Vec<u8>, Label)> },
    Append { context: ContextId, new: NewSegment<Body> },
    MakeBlock { context: ContextId, block: NewBlock },
    EditBlock { context: ContextId, name: Box<str>, edit: Edit, label: Label, text: String },
}

impl What {
    fn prepare(process: &mut Process, request: &ContextRequest) -> Result<Self, ContextError> {
        match request {
            ContextRequest::Open { model, options } => Self::open(process, *model, **options, None),
            ContextRequest::Restore { model, options, snapshot } => {
                Self::open(process, *model, **options, Some(snapshot))
            }
            ContextRequest::Append { context, segment } => Self::append(process, *context, segment),
            ContextRequest::MakeBlock { context, block } => {
                let BlockMaking { name, text, tokens_max } = &**block;
                let (text, label) = text_of(process, text)?;
                let block =
                    NewBlock { name: name.clone(), text: text.into(), tokens: 0, tokens_max: *tokens_max, label };
                Ok(Self::MakeBlock { context: *context, block })
            }
            ContextRequest::EditBlock { context, name, edit } => Self::edit(process, *context, name, edit),
            _ => unreachable!("a request that is not counted is done at once"),
        }
    }

    fn open(
        process: &Process,
        model: ModelId,
        options: ContextOptions,
        snapshot: Option<&[ValueId]>,
    ) -> Result<Self, ContextError> {
        let model = process.models.get(model).ok_or(ContextError::Dead)?.clone();
        let Some(pieces) = snapshot else { return Ok(Self::Open { model, options, snapshot: None }) };
        let (mut bytes, mut label) = (Vec::new(), process.label);
        for piece in pieces {
            let value = process.values.get(*piece).ok_or(ContextError::Dead)?;
            bytes.extend_from_slice(&value.bytes);
            label = label.join(value.label);
        }
        Ok(Self::Open { model, options, snapshot: Some((bytes, label)) })
    }

    fn append(process: &Process, context: ContextId, segment: &Appending) -> Result<Self, ContextError> {
        let Appending { role, said, importance, depends_on } = segment;
        let open = get(process, context)?;
        if let Some(on) = depends_on {
            open.known(*on)?;
        }
        let (Utterance::Text(content) | Utterance::Calls(content, _) | Utterance::Result(_, content)) = said;
        let (text, label) = text_of(process, content)?;
        let kind = match said {
            Utterance::Text(_) => Kind::Said,
            Utterance::Calls(_, calls) => Kind::Called(calls.clone()),
            Utterance::Result(call, _) => Kind::Result { call: call.clone(), tool: open.tool_of(call)?.into() },
        };
        let new = segment_of(*role, 0, label, Body { text, kind });
        let new = NewSegment { importance: *importance, depends_on: depends_on.map(SegmentId), ..new };
        Ok(Self::Append { context, new })
    }

    /// Whether a part stands in a block tells of what it says, so asking raises the label as reading does.
    fn edit(process: &mut Process, context: ContextId, name: &str, edit: &BlockEdit) -> Result<Self, ContextError> {
        let (mut texts, mut label) = (Vec::new(), process.label);
        for content in texts_of(edit) {
            let (text, of_text) = text_of(process, content)?;
            texts.push(text);
            label = label.join(of_text);
        }
        let open = process.contexts.get(context).ok_or(ContextError::Dead)?;
        if matches!(edit, BlockEdit::ReplacePart { .. }) {
            let block = open.context.blocks().iter().find(|block| *block.name == *name);
            process.label = block.map_or(process.label, |block| process.label.join(block.label)).join(label);
        }
        let edit = edit_of(edit, texts.into_iter());
        let text = open.context.edited(name, &edit).map_err(|error| invalid(error.to_string()))?;
        Ok(Self::EditBlock { context, name: name.into(), edit, label, text })
    }

    /// What is counted.
    fn texts(&self) -> Vec<String> {
        match self {
            Self::Open { .. } => <[String; 2]>::from(samples()).into(),
            Self::Append { new, .. } => vec![new.body.in_words()],
            Self::MakeBlock { block, .. } => vec![block.text.to_string()],
            Self::EditBlock { text, .. } => vec![text.clone()],
        }
    }

    fn model<'a>(&'a self, process: &'a Process) -> Result<&'a OpenModel, ContextError> {
        match self {
            Self::Open { model, .. } => Ok(model),
            Self::Append { context, .. } | Self::MakeBlock { context, .. } | Self::EditBlock { context, .. } => {
                Ok(&get(process, *context)?.model)
            }
        }
    }

    /// Does it, of a text that has so many tokens.
    fn finish(self, process: &mut Process, tokens: u32) -> Result<ContextReply, ContextError> {
        match self {
            Self::Append { context, new } => {
                let bytes = cost_of(&new.body);
                process.values.count_in(bytes, &process.limits)?;
                let appended = get_mut(process, context)?.append(NewSegment { tokens, ..new });
                let segment = appended.inspect_err(|_| process.values.count_out(bytes))?;
                Ok(ContextReply::Appended { segment, tokens })
            }
            Self::MakeBlock { context, block } => {
                let bytes = block.text.len() as u64;
                Self::of_block(process, context, (0, bytes), |open| {
                    open.context.make_block(NewBlock { tokens, ..block })
                })?;
                Ok(ContextReply::Counted(tokens))
            }
            Self::EditBlock { context, name, edit, label, text } => {
                let block = get(process, context)?.context.blocks().iter().find(|block| block.name == name);
                let before = block.map_or(0, |block| block.text.len() as u64);
                Self::of_block(process, context, (before, text.len() as u64), |open| {
                    open.context.edit_block(&name, &edit, tokens, label)
                })?;
                Ok(ContextReply::Counted(tokens))
            }
            Self::Open { .. } => Err(ContextError::Dead),
        }
    }

    /// Changes a block, whose text had so many bytes and will have so many.
    fn of_block(
        process: &mut Process,
        context: ContextId,
        (before, after): (u64, u64),
        change: impl FnOnce(&mut OpenContext) -> Result<(), remit_context::BlockError>,
    ) -> Result<(), ContextError> {
        process.values.count_in(after, &process.limits)?;
        let open = process.contexts.get_mut(context).ok_or(ContextError::Dead)?;
        match change(open) {
            Ok(()) => {
                open.bytes = open.bytes.saturating_add(after).saturating_sub(before);
                process.values.count_out(before);
                Ok(())
            }
            Err(error) => {
                process.values.count_out(after);
                Err(invalid(error.to_string()))
            }
        }
    }

    /// Opens it, under a name that begins so.
    fn finish_open(self, process: &mut Process, image: &ContextImage) -> Result<ContextReply, ContextError> {
        let Self::Open { model, options, snapshot } = self else { return Err(ContextError::Dead) };
        let mut failed = None;
        let id = process.contexts.insert_with(|id| match &snapshot {
            None => OpenContext::new(model, options, image, id),
            Some((bytes, label)) => {
                let restored = OpenContext::of_bytes(bytes, *label, (model.clone(), options), (&image.base, id));
                restored.unwrap_or_else(|error| {
                    failed = Some(error);
                    OpenContext::new(model, options, image, id)
                })
            }
        });
        let bytes = get(process, id)?.bytes;
        let counted = match failed {
            Some(error) => Err(error),
            None => process.values.count_in(bytes, &process.limits).map_err(ContextError::from),
        };
        match counted {
            Ok(()) => Ok(ContextReply::Opened(id)),
            Err(error) => {
                process.contexts.remove(id);
                Err(error)
            }
        }
    }
}

/// What is said, on its way to be counted.
pub(crate) struct Say {
    what: What,
    tokenizer: Arc<str>,
    texts: Vec<String>,
}

impl Say {
    pub(in crate::syscalls) fn prepare(
        context: &mut Context<'_>,
        request: &ContextRequest,
    ) -> Result<Self, ContextError> {
        if let ContextRequest::Open { options, .. } | ContextRequest::Restore { options, .. } = request {
            super::pages::check_store(context, options.store)?;
        }
        let what = What::prepare(context.process, request)?;
        let tokenizer = llm::tokenizer(context, what.model(context.process)?)?;
        let texts = what.texts();
        Ok(Self { what, tokenizer, texts })
    }

    /// As counting by the process itself.
    pub(in crate::syscalls) fn quote(&self, shared: &Shared) -> Quote {
        let bytes = self.texts.iter().map(|text| text.len() as u64).sum::<u64>();
        Quote::exactly(shared.prices.fuel(Fuel(bytes.saturating_mul(limits::TOKENIZE_FUEL_PER_BYTE))))
    }

    pub(in crate::syscalls) fn act(
        self,
        shared: &Shared,
        block: &ControlBlock,
        reserved: Reservation,
    ) -> Result<ContextReply, ContextError> {
        let Self { what, tokenizer, texts } = self;
        let counts = texts.into_iter().map(|text| count(shared, &tokenizer, text));
        let counts = counts.collect::<Result<Vec<_>, _>>()?;
        let wall_ns = shared.ports.clock.wall_ns();
        let process = &mut *block.process.lock();
        let reply = match (&what, counts.as_slice()) {
            (What::Open { .. }, &[stub_tokens, note_tokens]) => {
                let base = format!("{}/{wall_ns}", process.pid).into();
                let image = ContextImage { base, stub_tokens, note_tokens };
                let opened = what.finish_open(process, &image)?;
                process.due.note(|| Note::Context(image));
                opened
            }
            (_, &[tokens, ..]) => what.finish(process, tokens)?,
            (_, []) => return Err(ContextError::Dead),
        };
        reserved.settle_whole();
        Ok(reply)
    }
}

/// A text's length in tokens.
pub(super) fn count(shared: &Shared, tokenizer: &str, text: String) -> Result<u32, LlmError> {
    let tokens = shared.ports.engine.tokenize(tokenizer, &PromptText::Text(text));
    Ok(u32::try_from(tokens.map_err(|error| unavailable(&error))?.len()).unwrap_or(u32::MAX))
}

/// Does again what was counted then.
pub(in crate::syscalls) fn said_again(
    process: &mut Process,
    request: &ContextRequest,
    then: &ContextReply,
    image: Option<&ContextImage>,
) -> Result<ContextReply, ContextError> {
    let what = What::prepare(process, request)?;
    match (then, image) {
        (ContextReply::Opened(_), Some(image)) => what.finish_open(process, image),
        (ContextReply::Appended { tokens, .. } | ContextReply::Counted(tokens), _) => what.finish(process, *tokens),
        _ => Err(ContextError::Dead),
    }
}
