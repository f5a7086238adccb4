//! `memory`: what processes remember, in stores that others may share.
//!
//! What is written goes where whoever may read the store finds it: it is checked against the grant's ceiling with the label of all that went
//! into it, and kept with that label. What is found comes as values that are not read yet, each with its own label. But that something is
//! found, and how like it is, tells of what it says; whoever searches could find out a secret by guessing. So a search raises the
//! process's label to what went into the question, and to the confidentiality tags of all that it finds; taking an entry by its id, unread,
//! raises nothing. What is written about an entry was chosen by whoever wrote it, and is read as its content is.
//!
//! A citation says that what a process answers rests on an entry: it holds where the quotation stands in the version that is cited, byte by
//! byte, and whoever asks is told so or not. That tells of the entry as a hit does, and raises the label alike. Each is a fact of the audit.
//!
//! A write is in the journal before the store has it ([`crate::memories`]), and is found by whoever looks after that.

mod check;
mod pages;
mod read;
mod write;

use super::{Context, Right};
use crate::{
    bill::{Quote, Reservation},
    control::ControlBlock,
    kernel::Shared,
    ports::{PromptText, StoreError},
    process::Process,
};
use remit_abi::{Access, Content, GrantId, GrantKind, Label, MemoryError, MemoryReply, MemoryRequest, Scope, Tokens};
use std::sync::Arc;

pub(super) use check::validate;
pub(crate) use check::{check_filter, check_particulars, check_search};
pub(super) use pages::{Page, find_pages, page, takes_pages};
pub(crate) use read::vector_of;

pub(super) fn right(process: &Process, request: &MemoryRequest) -> Right {
    let written = |content: &Content| process.content_label(content);
    let (grant, access, label) = match request {
        MemoryRequest::Put(writing) => (writing.grant, Access::ReadWrite, written(&writing.content)),
        MemoryRequest::Update(rewriting) => {
            (rewriting.writing.grant, Access::ReadWrite, written(&rewriting.writing.content))
        }
        // Which ones are there no more tells others what it has read.
        MemoryRequest::Restore { grant, .. } => (*grant, Access::ReadWrite, process.label),
        MemoryRequest::Forget(forgetting) => (forgetting.grant, Access::ReadWrite, process.label),
        MemoryRequest::Get { grant, .. }
        | MemoryRequest::Describe { grant, .. }
        | MemoryRequest::Versions { grant, .. } => (*grant, Access::ReadOnly, Label::TRUSTED),
        MemoryRequest::Search(seeking) => (seeking.grant, Access::ReadOnly, Label::TRUSTED),
        MemoryRequest::List(listing) => (listing.grant, Access::ReadOnly, Label::TRUSTED),
        MemoryRequest::Cite(citing) => (citing.grant, Access::ReadOnly, Label::TRUSTED),
    };
    Right::Use { grant, kind: GrantKind::Memory, access, tokens: 0, label }
}

/// A request with everything looked up.
pub(crate) struct Work {
    /// The stores that the grant opens.
    stores: Scope,
    /// What the process had read.
    label: Label,
    what: What,
    /// A text that becomes a vector: its tokens, once they are known.
    tokens: Option<Arc<[u32]>>,
}

enum What {
    Write(Box<write::Write>),
    Read(Box<read::Read>),
}

impl Work {
    pub(super) fn prepare(context: &Context<'_>, request: &MemoryRequest) -> Result<Self, MemoryError> {
        let process = &*context.process;
        let (grant, what) = match request {
            MemoryRequest::Put(writing) => (writing.grant, write::Write::put(process, writing).map(What::write)?),
            MemoryRequest::Update(rewriting) => {
                (rewriting.writing.grant, write::Write::update(process, rewriting).map(What::write)?)
            }
            MemoryRequest::Restore { grant, entry, version } => {
                (*grant, What::write(write::Write::Restore { entry: *entry, version: *version }))
            }
            MemoryRequest::Forget(forgetting) => {
                (forgetting.grant, What::write(write::Write::Forget((**forgetting).clone())))
            }
            MemoryRequest::Get { grant, entry } => (*grant, What::read(read::Read::Get(*entry))),
            MemoryRequest::Describe { grant, entry } => (*grant, What::read(read::Read::Describe(*entry))),
            MemoryRequest::Versions { grant, entry } => (*grant, What::read(read::Read::Versions(*entry))),
            MemoryRequest::Search(seeking) => (seeking.grant, read::Read::search(process, seeking).map(What::read)?),
            MemoryRequest::List(listing) => (listing.grant, What::read(read::Read::List((**listing).clone()))),
            MemoryRequest::Cite(citing) => (citing.grant, read::Read::cite(process, citing).map(What::read)?),
        };
        let stores = scope(context, grant)?;
        if let (What::Write(_), [_, _, ..]) = (&what, stores.entries()) {
            return Err(MemoryError::Invalid("the grant opens several stores: attenuate it to one to write".into()));
        }
        if let (What::Write(_), [store]) = (&what, stores.entries())
            && store.ends_with('*')
        {
            return Err(MemoryError::Invalid("the grant opens several stores: attenuate it to one to write".into()));
        }
        Ok(Self { stores, label: process.label, what, tokens: None })
    }

    /// A write, and the tokens of what becomes a vector.
    pub(super) fn quote(&mut self, shared: &Shared) -> Result<Quote, MemoryError> {
        let (writes, text) = match &self.what {
            What::Write(write) => (write.writes(), write.to_embed()),
            What::Read(read) => (false, read.to_embed()),
        };
        let mut price = if writes { shared.prices.memory_write() } else { Tokens::ZERO };
        if let Some(text) = text {
            match (&shared.ports.memory.model, &self.what) {
                (Some(model), _) => {
                    let tokens = tokens_of(shared, model, text)?;
                    let count = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
                    price = price.saturating_add(shared.prices.model(model).of_embedding(count));
                    self.tokens = Some(tokens);
                }
                (None, What::Read(read)) if read.needs_vector() => return Err(unavailable(&StoreError::NoEmbedder)),
                // It is found by its words.
                (None, What::Read(_) | What::Write(_)) => {}
            }
        }
        Ok(Quote::exactly(price))
    }

    pub(super) async fn act(
        self,
        shared: &Arc<Shared>,
        block: &ControlBlock,
        reserved: Reservation,
    ) -> Result<MemoryReply, MemoryError> {
        let Self { stores, label, what, tokens } = self;
        let reply = match what {
            What::Write(write) => write.act(shared, block, stores, label).await,
            What::Read(read) => read.act(shared, block, stores, tokens).await,
        }?;
        reserved.settle_whole();
        Ok(reply)
    }
}

impl What {
    fn write(write: write::Write) -> Self {
        Self::Write(Box::new(write))
    }

    fn read(read: read::Read) -> Self {
        Self::Read(Box::new(read))
    }
}

/// Which stores a grant opens.
fn scope(context: &Context<'_>, grant: GrantId) -> Result<Scope, MemoryError> {
    let grants = context.shared.grants.lock();
    Ok(grants.node(grant).ok_or(MemoryError::Dead)?.spec.scope.clone())
}

/// Bytes of a text that can be in so many tokens at most: of what is behind them no token is looked at.
const TOKEN_BYTES_MAX: usize = 32;

/// The tokens of a text's beginning that the model takes.
fn tokens_of(shared: &Shared, model: &str, text: &str) -> Result<Arc<[u32]>, MemoryError> {
    let failed = |error: &dyn std::fmt::Display| MemoryError::Unavailable(error.to_string().into());
    let card = shared.ports.engine.card(model).map_err(|error| failed(&error))?;
    let capacity = card.context_length as usize;
    let end = text.floor_char_boundary(capacity.saturating_mul(TOKEN_BYTES_MAX));
    let beginning = PromptText::Text(text[..end].to_owned());
    let tokens = shared.ports.engine.tokenize(model, &beginning).map_err(|error| failed(&error))?;
    Ok(if tokens.len() > capacity { tokens[..capacity].into() } else { tokens })
}

/// An error of the store, as the guest is told it.
fn unavailable(error: &StoreError) -> MemoryError {
    match error {
        StoreError::Width { .. } => MemoryError::Invalid(error.to_string().into()),
        StoreError::NoEmbedder
        | StoreError::Embedding(_)
        | StoreError::Damaged { .. }
        | StoreError::Newer { .. }
        | StoreError::Io { .. } => MemoryError::Unavailable(error.to_string().into()),
    }
}
