//! A generation in a process's table: under way, or one that the end of a host cut.
//!
//! | what the log has of a generation | after its host started anew |
//! | --- | --- |
//! | its start | it is asked for again when somebody reads or awaits it |
//! | some of what it wrote | the same, and what was read is compared and passed over |
//! | its end, or that it failed | that stays its end |
//!
//! The same prompt, parameters and seed give the same text on a CPU, so that the reader sees a longer wait and nothing else. Where the
//! model writes something else now (other weights, another device, another model of a route), the reader is told so:
//! what it has read cannot be taken back. Nothing was paid for what was cut, so that it is paid once.

use super::generate::Generate;
use crate::{control::ControlBlock, generation::Generation, kernel::Shared, ports::ModelUse};
use parking_lot::Mutex;
use remit_abi::{Delta, GrantId, Label, LlmError, Summary, ToolCall};
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::OnceCell;

/// A generation in a process's table.
#[derive(Clone, Debug)]
pub(crate) enum Streaming {
    /// One under way, or at its end.
    Live(Arc<Generation>),
    /// One that a host's end cut.
    Cut(Arc<Cut>),
}

/// A generation that was begun before the host started anew, or before its process slept.
pub(crate) struct Cut {
    label: Label,
    grant: GrantId,
    request: Generate,
    read: Mutex<Read>,
    is_cancelled: AtomicBool,
    again: OnceCell<Result<Again, LlmError>>,
}

/// What its process has read of it.
#[derive(Clone, Default)]
struct Read {
    text: String,
    /// Ids of tokens.
    tokens: VecDeque<u32>,
    calls: VecDeque<ToolCall>,
    ended: Option<Result<Summary, LlmError>>,
}

/// It, asked for again.
struct Again {
    generation: Arc<Generation>,
    /// What came with what was read before, and was not read.
    ahead: Mutex<VecDeque<Delta>>,
}

impl Streaming {
    /// One that was begun by a request, and of which the log says more.
    pub(super) fn cut(request: Generate) -> Self {
        let (label, grant) = (request.label(), request.grant());
        let (read, is_cancelled, again) = Default::default();
        Self::Cut(Arc::new(Cut { label, grant, request, read, is_cancelled, again }))
    }

    /// What went into its prompt.
    pub(crate) fn label(&self) -> Label {
        match self {
            Self::Live(generation) => generation.label,
            Self::Cut(cut) => cut.label,
        }
    }

    /// Under which it was begun.
    pub(crate) fn grant(&self) -> GrantId {
        match self {
            Self::Live(generation) => generation.grant,
            Self::Cut(cut) => cut.grant,
        }
    }

    /// Goes on under another grant: what nobody has asked for again yet.
    pub(crate) fn belongs_under(&mut self, renamed: impl Fn(&mut GrantId)) {
        if let Self::Cut(cut) = self
            && let Some(cut) = Arc::get_mut(cut)
        {
            renamed(&mut cut.grant);
            renamed(cut.request.grant_mut());
        }
    }

    /// Whether nothing computes for it.
    pub(crate) fn is_at_rest(&self) -> bool {
        match self {
            Self::Live(_) => false,
            Self::Cut(cut) => !cut.again.initialized(),
        }
    }

    /// The next piece. After the end, the end again.
    pub(super) async fn next(&self, shared: &Arc<Shared>, block: &ControlBlock) -> Result<Delta, LlmError> {
        let generation = match self {
            Self::Live(generation) => generation,
            Self::Cut(cut) => {
                if let Some(ended) = cut.ended() {
                    return ended.map(Delta::End);
                }
                let Again { generation, ahead } = cut.again(shared, block).await?;
                let first = ahead.lock().pop_front();
                if let Some(delta) = first {
                    return Ok(delta);
                }
                generation
            }
        };
        let delta = generation.next().await?;
        if let Delta::End(_) = delta {
            shared.turned(block, generation.take_turn().await);
        }
        Ok(delta)
    }

    /// What a model did for it, once, after its end was told.
    pub(super) async fn take_used(&self) -> Option<ModelUse> {
        match self {
            Self::Live(generation) => generation.take_used().await,
            Self::Cut(cut) => match cut.again.get() {
                Some(Ok(again)) => again.generation.take_used().await,
                _ => None,
            },
        }
    }

    /// Waits until `next` would answer at once.
    pub(super) async fn ready(&self, shared: &Arc<Shared>, block: &ControlBlock) {
        match self {
            Self::Live(generation) => generation.ready().await,
            Self::Cut(cut) if cut.ended().is_some() => {}
            Self::Cut(cut) => match cut.again(shared, block).await {
                Ok(Again { generation, ahead }) if ahead.lock().is_empty() => generation.ready().await,
                _ => {}
            },
        }
    }

    /// Whether `next` would answer at once.
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Live(generation) => generation.is_ready(),
            Self::Cut(cut) => match cut.again.get() {
                Some(Ok(Again { generation, ahead })) => !ahead.lock().is_empty() || generation.is_ready(),
                Some(Err(_)) => true,
                None => cut.ended().is_some(),
            },
        }
    }

    /// Ends it before its next token.
    pub(super) fn cancel(&self) {
        match self {
            Self::Live(generation) => generation.cancel(),
            Self::Cut(cut) => {
                cut.is_cancelled.store(true, Ordering::Release);
                if let Some(Ok(again)) = cut.again.get() {
                    again.generation.cancel();
                }
            }
        }
    }
}

impl Cut {
    /// What the log says that was read next.
    pub(super) fn was_read(&self, delta: Result<&Delta, &LlmError>) {
        let read = &mut *self.read.lock();
        match delta {
            Ok(Delta::Text(text)) => read.text.push_str(text),
            Ok(Delta::Token(drawn)) => read.tokens.push_back(drawn.token.id),
            Ok(Delta::ToolCall(call)) => read.calls.push_back((**call).clone()),
            Ok(Delta::End(summary)) => read.ended = Some(Ok(summary.clone())),
            // A reader whose grant was taken may have it again; the generation goes on.
            Err(LlmError::Denied(_)) => {}
            Err(error) => read.ended = Some(Err(error.clone())),
        }
    }

    fn ended(&self) -> Option<Result<Summary, LlmError>> {
        self.read.lock().ended.clone()
    }

    /// It, asked for again where that has not been done.
    async fn again(&self, shared: &Arc<Shared>, block: &ControlBlock) -> Result<&Again, LlmError> {
        let again = self.again.get_or_init(|| self.ask_again(shared, block)).await;
        again.as_ref().map_err(LlmError::clone)
    }

    async fn ask_again(&self, shared: &Arc<Shared>, block: &ControlBlock) -> Result<Again, LlmError> {
        let generation = self.request.afresh().begin_anew(shared, block).await?;
        let read = self.read.lock().clone();
        let ahead = read.pass_over(&generation).await?;
        if self.is_cancelled.load(Ordering::Acquire) {
            generation.cancel();
        }
        Ok(Again { generation, ahead: Mutex::new(ahead) })
    }
}

impl Read {
    /// Reads the same of a generation again; what came besides.
    async fn pass_over(mut self, generation: &Generation) -> Result<VecDeque<Delta>, LlmError> {
        let differs = || LlmError::Unavailable(DIFFERS.into());
        let (mut text, mut ahead) = (&*self.text, VecDeque::new());
        while !(text.is_empty() && self.tokens.is_empty() && self.calls.is_empty()) {
            match generation.next().await? {
                // Pieces may be cut elsewhere now.
                Delta::Text(piece) => match text.strip_prefix(&*piece) {
                    Some(rest) => text = rest,
                    None => {
                        let unread = piece.strip_prefix(text).ok_or_else(differs)?;
                        ahead.push_back(Delta::Text(unread.into()));
                        text = "";
                    }
                },
                Delta::Token(drawn) => match self.tokens.pop_front() {
                    Some(id) if id == drawn.token.id => {}
                    Some(_) => return Err(differs()),
                    None => ahead.push_back(Delta::Token(drawn)),
                },
                Delta::ToolCall(call) => match self.calls.pop_front() {
                    Some(read) if read == *call => {}
                    Some(_) => return Err(differs()),
                    None => ahead.push_back(Delta::ToolCall(call)),
                },
                Delta::End(_) => return Err(differs()),
            }
        }
        Ok(ahead)
    }
}

const DIFFERS: &str =
    "the host was started anew in the middle of this generation, and the model writes something else now: ask again";

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cut").field("grant", &self.grant).finish_non_exhaustive()
    }
}
