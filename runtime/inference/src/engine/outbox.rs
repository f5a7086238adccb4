//! What a generation sends, to a reader who may be slow.
//!
//! | the reader | the generation |
//! | --- | --- |
//! | reads | goes on |
//! | has [`UNREAD_TOKENS_MAX`] tokens before him | is paused: it has no blocks, and what it had of keys and values is kept as others' is |
//! | has read half of them | goes on, to the same text |
//! | is gone | is cancelled |
//!
//! The channel is bounded and nobody waits for it: a generation is only computed while there is room for all that one step can give, and
//! for its end besides. Whoever reads wakes the engine's thread, by the channel's own waker.

use remit_batching::drafts::DRAFT_MAX;
use remit_kernel::ports::EngineEvent;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tokio::sync::mpsc;

/// Tokens that a generation is ahead of its reader before it pauses. 64: half a second of one stream, for which a reader may do something
/// else, and a few kilobytes of text.
pub(super) const UNREAD_TOKENS_MAX: usize = 64;
/// A generation that was paused goes on with room for so many tokens: not for each token that is read.
const RESUME_TOKENS: usize = UNREAD_TOKENS_MAX / 2;
/// Events of a generation beyond those of each token: the text that was held back, what a broken character comes to, and the end.
const EVENTS_LAST: usize = 3;

/// Resolves once there is room, or nobody reads any more.
type Room = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The sending end of a generation.
pub(super) struct Outbox {
    events: mpsc::Sender<EngineEvent>,
    /// Events of a token, at most.
    each: usize,
    /// Of a step, and of an end.
    reserve: usize,
    /// While its reader is behind.
    room: Option<Room>,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("is_behind", &self.room.is_some()).finish_non_exhaustive()
    }
}

impl Outbox {
    /// For a generation whose tokens have so many events each, and the end that is read.
    pub(super) fn new(each: usize) -> (Self, mpsc::Receiver<EngineEvent>) {
        let reserve = (1 + DRAFT_MAX) * each + EVENTS_LAST;
        let (events, receiver) = mpsc::channel(UNREAD_TOKENS_MAX * each + reserve);
        (Self { events, each, reserve, room: None }, receiver)
    }

    /// Sends an event; nobody hears it where the reader is gone.
    pub(super) fn send(&mut self, event: EngineEvent) {
        // What waits for room has some of it.
        self.room = None;
        let sent = self.events.try_send(event);
        debug_assert!(!matches!(sent, Err(mpsc::error::TrySendError::Full(_))), "it was to be paused before");
    }

    /// Whether the reader is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.events.is_closed()
    }

    /// Whether the reader is behind, so that nothing more may be computed. Where he is, `waker` is called once that may have changed.
    pub(super) fn is_behind(&mut self, waker: &Waker) -> bool {
        let room = match &mut self.room {
            Some(room) => room,
            None if self.events.capacity() >= self.reserve => return false,
            None => self.room.insert(self.wait()),
        };
        let is_behind = room.as_mut().poll(&mut Context::from_waker(waker)) == Poll::Pending;
        if !is_behind {
            self.room = None;
        }
        is_behind
    }

    fn wait(&self) -> Room {
        let (events, room) = (self.events.clone(), self.reserve + RESUME_TOKENS * self.each);
        // What it gets goes back at once: the next step uses it.
        Box::pin(async move { drop(events.reserve_many(room).await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_kernel::ports::EngineFinish;
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// An outbox, filled until it is behind; how many events that took.
    fn filled(each: usize, waker: &Waker) -> (Outbox, mpsc::Receiver<EngineEvent>, usize) {
        let (mut outbox, events) = Outbox::new(each);
        let mut sent = 0;
        while !outbox.is_behind(waker) {
            outbox.send(EngineEvent::Text("x".to_owned()));
            sent += 1;
        }
        (outbox, events, sent)
    }

    #[test]
    fn a_reader_who_is_behind_wakes_once_he_has_read_half() {
        for each in [1, 2] {
            let count = Arc::new(Count::default());
            let waker = Waker::from(count.clone());
            let (mut outbox, mut events, sent) = filled(each, &waker);
            assert_eq!(sent, UNREAD_TOKENS_MAX * each + 1);
            for _ in 0..RESUME_TOKENS * each {
                assert!(events.try_recv().is_ok() && outbox.is_behind(&waker));
            }
            assert_eq!(count.0.load(Ordering::Acquire), 0);
            assert!(events.try_recv().is_ok());
            assert_eq!(count.0.load(Ordering::Acquire), 1);
            assert!(!outbox.is_behind(&waker));
        }
    }

    #[test]
    fn a_step_and_an_end_have_room_behind_all_that_is_unread() {
        let (mut outbox, mut events, sent) = filled(1, Waker::noop());
        // One less than what made it wait, which is as much as a step finds.
        for _ in 0..DRAFT_MAX + EVENTS_LAST - 1 {
            outbox.send(EngineEvent::Text("x".to_owned()));
        }
        outbox.send(EngineEvent::End(EngineFinish::Stop));
        let all: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
        assert_eq!(all.len(), sent + DRAFT_MAX + EVENTS_LAST);
        assert_eq!(all.last(), Some(&EngineEvent::End(EngineFinish::Stop)));
    }

    #[test]
    fn a_reader_who_leaves_wakes_too() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let (mut outbox, events, _) = filled(1, &waker);
        drop(events);
        assert_eq!(count.0.load(Ordering::Acquire), 1);
        assert!(outbox.is_closed() && !outbox.is_behind(&waker));
    }
}
