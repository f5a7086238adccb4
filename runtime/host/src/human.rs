//! `remit:kernel/human`: people. Linked only where a grant of kind `person` was given.
//!
//! A question and a proposal are one thing to the kernel; the guest has a handle of its own sort for each, so that an answer to the
//! one is never taken for a decision on the other.

use crate::{
    bindings::remit::kernel::{human, value},
    capability::denial_to_wit,
    guest::{Guest, gone, mismatch},
    row::{AskedRow, GrantRow, PollableRow, ProposedRow, ValueRow},
};
use remit_abi::{
    Answered, HumanError, HumanReply, HumanRequest, Question, QuestionId, Reply, Request, Said, WaitId, Wanted,
};
use wasmtime::{Result, component::Resource};

/// What the kernel answered.
type Replied = Result<std::result::Result<HumanReply, HumanError>>;

/// What who asks is told.
type Asked<T> = Result<std::result::Result<T, human::AskError>>;

impl Guest {
    fn call_human(&self, request: HumanRequest) -> Replied {
        replied(self.call(&Request::Human(request))?)
    }

    fn put_question(
        &self,
        to: &Resource<GrantRow>,
        content: value::Content,
        wanted: Wanted,
        timeout_ns: u64,
    ) -> Asked<QuestionId> {
        let GrantRow(grant) = self.row(to)?;
        let question = Question { grant, content: self.content(content)?, wanted, timeout_ns };
        match self.call_human(HumanRequest::Ask(Box::new(question)))? {
            Ok(HumanReply::Asked(question)) => Ok(Ok(question)),
            Ok(_) => Err(mismatch("human.ask")),
            Err(error) => ask_error_to_wit(error).map(Err),
        }
    }

    async fn collect(&mut self, question: QuestionId) -> Result<std::result::Result<Answered, human::AnswerError>> {
        let reply = self.call_waiting(Request::Human(HumanRequest::Collect { question })).await?;
        match replied(reply)? {
            Ok(HumanReply::Answered(answered)) => Ok(Ok(*answered)),
            Ok(_) => Err(mismatch("pending.get")),
            Err(error) => answer_error_to_wit(&error).map(Err),
        }
    }

    /// Lets go of a question that nobody has a handle on any more.
    fn withdraw(&self, question: QuestionId) -> Result<()> {
        match self.call_human(HumanRequest::Drop { question })? {
            Ok(HumanReply::Done) | Err(HumanError::Dead) => Ok(()),
            _ => Err(mismatch("pending.drop")),
        }
    }
}

impl human::Host for Guest {
    fn ask(
        &mut self,
        to: Resource<GrantRow>,
        question: value::Content,
        choices: Vec<String>,
        timeout_ns: u64,
    ) -> Asked<Resource<AskedRow>> {
        let choices = choices.into_iter().map(Into::into).collect();
        match self.put_question(&to, question, Wanted::Answer { choices }, timeout_ns)? {
            Ok(question) => self.push(AskedRow(question)).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }

    fn propose(
        &mut self,
        to: Resource<GrantRow>,
        action: String,
        details: value::Content,
        timeout_ns: u64,
    ) -> Asked<Resource<ProposedRow>> {
        match self.put_question(&to, details, Wanted::Approval { action: action.into() }, timeout_ns)? {
            Ok(question) => self.push(ProposedRow(question)).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }

    fn notify(&mut self, to: Resource<GrantRow>, notice: value::Content) -> Asked<()> {
        let GrantRow(grant) = self.row(&to)?;
        let content = self.content(notice)?;
        match self.call_human(HumanRequest::Notify { grant, content })? {
            Ok(HumanReply::Done) => Ok(Ok(())),
            Ok(_) => Err(mismatch("human.notify")),
            Err(error) => ask_error_to_wit(error).map(Err),
        }
    }
}

impl human::HostPendingAnswer for Guest {
    async fn get(
        &mut self,
        handle: Resource<AskedRow>,
    ) -> Result<std::result::Result<human::Answer, human::AnswerError>> {
        let AskedRow(question) = self.row(&handle)?;
        let Answered { by, at_ns, said } = match self.collect(question).await? {
            Ok(answered) => answered,
            Err(error) => return Ok(Err(error)),
        };
        let reply = match said {
            Said::Text(words) => human::Reply::Words(self.push(ValueRow(words))?),
            Said::Choice(choice) => human::Reply::Choice(choice),
            Said::ApprovedOnce | Said::ApprovedAlways | Said::Rejected(_) => {
                return Err(mismatch("pending-answer.get"));
            }
        };
        Ok(Ok(human::Answer { by: by.into(), at_ns, reply }))
    }

    fn subscribe(&mut self, handle: Resource<AskedRow>) -> Result<Resource<PollableRow>> {
        let AskedRow(question) = self.row(&handle)?;
        self.push_child(PollableRow(WaitId::Question(question)), &handle)
    }

    fn drop(&mut self, handle: Resource<AskedRow>) -> Result<()> {
        let AskedRow(question) = self.remove(handle)?;
        self.withdraw(question)
    }
}

impl human::HostPendingDecision for Guest {
    async fn get(
        &mut self,
        handle: Resource<ProposedRow>,
    ) -> Result<std::result::Result<human::Decision, human::AnswerError>> {
        let ProposedRow(question) = self.row(&handle)?;
        let Answered { by, at_ns, said } = match self.collect(question).await? {
            Ok(answered) => answered,
            Err(error) => return Ok(Err(error)),
        };
        let verdict = match said {
            Said::ApprovedOnce => human::Verdict::ApprovedOnce,
            Said::ApprovedAlways => human::Verdict::ApprovedAlways,
            Said::Rejected(why) => human::Verdict::Rejected(self.push(ValueRow(why))?),
            Said::Text(_) | Said::Choice(_) => return Err(mismatch("pending-decision.get")),
        };
        Ok(Ok(human::Decision { by: by.into(), at_ns, verdict }))
    }

    fn subscribe(&mut self, handle: Resource<ProposedRow>) -> Result<Resource<PollableRow>> {
        let ProposedRow(question) = self.row(&handle)?;
        self.push_child(PollableRow(WaitId::Question(question)), &handle)
    }

    fn drop(&mut self, handle: Resource<ProposedRow>) -> Result<()> {
        let ProposedRow(question) = self.remove(handle)?;
        self.withdraw(question)
    }
}

fn replied(reply: Reply) -> Replied {
    match reply {
        Reply::Human(reply) => Ok(reply),
        _ => Err(mismatch("human")),
    }
}

fn ask_error_to_wit(error: HumanError) -> Result<human::AskError> {
    Ok(match error {
        HumanError::Denied(denial) => human::AskError::Denied(denial_to_wit(denial)),
        HumanError::TooLarge { limit } => human::AskError::TooLarge(limit),
        HumanError::TooMany { limit } => human::AskError::TooMany(limit),
        HumanError::Invalid(reason) => human::AskError::Invalid(reason.into()),
        HumanError::Dead => return Err(gone("a grant or a value")),
        HumanError::Expired | HumanError::Withdrawn | HumanError::Taken | HumanError::NoRoom => {
            return Err(mismatch("human"));
        }
    })
}

fn answer_error_to_wit(error: &HumanError) -> Result<human::AnswerError> {
    Ok(match error {
        HumanError::Expired => human::AnswerError::Expired,
        HumanError::Withdrawn => human::AnswerError::Withdrawn,
        HumanError::Taken => human::AnswerError::Taken,
        HumanError::NoRoom => human::AnswerError::NoRoom,
        HumanError::Dead => return Err(gone("a question")),
        _ => return Err(mismatch("pending.get")),
    })
}
