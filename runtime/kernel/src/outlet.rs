//! Where a process's events go: one bounded memory, out of which whoever started it takes each event once, and makes it wait
//! while it is behind, and out of which whoever asks later sees the latest, and never makes it wait.
//!
//! | an event is | stays until | counts against |
//! | --- | --- | --- |
//! | due to a listener | it is taken, or the listener goes | `EVENTS_QUEUED_MAX`, `EVENTS_QUEUED_BYTES_MAX` |
//! | kept | newer ones push it out | `EVENTS_KEPT_MAX`, `EVENTS_KEPT_BYTES_MAX` |

use crate::{
    control::ControlBlock,
    ports::{Journal, Position},
};
use parking_lot::Mutex;
use remit_abi::{EmitError, Event, limits};
use std::{collections::VecDeque, fmt, sync::Arc};
use tokio::sync::Notify;

/// An event, and its place in the order of its process's events, from 1 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEvent {
    /// Its place.
    pub number: u64,
    /// What was shown.
    pub event: Event,
}

/// Whether somebody takes each event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Nobody ever did.
    Nobody,
    /// A [`Listener`].
    Listener,
    /// The listener is gone.
    Gone,
}

#[derive(Debug)]
struct Shown {
    event: Event,
    /// Nobody sees it before this place of the log survives a crash.
    at: Position,
    /// Whether the listener is still to take it.
    due: bool,
}

#[derive(Debug)]
struct Memory {
    events: VecDeque<Shown>,
    bytes: usize,
    /// How many there were in all.
    count: u64,
    /// Of `events`, how many are due, and their bytes.
    due: usize,
    due_bytes: usize,
    audience: Audience,
    closed: bool,
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

impl Memory {
    /// Whether the listener, if there is one, can be owed one more. An event of any size is let in alone.
    fn has_room(&self) -> bool {
        self.due < limits::EVENTS_QUEUED_MAX && (self.due == 0 || self.due_bytes < limits::EVENTS_QUEUED_BYTES_MAX)
    }

    fn keep(&mut self, event: Event, due: bool, at: Position) {
        let bytes = size(&event);
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        if due {
            self.due += 1;
            self.due_bytes = self.due_bytes.saturating_add(bytes);
        }
        self.events.push_back(Shown { event, at, due });
        self.forget();
    }

    /// Forgets the oldest where too much is kept, but nothing that is due.
    fn forget(&mut self) {
        while self.events.len() > limits::EVENTS_KEPT_MAX || self.bytes > limits::EVENTS_KEPT_BYTES_MAX {
            if self.events.front().is_none_or(|oldest| oldest.due) {
                break;
            }
            if let Some(oldest) = self.events.pop_front() {
                self.bytes = self.bytes.saturating_sub(size(&oldest.event));
            }
        }
    }

    /// The oldest event that is due.
    fn take(&mut self) -> Option<(Event, Position)> {
        let oldest = self.events.iter_mut().find(|shown| shown.due)?;
        oldest.due = false;
        let (event, at) = (oldest.event.clone(), oldest.at);
        self.due -= 1;
        self.due_bytes = self.due_bytes.saturating_sub(size(&event));
        self.forget();
        Some((event, at))
    }

    /// Those after a number, and the place of the log that they depend on.
    fn after(&self, after: u64) -> (Vec<KeptEvent>, Position) {
        let first = self.count.saturating_sub(self.events.len() as u64).saturating_add(1);
        let numbered = || (first..).zip(&self.events).filter(|(number, _)| *number > after);
        let events = numbered().map(|(number, shown)| KeptEvent { number, event: shown.event.clone() });
        (events.collect(), numbered().map(|(_, shown)| shown.at).max().unwrap_or_default())
    }
}

/// The events of one process.
#[derive(Debug)]
pub(crate) struct Outlet {
    memory: Mutex<Memory>,
    /// Woken at every change of the memory.
    changed: Notify,
}

impl Outlet {
    pub(crate) fn new(audience: Audience) -> Self {
        let memory =
            Memory { events: VecDeque::new(), bytes: 0, count: 0, due: 0, due_bytes: 0, audience, closed: false };
        Self { memory: Mutex::new(memory), changed: Notify::new() }
    }

    /// Waits while the listener is behind; whether it takes one more event. It has that room as long as its process shows nothing
    /// else.
    pub(crate) async fn room(&self) -> Result<bool, EmitError> {
        let room = self.until(|memory| match memory.audience {
            Audience::Nobody => Some(Ok(false)),
            Audience::Gone => Some(Err(EmitError::Closed)),
            Audience::Listener if memory.has_room() => Some(Ok(true)),
            Audience::Listener => None,
        });
        room.await
    }

    /// Shows an event, which nobody sees before that place of the log survives a crash.
    pub(crate) fn keep(&self, event: Event, is_due: bool, at: Position) {
        {
            let memory = &mut *self.memory.lock();
            let is_due = is_due && memory.audience == Audience::Listener;
            memory.keep(event, is_due, at);
        }
        self.changed.notify_waiters();
    }

    /// Whoever listened does no more, where somebody did: nothing is due.
    fn lose_listener(&self, audience: Audience) {
        {
            let memory = &mut *self.memory.lock();
            if memory.audience != Audience::Listener {
                return;
            }
            memory.audience = audience;
            memory.events.iter_mut().for_each(|shown| shown.due = false);
            (memory.due, memory.due_bytes) = (0, 0);
            memory.forget();
        }
        self.changed.notify_waiters();
    }

    /// Whether whoever listened is gone.
    pub(crate) fn has_lost_its_listener(&self) -> bool {
        self.memory.lock().audience == Audience::Gone
    }

    /// How many events there were in all.
    pub(crate) fn count(&self) -> u64 {
        self.memory.lock().count
    }

    /// Counts events that were shown before the host started anew.
    pub(crate) fn count_from(&self, count: u64) {
        self.memory.lock().count = count;
    }

    /// Shows an event, to the listener if it can take it now; whether it could.
    pub(crate) fn try_show(&self, event: Event, at: Position) -> bool {
        let could = {
            let memory = &mut *self.memory.lock();
            let listens = memory.audience == Audience::Listener;
            let could = !listens || memory.has_room();
            memory.keep(event, listens && could, at);
            could
        };
        self.changed.notify_waiters();
        could
    }

    /// The process will show nothing more.
    pub(crate) fn close(&self) {
        self.memory.lock().closed = true;
        self.changed.notify_waiters();
    }

    /// What is still known of the events after number `after`, oldest first; waits for one. Empty when there will be none. And
    /// the place of the log that has to survive a crash before anybody sees them.
    pub(crate) async fn after(&self, after: u64) -> (Vec<KeptEvent>, Position) {
        let known = self.until(|memory| {
            let events = memory.after(after);
            (!events.0.is_empty() || memory.closed).then_some(events)
        });
        known.await
    }

    /// Waits until a look into the memory finds something.
    async fn until<T>(&self, mut look: impl FnMut(&mut Memory) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            if let Some(found) = look(&mut self.memory.lock()) {
                return found;
            }
            changed.await;
        }
    }
}

/// What a process shows, for whoever looks on: as far as it is kept, and also when it has ended meanwhile. Nobody sees what a crash
/// could undo; where the journal has failed, there is nothing to see.
pub struct Events {
    pub(crate) block: Arc<ControlBlock>,
    pub(crate) journal: Arc<dyn Journal>,
}

impl Events {
    /// What it has shown by now after event number `after`.
    pub async fn known(&self, after: u64) -> Vec<KeptEvent> {
        let known = self.block.outlet.memory.lock().after(after);
        self.once_durable(known).await
    }

    /// The same, and where that is nothing, what it shows next. Empty when there will be nothing more.
    pub async fn after(&self, after: u64) -> Vec<KeptEvent> {
        let known = self.block.outlet.after(after).await;
        self.once_durable(known).await
    }

    async fn once_durable(&self, (events, at): (Vec<KeptEvent>, Position)) -> Vec<KeptEvent> {
        match self.journal.durable(at).await {
            Ok(()) => events,
            Err(_) => Vec::new(),
        }
    }
}

/// The events of a process, each once, for whoever started it. While too many wait here, the process waits when it shows
/// more; dropping this tells it that nobody sees them.
pub struct Listener {
    pub(crate) block: Arc<ControlBlock>,
    pub(crate) journal: Arc<dyn Journal>,
    /// Taken, and not handed out before it survives a crash.
    pub(crate) ahead: Option<(Event, Position)>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("pid", &self.block.pid).finish_non_exhaustive()
    }
}

impl Listener {
    /// Nobody listens from here on, and the process need not know: what it shows is kept as far as it is for whoever looks on.
    pub fn leave(self) {
        self.block.outlet.lose_listener(Audience::Nobody);
    }

    /// The next event, once it survives a crash; `None` when there will be none. Where it never will survive one, nobody is to see
    /// it, and this waits for ever.
    ///
    /// Cancel-safe: an event is handed out or stays.
    pub async fn recv(&mut self) -> Option<Event> {
        if self.ahead.is_none() {
            let outlet = &self.block.outlet;
            let next = outlet.until(|memory| match memory.take() {
                Some(event) => Some(Some(event)),
                None => memory.closed.then_some(None),
            });
            self.ahead = next.await;
            outlet.changed.notify_waiters();
        }
        let (_, at) = self.ahead.as_ref()?;
        if self.journal.durable(*at).await.is_err() {
            std::future::pending::<()>().await;
        }
        self.ahead.take().map(|(event, _)| event)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.block.outlet.lose_listener(Audience::Gone);
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
        let outlet = Outlet::new(Audience::Nobody);
        for number in 1..=limits::EVENTS_KEPT_MAX + 2 {
            assert_eq!(outlet.room().await, Ok(false), "nobody listens, so nobody is gone");
            outlet.keep(log(&number.to_string()), false, Position(number as u64));
        }
        let (kept, at) = outlet.after(0).await;
        assert_eq!(at, Position(limits::EVENTS_KEPT_MAX as u64 + 2));
        assert_eq!(kept.len(), limits::EVENTS_KEPT_MAX);
        assert_eq!((kept[0].number, &kept[0].event), (3, &log("3")));
        let last = kept.last().expect("there are some").number;
        assert_eq!(outlet.after(last - 1).await.0.len(), 1);
        outlet.close();
        assert!(outlet.after(last).await.0.is_empty());
    }

    #[test]
    fn a_large_event_pushes_out_the_others_and_itself_if_it_must() {
        let outlet = Outlet::new(Audience::Nobody);
        outlet.try_show(log("small"), Position::default());
        let text = vec![b'x'; limits::EVENTS_KEPT_BYTES_MAX].into();
        outlet.try_show(Event::Text { text, label: Default::default() }, Position::default());
        assert_eq!(outlet.memory.lock().events.len(), 0);
        assert_eq!(outlet.memory.lock().bytes, 0);
    }

    #[tokio::test]
    async fn what_is_due_is_bounded_in_number_and_in_bytes() {
        for (text, most) in [("", limits::EVENTS_QUEUED_MAX), (&*"x".repeat(limits::EVENTS_QUEUED_BYTES_MAX / 4), 4)] {
            let outlet = Outlet::new(Audience::Listener);
            for _ in 0..most {
                assert!(outlet.try_show(log(text), Position::default()));
            }
            assert!(!outlet.try_show(log("one too many"), Position::default()));
            let mut waits = std::pin::pin!(outlet.room());
            assert!(futures::poll!(waits.as_mut()).is_pending());
            let mut taken = Vec::new();
            let take = || outlet.memory.lock().take();
            while let Some((event, _)) = take() {
                taken.push(event);
            }
            outlet.changed.notify_waiters();
            assert_eq!(taken, vec![log(text); most]);
            assert_eq!(futures::poll!(waits), std::task::Poll::Ready(Ok(true)));
            outlet.keep(log("last"), true, Position(7));
            assert_eq!(take(), Some((log("last"), Position(7))));
        }
    }
}
