//! `task`: what is shown to whoever started the process. It leaves the node, so nobody sees it before it survives a crash.

use crate::{control::ControlBlock, due::Publish, process::Process};
use remit_abi::{Content, EmitError, Event, GuestEvent, TaskRequest, limits};
use std::sync::Arc;

pub(super) fn validate(process: &Process, TaskRequest::Emit(event): &TaskRequest) -> Result<(), EmitError> {
    let (name, content): (&str, Option<&Content>) = match &**event {
        GuestEvent::Text(content) => ("", Some(content)),
        GuestEvent::Progress { note, .. } => (note, None),
        GuestEvent::Artifact { name, content } => (name, Some(content)),
    };
    if name.len() > limits::NAME_BYTES_MAX {
        return Err(EmitError::TooLarge { limit: limits::NAME_BYTES_MAX as u64 });
    }
    match content.map_or(0, |content| process.content_size(content)) {
        0..=limits::EVENT_BYTES_MAX => Ok(()),
        _ => Err(EmitError::TooLarge { limit: limits::EVENT_BYTES_MAX }),
    }
}

/// An event with its content looked up.
pub(crate) struct Emit {
    event: Event,
}

impl Emit {
    pub(super) fn prepare(process: &Process, TaskRequest::Emit(event): &TaskRequest) -> Result<Self, EmitError> {
        let event = match &**event {
            GuestEvent::Text(content) => {
                let text = process.resolve(content).ok_or(EmitError::Dead)?;
                Event::Text { text: text.bytes, label: text.label }
            }
            GuestEvent::Progress { done, total, note } => {
                Event::Progress { done: *done, total: *total, note: note.clone() }
            }
            GuestEvent::Artifact { name, content } => {
                let text = process.resolve(content).ok_or(EmitError::Dead)?;
                let media_type = (&*text.media_type).into();
                Event::Artifact { name: name.clone(), media_type, bytes: text.bytes, label: text.label }
            }
        };
        Ok(Self { event })
    }

    /// What is shown.
    pub(super) fn into_event(self) -> Event {
        self.event
    }

    /// Waits while the listener is behind. It is shown when it is written down.
    pub(super) async fn act(self, block: &Arc<ControlBlock>) -> Result<(), EmitError> {
        let is_due = block.outlet.room().await?;
        let publish = Publish::Event { block: block.clone(), event: self.event, is_due };
        block.process.lock().due.publish(publish);
        Ok(())
    }
}
