//! Messages between processes. A right to send is a grant of kind `mailbox`; every process can receive.
//!
//! ```no_run
//! use remit::{
//!     Failure,
//!     capability::Grant,
//!     mailbox::{self, Filter, Outgoing},
//! };
//! use std::time::Duration;
//!
//! fn ask(peer: &Grant) -> Result<String, Failure> {
//!     let pending = mailbox::call(peer, Outgoing::new("weather", "Berlin"), Duration::from_secs(5))?;
//!     Ok(pending.get()?.body.text()?)
//! }
//!
//! fn serve() -> Result<(), Failure> {
//!     loop {
//!         let question = mailbox::receive(&Filter::any().topic("weather"))?;
//!         if let Some(answer) = question.call {
//!             answer.reply(Outgoing::new("weather", "It rains."))?;
//!         }
//!     }
//! }
//! ```

use crate::{
    CallError, Content, ReceiveError, SendError, Value,
    bindings::remit::kernel::mailbox,
    capability::{Grant, NamedGrant},
    wait::{Pollable, Waitable, Watched},
};
use std::time::Duration;

/// A message to send.
#[derive(Debug)]
#[must_use = "a message does nothing until it is sent"]
pub struct Outgoing<'a> {
    topic: &'a str,
    body: Content<'a>,
    grants: Vec<NamedGrant>,
}

impl<'a> Outgoing<'a> {
    /// What it is about, to be selected by, and what it says.
    pub fn new(topic: &'a str, body: impl Into<Content<'a>>) -> Self {
        Self { topic, body: body.into(), grants: Vec::new() }
    }

    /// With a grant, which is given away with it under this label.
    pub fn grant(mut self, label: impl Into<String>, grant: Grant) -> Self {
        self.grants.push(NamedGrant { label: label.into(), grant });
        self
    }

    /// Hands it over in the kernel's own form.
    fn give<T>(self, take: impl FnOnce(mailbox::Outgoing<'_>) -> T) -> T {
        let Self { topic, body, grants } = self;
        let grants = grants.into_iter().map(NamedGrant::into_raw).collect();
        take(mailbox::Outgoing { topic: topic.to_owned(), body: body.raw(), grants })
    }
}

/// Sends a message; waits while the receiver's mailbox is full.
///
/// # Errors
/// [`SendError`]; the grants of the message stay this process's, under the labels that they had.
pub fn send(to: &Grant, message: Outgoing<'_>) -> Result<(), SendError> {
    Ok(message.give(|message| mailbox::send(&to.0, message))?)
}

/// Sends a message, or says that the mailbox is full.
///
/// # Errors
/// As [`send`], and [`SendError::Full`].
pub fn try_send(to: &Grant, message: Outgoing<'_>) -> Result<(), SendError> {
    Ok(message.give(|message| mailbox::try_send(&to.0, message))?)
}

/// Sends a message that is to be answered within so long, an hour at most.
///
/// # Errors
/// As [`send`].
pub fn call(to: &Grant, message: Outgoing<'_>, timeout: Duration) -> Result<Pending, SendError> {
    let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    Ok(Pending(message.give(|message| mailbox::call(&to.0, message, timeout_ns))?))
}

/// Waits for the oldest message that the filter lets through. Without a topic in the filter, receiving raises this process's
/// label to the sender's, since the sender chose the topic.
///
/// # Errors
/// [`ReceiveError::NoRoom`]; the message stays.
pub fn receive(filter: &Filter<'_>) -> Result<Incoming, ReceiveError> {
    Ok(mailbox::receive(filter.raw())?.into())
}

/// The oldest message that the filter lets through, where there is one.
///
/// # Errors
/// As [`receive`].
pub fn try_receive(filter: &Filter<'_>) -> Result<Option<Incoming>, ReceiveError> {
    Ok(mailbox::try_receive(filter.raw())?.map(Into::into))
}

/// Which messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    topic: Option<&'a str>,
    sender: Option<&'a str>,
}

impl<'a> Filter<'a> {
    /// All of them.
    #[must_use]
    pub const fn any() -> Self {
        Self { topic: None, sender: None }
    }

    /// About exactly this.
    #[must_use]
    pub const fn topic(mut self, topic: &'a str) -> Self {
        self.topic = Some(topic);
        self
    }

    /// From exactly this process.
    #[must_use]
    pub const fn sender(mut self, id: &'a str) -> Self {
        self.sender = Some(id);
        self
    }

    /// Ready when there is a message that it lets through; for [`wait::any`](crate::wait::any).
    #[must_use]
    pub fn readiness(&self) -> Pollable<'static> {
        Pollable::new(mailbox::subscribe(self.raw()))
    }

    const fn raw(&self) -> mailbox::Filter<'a> {
        mailbox::Filter { topic: self.topic, sender: self.sender }
    }
}

impl Waitable for Filter<'_> {
    fn watch(&self) -> Watched<'_> {
        self.readiness().into()
    }
}

/// A message that came.
#[derive(Debug)]
pub struct Incoming {
    /// From whom.
    pub sender: String,
    /// What it is about.
    pub topic: String,
    /// What it says, unread.
    pub body: Value,
    /// This process's from here on, each under its label.
    pub grants: Vec<NamedGrant>,
    /// Where it is a call: what it is answered with.
    pub call: Option<Answer>,
}

impl From<mailbox::Incoming> for Incoming {
    fn from(raw: mailbox::Incoming) -> Self {
        Self {
            sender: raw.sender,
            topic: raw.topic,
            body: Value::new(raw.body),
            grants: raw.grants.into_iter().map(NamedGrant::from_raw).collect(),
            call: raw.call.map(Answer),
        }
    }
}

/// A call that waits to be answered. Dropping it leaves it unanswered.
#[derive(Debug)]
pub struct Answer(mailbox::Answer);

impl Answer {
    /// Answers it. An answer never waits: its place was kept when the call was made.
    ///
    /// # Errors
    /// [`SendError`]; the call is left unanswered then.
    pub fn reply(self, message: Outgoing<'_>) -> Result<(), SendError> {
        Ok(message.give(|message| mailbox::Answer::reply(self.0, message))?)
    }
}

/// A call under way. Dropping it forgets the answer.
#[derive(Debug)]
pub struct Pending(mailbox::Pending);

impl Pending {
    /// Waits for the answer, and takes it.
    ///
    /// # Errors
    /// [`CallError`]; only after [`CallError::NoRoom`] can it be asked for again.
    pub fn get(&self) -> Result<Incoming, CallError> {
        Ok(self.0.get()?.into())
    }

    /// Ready when there is an answer, or will be none; for [`wait::any`](crate::wait::any).
    #[must_use]
    pub fn readiness(&self) -> Pollable<'_> {
        Pollable::new(self.0.subscribe())
    }
}

impl Waitable for Pending {
    fn watch(&self) -> Watched<'_> {
        self.readiness().into()
    }
}
