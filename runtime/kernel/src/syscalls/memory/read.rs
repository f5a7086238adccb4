//! Reading: entries by their ids, what is written about them, and searches.

use super::unavailable;
use crate::{
    control::ControlBlock,
    kernel::Shared,
    ports::{EntryVersion, MemoryHit, ModelUse, Note, StoreError, ValueImage},
    process::{Process, Value},
};
use remit_abi::{
    Cited, Citing, Condition, Content, Description, EntryFilter, EntryId, Hit, Integrity, KeptVersion, Label, Likeness,
    Listing, MemoryError, MemoryReply, Probe, Scope, Search, Seeking, TenantId, Usage,
};
use std::sync::Arc;

pub(super) enum Read {
    Get(EntryId),
    Describe(EntryId),
    Versions(EntryId),
    Search {
        likeness: Likeness,
        /// The text that is looked for, where there is one.
        text: Option<Box<str>>,
        /// What went into the question.
        label: Label,
        seeking: Seeking,
    },
    List(Listing),
    Cite {
        entry: EntryId,
        version: Option<u32>,
        quotation: Box<str>,
        /// What went into it.
        label: Label,
    },
}

impl Read {
    pub(super) fn search(process: &Process, seeking: &Seeking) -> Result<Self, MemoryError> {
        let (text, label) = match &seeking.likeness {
            Likeness::Words(content) | Likeness::Meaning(content) | Likeness::Both(content) => {
                let resolved = process.resolve(content).ok_or(MemoryError::Dead)?;
                let text = std::str::from_utf8(&resolved.bytes);
                let text = text.map_err(|_| MemoryError::Invalid("what is looked for is not UTF-8 text".into()))?;
                (Some(text.into()), label_of(content, resolved.label))
            }
            Likeness::Vector(_) => (None, Label::TRUSTED),
        };
        Ok(Self::Search { likeness: seeking.likeness.clone(), text, label, seeking: seeking.clone() })
    }

    pub(super) fn cite(process: &Process, citing: &Citing) -> Result<Self, MemoryError> {
        let Citing { entry, version, quotation, .. } = citing;
        let resolved = process.resolve(quotation).ok_or(MemoryError::Dead)?;
        let label = label_of(quotation, resolved.label);
        let text = std::str::from_utf8(&resolved.bytes);
        let quotation = text.map_err(|_| MemoryError::Invalid("the quotation is not UTF-8 text".into()))?.into();
        Ok(Self::Cite { entry: *entry, version: *version, quotation, label })
    }

    /// What becomes a vector now.
    pub(super) fn to_embed(&self) -> Option<&str> {
        match self {
            Self::Search { likeness: Likeness::Meaning(_) | Likeness::Both(_), text, .. } => text.as_deref(),
            _ => None,
        }
    }

    /// Whether words alone are no answer.
    pub(super) const fn needs_vector(&self) -> bool {
        matches!(self, Self::Search { likeness: Likeness::Meaning(_), .. })
    }

    pub(super) async fn act(
        self,
        shared: &Arc<Shared>,
        block: &ControlBlock,
        stores: Scope,
        tokens: Option<Arc<[u32]>>,
    ) -> Result<MemoryReply, MemoryError> {
        let (store, tenant) = (&shared.ports.memory.store, block.pid.tenant);
        let now_ns = shared.ports.clock.wall_ns();
        match self {
            Self::Get(entry) => {
                let found = store.get(tenant, stores, entry, now_ns).await.map_err(|error| unavailable(&error))?;
                let found = listed(found.ok_or(MemoryError::NoSuchEntry(entry))?);
                let process = &mut *block.process.lock();
                let hits = take_in(process, vec![found])?;
                hits.first().cloned().map(MemoryReply::Got).ok_or(MemoryError::NoSuchEntry(entry))
            }
            Self::Describe(entry) => {
                let found = store.get(tenant, stores, entry, now_ns).await.map_err(|error| unavailable(&error))?;
                let EntryVersion { version, store, source, written_ns, particulars, label, .. } =
                    found.ok_or(MemoryError::NoSuchEntry(entry))?;
                let process = &mut *block.process.lock();
                process.label = process.label.join(label);
                let description = Description { version, store, source, written_ns, particulars };
                Ok(MemoryReply::Described(Box::new(description)))
            }
            Self::Versions(entry) => {
                let versions = store.versions(tenant, stores, entry).await.map_err(|error| unavailable(&error))?;
                if versions.is_empty() {
                    return Err(MemoryError::NoSuchEntry(entry));
                }
                let kept = versions.iter().map(|version| KeptVersion {
                    version: version.version,
                    written_ns: version.written_ns,
                    source: version.source,
                });
                Ok(MemoryReply::Versions(kept.collect()))
            }
            Self::List(Listing { mut filter, within, after, count, .. }) => {
                leave_out(shared, tenant, &mut filter, within);
                let found = store.list(tenant, stores, filter, after, count as usize, now_ns).await;
                let found = found.map_err(|error| unavailable(&error))?.into_iter().map(listed).collect();
                tell(block, found, Label::TRUSTED, None)
            }
            Self::Cite { entry, version, quotation, label } => {
                let found = store.get(tenant, stores.clone(), entry, now_ns).await;
                let mut found = found.map_err(|error| unavailable(&error))?.ok_or(MemoryError::NoSuchEntry(entry))?;
                if let Some(version) = version.filter(|version| *version != found.version) {
                    let kept = store.versions(tenant, stores, entry).await.map_err(|error| unavailable(&error))?;
                    let kept = kept.into_iter().find(|kept| kept.version == version);
                    found = kept.ok_or(MemoryError::NoSuchVersion { version })?;
                }
                let process = &mut *block.process.lock();
                // Whoever guesses a text learns whether it stands there.
                let told = Label { tags: found.label.tags, ..Label::TRUSTED };
                process.label = process.label.join(label).join(told);
                let text = std::str::from_utf8(&found.content.bytes).ok();
                let offset = text.and_then(|text| text.find(&*quotation)).map(|offset| offset as u64);
                process.bill.cited(offset.is_some());
                shared.cited(offset.is_some());
                Ok(MemoryReply::Cited(Cited { version: found.version, offset }))
            }
            Self::Search { likeness, text, label, seeking } => {
                let (vector, used) = match tokens {
                    Some(tokens) => embed(shared, tokens).await.map(|(vector, used)| (Some(vector), Some(used)))?,
                    None => (None, None),
                };
                let words = text.unwrap_or_default();
                let probe = match (likeness, vector) {
                    (Likeness::Words(_), _) | (Likeness::Meaning(_) | Likeness::Both(_), None) => Probe::Words(words),
                    (Likeness::Meaning(_), Some(vector)) => Probe::Vector(vector),
                    (Likeness::Both(_), Some(vector)) => Probe::Both { words, vector },
                    (Likeness::Vector(vector), _) => Probe::Vector(vector),
                };
                let Seeking { mut filter, within, weighting, count, .. } = seeking;
                leave_out(shared, tenant, &mut filter, within);
                let search = Search { probe, filter, weighting, count };
                let found = store.search(tenant, stores, search, now_ns).await.map_err(|error| unavailable(&error))?;
                tell(block, found, label, used)
            }
        }
    }
}

/// Leaves out what does not flow to a label.
fn leave_out(
    shared: &Shared,
    tenant: TenantId,
    EntryFilter(clauses): &mut EntryFilter,
    within: Option<(Integrity, Box<[Box<str>]>)>,
) {
    if let Some((integrity, names)) = within {
        let label = Label { integrity, tags: shared.tags.known(tenant, &names) };
        clauses.push(vec![Condition::FlowsTo(label)]);
    }
}

/// Of what a process says itself, its label is there already.
fn label_of(content: &Content, label: Label) -> Label {
    match content {
        Content::Text(_) => Label::TRUSTED,
        Content::Value(_) => label,
    }
}

/// A text's vector, for an operator.
pub(crate) async fn vector_of(shared: &Shared, text: &str) -> Result<Arc<[f32]>, MemoryError> {
    let model = shared.ports.memory.model.as_deref().ok_or_else(|| unavailable(&StoreError::NoEmbedder))?;
    Ok(embed(shared, super::tokens_of(shared, model, text)?).await?.0)
}

/// A text's vector, and what that took.
pub(super) async fn embed(shared: &Shared, tokens: Arc<[u32]>) -> Result<(Arc<[f32]>, ModelUse), MemoryError> {
    let failed = |error: &dyn std::fmt::Display| MemoryError::Unavailable(error.to_string().into());
    let model = shared.ports.memory.model.as_deref().unwrap_or_default();
    let card = shared.ports.engine.card(model).map_err(|error| failed(&error))?;
    let input = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
    let vectors = shared.ports.engine.embed(model, vec![tokens]).map_err(|error| failed(&error))?;
    let vectors = vectors.await.map_err(|error| failed(&error))?;
    let vector = vectors.into_iter().next().ok_or_else(|| failed(&"the engine gave no vector"))?;
    let usage = Usage { input, ..Usage::default() };
    Ok((vector.into(), ModelUse { name: card.name, digest: card.digest, seed: 0, usage }))
}

/// One that is not compared with anything.
fn listed(entry: EntryVersion) -> MemoryHit {
    MemoryHit { entry, score: 0.0, similarity: None, relevance: None }
}

/// Tells what was found: which ones they are tells of what they say, so it raises the process's label to their tags.
fn tell(
    block: &ControlBlock,
    found: Vec<MemoryHit>,
    asked: Label,
    used: Option<ModelUse>,
) -> Result<MemoryReply, MemoryError> {
    let process = &mut *block.process.lock();
    let tags = found.iter().fold(asked, |label, hit| {
        let told = Label { tags: hit.entry.label.tags, ..Label::TRUSTED };
        label.join(told)
    });
    let hits = take_in(process, found)?;
    process.label = process.label.join(tags);
    process.due.used(used);
    Ok(MemoryReply::Found(hits.into()))
}

/// Makes what was found the process's, unread: all of it, or none.
fn take_in(process: &mut Process, found: Vec<MemoryHit>) -> Result<Vec<Hit>, MemoryError> {
    let sizes = found.iter().map(|hit| hit.entry.content.bytes.len());
    if !process.values.has_room_for(sizes, &process.limits) {
        return Err(MemoryError::NoRoom);
    }
    let mut hits = Vec::with_capacity(found.len());
    for MemoryHit { entry, score, similarity, relevance } in found {
        let EntryVersion { id, version, written_ns, label, content, .. } = entry;
        let image = ValueImage { bytes: content.bytes, media_type: content.media_type, label };
        let value = process.values.insert(Value::from(image.clone()), &process.limits);
        let value = value.map_err(|_| MemoryError::NoRoom)?;
        process.due.note(|| Note::Remembered(value, id, Some(image)));
        hits.push(Hit { entry: id, version, content: value, written_ns, score, similarity, relevance });
    }
    Ok(hits)
}
