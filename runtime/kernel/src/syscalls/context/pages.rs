//! The store of a context: what went out is put there once, and looked for when a user says something.
//!
//! What a store answers is an allegation, since others may write to it: a page that does not say what its segment says is not recalled.

use super::{
    super::{Context, memory},
    INTERFACE, invalid,
    turn::Turn,
};
use crate::{
    contexts::{CONTEXT, ROLE, SEGMENT, role_name},
    control::ControlBlock,
    kernel::Shared,
    ports::{MemoryHit, PageStep},
    process::TEXT,
};
use remit_abi::{
    Access, ContextError, Denial, Field, GrantId, GrantKind, Label, MemoryError, Particulars, Recall, Remembered,
    Scalar, Scope, limits,
};
use remit_authority::Use;

/// Pages that one search finds: more than a recall budget has room for.
const FOUND_MAX: u32 = 32;

/// Segments that one turn puts into the store. What is more waits for the next ones.
const FILED_MAX: usize = 256;

/// A store to write is one.
pub(super) fn check_store(context: &Context<'_>, store: Option<GrantId>) -> Result<(), ContextError> {
    match store.map(|grant| scope(context.shared, grant)).transpose()? {
        None => Ok(()),
        Some(scope) => store_of(&scope).map(drop),
    }
}

fn scope(shared: &Shared, grant: GrantId) -> Result<Scope, ContextError> {
    Ok(shared.grants.lock().node(grant).ok_or(ContextError::Dead)?.spec.scope.clone())
}

fn store_of(scope: &Scope) -> Result<&str, ContextError> {
    match scope.entries() {
        [store] if !store.ends_with('*') => Ok(store),
        _ => Err(invalid("the grant of the store opens several: attenuate it to one")),
    }
}

fn wanted(access: Access, label: Label) -> Use<'static> {
    Use { kind: GrantKind::Memory, name: None, access, tokens: 0, label }
}

impl Turn {
    /// Looks for what is out and like the newest question, and shows what there is room for.
    pub(super) async fn recall(&mut self, shared: &Shared, block: &ControlBlock) {
        let budget = self.open.options.recall_budget;
        let Some(grant) = self.open.options.store.filter(|_| budget > 0 && self.open.has_pages()) else { return };
        let Some(question) = self.open.question() else { return };
        let (words, asked) = (question.body.in_words(), question.label);
        if words.trim().is_empty() {
            return;
        }
        let found = match self.look(shared, block, grant, &words).await {
            Ok(found) => found,
            Err(_) => {
                self.report.recall = Recall::Unavailable;
                return;
            }
        };
        self.report.recall = Recall::Sought;
        // Which ones they are tells of what they say, as with a search of the process's own.
        let tags = found.iter().map(|hit| Label { tags: hit.entry.label.tags, ..Label::TRUSTED });
        self.raised = tags.fold(self.raised.join(asked), Label::join);
        let segments: Box<[u64]> = found.iter().filter_map(|hit| self.segment_of(hit)).collect();
        if segments.is_empty() {
            return;
        }
        let mut tried = self.open.fork();
        let recalled = tried.recall(&segments);
        if !recalled.is_empty() && self.may_send(shared, tried.context.label()).is_ok() {
            self.report.recalled = recalled.into_iter().map(|id| id.0).collect();
            self.open = tried;
            self.steps.push(PageStep::Recalled(segments));
        }
    }

    async fn look(
        &self,
        shared: &Shared,
        block: &ControlBlock,
        grant: GrantId,
        words: &str,
    ) -> Result<Vec<MemoryHit>, MemoryError> {
        shared.use_besides(block, (grant, INTERFACE), &wanted(Access::ReadOnly, Label::TRUSTED))?;
        let stores = scope(shared, grant).map_err(|_| MemoryError::Dead)?;
        let among = (stores, self.open.names.filter());
        memory::find_pages(shared, block, &self.bill, among, (words, FOUND_MAX)).await
    }

    /// The segment that a page is of, where it says the same.
    fn segment_of(&self, hit: &MemoryHit) -> Option<u64> {
        let field = hit.entry.particulars.metadata.iter().find(|field| &*field.name == SEGMENT)?;
        let Scalar::Integer(number) = field.value else { return None };
        let segment = u64::try_from(number).ok()?;
        let words = self.open.known(segment).ok()?.body.in_words();
        (hit.entry.content.bytes == words.as_bytes()).then_some(segment)
    }

    /// Puts what is out into the store, where it is not there yet.
    pub(super) async fn file(&mut self, shared: &Shared, block: &ControlBlock) {
        let Some(grant) = self.open.options.store else { return };
        let (mut filed, mut refused) = (Vec::new(), 0);
        if self.open.unfiled().next().is_some() && memory::takes_pages(shared, block).await.is_ok() {
            let ids: Vec<u64> = self.open.unfiled().take(FILED_MAX).map(|segment| segment.id.0).collect();
            for segment in ids {
                match self.put(shared, block, grant, segment) {
                    Ok(()) => filed.push(segment),
                    // It will not be taken later either.
                    Err(MemoryError::Denied(Denial::Tainted { .. })) => {
                        refused += 1;
                        filed.push(segment);
                    }
                    Err(_) => break,
                }
            }
        }
        if !filed.is_empty() {
            self.take(PageStep::Filed(filed.into()));
        }
        self.report.not_stored = self.open.unfiled().count() as u64 + refused;
    }

    fn put(&mut self, shared: &Shared, block: &ControlBlock, grant: GrantId, number: u64) -> Result<(), MemoryError> {
        let segment = self.open.known(number).map_err(|_| MemoryError::Dead)?;
        let words = segment.body.in_words();
        let words = &words[..words.floor_char_boundary(limits::MEMORY_BYTES_MAX)];
        if words.is_empty() {
            return Ok(());
        }
        shared.use_besides(block, (grant, INTERFACE), &wanted(Access::ReadWrite, segment.label))?;
        let scope = scope(shared, grant).map_err(|_| MemoryError::Dead)?;
        let store = store_of(&scope).map_err(|_| MemoryError::Dead)?;
        let field = |name: &str, value| Field { name: name.into(), value };
        let importance = self.open.context.importance(segment.id).unwrap_or_default();
        let particulars = Particulars {
            tags: Vec::new(),
            // Sorted by name.
            metadata: vec![
                field(CONTEXT, Scalar::Text(self.open.names.own().into())),
                field(ROLE, Scalar::Text(role_name(segment.role).into())),
                field(SEGMENT, Scalar::Integer(i64::try_from(number).unwrap_or(i64::MAX))),
            ],
            importance: f32::from(importance) / 255.0,
            expires_ns: None,
        };
        let content = Remembered { bytes: words.to_owned().into_bytes().into(), media_type: TEXT.into() };
        let page = memory::Page { content, label: segment.label, particulars };
        self.writes.push(memory::page(shared, block, &self.bill, store, page)?);
        Ok(())
    }
}
