//! What an auditor may read of an entry for ever: who did what and how much of it, and no content of anybody's.
//!
//! Principles:
//!
//! - No text that an agent chose is in a fact, and no digest of one: the digest of a short text tells the text.
//! - Names are those that an operator gave: of packages, of models and of tools. Digests are those of programs and weights.
//! - Facts are written down for ever. A variant may be added at the end of its enum; nothing else may change.
//!
//! | entry | fact |
//! | --- | --- |
//! | [`Created`](Entry::Created) | which package and component, by whom, with what funds |
//! | [`Began`](Entry::Began) | how often it was started again |
//! | [`Told`](Entry::Told), a model was opened | its name and digest |
//! | [`Told`](Entry::Told), a stream began or ended, an answer or vectors came | of which model, with which seed, how many tokens, why it ended |
//! | [`Told`](Entry::Told), a denial | at which interface, and of what kind |
//! | [`Told`](Entry::Told), a state was committed | how large it is |
//! | [`Told`](Entry::Told), a person answered | who, when, and in which way |
//! | [`Told`](Entry::Told), a tool was called | which, what it does, under which number and key |
//! | [`Told`](Entry::Told), a tool returned | what kind of outcome, how often it was begun, and who decided what was uncertain |
//! | [`Told`](Entry::Told), an entry of a memory was cited | whether the quotation stands in it |
//! | [`Given`](Entry::Given) | of what kind the grant is |
//! | [`Exited`](Entry::Exited) | in which way, and with how much fuel |
//! | [`Forked`](Entry::Forked) | of what kinds its grants are |
//! | any other | none: that something was told shows in the digest of its line |

use super::{CalledTool, Created, Decided, Effect, Entry, ModelUse, Note, OutcomeKind, ReturnedTool, Told};
use remit_abi::{
    Answered, CapabilityError, ChildrenError, Completion, ContextError, ContextReply, Delta, Denial, Exit, Failure,
    Fault, FileError, FinishReason, Fuel, GrantKind, HumanError, HumanReply, LlmError, LlmReply, MailboxError,
    MemoryError, MemoryReply, Outcome, Pid, Reply, Said, Status, Summary, Tokens, ToolError, Usage,
};
use serde::{Deserialize, Serialize};

/// What an entry says to an auditor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fact {
    /// A process was made.
    Created {
        /// The package's name.
        package: Box<str>,
        /// SHA-256 of the component, in hexadecimal.
        component: Box<str>,
        /// Who started it; `None` is an operator.
        parent: Option<Pid>,
        /// What its account was given, in micro-tokens.
        funds: Tokens,
    },
    /// A run began.
    Began {
        /// How often it was started again.
        restarts: u32,
    },
    /// A model, or a route, was opened.
    Opened {
        /// Its name.
        model: Box<str>,
        /// SHA-256 of the weights' file, in hexadecimal.
        digest: Box<str>,
    },
    /// A generation began whose answer is read piece by piece. Where its end is not read, nothing else tells of it.
    Streaming {
        /// The model that it was put to first.
        model: Box<str>,
        /// SHA-256 of the weights' file, in hexadecimal.
        digest: Box<str>,
        /// Of the numbers that its tokens are drawn with.
        seed: u64,
    },
    /// A generation ended.
    Generated {
        /// The model that answered.
        model: Box<str>,
        /// SHA-256 of the weights' file, in hexadecimal.
        digest: Box<str>,
        /// Of the numbers that its tokens were drawn with.
        seed: u64,
        /// Why it ended.
        finish: FinishReason,
        /// What the model did, in its tokens.
        usage: Usage,
        /// What that cost, in micro-tokens.
        paid: Tokens,
    },
    /// A generation broke off after it had shown something, or its answer found no room. What the model did was paid.
    Broken {
        /// The model that answered.
        model: Box<str>,
        /// SHA-256 of the weights' file, in hexadecimal.
        digest: Box<str>,
        /// Of the numbers that its tokens were drawn with.
        seed: u64,
        /// What the model did, in its tokens.
        usage: Usage,
    },
    /// Texts were made vectors.
    Embedded {
        /// The model that did it.
        model: Box<str>,
        /// SHA-256 of the weights' file, in hexadecimal.
        digest: Box<str>,
        /// Of the texts, in the model's tokens.
        usage: Usage,
    },
    /// A right was missing.
    Denied {
        /// Whose reply said so: the interface's name in WIT.
        interface: Box<str>,
        /// Why.
        denial: DenialKind,
    },
    /// An operator gave a grant.
    Given {
        /// Of this kind.
        kind: GrantKind,
    },
    /// A state was committed.
    Committed {
        /// Of the request: the state's, and at most seven more.
        bytes: u64,
    },
    /// A run ended.
    Exited {
        /// In which way.
        end: EndKind,
        /// With all the fuel it used; `None` where the count was lost.
        fuel: Option<Fuel>,
    },
    /// From here on it is itself: what was told before was told to another process.
    Forked {
        /// Of the grants that an operator gave it.
        kinds: Vec<GrantKind>,
    },
    /// A person answered.
    Answered {
        /// The name of the person.
        by: Box<str>,
        /// In nanoseconds since 1970-01-01T00:00:00Z.
        at_ns: u64,
        /// In which way.
        said: AnswerKind,
    },
    /// A tool was called: from here on it may be done.
    CalledTool {
        /// Of the call, of all of the node.
        number: u64,
        /// The tool's name.
        tool: Box<str>,
        /// What it does outside.
        effect: Effect,
        /// The idempotency key.
        key: Box<str>,
    },
    /// What came of a call was taken.
    ReturnedTool {
        /// Of which.
        number: u64,
        /// How often it was begun.
        attempts: u32,
        /// What kind of outcome it is.
        outcome: OutcomeKind,
        /// Where it was uncertain and a person decided: what they did last.
        decided: Option<Decided>,
    },
    /// An entry of a memory was cited.
    Cited {
        /// Whether the quotation stands in it.
        supported: bool,
    },
}

/// What a person said, without their words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerKind {
    /// In their own words.
    Text,
    /// One of several.
    Choice,
    /// It may be done this time.
    ApprovedOnce,
    /// It may be done whenever it is asked for.
    ApprovedAlways,
    /// It may not be done.
    Rejected,
}

/// A [`Denial`] without the names in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DenialKind {
    /// No such grant was given.
    NotGranted,
    /// It was taken back.
    Revoked,
    /// Its time is over.
    Expired,
    /// It is used up.
    Exhausted,
    /// It is used too fast.
    TooFast,
    /// A call asks for more tokens than it allows.
    Exceeded,
    /// The thing, or what is to be done with it, is not in its scope.
    OutOfScope,
    /// The data is above its ceiling.
    Tainted,
}

impl From<&Denial> for DenialKind {
    fn from(denial: &Denial) -> Self {
        match denial {
            Denial::NotGranted(_) => Self::NotGranted,
            Denial::Revoked(_) => Self::Revoked,
            Denial::Expired(_) => Self::Expired,
            Denial::Exhausted(_) => Self::Exhausted,
            Denial::TooFast { .. } => Self::TooFast,
            Denial::Exceeded(_) => Self::Exceeded,
            Denial::OutOfScope { .. } => Self::OutOfScope,
            Denial::Tainted { .. } => Self::Tainted,
        }
    }
}

/// How a run ended, without what it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndKind {
    /// It did all that was asked for.
    Complete,
    /// It did a usable part.
    Partial,
    /// It could not, and may succeed later.
    FailedForNow,
    /// It could not.
    Failed,
    /// Its account could not pay.
    BudgetExhausted,
    /// It crashed.
    Trapped,
    /// It broke the protocol.
    BrokeProtocol,
    /// It went over a limit.
    OverLimit,
    /// Somebody killed it.
    Killed,
    /// The host failed.
    HostFailed,
    /// Told again what it was told before, it did something else.
    Diverged,
}

impl From<&Exit> for EndKind {
    fn from(exit: &Exit) -> Self {
        match &exit.end {
            Ok(Ok(Outcome { status: Status::Complete, .. })) => Self::Complete,
            Ok(Ok(Outcome { status: Status::Partial, .. })) => Self::Partial,
            Ok(Err(Failure { retryable: true, .. })) => Self::FailedForNow,
            Ok(Err(Failure { retryable: false, .. })) => Self::Failed,
            Err(Fault::BudgetExhausted(_)) => Self::BudgetExhausted,
            Err(Fault::Trap(_)) => Self::Trapped,
            Err(Fault::Protocol(_)) => Self::BrokeProtocol,
            Err(Fault::Limit(_)) => Self::OverLimit,
            Err(Fault::Killed | Fault::Dead) => Self::Killed,
            Err(Fault::Host(_)) => Self::HostFailed,
            Err(Fault::Diverged(_)) => Self::Diverged,
        }
    }
}

impl Entry<'_> {
    /// What an auditor may read of it; `None` where that is no more than that it is there.
    #[must_use]
    pub fn fact(&self) -> Option<Fact> {
        match self {
            Self::Created(created) => Some(Fact::of_created(created)),
            Self::Began(began) => Some(Fact::Began { restarts: began.restarts }),
            Self::Intended(_) | Self::Committed(_) => None,
            Self::Told(told) => Fact::of_told(told),
            Self::Given(held) => Some(Fact::Given { kind: held.kind }),
            Self::Exited(exit) => Some(Fact::Exited { end: EndKind::from(&**exit), fuel: exit.fuel }),
            Self::Forked(forked) => Some(Fact::Forked { kinds: forked.grants.iter().map(|held| held.kind).collect() }),
        }
    }
}

impl Fact {
    fn of_created(created: &Created) -> Self {
        Self::Created {
            package: (&*created.package).into(),
            component: (&*created.digest).into(),
            parent: created.parent,
            funds: created.funds,
        }
    }

    /// The one place that says what of a reply is a fact, by the interface that answered.
    fn of_told(told: &Told<'_>) -> Option<Self> {
        match &*told.reply {
            Reply::Llm(Err(LlmError::Denied(denial))) => Some(Self::denied("llm", denial)),
            Reply::Llm(reply) => Self::of_llm(reply.as_ref().ok(), &told.notes),
            Reply::Checkpoint(Ok(())) => Some(Self::Committed { bytes: told.asked.size() }),
            Reply::Capability(Err(CapabilityError::Denied(denial))) => Some(Self::denied("capability", denial)),
            Reply::Process(Err(CapabilityError::Denied(denial))) => Some(Self::denied("process", denial)),
            Reply::Children(Err(ChildrenError::Denied(denial))) => Some(Self::denied("children", denial)),
            Reply::Mailbox(Err(MailboxError::Denied(denial))) => Some(Self::denied("mailbox", denial)),
            Reply::Human(Err(HumanError::Denied(denial))) => Some(Self::denied("human", denial)),
            Reply::Human(Ok(HumanReply::Answered(answered))) => Some(Self::of_answer(answered)),
            Reply::Tool(Err(ToolError::Denied(denial))) => Some(Self::denied("tool", denial)),
            Reply::Tool(_) => Self::of_tool(&told.notes),
            Reply::Memory(Err(MemoryError::Denied(denial))) => Some(Self::denied("memory", denial)),
            Reply::Memory(Ok(MemoryReply::Cited(cited))) => Some(Self::Cited { supported: cited.offset.is_some() }),
            Reply::File(Err(FileError::Denied(denial))) => Some(Self::denied("files", denial)),
            Reply::Context(reply) => Self::of_context(reply.as_ref(), &told.notes),
            _ => None,
        }
    }

    fn of_answer(answered: &Answered) -> Self {
        let Answered { by, at_ns, said } = answered;
        let said = match said {
            Said::Text(_) => AnswerKind::Text,
            Said::Choice(_) => AnswerKind::Choice,
            Said::ApprovedOnce => AnswerKind::ApprovedOnce,
            Said::ApprovedAlways => AnswerKind::ApprovedAlways,
            Said::Rejected(_) => AnswerKind::Rejected,
        };
        Self::Answered { by: by.clone(), at_ns: *at_ns, said }
    }

    fn of_tool(notes: &[Note]) -> Option<Self> {
        notes.iter().find_map(|note| match note.clone() {
            Note::CalledTool(CalledTool { number, tool, effect, key }) => {
                Some(Self::CalledTool { number, tool, effect, key })
            }
            Note::ReturnedTool(ReturnedTool { number, attempts, outcome, decided }) => {
                Some(Self::ReturnedTool { number, attempts, outcome, decided })
            }
            _ => None,
        })
    }

    fn denied(interface: &str, denial: &Denial) -> Self {
        Self::Denied { interface: interface.into(), denial: denial.into() }
    }

    /// Of an answer, or of an error where there is none.
    fn of_llm(reply: Option<&LlmReply>, notes: &[Note]) -> Option<Self> {
        notes.iter().find_map(|note| match note {
            Note::Model(image) => Some(Self::Opened { model: (&*image.name).into(), digest: (&*image.digest).into() }),
            Note::Used(used) => Self::of_use(reply, used),
            _ => None,
        })
    }

    /// Of an answer with all that its turn asked the model for, or of an error.
    fn of_context(reply: Result<&ContextReply, &ContextError>, notes: &[Note]) -> Option<Self> {
        let used = notes.iter().find_map(|note| match note {
            Note::Used(used) => Some(used),
            _ => None,
        });
        match (reply, used) {
            (Err(ContextError::Denied(denial)), _) => Some(Self::denied("context", denial)),
            (_, None) => None,
            (Ok(ContextReply::Answered(answering)), Some(ModelUse { name, digest, seed, usage })) => {
                let (model, digest, seed, usage) = ((&**name).into(), (&**digest).into(), *seed, *usage);
                let Summary { finish, paid, .. } = answering.completion.summary;
                let paid = paid.saturating_add(answering.report.paid);
                Some(Self::Generated { model, digest, seed, finish, usage, paid })
            }
            (_, Some(used)) => Self::of_use(None, used),
        }
    }

    fn of_use(reply: Option<&LlmReply>, used: &ModelUse) -> Option<Self> {
        let ModelUse { name, digest, seed, usage } = used;
        let (model, digest, seed, usage) = (Box::from(&**name), Box::from(&**digest), *seed, *usage);
        match reply {
            Some(LlmReply::Started(_)) => Some(Self::Streaming { model, digest, seed }),
            Some(LlmReply::Completed(Completion { summary, .. }) | LlmReply::Next(Delta::End(summary))) => {
                let Summary { finish, paid, .. } = *summary;
                Some(Self::Generated { model, digest, seed, finish, usage, paid })
            }
            Some(LlmReply::Embedded(_)) => Some(Self::Embedded { model, digest, usage }),
            Some(_) => None,
            None => Some(Self::Broken { model, digest, seed, usage }),
        }
    }
}
