//! Where a process's events go: to whoever started it, who makes it wait while it is behind, and into a short memory for
//! whoever asks later, which never makes it wait.

use parking_lot::Mutex;
use remit_abi::{EmitError, Event, limits};
use std::collections::VecDeque;
use tokio::sync::{Notify, mpsc};

/// An event, and its place in the order of its process's events, from 1 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEvent {
    /// Its place.
    pub number: u64,
    /// What was shown.
    pub event: Event,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Event>,
    bytes: usize,
    /// How many there were in all.
    count: u64,
    closed: bool,
}

/// The events of one process.
#[derive(Debug)]
pub(crate) struct Outlet {
    listener: Option<mpsc::Sender<Event>>,
    kept: Mutex<Kept>,
    changed: Notify,
}

/// What an event takes in the memory.
fn size(event: &Event) -> usize {
    size_of::<Event>()
        + match event {
            Event::Text { text, .. } => text.len(),
            Event::Progress { note, .. } => note.len(),
            Event::Artifact { name, bytes, .. } => name.len() + bytes.len(),
            Event::Log { message, .. } => message.len(),
        }
}

impl Outlet {
    pub(crate) fn new(listener: Option<mpsc::Sender<Event>>) -> Self {
        Self { listener, kept: Mutex::default(), changed: Notify::new() }
    }

    /// Shows an event; waits while the listener is behind.
    pub(crate) async fn show(&self, event: Event) -> Result<(), EmitError> {
        self.keep(event.clone());
        match &self.listener {
            Some(listener) => listener.send(event).await.map_err(|_| EmitError::Closed),
            None => Ok(()),
        }
    }

    /// Shows an event if the listener can take it now; whether it could.
    pub(crate) fn try_show(&self, event: Event) -> bool {
        self.keep(event.clone());
        let full = |listener: &mpsc::Sender<Event>| {
            matches!(listener.try_send(event), Err(mpsc::error::TrySendError::Full(_)))
        };
        !self.listener.as_ref().is_some_and(full)
    }

    fn keep(&self, event: Event) {
        let mut kept = self.kept.lock();
        kept.count = kept.count.saturating_add(1);
        kept.bytes = kept.bytes.saturating_add(size(&event));
        kept.events.push_back(event);
        while kept.events.len() > limits::EVENTS_KEPT_MAX || kept.bytes > limits::EVENTS_KEPT_BYTES_MAX {
            let Some(oldest) = kept.events.pop_front() else { break };
            kept.bytes = kept.bytes.saturating_sub(size(&oldest));
        }
        drop(kept);
        self.changed.notify_waiters();
    }

    /// The process will show nothing more.
    pub(crate) fn close(&self) {
        self.kept.lock().closed = true;
        self.changed.notify_waiters();
    }

    /// What is still known of the events after number `after`, oldest first; waits for one. Empty when there will be none.
    pub(crate) async fn after(&self, after: u64) -> Vec<KeptEvent> {
        loop {
            let changed = self.changed.notified();
            {
                let kept = self.kept.lock();
                let first = kept.count.saturating_sub(kept.events.len() as u64).saturating_add(1);
                let numbered = (first..).zip(&kept.events).filter(|(number, _)| *number > after);
                let events: Vec<_> =
                    numbered.map(|(number, event)| KeptEvent { number, event: event.clone() }).collect();
                if !events.is_empty() || kept.closed {
                    return events;
                }
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_abi::LogLevel;

    fn log(message: &str) -> Event {
        Event::Log { level: LogLevel::Info, message: message.into() }
    }

    #[tokio::test]
    async fn the_latest_events_are_kept_and_numbered() {
        let outlet = Outlet::new(None);
        for number in 1..=limits::EVENTS_KEPT_MAX + 2 {
            outlet.show(log(&number.to_string())).await.expect("nobody listens, so nobody is gone");
        }
        let kept = outlet.after(0).await;
        assert_eq!(kept.len(), limits::EVENTS_KEPT_MAX);
        assert_eq!((kept[0].number, &kept[0].event), (3, &log("3")));
        let last = kept.last().expect("there are some").number;
        assert_eq!(outlet.after(last - 1).await.len(), 1);
        outlet.close();
        assert!(outlet.after(last).await.is_empty());
    }

    #[test]
    fn a_large_event_pushes_out_the_others_and_itself_if_it_must() {
        let outlet = Outlet::new(None);
        outlet.try_show(log("small"));
        outlet.try_show(Event::Text {
            text: vec![b'x'; limits::EVENTS_KEPT_BYTES_MAX].into(),
            label: Default::default(),
        });
        assert_eq!(outlet.kept.lock().events.len(), 0);
        assert_eq!(outlet.kept.lock().bytes, 0);
    }
}
