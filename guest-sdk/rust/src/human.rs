//! People: asking them, having them approve, telling them. A right to do so is a grant of kind `person`, and of one desk.
//!
//! ```no_run
//! use remit::{
//!     Failure,
//!     human::{Desk, Reply, Verdict},
//! };
//! use std::time::Duration;
//!
//! fn send(letter: &str) -> Result<bool, Failure> {
//!     let boss = Desk::take("boss")?;
//!     let answer = boss.ask("In which language?").choices(&["English", "German"]).expires_in(Duration::from_secs(3600)).get()?;
//!     if let Reply::Choice(1) = answer.reply {
//!         boss.notify("This may take a while.")?;
//!     }
//!     let decision = boss.propose("mail/send").details(letter).get()?;
//!     match decision.verdict {
//!         Verdict::ApprovedOnce | Verdict::ApprovedAlways => Ok(true),
//!         Verdict::Rejected(why) => {
//!             remit::info!("{} says no: {}", decision.by, why.text()?);
//!             Ok(false)
//!         }
//!     }
//! }
//! ```
//!
//! A process that waits for a person leaves memory meanwhile, and goes on where it was, however long that takes. What is put to them
//! and not waited for can be waited for beside other things ([`wait`](crate::wait)):
//!
//! ```no_run
//! use remit::{human::Desk, process, wait};
//!
//! # fn example() -> Result<(), remit::Failure> {
//! let pending = Desk::take("boss")?.ask("Shall I go on?").send()?;
//! if wait::first(&[&pending, &process::signals()]) == 0 {
//!     remit::info!("{} answered", pending.get()?.by);
//! }
//! # Ok(()) }
//! ```

use crate::{
    AnswerError, AskError, Content, Denial, Value,
    bindings::remit::kernel::human,
    capability::Grant,
    wait::{Pollable, Waitable, Watched},
};
use std::time::Duration;

/// How long people have, where nothing is said: a day.
const TIME_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// A desk at which people sit.
#[derive(Debug)]
pub struct Desk(Grant);

impl Desk {
    /// The desk of the grant under a label of the manifest.
    ///
    /// # Errors
    /// [`Denial`] where no such grant was given.
    pub fn take(label: &str) -> Result<Self, Denial> {
        Ok(Self(Grant::take(label)?))
    }

    /// A question to whoever sits there. They answer in words, unless they are given choices.
    pub fn ask<'a>(&'a self, question: impl Into<Content<'a>>) -> Ask<'a> {
        Ask { desk: self, question: question.into(), choices: &[], time: TIME_DEFAULT }
    }

    /// Something to do that whoever sits there has to approve: an action by its name, of letters, digits and `-._/:@`. What was
    /// approved always is known by that name again.
    pub fn propose<'a>(&'a self, action: &'a str) -> Proposal<'a> {
        Proposal { desk: self, action, details: action.into(), time: TIME_DEFAULT }
    }

    /// Tells whoever sits there something, of 4 KiB at most.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn notify<'a>(&self, notice: impl Into<Content<'a>>) -> Result<(), AskError> {
        Ok(human::notify(&self.0.0, notice.into().raw())?)
    }
}

impl From<Grant> for Desk {
    /// The desk of a grant of kind `person`.
    fn from(grant: Grant) -> Self {
        Self(grant)
    }
}

/// A question to people.
///
/// [`Desk::ask`] sets: an answer in words, a day.
#[derive(Clone, Debug)]
#[must_use = "a question does nothing until it is sent"]
pub struct Ask<'a> {
    desk: &'a Desk,
    question: Content<'a>,
    choices: &'a [&'a str],
    time: Duration,
}

impl<'a> Ask<'a> {
    /// They are to pick one of these, 32 at most.
    pub const fn choices(mut self, choices: &'a [&'a str]) -> Self {
        self.choices = choices;
        self
    }

    /// How long they have, 30 days at most.
    pub const fn expires_in(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Puts it to them, and does not wait.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn send(self) -> Result<PendingAnswer, AskError> {
        let pending = human::ask(&self.desk.0.0, self.question.raw(), self.choices, nanoseconds(self.time));
        Ok(PendingAnswer(pending?))
    }

    /// Puts it to them, and waits for the answer.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn get(self) -> Result<Answer, AnswerError> {
        self.send()?.get()
    }
}

/// Something to do that people have to approve.
///
/// [`Desk::propose`] sets: no details but the action's name, a day.
#[derive(Clone, Debug)]
#[must_use = "a proposal does nothing until it is sent"]
pub struct Proposal<'a> {
    desk: &'a Desk,
    action: &'a str,
    details: Content<'a>,
    time: Duration,
}

impl<'a> Proposal<'a> {
    /// What they have to see to decide, of 64 KiB at most.
    pub fn details(mut self, details: impl Into<Content<'a>>) -> Self {
        self.details = details.into();
        self
    }

    /// How long they have, 30 days at most.
    pub const fn expires_in(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Puts it to them, and does not wait.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn send(self) -> Result<PendingDecision, AskError> {
        let pending = human::propose(&self.desk.0.0, self.action, self.details.raw(), nanoseconds(self.time));
        Ok(PendingDecision(pending?))
    }

    /// Puts it to them, and waits for their decision.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn get(self) -> Result<Decision, AnswerError> {
        self.send()?.get()
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A question that waits for its answer. Dropping it withdraws it.
#[derive(Debug)]
pub struct PendingAnswer(human::PendingAnswer);

impl PendingAnswer {
    /// Waits for the answer, and takes it.
    ///
    /// # Errors
    /// [`AnswerError`]; only after [`AnswerError::NoRoom`] can it be asked for again.
    pub fn get(&self) -> Result<Answer, AnswerError> {
        let human::Answer { by, at_ns, reply } = self.0.get()?;
        let reply = match reply {
            human::Reply::Words(words) => Reply::Words(Value::new(words)),
            human::Reply::Choice(choice) => Reply::Choice(choice as usize),
        };
        Ok(Answer { by, since_epoch: Duration::from_nanos(at_ns), reply })
    }

    /// Ready when there is an answer, or will be none; for [`wait::any`](crate::wait::any).
    #[must_use]
    pub fn readiness(&self) -> Pollable<'_> {
        Pollable::new(self.0.subscribe())
    }
}

impl Waitable for PendingAnswer {
    fn watch(&self) -> Watched<'_> {
        self.readiness().into()
    }
}

/// A proposal that waits for its decision. Dropping it withdraws it.
#[derive(Debug)]
pub struct PendingDecision(human::PendingDecision);

impl PendingDecision {
    /// Waits for the decision, and takes it.
    ///
    /// # Errors
    /// [`AnswerError`]; only after [`AnswerError::NoRoom`] can it be asked for again.
    pub fn get(&self) -> Result<Decision, AnswerError> {
        let human::Decision { by, at_ns, verdict } = self.0.get()?;
        let verdict = match verdict {
            human::Verdict::ApprovedOnce => Verdict::ApprovedOnce,
            human::Verdict::ApprovedAlways => Verdict::ApprovedAlways,
            human::Verdict::Rejected(why) => Verdict::Rejected(Value::new(why)),
        };
        Ok(Decision { by, since_epoch: Duration::from_nanos(at_ns), verdict })
    }

    /// Ready when there is a decision, or will be none; for [`wait::any`](crate::wait::any).
    #[must_use]
    pub fn readiness(&self) -> Pollable<'_> {
        Pollable::new(self.0.subscribe())
    }
}

impl Waitable for PendingDecision {
    fn watch(&self) -> Watched<'_> {
        self.readiness().into()
    }
}

/// What a person answered.
#[derive(Debug)]
pub struct Answer {
    /// The name of the person.
    pub by: String,
    /// When, as a time [since the epoch](crate::time::since_epoch).
    pub since_epoch: Duration,
    /// What.
    pub reply: Reply,
}

/// What a person said to a question.
#[derive(Debug)]
pub enum Reply {
    /// In their own words, unread. They are trusted, and as secret as the question.
    Words(Value),
    /// The choice at this place.
    Choice(usize),
}

/// What a person decided.
#[derive(Debug)]
pub struct Decision {
    /// The name of the person.
    pub by: String,
    /// When, as a time [since the epoch](crate::time::since_epoch).
    pub since_epoch: Duration,
    /// What.
    pub verdict: Verdict,
}

/// What a person said to a proposal.
#[derive(Debug)]
pub enum Verdict {
    /// It may be done this time.
    ApprovedOnce,
    /// It may be done, now and whenever the same agent proposes it again.
    ApprovedAlways,
    /// It may not be done; why, unread.
    Rejected(Value),
}
