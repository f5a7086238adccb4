//! Room for the messages that wait for one process, bounded in number and in bytes.
//!
//! It is handed out in the order in which it was asked for: nobody who asks for little overtakes who needs much. Who waits
//! has it from the moment at which it was handed out, whether or not its process has gone on by then.

use parking_lot::Mutex;
use remit_abi::limits;
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::Notify;

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// Not now.
    Full,
    /// Never again: the owner has ended.
    Closed,
}

#[derive(Debug)]
struct Free {
    messages: usize,
    bytes: usize,
    open: bool,
    waiting: VecDeque<Arc<Waiting>>,
}

impl Free {
    fn take(&mut self, bytes: usize) -> bool {
        let fits = self.messages > 0 && self.bytes >= bytes;
        if fits {
            self.messages -= 1;
            self.bytes -= bytes;
        }
        fits
    }
}

/// All the room of one mailbox.
#[derive(Debug)]
pub(crate) struct Rooms(Mutex<Free>);

impl Default for Rooms {
    fn default() -> Self {
        Self(Mutex::new(Free {
            messages: limits::MESSAGES_QUEUED_MAX,
            bytes: limits::MAILBOX_BYTES_MAX,
            open: true,
            waiting: VecDeque::new(),
        }))
    }
}

impl Rooms {
    /// Room for a message of so many bytes, if there is some now and nobody waits for it.
    pub(crate) fn try_take(self: &Arc<Self>, bytes: usize) -> Result<Room, NoRoom> {
        let mut free = self.0.lock();
        if !free.open {
            return Err(NoRoom::Closed);
        }
        match free.waiting.is_empty() && free.take(bytes) {
            true => Ok(Room { rooms: self.clone(), bytes }),
            false => Err(NoRoom::Full),
        }
    }

    /// Waits in line for it.
    pub(crate) fn queue(self: &Arc<Self>, bytes: usize) -> Ticket {
        let waiting = Arc::new(Waiting { bytes, place: Mutex::new(Place::InLine), changed: Notify::new() });
        let mut free = self.0.lock();
        match free.open {
            true => free.waiting.push_back(waiting.clone()),
            false => waiting.put(Place::Closed),
        }
        self.hand_out(&mut free);
        drop(free);
        Ticket { rooms: self.clone(), waiting }
    }

    /// Ends it: who waits is told.
    pub(crate) fn close(&self) {
        let mut free = self.0.lock();
        free.open = false;
        free.waiting.drain(..).for_each(|waiting| waiting.put(Place::Closed));
    }

    fn hand_out(self: &Arc<Self>, free: &mut Free) {
        while let Some(bytes) = free.waiting.front().map(|next| next.bytes)
            && free.take(bytes)
            && let Some(next) = free.waiting.pop_front()
        {
            next.put(Place::Has(Room { rooms: self.clone(), bytes }));
        }
    }
}

/// Room for one message. Dropped, it is the next one's.
#[derive(Debug)]
pub(crate) struct Room {
    rooms: Arc<Rooms>,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        let free = &mut *self.rooms.0.lock();
        free.messages += 1;
        free.bytes += self.bytes;
        self.rooms.hand_out(free);
    }
}

#[derive(Debug)]
enum Place {
    InLine,
    Has(Room),
    Closed,
    /// Its process has gone on.
    Left,
}

/// One who waits for room.
#[derive(Debug)]
pub(crate) struct Waiting {
    bytes: usize,
    place: Mutex<Place>,
    changed: Notify,
}

impl Waiting {
    /// Whether it was neither given room nor told that there will be none.
    pub(crate) fn is_in_line(&self) -> bool {
        matches!(*self.place.lock(), Place::InLine)
    }

    fn leave(&self) -> Place {
        std::mem::replace(&mut *self.place.lock(), Place::Left)
    }

    fn put(&self, place: Place) {
        *self.place.lock() = place;
        self.changed.notify_one();
    }
}

/// A place in line. Dropped, it is given up.
#[derive(Debug)]
pub(crate) struct Ticket {
    rooms: Arc<Rooms>,
    pub(crate) waiting: Arc<Waiting>,
}

impl Ticket {
    /// Waits for the room; `None` where there will be none.
    pub(crate) async fn room(self) -> Option<Room> {
        loop {
            if !self.waiting.is_in_line() {
                return match self.waiting.leave() {
                    Place::Has(room) => Some(room),
                    Place::InLine | Place::Closed | Place::Left => None,
                };
            }
            self.waiting.changed.notified().await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        {
            let free = &mut *self.rooms.0.lock();
            free.waiting.retain(|waiting| !Arc::ptr_eq(waiting, &self.waiting));
            // Whoever stands behind may need less.
            self.rooms.hand_out(free);
        }
        // Room that was handed out and not taken goes back, now that nobody hands out any more to it.
        drop(self.waiting.leave());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn all(rooms: &Arc<Rooms>) -> Vec<Room> {
        std::iter::from_fn(|| rooms.try_take(0).ok()).collect()
    }

    #[test]
    fn room_is_bounded_in_number_and_in_bytes_and_comes_back() {
        let rooms = Arc::<Rooms>::default();
        assert_eq!(all(&rooms).len(), limits::MESSAGES_QUEUED_MAX);
        let large = rooms.try_take(limits::MAILBOX_BYTES_MAX).expect("all of it");
        assert_eq!(rooms.try_take(1).err(), Some(NoRoom::Full));
        assert!(rooms.try_take(0).is_ok());
        drop(large);
        assert!(rooms.try_take(1).is_ok());
    }

    #[test]
    fn nobody_overtakes_who_needs_much() {
        let rooms = Arc::<Rooms>::default();
        let most = rooms.try_take(limits::MAILBOX_BYTES_MAX - 1).expect("nobody has any");
        let (much, little) = (rooms.queue(2), rooms.queue(1));
        assert_eq!(rooms.try_take(0).err(), Some(NoRoom::Full));
        assert!(much.waiting.is_in_line() && little.waiting.is_in_line());
        drop(most);
        assert!(!much.waiting.is_in_line() && !little.waiting.is_in_line(), "it is theirs before they go on");
        assert!(much.room().now_or_never().flatten().is_some());
        assert!(little.room().now_or_never().flatten().is_some());
    }

    #[test]
    fn who_gives_up_keeps_nothing() {
        let rooms = Arc::<Rooms>::default();
        let most = rooms.try_take(limits::MAILBOX_BYTES_MAX - 1).expect("nobody has any");
        let (much, little) = (rooms.queue(2), rooms.queue(1));
        drop(much);
        assert!(!little.waiting.is_in_line(), "one byte was free all the time");
        drop((little, most));
        assert!(rooms.try_take(limits::MAILBOX_BYTES_MAX).is_ok(), "what it was given and never took is back");
    }

    #[test]
    fn who_waits_is_told_of_the_end() {
        let rooms = Arc::<Rooms>::default();
        let held = all(&rooms);
        let waits = rooms.queue(0);
        rooms.close();
        assert!(matches!(waits.room().now_or_never(), Some(None)));
        assert_eq!(rooms.try_take(0).err(), Some(NoRoom::Closed));
        assert!(matches!(rooms.queue(0).room().now_or_never(), Some(None)));
        drop(held);
    }
}
