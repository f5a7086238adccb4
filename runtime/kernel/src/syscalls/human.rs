//! `human`: asking people, having them approve, telling them.
//!
//! What people are shown leaves the node: it is checked against the grant's ceiling with the label of all that went into it, and they
//! see it when it is written down. A grant that is for reading only lets a process ask and tell; having something approved needs
//! read-write access.

use super::{Context, Right};
use crate::{
    control::ControlBlock,
    due::Publish,
    inbox::{Full, PendingQuestion},
    kernel::Shared,
    ports::{Change, Clock, GivenAnswer, Note, Notice, PostedQuestion, Response, ValueImage},
    process::{Process, TEXT, Value},
};
use remit_abi::{
    Access, Answered, Content, GrantId, GrantKind, HumanError, HumanReply, HumanRequest, Label, Question, QuestionId,
    Said, ValueId, Wanted, is_name, limits,
};
use std::sync::Arc;

pub(super) fn validate(process: &Process, request: &HumanRequest) -> Result<(), HumanError> {
    match request {
        HumanRequest::Ask(question) => {
            if process.questions.len() as u64 >= limits::QUESTIONS_MAX {
                return Err(HumanError::TooMany { limit: limits::QUESTIONS_MAX });
            }
            if !(1..=limits::QUESTION_TIME_NS_MAX).contains(&question.timeout_ns) {
                return Err(HumanError::Invalid("a question's time must be between 1 ns and 30 days".into()));
            }
            validate_wanted(&question.wanted)?;
            validate_text(process, &question.content, limits::QUESTION_BYTES_MAX)
        }
        HumanRequest::Notify { content, .. } => validate_text(process, content, limits::NOTICE_BYTES_MAX),
        HumanRequest::Collect { .. } | HumanRequest::Drop { .. } => Ok(()),
    }
}

fn validate_wanted(wanted: &Wanted) -> Result<(), HumanError> {
    let invalid = |why: String| Err(HumanError::Invalid(why.into()));
    match wanted {
        Wanted::Approval { action } if !is_name(action) => {
            invalid("an action's name must have 1 to 256 ASCII letters, digits and -._/:@".into())
        }
        Wanted::Answer { choices } if choices.len() > limits::QUESTION_CHOICES_MAX => {
            invalid(format!("it has {} choices and {} are the most", choices.len(), limits::QUESTION_CHOICES_MAX))
        }
        Wanted::Answer { choices } => {
            for (index, choice) in choices.iter().enumerate() {
                if !(1..=limits::NAME_BYTES_MAX).contains(&choice.len()) {
                    return invalid(format!("a choice has 1 to {} bytes", limits::NAME_BYTES_MAX));
                }
                if choices[..index].contains(choice) {
                    return invalid("two of its choices are the same".into());
                }
            }
            Ok(())
        }
        Wanted::Approval { .. } => Ok(()),
    }
}

fn validate_text(process: &Process, content: &Content, bytes_max: u64) -> Result<(), HumanError> {
    let bytes = match content {
        Content::Text(text) => text.as_bytes(),
        Content::Value(id) => &process.values.get(*id).ok_or(HumanError::Dead)?.bytes,
    };
    if bytes.len() as u64 > bytes_max {
        return Err(HumanError::TooLarge { limit: bytes_max });
    }
    match std::str::from_utf8(bytes) {
        Ok("") => Err(HumanError::Invalid("there is nothing to show them".into())),
        Ok(_) => Ok(()),
        Err(_) => Err(HumanError::Invalid("what they are to be shown is not UTF-8 text".into())),
    }
}

pub(super) fn right(process: &Process, request: &HumanRequest) -> Right {
    let (grant, access, content) = match request {
        HumanRequest::Ask(question) => {
            let access = match question.wanted {
                Wanted::Answer { .. } => Access::ReadOnly,
                Wanted::Approval { .. } => Access::ReadWrite,
            };
            (question.grant, access, &question.content)
        }
        HumanRequest::Notify { grant, content } => (*grant, Access::ReadOnly, content),
        // What was asked may be answered, as long as the grant is not revoked: then it is withdrawn.
        HumanRequest::Collect { .. } | HumanRequest::Drop { .. } => return Right::None,
    };
    Right::Use { grant, kind: GrantKind::Person, access, tokens: 0, label: process.content_label(content) }
}

pub(super) fn act(context: &mut Context<'_>, request: &HumanRequest) -> Result<HumanReply, HumanError> {
    match request {
        HumanRequest::Ask(question) => ask(context, question),
        HumanRequest::Notify { grant, content } => notify(context, *grant, content),
        HumanRequest::Drop { question } => {
            let (process, inbox) = (&mut *context.process, &context.shared.inbox);
            let number = process.questions.remove(*question).ok_or(HumanError::Dead)?.number;
            inbox.lock().remove(process.pid.tenant, number);
            process.due.change(|| Change::QuestionGone { number });
            Ok(HumanReply::Done)
        }
        HumanRequest::Collect { .. } => unreachable!("a request that may wait becomes a call"),
    }
}

/// People see it when it is written down. Where an approval stands for it, nobody does.
fn ask(context: &mut Context<'_>, question: &Question) -> Result<HumanReply, HumanError> {
    let (desk, content) = (desk(context, question.grant)?, shown(context.process, &question.content)?);
    let asked_ns = context.shared.ports.clock.wall_ns();
    let posted = PostedQuestion {
        number: context.shared.next_question(),
        asker: context.process.pid,
        package: context.block.facts.package.clone(),
        digest: context.block.facts.digest.clone(),
        grant: question.grant,
        desk,
        wanted: question.wanted.clone(),
        content,
        asked_ns,
        expires_ns: asked_ns.saturating_add(question.timeout_ns),
    };
    let number = posted.number;
    let put_in = context.shared.inbox.lock().post(posted.clone());
    let (pending, answer) = put_in.map_err(|Full(limit)| HumanError::TooMany { limit: limit as u64 })?;
    charge(context).inspect_err(|_| context.shared.inbox.lock().remove(posted.asker.tenant, number))?;
    let process = &mut *context.process;
    process.due.note(|| Note::Question(number));
    process.due.change(|| Change::Questioned(Box::new(posted)));
    match answer {
        Some(answer) => process.due.change(|| Change::QuestionAnswered { number, answer }),
        None => process.due.publish(Publish::Question { number, asker: process.pid, grant: question.grant }),
    }
    Ok(HumanReply::Asked(process.questions.insert(pending)))
}

fn notify(context: &mut Context<'_>, grant: GrantId, content: &Content) -> Result<HumanReply, HumanError> {
    let (desk, content) = (desk(context, grant)?, shown(context.process, content)?);
    charge(context)?;
    let notice = Notice {
        number: context.shared.next_question(),
        sender: context.process.pid,
        package: context.block.facts.package.clone(),
        desk,
        content,
        at_ns: context.shared.ports.clock.wall_ns(),
    };
    let (number, process) = (notice.number, &mut *context.process);
    let gone = context.shared.inbox.lock().tell(notice.clone());
    process.due.change(|| Change::Notified(Box::new(notice)));
    if let Some(number) = gone {
        process.due.change(|| Change::NoticeGone { number });
    }
    process.due.publish(Publish::Notice { number, sender: process.pid });
    Ok(HumanReply::Done)
}

/// What people are shown costs as much as a message.
fn charge(context: &Context<'_>) -> Result<(), HumanError> {
    let paid = context.process.bill.charge(context.shared.prices.message());
    paid.map(drop).map_err(|shortfall| HumanError::Invalid(shortfall.to_string().into()))
}

/// A content with the label of all that went into it.
fn shown(process: &Process, content: &Content) -> Result<ValueImage, HumanError> {
    let text = process.resolve(content).ok_or(HumanError::Dead)?;
    Ok(ValueImage { bytes: text.bytes, media_type: text.media_type, label: text.label.join(process.label) })
}

/// The desk that a grant opens. A grant of several has to be narrowed to one first.
fn desk(context: &Context<'_>, grant: GrantId) -> Result<Box<str>, HumanError> {
    let grants = context.shared.grants.lock();
    match grants.node(grant).ok_or(HumanError::Dead)?.spec.scope.entries() {
        [name] if !name.ends_with('*') => Ok(name.clone()),
        _ => Err(HumanError::Invalid("the grant opens several desks: attenuate it to one".into())),
    }
}

/// Waiting for a person's answer.
pub(crate) struct Collect {
    question: Arc<PendingQuestion>,
}

impl Collect {
    pub(super) fn prepare(process: &Process, question: QuestionId) -> Result<Self, HumanError> {
        process.questions.get(question).cloned().map(|question| Self { question }).ok_or(HumanError::Dead)
    }

    /// Whether it is there, or will not be.
    pub(super) fn is_ready(&self, clock: &dyn Clock) -> bool {
        self.question.is_ready(clock)
    }

    /// Waits until it is there, or will not be, and does not take it.
    pub(super) async fn ready(&self, shared: &Shared) {
        let clock = &*shared.ports.clock;
        while !self.question.is_ready(clock) {
            self.question.step(clock).await;
        }
    }

    pub(super) async fn act(self, shared: &Shared, block: &ControlBlock) -> Result<HumanReply, HumanError> {
        self.ready(shared).await;
        let process = &mut *block.process.lock();
        let (tenant, number) = (process.pid.tenant, self.question.number);
        let answered = shared
            .inbox
            .lock()
            .take(tenant, &self.question, |answer, label| take_in(process, answer, label))
            .map(|answered| HumanReply::Answered(Box::new(answered)))?;
        process.due.change(|| Change::QuestionGone { number });
        Ok(answered)
    }
}

/// Makes an answer its asker's, or hands it back where there is no room. Words are a value that is not read yet; a choice or a decision
/// is told at once, and so it raises the asker's label: the asker may have shown people what it had not read itself.
fn take_in(process: &mut Process, answer: GivenAnswer, label: Label) -> Result<Answered, (GivenAnswer, HumanError)> {
    let said = match &answer.response {
        Response::Text(words) => keep(process, words, label).map(Said::Text),
        Response::Reject(words) => keep(process, words, label).map(Said::Rejected),
        Response::Choice(choice) => Ok(Said::Choice(*choice)),
        Response::ApproveOnce => Ok(Said::ApprovedOnce),
        Response::ApproveAlways => Ok(Said::ApprovedAlways),
    };
    let said = match said {
        Ok(said) => said,
        Err(error) => return Err((answer, error)),
    };
    if !matches!(said, Said::Text(_)) {
        process.label = process.label.join(label);
    }
    Ok(Answered { by: answer.by, at_ns: answer.at_ns, said })
}

fn keep(process: &mut Process, words: &str, label: Label) -> Result<ValueId, HumanError> {
    let value = Value { bytes: words.as_bytes().to_vec().into(), media_type: TEXT.into(), label };
    let image = value.image();
    let id = process.values.insert(value, &process.limits).map_err(|_| HumanError::NoRoom)?;
    process.due.note(|| Note::Value(id, image));
    Ok(id)
}
