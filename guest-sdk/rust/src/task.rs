//! The task that the process was started for, and what it shows while it works.
//!
//! What is emitted appears at once where the task was started: on a terminal, in a file, in a server's stream.

use crate::{Content, EmitError, Message, Value, bindings::remit::kernel::task};

pub use crate::bindings::remit::kernel::{task::Status, types::Role};

/// The longest progress note or artifact's name that the kernel takes.
const NAME_BYTES_MAX: usize = 256;

/// What is to be done.
///
/// ```no_run
/// use remit::prelude::*;
///
/// #[remit::agent]
/// fn run(task: Task) -> Result<Outcome, Failure> {
///     let request = task.request().ok_or_else(|| Failure::new("there is no request: give one"))?;
///     emit_text(format!("A request of {} bytes.", request.len()))?;
///     Ok(Outcome::complete())
/// }
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Task {
    /// Oldest message first; the last one is the newest request.
    pub conversation: Vec<Input>,
}

impl Task {
    pub(crate) fn new(raw: task::Task) -> Self {
        let input = |input: task::Input| Input { role: input.role, content: Value::new(input.content) };
        Self { conversation: raw.conversation.into_iter().map(input).collect() }
    }

    /// The newest message of the user, unread.
    #[must_use]
    pub fn request(&self) -> Option<&Value> {
        self.conversation.iter().rev().find(|input| input.role == Role::User).map(|input| &input.content)
    }

    /// The conversation as messages for a model. Nothing is read.
    ///
    /// ```no_run
    /// # use remit::prelude::*;
    /// # fn example(task: &Task, model: &Model) -> Result<(), Failure> {
    /// let mut messages = vec![Message::system("Answer in one sentence.")];
    /// messages.extend(task.messages());
    /// let answer = model.chat(&messages).max_tokens(60).send()?;
    /// # Ok(()) }
    /// ```
    pub fn messages(&self) -> impl DoubleEndedIterator<Item = Message<'_>> {
        self.conversation.iter().map(|input| Message::new(input.role, &input.content))
    }
}

/// One message of the conversation.
#[derive(Debug)]
pub struct Input {
    /// Who speaks.
    pub role: Role,
    /// What is said, unread.
    pub content: Value,
}

/// Shows more of the answer: at most 1 MiB a call. Waits while the listener is behind. Of an empty text, nothing is shown.
///
/// ```no_run
/// # fn example() -> Result<(), remit::Failure> {
/// remit::emit_text("The answer is ")?;
/// remit::emit_text(format!("{}.\n", 6 * 7))?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`EmitError`] where nobody listens any more, or the text is too large.
pub fn emit_text<'a>(text: impl Into<Content<'a>>) -> Result<(), EmitError> {
    let text = text.into();
    if matches!(&text, Content::Text(text) if text.is_empty()) {
        return Ok(());
    }
    Ok(task::emit(task::Event::Text(text.raw()))?)
}

/// Shows how far the work is, of how much where that is known, and what is being done now (256 bytes are shown).
///
/// ```no_run
/// # fn example() -> Result<(), remit::Failure> {
/// remit::progress(2, 5, "reading page 3")?;
/// remit::progress(2, None, "reading")?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`EmitError::Closed`] where nobody listens any more.
pub fn progress(done: u64, total: impl Into<Option<u64>>, note: &str) -> Result<(), EmitError> {
    let note = &note[..note.floor_char_boundary(NAME_BYTES_MAX)];
    Ok(task::emit(task::Event::Progress(task::Progress { done, total: total.into(), note }))?)
}

/// Hands over a finished piece of work besides the answer, under a file name without a folder.
///
/// ```no_run
/// # use remit::prelude::*;
/// # fn example() -> Result<(), Failure> {
/// let table = Value::from_bytes(b"a,b\n1,2\n", "text/csv")?;
/// artifact("table.csv", &table)?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`EmitError`] where nobody listens any more, or the content is too large.
pub fn artifact<'a>(name: &str, content: impl Into<Content<'a>>) -> Result<(), EmitError> {
    let content = content.into();
    Ok(task::emit(task::Event::Artifact(task::Artifact { name, content: content.raw() }))?)
}
