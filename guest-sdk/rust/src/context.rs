//! Conversations whose window the kernel pages: an agent appends and chats for as long as it likes, and never sees that a context is too long.
//!
//! ```no_run
//! use remit::{
//!     Failure, Model,
//!     capability::Grant,
//!     context::{Context, Settings},
//! };
//!
//! fn talk(questions: impl Iterator<Item = String>) -> Result<(), Failure> {
//!     let model = Model::take("chat")?;
//!     // What leaves the window lies in the store, and comes back when somebody asks for it.
//!     let pages = Grant::take("pages")?;
//!     let context = Context::open(&model, &Settings::new().summaries().store(&pages, 500))?;
//!     context.make_block("task", "Help with the garden. Be brief.", 200)?;
//!     for question in questions {
//!         context.user(&*question)?;
//!         let answer = context.chat().max_tokens(200).send()?;
//!         remit::emit_text(&answer.completion.content)?;
//!         remit::debug!("{} of {} tokens were as before", answer.report.kept_tokens, answer.report.prompt_tokens);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! A context does not outlive a run. [`Context::snapshot`] says all of it as a value, whose bytes can be
//! [committed](crate::checkpoint); [`Context::restore`] makes them a context again.

use crate::{
    Call, Completion, Content, ContextError, ContextPrompt, Model, Role, Tokens, ToolCall, Value,
    bindings::remit::kernel::context, capability::Grant,
};

pub use context::{Place, Recall, SegmentInfo, Usage};

/// A segment of a context: its place in the order of appending, from 0 on.
pub type SegmentId = u64;

/// How much a segment matters, where nothing is said.
const IMPORTANCE_DEFAULT: u8 = 128;

/// One host call makes a value of at most so many bytes.
const PIECE_BYTES: usize = 1 << 20;

/// Of a snapshot.
const MEDIA_TYPE: &str = "application/vnd.remit.context";

/// How a context is paged.
///
/// [`Settings::new`] sets: the model's whole window, an answer as long as each call asks for, least recently used first, a line in the place
/// of what is out, no store.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    window: u32,
    output_reserve: u32,
    order: context::PageOrder,
    in_place: context::InItsPlace,
    recall_budget: u32,
    store: Option<&'a Grant>,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Settings<'a> {
    /// The usual ones.
    #[must_use]
    pub const fn new() -> Self {
        let (order, in_place) = (context::PageOrder::LeastRecentlyUsed, context::InItsPlace::Stub);
        Self { window: 0, output_reserve: 0, order, in_place, recall_budget: 0, store: None }
    }

    /// Prompt and output together have at most so many tokens, and no more than the model has.
    #[must_use]
    pub const fn window(mut self, tokens: u32) -> Self {
        self.window = tokens;
        self
    }

    /// So many tokens are set apart for the answer.
    #[must_use]
    pub const fn output_reserve(mut self, tokens: u32) -> Self {
        self.output_reserve = tokens;
        self
    }

    /// What matters least goes out first.
    #[must_use]
    pub const fn by_importance(mut self) -> Self {
        self.order = context::PageOrder::Importance;
        self
    }

    /// A summary stands in the place of what is out, by the context's own model and at this process's cost.
    #[must_use]
    pub const fn summaries(mut self) -> Self {
        self.in_place = context::InItsPlace::Summary;
        self
    }

    /// What is out is put into the store of a grant of kind `memory`, and looked for there with each turn; so many tokens are set apart for
    /// what is recalled.
    #[must_use]
    pub const fn store(mut self, grant: &'a Grant, recall_budget: u32) -> Self {
        (self.store, self.recall_budget) = (Some(grant), recall_budget);
        self
    }

    fn raw(&self) -> context::Options<'a> {
        let Self { window, output_reserve, order, in_place, recall_budget, store } = *self;
        context::Options { window, output_reserve, order, in_place, recall_budget, store: store.map(|grant| &grant.0) }
    }
}

/// A conversation whose window is paged.
#[derive(Debug)]
pub struct Context {
    raw: context::Context,
    max_tokens_per_call: Option<u32>,
}

impl Context {
    /// An empty one, for a model's window.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn open(model: &Model, settings: &Settings<'_>) -> Result<Self, ContextError> {
        let raw = context::Context::open(&model.raw, settings.raw())?;
        Ok(Self { raw, max_tokens_per_call: model.max_tokens_per_call() })
    }

    /// One as the bytes of a snapshot have it.
    ///
    /// # Errors
    /// [`ContextError`], also where the bytes are no snapshot.
    pub fn restore(model: &Model, settings: &Settings<'_>, snapshot: &[u8]) -> Result<Self, ContextError> {
        let pieces = snapshot.chunks(PIECE_BYTES).map(|piece| Value::from_bytes(piece, MEDIA_TYPE));
        let pieces = pieces.collect::<Result<Vec<_>, _>>();
        let pieces = pieces.map_err(|error| ContextError::Invalid(error.to_string()))?;
        let handles: Vec<_> = pieces.iter().map(Value::raw).collect();
        let raw = context::Context::restore(&model.raw, settings.raw(), &handles)?;
        Ok(Self { raw, max_tokens_per_call: model.max_tokens_per_call() })
    }

    pub(crate) const fn raw(&self) -> &context::Context {
        &self.raw
    }

    /// The user says something.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn user<'a>(&self, content: impl Into<Content<'a>>) -> Result<SegmentId, ContextError> {
        self.append(&Segment::text(Role::User, content))
    }

    /// A standing instruction: it goes out last.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn system<'a>(&self, content: impl Into<Content<'a>>) -> Result<SegmentId, ContextError> {
        self.append(&Segment::text(Role::System, content))
    }

    /// What a call came to that an answer asked for: it is shown with that, or not at all.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn result<'a>(&self, call: &'a ToolCall, content: impl Into<Content<'a>>) -> Result<SegmentId, ContextError> {
        self.append(&Segment::result(call, content))
    }

    /// Appends a segment.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn append(&self, segment: &Segment<'_>) -> Result<SegmentId, ContextError> {
        let calls: Vec<_> = match segment.said {
            Said::Calls(_, calls) => calls.iter().collect(),
            Said::Text(_) | Said::Result(..) => Vec::new(),
        };
        let said = match &segment.said {
            Said::Text(content) => context::Utterance::Text(content.raw()),
            Said::Calls(content, _) => {
                context::Utterance::Calls(context::Calling { content: content.raw(), calls: &calls })
            }
            Said::Result(id, content) => {
                context::Utterance::ToolResult(context::OutcomeOfCall { id, content: content.raw() })
            }
        };
        let Segment { role, importance, depends_on, .. } = *segment;
        Ok(self.raw.append(context::Segment { role, said, importance, depends_on })?)
    }

    /// The model answers what was said: a call to be set up, then sent. The answer is appended.
    #[must_use = "a call does nothing until it is sent"]
    pub const fn chat(&self) -> Call<'_, ContextPrompt<'_>> {
        Call::new(self.max_tokens_per_call, ContextPrompt::new(self))
    }

    /// A core block, which is always in the window, at its beginning; its tokens. 32 at most.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn make_block<'a>(
        &self,
        name: &str,
        text: impl Into<Content<'a>>,
        tokens_max: u32,
    ) -> Result<u32, ContextError> {
        Ok(self.raw.make_block(name, text.into().raw(), tokens_max)?)
    }

    /// Gives a core block another text; its tokens.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn replace_block<'a>(&self, name: &str, text: impl Into<Content<'a>>) -> Result<u32, ContextError> {
        Ok(self.raw.edit_block(name, context::BlockEdit::Replace(text.into().raw()))?)
    }

    /// Adds to the end of a core block; its tokens.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn append_to_block<'a>(&self, name: &str, text: impl Into<Content<'a>>) -> Result<u32, ContextError> {
        Ok(self.raw.edit_block(name, context::BlockEdit::Append(text.into().raw()))?)
    }

    /// Changes the one place of a core block where a text stands; its tokens. Whether it stands there tells of the block: this process's label
    /// rises to the block's.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn replace_in_block<'a>(
        &self,
        name: &str,
        old: impl Into<Content<'a>>,
        new: impl Into<Content<'a>>,
    ) -> Result<u32, ContextError> {
        let (old, new) = (old.into(), new.into());
        Ok(self.raw.edit_block(name, context::BlockEdit::ReplacePart((old.raw(), new.raw())))?)
    }

    /// Takes a core block away.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn remove_block(&self, name: &str) -> Result<(), ContextError> {
        Ok(self.raw.remove_block(name)?)
    }

    /// The core blocks, their texts unread.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn blocks(&self) -> Result<Vec<Block>, ContextError> {
        Ok(self.raw.blocks()?.into_iter().map(Block::from).collect())
    }

    /// Keeps a segment in the window, whole.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn pin(&self, segment: SegmentId) -> Result<(), ContextError> {
        Ok(self.raw.pin(segment)?)
    }

    /// Lets it go out again.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn unpin(&self, segment: SegmentId) -> Result<(), ContextError> {
        Ok(self.raw.unpin(segment)?)
    }

    /// Says how much a segment matters; 255 is most.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn set_importance(&self, segment: SegmentId, importance: u8) -> Result<(), ContextError> {
        Ok(self.raw.set_importance(segment, importance)?)
    }

    /// What goes out first: these, then the least recently used. None at all is the order of the settings again.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn set_order(&self, segments: &[SegmentId]) -> Result<(), ContextError> {
        Ok(self.raw.set_order(segments)?)
    }

    /// Shows segments at their places again.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn page_in(&self, segments: &[SegmentId]) -> Result<(), ContextError> {
        Ok(self.raw.page_in(segments)?)
    }

    /// What the window holds.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn usage(&self) -> Result<Usage, ContextError> {
        Ok(self.raw.get_usage()?)
    }

    /// Segments in their order, from the first behind `after`; 4096 at most.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn segments(&self, after: Option<SegmentId>, count: u32) -> Result<Vec<SegmentInfo>, ContextError> {
        Ok(self.raw.segments(after, count)?)
    }

    /// What a segment says, unread, wherever it is.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn read(&self, segment: SegmentId) -> Result<Value, ContextError> {
        Ok(Value::new(self.raw.read(segment)?))
    }

    /// One that goes its own way from here on.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn fork(&self) -> Result<Self, ContextError> {
        Ok(Self { raw: self.raw.fork()?, max_tokens_per_call: self.max_tokens_per_call })
    }

    /// All of it as a value, with the label of all that was said in it.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn snapshot(&self) -> Result<Value, ContextError> {
        Ok(Value::new(self.raw.snapshot()?))
    }
}

#[derive(Clone, Debug)]
enum Said<'a> {
    Text(Content<'a>),
    Calls(Content<'a>, &'a [ToolCall]),
    Result(&'a str, Content<'a>),
}

/// Something that is said. By default it matters as others do (128), and depends on nothing but its call.
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    role: Role,
    said: Said<'a>,
    importance: u8,
    depends_on: Option<SegmentId>,
}

impl<'a> Segment<'a> {
    const fn new(role: Role, said: Said<'a>) -> Self {
        Self { role, said, importance: IMPORTANCE_DEFAULT, depends_on: None }
    }

    /// A text.
    #[must_use]
    pub fn text(role: Role, content: impl Into<Content<'a>>) -> Self {
        Self::new(role, Said::Text(content.into()))
    }

    /// The assistant asks for calls, after a text that may be empty.
    #[must_use]
    pub fn called(content: impl Into<Content<'a>>, calls: &'a [ToolCall]) -> Self {
        Self::new(Role::Assistant, Said::Calls(content.into(), calls))
    }

    /// What a call came to.
    #[must_use]
    pub fn result(call: &'a ToolCall, content: impl Into<Content<'a>>) -> Self {
        Self::new(Role::User, Said::Result(&call.id, content.into()))
    }

    /// How much it matters; 255 is most.
    #[must_use]
    pub const fn importance(mut self, importance: u8) -> Self {
        self.importance = importance;
        self
    }

    /// An earlier segment without which it means nothing: both are shown, or neither.
    #[must_use]
    pub const fn depends_on(mut self, segment: SegmentId) -> Self {
        self.depends_on = Some(segment);
        self
    }
}

/// A core block.
#[derive(Debug)]
pub struct Block {
    /// Its name.
    pub name: String,
    /// What it says, unread.
    pub text: Value,
    /// As it was counted.
    pub tokens: u32,
    /// So many tokens it may have.
    pub tokens_max: u32,
}

impl From<context::Block> for Block {
    fn from(raw: context::Block) -> Self {
        let context::Block { name, text, tokens, tokens_max } = raw;
        Self { name, text: Value::new(text), tokens, tokens_max }
    }
}

/// What a turn did.
#[derive(Clone, Debug)]
pub struct Report {
    /// Of the prompt, as the model was given it.
    pub prompt_tokens: u32,
    /// Of these, how many were as in the prompt before, from its beginning on.
    pub kept_tokens: u64,
    /// Segments that went out.
    pub paged_out: u64,
    /// Summaries that were written.
    pub summarised: u32,
    /// What those cost.
    pub paid: Tokens,
    /// Segments that were recalled, ascending.
    pub recalled: Vec<SegmentId>,
    /// Whether they were looked for.
    pub recall: Recall,
    /// Segments that are out and not in the store.
    pub not_stored: u64,
}

/// An answer, and what it took.
#[derive(Debug)]
pub struct Answer {
    /// As of any generation.
    pub completion: Completion,
    /// The segment that it is; none where the model said nothing.
    pub segment: Option<SegmentId>,
    /// What the turn did.
    pub report: Report,
}

impl From<context::Answer> for Answer {
    fn from(raw: context::Answer) -> Self {
        let context::Answer { completion, segment, report } = raw;
        let context::TurnReport {
            prompt_tokens,
            kept_tokens,
            paged_out,
            summarised,
            paid,
            recalled,
            recall,
            not_stored,
        } = report;
        let paid = Tokens::from_micro(paid);
        let report = Report { prompt_tokens, kept_tokens, paged_out, summarised, paid, recalled, recall, not_stored };
        Self { completion: Completion::new(completion), segment, report }
    }
}
