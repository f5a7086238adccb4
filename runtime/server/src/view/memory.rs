//! What agents remember, and what they were told, as the protocol says it.

use super::marking;
use crate::protocol::{About, Entry, Hit, MemoryStats, RecalledText};
use remit_abi::{Particulars, Scalar, TenantId};
use remit_assembly::{EntryVersion, HeardFrom, Kernel, MemoryFigures, MemoryHit, Recalled};
use serde_json::Value;

/// A version of an entry.
pub(crate) fn entry(kernel: &Kernel, tenant: TenantId, version: EntryVersion) -> Entry {
    let EntryVersion { id, version, store, source, written_ns, label, content, particulars, .. } = version;
    let value = |scalar| match scalar {
        Scalar::Text(text) => Value::from(text.into_string()),
        Scalar::Integer(integer) => Value::from(integer),
        Scalar::Number(number) => Value::from(number),
        Scalar::Truth(truth) => Value::from(truth),
    };
    let Particulars { tags, metadata, importance, expires_ns } = particulars;
    Entry {
        id,
        version,
        store: store.into(),
        source,
        written_ns,
        label: marking(kernel, tenant, label),
        content: (&*content.bytes).into(),
        media_type: (*content.media_type).into(),
        particulars: About {
            tags: tags.into_iter().map(Into::into).collect(),
            fields: metadata.into_iter().map(|field| (field.name.into(), value(field.value))).collect(),
            importance,
            expires_ns,
        },
    }
}

/// One that was found.
pub(crate) fn hit(kernel: &Kernel, tenant: TenantId, found: MemoryHit) -> Hit {
    let MemoryHit { entry: version, score, similarity, relevance } = found;
    Hit { entry: entry(kernel, tenant, version), score, similarity, relevance }
}

/// A text that a process was told.
pub(crate) fn recalled(kernel: &Kernel, tenant: TenantId, found: Recalled) -> RecalledText {
    let Recalled { pid, sequence, at_ns, from, label, excerpt, bytes } = found;
    let from = match from {
        HeardFrom::Task => "task",
        HeardFrom::Message => "message",
        HeardFrom::Model => "model",
        HeardFrom::Tool => "tool",
        HeardFrom::Person => "person",
        HeardFrom::Child => "child",
        HeardFrom::File => "file",
    };
    let label = marking(kernel, tenant, label);
    RecalledText { pid, sequence, at_ns, from: from.to_owned(), label, excerpt: excerpt.into(), bytes }
}

/// What a memory comes to.
pub(crate) const fn memory(figures: &MemoryFigures) -> MemoryStats {
    MemoryStats {
        entries: figures.entries,
        versions: figures.versions,
        pending: figures.pending,
        without_vector: figures.without_vector,
        unindexed: figures.unindexed,
        disk_bytes: figures.disk_bytes,
    }
}
