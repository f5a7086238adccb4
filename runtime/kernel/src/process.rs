//! What one process holds.

use crate::{bill::Bill, generation::Generation, ports::ModelCard};
use bytes::Bytes;
use remit_abi::{
    Content, Event, GenerationId, GrantId, Label, ModelId, Pid, TimerId, ValueError, ValueId, limits::Limits,
};
use remit_authority::Arena;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Data that a process holds, read or unread.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) bytes: Bytes,
    pub(crate) media_type: Arc<str>,
    pub(crate) label: Label,
}

/// The media type of texts.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// A model that was opened through a grant. The grant is checked again at every use.
#[derive(Clone, Debug)]
pub(crate) struct OpenModel {
    pub(crate) grant: GrantId,
    pub(crate) card: Arc<ModelCard>,
}

/// One process. It starts with nothing: no grant, no value, and whatever its account was given.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) limits: Limits,
    /// What it has read so far.
    pub(crate) label: Label,
    pub(crate) bill: Arc<Bill>,
    /// By label, in the manifest's order.
    pub(crate) grants: Vec<(Arc<str>, GrantId)>,
    pub(crate) values: Values,
    pub(crate) models: Arena<ModelId, OpenModel>,
    pub(crate) generations: Arena<GenerationId, Arc<Generation>>,
    /// Deadlines, in nanoseconds of the process's own clock.
    pub(crate) timers: Arena<TimerId, u64>,
    /// What the node's monotonic clock read when the process began: its own clock starts at zero.
    pub(crate) zero_ns: u64,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) logs_dropped: u64,
    /// The state that was committed last.
    pub(crate) checkpoint: Option<Bytes>,
}

/// The bytes of a text, and what went into it.
pub(crate) struct LabelledText {
    pub(crate) bytes: Bytes,
    pub(crate) label: Label,
    pub(crate) media_type: Arc<str>,
}

impl Process {
    /// What a guest's content holds. `None` where it names no live value.
    pub(crate) fn resolve(&self, content: &Content) -> Option<LabelledText> {
        match content {
            Content::Text(text) => Some(LabelledText {
                bytes: Bytes::copy_from_slice(text.as_bytes()),
                label: self.label,
                media_type: TEXT.into(),
            }),
            Content::Value(id) => self.values.get(*id).map(|value| LabelledText {
                bytes: value.bytes.clone(),
                label: value.label,
                media_type: value.media_type.clone(),
            }),
        }
    }

    /// How long a content is, in bytes. A dead value has none.
    pub(crate) fn content_size(&self, content: &Content) -> u64 {
        match content {
            Content::Text(text) => text.len() as u64,
            Content::Value(id) => self.values.get(*id).map_or(0, |value| value.bytes.len() as u64),
        }
    }

    /// Whether one more object fits into a table of so many.
    pub(crate) fn has_room(&self, objects: usize) -> bool {
        (objects as u64) < self.limits.objects_max
    }
}

/// The values of one process: bounded in number and in bytes.
#[derive(Debug, Default)]
pub(crate) struct Values {
    table: Arena<ValueId, Value>,
    bytes: u64,
}

impl Values {
    pub(crate) fn get(&self, id: ValueId) -> Option<&Value> {
        self.table.get(id)
    }

    /// Takes a value in, or says which limit of the process it would break.
    pub(crate) fn insert(&mut self, value: Value, limits: &Limits) -> Result<ValueId, ValueError> {
        let bytes = self.bytes.saturating_add(value.bytes.len() as u64);
        if bytes > limits.value_bytes_max {
            return Err(ValueError::TooLarge { limit: limits.value_bytes_max });
        }
        if self.table.len() as u64 >= limits.objects_max {
            return Err(ValueError::TooMany { limit: limits.objects_max });
        }
        self.bytes = bytes;
        Ok(self.table.insert(value))
    }

    pub(crate) fn remove(&mut self, id: ValueId) -> Option<Value> {
        let value = self.table.remove(id)?;
        self.bytes = self.bytes.saturating_sub(value.bytes.len() as u64);
        Some(value)
    }
}
