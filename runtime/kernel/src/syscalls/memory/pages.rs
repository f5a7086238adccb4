//! What the kernel writes and looks up for a process beside its own requests: pages of its contexts. They are checked by whoever asks for them,
//! and priced here as the process's own writes and searches are.

use super::{read, tokens_of, unavailable};
use crate::{
    bill::{Bill, Quote},
    control::ControlBlock,
    kernel::Shared,
    ports::{EntryVersion, MemoryAct, MemoryHit},
};
use remit_abi::{
    EntryFilter, Label, MemoryError, Particulars, Probe, Remembered, Scope, Search, Tokens, Weighting, limits,
};
use std::sync::Arc;

/// A text to be written.
pub(in crate::syscalls) struct Page {
    pub(in crate::syscalls) content: Remembered,
    pub(in crate::syscalls) label: Label,
    pub(in crate::syscalls) particulars: Particulars,
}

/// Whether the memory takes writes now.
pub(in crate::syscalls) async fn takes_pages(shared: &Shared, block: &ControlBlock) -> Result<(), MemoryError> {
    shared.ports.memory.store.room(block.pid.tenant).await.map_err(|error| unavailable(&error))
}

/// Pays for a page, and makes the write that goes out with the process's next entry.
pub(in crate::syscalls) fn page(
    shared: &Shared,
    block: &ControlBlock,
    bill: &Bill,
    store: &str,
    page: Page,
) -> Result<MemoryAct, MemoryError> {
    let Page { content, label, particulars } = page;
    let text = content.text().unwrap_or_default();
    let (_, vector) = vector_of(shared, text)?;
    bill.charge(shared.prices.memory_write().saturating_add(vector)).map_err(MemoryError::Shortfall)?;
    Ok(MemoryAct::Put(Box::new(EntryVersion {
        id: shared.memories.next_entry(),
        version: 1,
        store: store.into(),
        source: Some(block.pid),
        written_ns: shared.ports.clock.wall_ns(),
        label,
        content,
        particulars,
        vector: None,
    })))
}

/// Looks for the pages that are likest to a text, by its words and, where the node has a model for that, by what it means.
pub(in crate::syscalls) async fn find_pages(
    shared: &Shared,
    block: &ControlBlock,
    bill: &Arc<Bill>,
    (stores, filter): (Scope, EntryFilter),
    (text, count): (&str, u32),
) -> Result<Vec<MemoryHit>, MemoryError> {
    let words: Box<str> = text[..text.floor_char_boundary(limits::MEMORY_WORDS_BYTES_MAX)].into();
    let (tokens, price) = vector_of(shared, &words)?;
    let reserved = bill.reserve(Quote::exactly(price)).map_err(MemoryError::Shortfall)?;
    let probe = match tokens {
        Some(tokens) => Probe::Both { words, vector: read::embed(shared, tokens).await?.0 },
        None => Probe::Words(words),
    };
    let search = Search { probe, filter, weighting: Weighting::default(), count };
    let now_ns = shared.ports.clock.wall_ns();
    let found = shared.ports.memory.store.search(block.pid.tenant, stores, search, now_ns).await;
    let found = found.map_err(|error| unavailable(&error))?;
    reserved.settle_whole();
    Ok(found)
}

/// A text's tokens, where it becomes a vector, and what that costs.
type ToEmbed = (Option<Arc<[u32]>>, Tokens);

/// The tokens of a text that becomes a vector, where the node has a model for that, and what that costs.
fn vector_of(shared: &Shared, text: &str) -> Result<ToEmbed, MemoryError> {
    let Some(model) = &shared.ports.memory.model else { return Ok((None, Tokens::ZERO)) };
    let tokens = tokens_of(shared, model, text)?;
    let count = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
    Ok((Some(tokens), shared.prices.model(model).of_embedding(count)))
}
