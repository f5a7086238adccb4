//! Messages that wait for one process: a queue bounded in number and in bytes.
//!
//! A sender takes room before it sends, and a message gives its room back when it is received. So a flood waits at its
//! sender, and no other sender is starved.
//!
//! A message belongs to its receiver from the moment it is in the queue. What it carries dies with the receiver.

use crate::{
    calls::Answer,
    ports::LetterImage,
    process::{Held, Value},
    room::{NoRoom, Room, Rooms, Ticket},
};
use parking_lot::Mutex;
use remit_abi::{Filter, Label, Pid};
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::Notify;

/// What one process tells another.
#[derive(Debug)]
pub(crate) struct Letter {
    /// Of all letters and calls of the node.
    pub(crate) number: u64,
    pub(crate) sender: Pid,
    /// What the sender had read: it went into the topic.
    pub(crate) sender_label: Label,
    pub(crate) topic: Box<str>,
    pub(crate) body: Value,
    pub(crate) grants: Vec<Held>,
    /// Where it is a call: the right to answer it.
    pub(crate) answer: Option<Answer>,
}

impl Letter {
    pub(crate) fn image(&self) -> LetterImage {
        LetterImage {
            sender: self.sender,
            sender_label: self.sender_label,
            topic: self.topic.clone(),
            body: self.body.image(),
            grants: self.grants.iter().map(Held::image).collect(),
            call: self.answer.as_ref().map(Answer::number),
        }
    }

    pub(crate) fn of_image(number: u64, image: LetterImage, answer: Option<Answer>) -> Self {
        let LetterImage { sender, sender_label, topic, body, grants, call: _ } = image;
        let grants = grants.into_iter().map(Held::from).collect();
        Self { number, sender, sender_label, topic, body: body.into(), grants, answer }
    }
}

#[derive(Debug)]
struct Queue {
    letters: VecDeque<(Box<Letter>, Room)>,
    open: bool,
}

/// The mailbox of one process.
#[derive(Debug)]
pub(crate) struct Mailbox {
    rooms: Arc<Rooms>,
    queue: Mutex<Queue>,
    arrived: Notify,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            rooms: Arc::default(),
            queue: Mutex::new(Queue { letters: VecDeque::new(), open: true }),
            arrived: Notify::new(),
        }
    }
}

impl Mailbox {
    /// Room for a message of so many bytes, if there is some now.
    pub(crate) fn try_room(&self, bytes: usize) -> Result<Room, NoRoom> {
        self.rooms.try_take(bytes)
    }

    /// Waits for room, behind whoever waited before.
    pub(crate) fn queue_for_room(&self, bytes: usize) -> Ticket {
        self.rooms.queue(bytes)
    }

    /// Puts a message in. A mailbox whose owner has ended gives it back.
    pub(crate) fn put(&self, letter: Box<Letter>, room: Room) -> Result<(), Box<Letter>> {
        let mut queue = self.queue.lock();
        if !queue.open {
            return Err(letter);
        }
        queue.letters.push_back((letter, room));
        drop(queue);
        self.arrived.notify_waiters();
        Ok(())
    }

    /// Puts back a message that lay here before the host started anew. It had its room then, so that it has it now.
    pub(crate) fn restore(&self, letter: Box<Letter>) {
        match self.try_room(letter.body.bytes.len()) {
            Ok(room) => drop(self.put(letter, room)),
            Err(no_room) => tracing::error!(?no_room, "a message of the journal does not fit its mailbox"),
        }
    }

    /// The oldest message that the filter lets through, if `take` can use it: what `take` refuses stays where it is.
    pub(crate) fn take<T, E>(
        &self,
        select: &Select,
        take: impl FnOnce(Box<Letter>) -> Result<T, (Box<Letter>, E)>,
    ) -> Option<Result<T, E>> {
        let mut queue = self.queue.lock();
        let index = queue.letters.iter().position(|(letter, _)| select.lets_through(letter))?;
        let (letter, room) = queue.letters.remove(index)?;
        match take(letter) {
            Ok(taken) => Some(Ok(taken)),
            Err((letter, error)) => {
                queue.letters.insert(index, (letter, room));
                Some(Err(error))
            }
        }
    }

    pub(crate) fn has(&self, select: &Select) -> bool {
        self.queue.lock().letters.iter().any(|(letter, _)| select.lets_through(letter))
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.lock().letters.len()
    }

    /// Waits until there is a message that the filter lets through.
    pub(crate) async fn ready(&self, select: &Select) {
        loop {
            let arrived = self.arrived.notified();
            if self.has(select) {
                return;
            }
            arrived.await;
        }
    }

    /// Ends it: senders that wait are told, and what lies in it is handed out to be taken apart.
    pub(crate) fn close(&self) -> Vec<Letter> {
        self.rooms.close();
        let mut queue = self.queue.lock();
        queue.open = false;
        queue.letters.drain(..).map(|(letter, _)| *letter).collect()
    }
}

/// A filter as the kernel reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Select {
    topic: Option<Box<str>>,
    sender: Option<Sender>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Process(Pid),
    /// The guest wrote something that names no process.
    Nobody,
}

impl Select {
    pub(crate) fn of(filter: &Filter) -> Self {
        let sender = |text: &str| text.parse().map_or(Sender::Nobody, Sender::Process);
        Self { topic: filter.topic.clone(), sender: filter.sender.as_deref().map(sender) }
    }

    /// Whether the receiver knows the topic before it receives, so that the sender tells nothing by it.
    pub(crate) fn knows_the_topic(&self) -> bool {
        self.topic.is_some()
    }

    fn lets_through(&self, letter: &Letter) -> bool {
        let topic = self.topic.as_ref().is_none_or(|topic| *topic == letter.topic);
        topic && self.sender.is_none_or(|sender| sender == Sender::Process(letter.sender))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::TEXT;
    use remit_abi::{TenantId, limits};

    fn pid(index: u32) -> Pid {
        Pid { tenant: TenantId(0), index, generation: 1 }
    }

    fn letter(sender: u32, topic: &str) -> Box<Letter> {
        let body = Value { bytes: "body".into(), media_type: TEXT.into(), label: Label::TRUSTED };
        Box::new(Letter {
            number: 0,
            sender: pid(sender),
            sender_label: Label::TRUSTED,
            topic: topic.into(),
            body,
            grants: Vec::new(),
            answer: None,
        })
    }

    fn select(topic: Option<&str>, sender: Option<&str>) -> Select {
        Select::of(&Filter { topic: topic.map(Into::into), sender: sender.map(Into::into) })
    }

    fn take(mailbox: &Mailbox, select: &Select) -> Option<String> {
        mailbox
            .take(select, |letter| Ok::<_, (Box<Letter>, ())>(letter.topic.to_string()))
            .map(|taken| taken.expect("it is taken"))
    }

    #[test]
    fn messages_are_selected_oldest_first() {
        let mailbox = Mailbox::default();
        for (sender, topic) in [(1, "a"), (2, "b"), (1, "c")] {
            mailbox.put(letter(sender, topic), mailbox.try_room(4).expect("there is room")).expect("it is open");
        }
        assert!(!mailbox.has(&select(Some("d"), None)) && !mailbox.has(&select(None, Some("not a pid"))));
        assert_eq!(take(&mailbox, &select(None, Some("0.2.1"))).as_deref(), Some("b"));
        assert_eq!(take(&mailbox, &select(Some("c"), Some("0.1.1"))).as_deref(), Some("c"));
        assert_eq!(take(&mailbox, &Select::default()).as_deref(), Some("a"));
        assert_eq!(take(&mailbox, &Select::default()), None);
    }

    #[test]
    fn a_message_gives_its_room_back_when_it_is_received() {
        let mailbox = Mailbox::default();
        let all = mailbox.try_room(limits::MAILBOX_BYTES_MAX).expect("all of it");
        mailbox.put(letter(1, "large"), all).expect("it is open");
        assert_eq!(mailbox.try_room(1).err(), Some(NoRoom::Full));
        assert!(take(&mailbox, &Select::default()).is_some());
        assert!(mailbox.try_room(1).is_ok());
    }

    #[test]
    fn what_cannot_be_taken_stays_in_its_place() {
        let mailbox = Mailbox::default();
        for topic in ["a", "b"] {
            mailbox.put(letter(1, topic), mailbox.try_room(4).expect("there is room")).expect("it is open");
        }
        let refused = mailbox.take(&Select::default(), |letter| Err::<(), _>((letter, "no room")));
        assert_eq!(refused, Some(Err("no room")));
        assert_eq!(take(&mailbox, &Select::default()).as_deref(), Some("a"));
    }

    #[test]
    fn a_closed_mailbox_takes_nothing() {
        let mailbox = Mailbox::default();
        let room = mailbox.try_room(4).expect("there is room");
        mailbox.put(letter(1, "a"), mailbox.try_room(4).expect("there is room")).expect("it is open");
        assert_eq!(mailbox.close().len(), 1);
        assert!(mailbox.put(letter(1, "b"), room).is_err());
        assert_eq!(mailbox.try_room(4).err(), Some(NoRoom::Closed));
    }
}
