//! Processes that this one starts. What they may do and spend is taken from what it has itself.
//!
//! ```no_run
//! use remit::{
//!     Failure, Tokens, Value, budget,
//!     capability::{Grant, Narrowing},
//!     children::{Ended, Plan},
//! };
//!
//! fn summary(document: &Value) -> Result<Option<Value>, Failure> {
//!     let workers = Grant::take("workers")?;
//!     let chat = Grant::take("chat")?.attenuate("theirs", &Narrowing::new().max_tokens_per_call(128))?;
//!     let funds = budget::own().split(Tokens::from_whole(500))?;
//!     let child = Plan::new("summarizer", funds).input(document).grant("chat", chat).spawn(&workers)?;
//!     match child.wait()?.ended {
//!         Ended::Done { output, .. } => Ok(output),
//!         Ended::Failed { message, .. } => Err(Failure::new(message.text()?)),
//!         Ended::Faulted(why) => Err(Failure::new(why)),
//!     }
//! }
//! ```

use crate::{
    AttenuationError, Content, Denial, Role, SpawnError, Status, Tokens, Value, WaitError,
    bindings::remit::kernel::children,
    budget::Account,
    capability::{Grant, NamedGrant},
    wait::{Pollable, Waitable, Watched},
};

pub use children::{Priority, Restart};

/// A child to start.
///
/// [`Plan::new`] sets: no message, no grant, no restart, the usual priority.
#[derive(Debug)]
#[must_use = "a plan does nothing until it is spawned"]
pub struct Plan<'a> {
    agent: &'a str,
    conversation: Vec<(Role, Content<'a>)>,
    grants: Vec<NamedGrant>,
    funds: Account,
    restart: Restart,
    priority: Priority,
}

impl<'a> Plan<'a> {
    /// An agent by its package's name, and all that it may spend; what is left comes back.
    pub const fn new(agent: &'a str, funds: Account) -> Self {
        Self {
            agent,
            conversation: Vec::new(),
            grants: Vec::new(),
            funds,
            restart: Restart::Never,
            priority: Priority::Normal,
        }
    }

    /// With one more message of the user.
    pub fn input(self, content: impl Into<Content<'a>>) -> Self {
        self.message(Role::User, content)
    }

    /// With one more message.
    pub fn message(mut self, role: Role, content: impl Into<Content<'a>>) -> Self {
        self.conversation.push((role, content.into()));
        self
    }

    /// With a grant, which the child finds under this label.
    pub fn grant(mut self, label: impl Into<String>, grant: Grant) -> Self {
        self.grants.push(NamedGrant { label: label.into(), grant });
        self
    }

    /// When it is started again, from the state that it committed last.
    pub const fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// Who runs first within a tenant.
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Starts it, under a grant of kind `process`.
    ///
    /// # Errors
    /// [`SpawnError`]. The grants of the plan stay this process's, under the labels that they had; the funds are given back.
    pub fn spawn(self, grant: &Grant) -> Result<Child, SpawnError> {
        let conversation: Vec<_> = self
            .conversation
            .iter()
            .map(|(role, content)| children::Input { role: *role, content: content.raw() })
            .collect();
        let plan = children::Plan {
            agent: self.agent.to_owned(),
            conversation,
            grants: self.grants.into_iter().map(NamedGrant::into_raw).collect(),
            funds: self.funds.into_raw(),
            restart: self.restart,
            priority: self.priority,
        };
        Ok(Child(children::spawn(&grant.0, plan)?))
    }
}

/// A process that this one started. Dropping it kills it, and so does the end of this process.
#[derive(Debug)]
pub struct Child(children::Child);

impl Child {
    /// Its name, for people and for filters.
    #[must_use]
    pub fn id(&self) -> String {
        self.0.get_id()
    }

    /// A right to send it messages.
    ///
    /// # Errors
    /// [`AttenuationError::TooMany`] where the process holds as many grants as it may.
    pub fn mailbox(&self) -> Result<Grant, AttenuationError> {
        Ok(Grant(self.0.get_mailbox()?))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`WaitError`], for example where its report was taken already.
    pub fn wait(&self) -> Result<Report, WaitError> {
        Ok(self.0.wait()?.into())
    }

    /// Ready when it has ended; for [`wait::any`](crate::wait::any).
    #[must_use]
    pub fn readiness(&self) -> Pollable<'_> {
        Pollable::new(self.0.subscribe())
    }

    /// Asks it to end politely: it gets the signal `Cancel`.
    pub fn cancel(&self) {
        self.0.signal(children::Order::Cancel);
    }

    /// Stops it where it stands, with its state kept.
    pub fn suspend(&self) {
        self.0.signal(children::Order::Suspend);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.0.signal(children::Order::Resume);
    }

    /// Ends it where it stands. Its report can still be waited for.
    pub fn kill(&self) {
        self.0.kill();
    }

    /// Lets it live on alone: its report goes to nobody.
    ///
    /// # Errors
    /// [`Denial`] where the grant that it was started under is for reading only; then it is killed.
    pub fn detach(self) -> Result<(), Denial> {
        Ok(children::Child::detach(self.0)?)
    }
}

impl Waitable for Child {
    fn watch(&self) -> Watched<'_> {
        self.readiness().into()
    }
}

/// What became of a child.
#[derive(Debug)]
pub struct Report {
    /// How it ended.
    pub ended: Ended,
    /// What it spent, its own children's included.
    pub paid: Tokens,
    /// What came back of its funds.
    pub refunded: Tokens,
    /// How often it was started again.
    pub restarts: u32,
}

/// How a child ended.
#[derive(Debug)]
pub enum Ended {
    /// It did its work, or a usable part of it.
    Done {
        /// How far it came.
        status: Status,
        /// Its result, unread.
        output: Option<Value>,
    },
    /// It could not.
    Failed {
        /// In its own words, unread.
        message: Value,
        /// Whether the same task may succeed later.
        retryable: bool,
    },
    /// The kernel ended it; why, in the kernel's words.
    Faulted(String),
}

impl From<children::Report> for Report {
    fn from(raw: children::Report) -> Self {
        let ended = match raw.ended {
            children::Ended::Done(children::ChildOutcome { status, output }) => {
                Ended::Done { status, output: output.map(Value::new) }
            }
            children::Ended::Failed(children::ChildFailure { message, retryable }) => {
                Ended::Failed { message: Value::new(message), retryable }
            }
            children::Ended::Faulted(why) => Ended::Faulted(why),
        };
        Self {
            ended,
            paid: Tokens::from_micro(raw.paid),
            refunded: Tokens::from_micro(raw.refunded),
            restarts: raw.restarts,
        }
    }
}
