//! What people see of a node and say to it, through whoever operates it. Nothing here is reachable for a guest: a process asks, and
//! no syscall answers.

use crate::{
    inbox::{Full, PendingQuestion},
    kernel::{Kernel, Shared},
    ports::{Change, GivenAnswer, JournalError, Notice, PostedQuestion, Response, StandingApproval},
    process::Process,
};
use remit_abi::{GrantId, Pid, TenantId, Wanted, limits};
use std::{
    mem,
    sync::{Arc, atomic::Ordering},
};
use thiserror::Error;

/// What a person cannot do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InboxError {
    /// No such question is open.
    #[error("no question {0} is open: it was answered or withdrawn, its time is over, or it never was")]
    NoQuestion(u64),
    /// No such approval stands.
    #[error("no approval {0} stands: it was withdrawn, or never was")]
    NoApproval(u64),
    /// Who says it has no name.
    #[error("an answer is somebody's: give their name, 1 to {} bytes in one line", limits::NAME_BYTES_MAX)]
    Nameless,
    /// It is no answer to this question.
    #[error("question {number} wants another answer: {wanted}")]
    Unfit {
        /// Which.
        number: u64,
        /// What it wants.
        wanted: Box<str>,
    },
    /// The text is larger than the limit.
    #[error("an answer has {} bytes at most: say less", limits::ANSWER_BYTES_MAX)]
    TooLarge,
    /// As many approvals stand as may.
    #[error("{0} approvals stand, which is the most: withdraw some, or approve this once")]
    TooMany(usize),
    /// It could not be written down.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Kernel {
    /// Questions that wait for people, oldest first; of one tenant, or of all. To be shown when they are
    /// [durable](Kernel::durable).
    #[must_use]
    pub fn inbox(&self, tenant: Option<TenantId>) -> Vec<PostedQuestion> {
        let wall_ns = self.wall_ns();
        self.shared.inbox.lock().questions(tenant, wall_ns)
    }

    /// Answers a question, in the name of a person. Who asked is told when it is written down.
    ///
    /// # Errors
    /// [`InboxError`]; the question stays as it was then.
    pub fn answer(&self, number: u64, by: &str, response: Response) -> Result<(), InboxError> {
        check_name(by)?;
        let answer = GivenAnswer { by: by.into(), at_ns: self.wall_ns(), response };
        let mut inbox = self.shared.inbox.lock();
        let question = inbox.open(number, answer.at_ns).ok_or(InboxError::NoQuestion(number))?;
        check_fit(&question.posted, &answer.response)?;
        let standing = standing(&question.posted, &answer);
        let (asker, package) = (question.posted.asker, question.posted.package.clone());
        if let Some(standing) = &standing {
            inbox.room_for_approval(standing.tenant).map_err(|Full(limit)| InboxError::TooMany(limit))?;
        }
        let approved = standing.clone().map(|standing| Change::Approved(Box::new(standing)));
        let answered = Change::QuestionAnswered { number, answer: answer.clone() };
        self.shared.try_change(None, [answered].into_iter().chain(approved))?;
        tracing::info!(number, pid = %asker, %package, by, "a question was answered");
        if let Some(standing) = standing {
            inbox.approve(standing);
        }
        inbox.answer(number, answer);
        drop(inbox);
        // It has something to do, where it is not in memory.
        self.shared.reach(asker);
        Ok(())
    }

    /// Approvals that stand, oldest first; of one tenant, or of all.
    #[must_use]
    pub fn approvals(&self, tenant: Option<TenantId>) -> Vec<StandingApproval> {
        self.shared.inbox.lock().approvals(tenant)
    }

    /// Withdraws an approval, in the name of a person: whoever asks for the same from here on asks people again.
    ///
    /// # Errors
    /// [`InboxError`]; it stands then.
    pub fn withdraw_approval(&self, number: u64, by: &str) -> Result<StandingApproval, InboxError> {
        check_name(by)?;
        let at_ns = self.wall_ns();
        let mut inbox = self.shared.inbox.lock();
        inbox.approval(number).ok_or(InboxError::NoApproval(number))?;
        self.shared.try_change(None, [Change::ApprovalWithdrawn { number, by: by.into(), at_ns }])?;
        tracing::info!(number, by, "an approval was withdrawn");
        inbox.withdraw_approval(number).ok_or(InboxError::NoApproval(number))
    }

    /// What people were told, as far as it is kept, oldest first; of one tenant, or of all.
    #[must_use]
    pub fn notices(&self, tenant: Option<TenantId>) -> Vec<Notice> {
        self.shared.inbox.lock().notices(tenant)
    }
}

fn check_name(by: &str) -> Result<(), InboxError> {
    let is_one_line = !by.chars().any(char::is_control) && !by.trim().is_empty();
    if is_one_line && by.len() <= limits::NAME_BYTES_MAX { Ok(()) } else { Err(InboxError::Nameless) }
}

/// Whether a response answers what a question wants.
fn check_fit(question: &PostedQuestion, response: &Response) -> Result<(), InboxError> {
    let wanted = match (&question.wanted, response) {
        (Wanted::Answer { choices }, Response::Choice(choice)) if (*choice as usize) < choices.len() => None,
        (Wanted::Answer { choices }, Response::Text(_)) if choices.is_empty() => None,
        (Wanted::Approval { .. }, Response::ApproveOnce | Response::ApproveAlways | Response::Reject(_)) => None,
        (Wanted::Answer { choices }, _) if choices.is_empty() => Some("one in words".into()),
        (Wanted::Answer { choices }, _) => Some(format!("one of its {} choices", choices.len()).into()),
        (Wanted::Approval { .. }, _) => Some("an approval or a rejection".into()),
    };
    if let Some(wanted) = wanted {
        return Err(InboxError::Unfit { number: question.number, wanted });
    }
    match response {
        Response::Text(text) | Response::Reject(text) if text.len() > limits::ANSWER_BYTES_MAX => {
            Err(InboxError::TooLarge)
        }
        _ => Ok(()),
    }
}

/// What stands from an answer on.
fn standing(question: &PostedQuestion, answer: &GivenAnswer) -> Option<StandingApproval> {
    match (&question.wanted, &answer.response) {
        (Wanted::Approval { action }, Response::ApproveAlways) => Some(StandingApproval {
            number: question.number,
            tenant: question.asker.tenant,
            package: question.package.clone(),
            digest: question.digest.clone(),
            desk: question.desk.clone(),
            action: action.clone(),
            label: question.content.label,
            by: answer.by.clone(),
            at_ns: answer.at_ns,
        }),
        _ => None,
    }
}

impl Shared {
    /// The number of a new question or notice.
    pub(crate) fn next_question(&self) -> u64 {
        self.next_question.fetch_add(1, Ordering::Relaxed)
    }

    /// Gives out no number of a question below this one.
    pub(crate) fn skip_questions_to(&self, number: u64) {
        self.next_question.fetch_max(number, Ordering::Relaxed);
    }

    /// Lets people see a question, whose grant may have been revoked since it was used.
    pub(crate) fn show_question(&self, number: u64, grant: GrantId) {
        self.inbox.lock().show(number);
        if !self.grants.lock().is_live(grant) {
            self.withdraw_asked_under(&[grant]);
        }
    }

    /// Withdraws the open questions that were asked under grants that are revoked: nobody is to answer them.
    pub(crate) fn withdraw_asked_under(&self, revoked: &[GrantId]) {
        let withdrawn = self.inbox.lock().take_asked_under(revoked);
        let gone = |(_, question): &(_, Arc<PendingQuestion>)| Change::QuestionWithdrawn { number: question.number };
        self.change(None, withdrawn.iter().map(gone));
        withdrawn.iter().for_each(|(asker, question)| self.withdraw(*asker, question));
    }

    /// Tells who asked that nobody will answer.
    pub(crate) fn withdraw(&self, asker: Pid, question: &PendingQuestion) {
        question.withdraw();
        // It has something to do, where it is not in memory.
        self.reach(asker);
    }

    /// Lets go of all questions of a process whose run is over: those that it holds, and those that it was not told again of.
    pub(crate) fn drop_questions(&self, process: &mut Process) {
        let mut numbers = self.inbox.lock().take_asked_by(process.pid);
        numbers.extend(mem::take(&mut process.questions).iter().map(|(_, question)| question.number));
        for number in numbers {
            process.due.change(|| Change::QuestionGone { number });
        }
    }
}
