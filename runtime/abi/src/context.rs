//! Conversations whose window the kernel pages: an agent appends and chats, and the kernel counts, pages, summarises and recalls.
//!
//! A segment is named by its place in its context, from 0 on. It opens nothing: only whoever holds the context reaches it.

use crate::{
    Completion, Content, ContextId, Denial, GrantId, LlmError, ModelId, Params, Role, Shortfall, Tokens, ToolCall,
    Toolset, ValueError, ValueId,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What goes out of a window first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PageOrder {
    /// What has not been used for the most turns.
    #[default]
    LeastRecentlyUsed,
    /// What matters least.
    Importance,
}

/// What stands in the place of what is out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InItsPlace {
    /// One line.
    #[default]
    Stub,
    /// A summary by the context's own model, where there is room for one.
    Summary,
}

/// How a context is paged. By default: the model's whole window, an answer as long as each turn asks for, least recently used first, stubs,
/// no recall, no store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextOptions {
    /// Prompt and output together, in tokens; 0 is the model's own.
    pub window: u32,
    /// Set apart for the answer, in tokens; 0 is what each turn asks for, and half of the window at most.
    pub output_reserve: u32,
    /// What goes out first.
    pub order: PageOrder,
    /// What stands in its place.
    pub in_place: InItsPlace,
    /// Set apart for what is recalled, in tokens.
    pub recall_budget: u32,
    /// Of kind memory, to write: where pages are kept and looked for. Without one nothing is recalled.
    pub store: Option<GrantId>,
}

/// What a segment says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Utterance {
    /// A text.
    Text(Content),
    /// The assistant asks for calls, after a text that may be empty.
    Calls(Content, Box<[ToolCall]>),
    /// What an earlier call came to, by its id.
    Result(Box<str>, Content),
}

/// A segment to be appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appending {
    /// Who says it.
    pub role: Role,
    /// What.
    pub said: Utterance,
    /// How much it matters; 255 is most.
    pub importance: u8,
    /// An earlier segment without which it means nothing. A result depends on its call without saying so.
    pub depends_on: Option<u64>,
}

/// A core block to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockMaking {
    /// As a [name](crate::is_name), each once.
    pub name: Box<str>,
    /// What it says at first.
    pub text: Content,
    /// So many tokens it may ever have.
    pub tokens_max: u32,
}

/// A change of a block's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlockEdit {
    /// This is the text now.
    Replace(Content),
    /// This comes behind it.
    Append(Content),
    /// This part, which stands in it once, gives way to another.
    ReplacePart {
        /// What stands there.
        old: Content,
        /// What is to.
        new: Content,
    },
}

/// A turn: the model answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContextTurn {
    /// How.
    pub params: Params,
    /// What the model may ask for.
    pub tools: Option<Box<Toolset>>,
}

/// Requests of `context`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ContextRequest {
    /// An empty one.
    Open {
        /// Whose window it is.
        model: ModelId,
        /// How it is paged.
        options: Box<ContextOptions>,
    },
    /// One as a snapshot has it.
    Restore {
        /// Whose window it is.
        model: ModelId,
        /// How it is paged from here on.
        options: Box<ContextOptions>,
        /// The snapshot, in pieces that follow each other.
        snapshot: Box<[ValueId]>,
    },
    /// Something is said.
    Append {
        /// In which.
        context: ContextId,
        /// What.
        segment: Box<Appending>,
    },
    /// A core block, behind the others.
    MakeBlock {
        /// In which.
        context: ContextId,
        /// Which.
        block: Box<BlockMaking>,
    },
    /// Another text of a core block.
    EditBlock {
        /// In which.
        context: ContextId,
        /// Which.
        name: Box<str>,
        /// What is different.
        edit: Box<BlockEdit>,
    },
    /// Takes a core block away.
    RemoveBlock {
        /// In which.
        context: ContextId,
        /// Which.
        name: Box<str>,
    },
    /// The core blocks, their texts unread.
    Blocks {
        /// Of which.
        context: ContextId,
    },
    /// Keeps a segment in the window.
    Pin {
        /// In which.
        context: ContextId,
        /// Which.
        segment: u64,
    },
    /// Lets it go out again.
    Unpin {
        /// In which.
        context: ContextId,
        /// Which.
        segment: u64,
    },
    /// How much a segment matters.
    SetImportance {
        /// In which.
        context: ContextId,
        /// Which.
        segment: u64,
        /// 255 is most.
        importance: u8,
    },
    /// What goes out first: these, then all others, the least recently used first.
    SetOrder {
        /// In which.
        context: ContextId,
        /// From the first on; none at all is the options' own order.
        segments: Box<[u64]>,
    },
    /// Shows segments at their places again.
    PageIn {
        /// In which.
        context: ContextId,
        /// Which.
        segments: Box<[u64]>,
    },
    /// What the window holds.
    Usage {
        /// Of which.
        context: ContextId,
    },
    /// Segments in their order.
    Segments {
        /// Of which.
        context: ContextId,
        /// From the first behind this one.
        after: Option<u64>,
        /// How many at most.
        count: u32,
    },
    /// A segment's text, unread.
    Read {
        /// Of which.
        context: ContextId,
        /// Which.
        segment: u64,
    },
    /// One that goes its own way from here on.
    Fork {
        /// Of which.
        context: ContextId,
    },
    /// All of it, as a value.
    Snapshot {
        /// Of which.
        context: ContextId,
    },
    /// The model answers, and the answer is appended.
    Chat {
        /// In which.
        context: ContextId,
        /// How.
        turn: Box<ContextTurn>,
    },
    /// Lets go of it.
    Drop {
        /// Which.
        context: ContextId,
    },
}

impl ContextRequest {
    /// Whether it needs a model, a clock or a store. All others follow from the process's own tables, and are done at once.
    #[must_use]
    pub const fn asks_outside(&self) -> bool {
        matches!(
            self,
            Self::Open { .. }
                | Self::Restore { .. }
                | Self::Append { .. }
                | Self::MakeBlock { .. }
                | Self::EditBlock { .. }
                | Self::Chat { .. }
        )
    }
}

/// Where a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In the window.
    Resident,
    /// In the window, without its middle.
    Clipped,
    /// Out of it; a line stands for it and its neighbours.
    Stub,
    /// Out of it; a summary stands for it and its neighbours.
    Summary,
    /// Out of it, and shown again behind what was asked last.
    Recalled,
}

/// A segment as it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentInfo {
    /// Which.
    pub segment: u64,
    /// Who says it.
    pub role: Role,
    /// As it was counted.
    pub tokens: u32,
    /// Where it is.
    pub place: Place,
    /// Whether it is pinned itself.
    pub pinned: bool,
    /// How much it matters.
    pub importance: u8,
}

/// A core block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockInfo {
    /// Its name.
    pub name: Box<str>,
    /// What it says, unread.
    pub text: ValueId,
    /// As it was counted.
    pub tokens: u32,
    /// So many it may have.
    pub tokens_max: u32,
}

/// What a window holds, in tokens as they are expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextUsage {
    /// Prompt and output together.
    pub window: u32,
    /// Core blocks.
    pub blocks: u64,
    /// Whole segments at their places.
    pub resident: u64,
    /// Clipped ones.
    pub clipped: u64,
    /// Lines that stand for what is out.
    pub stubs: u64,
    /// Summaries that do.
    pub summaries: u64,
    /// What is recalled.
    pub recalled: u64,
    /// What the model's own form adds, as far as it was learnt.
    pub overhead: u64,
    /// What a prompt may have beyond these.
    pub free: u64,
    /// Segments that were ever appended.
    pub segments: u64,
}

/// Whether what is out was looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recall {
    /// There was nothing to look for: no store, no recall budget, no page, or no message of a user.
    #[default]
    NotSought,
    /// It was.
    Sought,
    /// The store could not be used, or not be paid: the turn went on without.
    Unavailable,
}

/// What a turn did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnReport {
    /// Of the prompt, as the model was given it.
    pub prompt_tokens: u32,
    /// Of these, how many were as in the prompt before, from its beginning on.
    pub kept_tokens: u64,
    /// How many segments went out.
    pub paged_out: u64,
    /// How many summaries were written.
    pub summarised: u32,
    /// What those cost.
    pub paid: Tokens,
    /// Segments that were recalled, ascending.
    pub recalled: Box<[u64]>,
    /// Whether they were looked for.
    pub recall: Recall,
    /// Segments that are out and not in the store yet, since it could not be used, not be paid, or did not take them.
    pub not_stored: u64,
}

/// An answer, and what it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answering {
    /// As of any generation.
    pub completion: Completion,
    /// The segment that the answer is; none where the model said nothing.
    pub segment: Option<u64>,
    /// What the turn did.
    pub report: TurnReport,
}

/// Answers of `context`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContextReply {
    /// A context.
    Opened(ContextId),
    /// A segment, and its tokens.
    Appended {
        /// Which.
        segment: u64,
        /// As they were counted.
        tokens: u32,
    },
    /// The tokens of a block's text.
    Counted(u32),
    /// The core blocks.
    Blocks(Box<[BlockInfo]>),
    /// What the window holds.
    Usage(Box<ContextUsage>),
    /// Segments.
    Segments(Box<[SegmentInfo]>),
    /// A segment's text, or a snapshot.
    Value(ValueId),
    /// An answer.
    Answered(Box<Answering>),
    /// Done.
    Done,
}

/// Errors of `context`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum ContextError {
    /// The process has no right to the model or to the store.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The account cannot pay.
    #[error(transparent)]
    Shortfall(#[from] Shortfall),
    /// There is no such segment.
    #[error("the context has no segment {segment}: it has {count}, from 0 on")]
    NoSuchSegment {
        /// Which.
        segment: u64,
        /// How many there are.
        count: u64,
    },
    /// Pins and blocks leave too little room for the newest turn.
    #[error(
        "pinned segments and blocks ({blocks} tokens) leave the newest turn {excess} tokens too few: unpin {}",
        listed(unpin)
    )]
    Pinned {
        /// So many too many.
        excess: u64,
        /// What the blocks have.
        blocks: u64,
        /// The longest pinned ones, as few as are enough.
        unpin: Box<[u64]>,
    },
    /// The options leave no room for a prompt; says which.
    #[error("the window has no room for this turn: {0}")]
    NoRoom(Box<str>),
    /// Something that cannot be done as it is asked for; says what.
    #[error("the context cannot do this: {0}")]
    Invalid(Box<str>),
    /// Nothing was said yet.
    #[error("there is nothing to answer: append something first")]
    Empty,
    /// All of the process's contexts and values together would be larger than they may.
    #[error("contexts and values of this process may hold {limit} bytes at most: drop some")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The process has as many contexts, or values, as it may.
    #[error("this process may have {limit} of these at once: drop one")]
    TooMany {
        /// How many.
        limit: u64,
    },
    /// The model cannot serve this now; why. What was appended stays.
    #[error("the model is not available: {0}")]
    Unavailable(Box<str>),
    /// A handle that names nothing (any more).
    #[error("no such context, model, grant or value: it was dropped, or never was")]
    Dead,
}

fn listed(ids: &[u64]) -> String {
    let ids: Vec<_> = ids.iter().map(u64::to_string).collect();
    ids.join(", ")
}

impl From<LlmError> for ContextError {
    fn from(error: LlmError) -> Self {
        match error {
            LlmError::Denied(denial) => Self::Denied(denial),
            LlmError::Shortfall(shortfall) => Self::Shortfall(shortfall),
            LlmError::EmptyPrompt => Self::Empty,
            LlmError::Invalid(why) => Self::Invalid(why),
            LlmError::NotSupported { .. } | LlmError::TooLong { .. } => Self::Invalid(error.to_string().into()),
            LlmError::TooMany { limit } => Self::TooMany { limit },
            LlmError::Unavailable(why) => Self::Unavailable(why),
            LlmError::Dead => Self::Dead,
        }
    }
}

impl From<ValueError> for ContextError {
    fn from(error: ValueError) -> Self {
        match error {
            ValueError::TooLarge { limit } => Self::TooLarge { limit },
            ValueError::TooMany { limit } => Self::TooMany { limit },
            ValueError::OutOfRange { .. } | ValueError::Dead => Self::Dead,
        }
    }
}
