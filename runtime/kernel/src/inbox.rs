//! The inbox of a node: questions that wait for people, approvals that stand, and what people were told.
//!
//! | a question is | from | until |
//! | --- | --- | --- |
//! | open | it is written down that it was asked | a person answers, its time is over, its asker lets go of it, or its grant is revoked |
//! | answered | a person's answer, or the approval that stands for it, is written down | its asker takes the answer |
//! | expired | its asker wants the answer when its time is over | for ever |
//! | withdrawn | its grant is revoked | for ever |
//! | taken | its asker took the answer | for ever |
//!
//! Principles:
//!
//! - Nobody is shown what is not written down, and nobody is told an answer before it is.
//! - Every change of a question is made under the inbox's lock, so that of an answer and an end one comes first.
//! - An answer is a person's own word, and so is trusted: who may answer is whom the operator let. It may tell what the question
//!   did, and so it has the question's confidentiality tags.

use crate::ports::{Clock, GivenAnswer, Notice, PostedQuestion, QuestionState, Response, StandingApproval};
use parking_lot::Mutex;
use remit_abi::{GrantId, HumanError, Integrity, Label, Pid, TenantId, Wanted, limits};
use rustc_hash::FxHashMap;
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};
use tokio::sync::Notify;

#[derive(Debug)]
enum State {
    Open,
    Answered(GivenAnswer),
    Expired,
    Withdrawn,
    Taken,
}

/// A question, for whoever asked it.
#[derive(Debug)]
pub(crate) struct PendingQuestion {
    /// Of all questions and notices of the node.
    pub(crate) number: u64,
    /// On the wall clock.
    expires_ns: u64,
    /// Of the answer.
    label: Label,
    state: Mutex<State>,
    changed: Notify,
}

impl PendingQuestion {
    /// A question that something has become of.
    pub(crate) fn of(posted: &PostedQuestion, state: QuestionState) -> Arc<Self> {
        let state = match state {
            QuestionState::Open => State::Open,
            QuestionState::Answered(answer) => State::Answered(answer),
            QuestionState::Withdrawn => State::Withdrawn,
        };
        let label = Label { integrity: Integrity::Trusted, tags: posted.content.label.tags };
        Arc::new(Self::in_state(state, posted.number, posted.expires_ns, label))
    }

    /// One whose answer was taken before the host started anew, or that was let go.
    pub(crate) fn taken_before(number: u64) -> Arc<Self> {
        Arc::new(Self::in_state(State::Taken, number, 0, Label::TRUSTED))
    }

    fn in_state(state: State, number: u64, expires_ns: u64, label: Label) -> Self {
        Self { number, expires_ns, label, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Until when people can answer it, on the wall clock.
    pub(crate) fn expires_ns(&self) -> u64 {
        self.expires_ns
    }

    /// Whether its asker need not wait any longer.
    pub(crate) fn is_ready(&self, clock: &dyn Clock) -> bool {
        !matches!(*self.state.lock(), State::Open) || clock.wall_ns() >= self.expires_ns
    }

    /// Waits until something has become of it, or for a step: whoever wakes looks again.
    pub(crate) async fn step(&self, clock: &dyn Clock) {
        let changed = self.changed.notified();
        if !self.is_ready(clock) {
            tokio::select! {
                () = changed => {}
                () = clock.sleep_towards(self.expires_ns) => {}
            }
        }
    }

    /// The answer, if `take` can use it: what `take` refuses stays. To be called when the question is ready. It is given the
    /// answer's label.
    fn take<T>(
        &self,
        take: impl FnOnce(GivenAnswer, Label) -> Result<T, (GivenAnswer, HumanError)>,
    ) -> Result<T, HumanError> {
        let mut state = self.state.lock();
        match mem::replace(&mut *state, State::Taken) {
            State::Open | State::Expired => {
                *state = State::Expired;
                Err(HumanError::Expired)
            }
            State::Withdrawn => {
                *state = State::Withdrawn;
                Err(HumanError::Withdrawn)
            }
            State::Taken => Err(HumanError::Taken),
            State::Answered(answer) => take(answer, self.label).map_err(|(answer, error)| {
                *state = State::Answered(answer);
                error
            }),
        }
    }

    fn settle(&self, settled: State) {
        *self.state.lock() = settled;
        self.changed.notify_waiters();
    }

    /// Nobody will answer it: its grant was revoked.
    pub(crate) fn withdraw(&self) {
        self.settle(State::Withdrawn);
    }
}

/// An open question, from both of its sides.
#[derive(Debug)]
pub(crate) struct OpenQuestion {
    pub(crate) posted: PostedQuestion,
    pending: Arc<PendingQuestion>,
}

/// What one tenant's people have before them.
#[derive(Debug, Default)]
struct Tray {
    questions: BTreeMap<u64, OpenQuestion>,
    approvals: BTreeMap<u64, StandingApproval>,
    notices: BTreeMap<u64, Notice>,
}

impl Tray {
    /// The approval that stands for what a question wants.
    fn standing(&self, question: &PostedQuestion) -> Option<&StandingApproval> {
        let Wanted::Approval { action } = &question.wanted else { return None };
        self.approvals.values().find(|approval| {
            (&approval.digest, &approval.desk, &approval.action) == (&question.digest, &question.desk, action)
                && question.content.label.flows_to(approval.label)
        })
    }
}

/// What all people of a node have before them.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    trays: FxHashMap<TenantId, Tray>,
    /// Questions and notices that are not written down yet.
    unwritten: BTreeSet<u64>,
}

/// As many as may be of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full(pub(crate) usize);

impl Inbox {
    /// Puts a question in, to be shown when it is written down. Where an approval stands for what it wants, nobody is asked: then
    /// the answer comes with it.
    pub(crate) fn post(&mut self, posted: PostedQuestion) -> Result<(Arc<PendingQuestion>, Option<GivenAnswer>), Full> {
        let tray = self.trays.entry(posted.asker.tenant).or_default();
        if let Some(StandingApproval { by, at_ns, .. }) = tray.standing(&posted) {
            let answer = GivenAnswer { by: by.clone(), at_ns: *at_ns, response: Response::ApproveAlways };
            return Ok((PendingQuestion::of(&posted, QuestionState::Answered(answer.clone())), Some(answer)));
        }
        if tray.questions.len() >= limits::INBOX_QUESTIONS_MAX {
            // Nobody can answer these any more.
            tray.questions.retain(|_, question| question.posted.expires_ns > posted.asked_ns);
        }
        if tray.questions.len() >= limits::INBOX_QUESTIONS_MAX {
            return Err(Full(limits::INBOX_QUESTIONS_MAX));
        }
        let pending = PendingQuestion::of(&posted, QuestionState::Open);
        self.unwritten.insert(posted.number);
        tray.questions.insert(posted.number, OpenQuestion { posted, pending: pending.clone() });
        Ok((pending, None))
    }

    /// Keeps a notice, to be shown when it is written down; the one that has to go for it.
    pub(crate) fn tell(&mut self, notice: Notice) -> Option<u64> {
        let notices = &mut self.trays.entry(notice.sender.tenant).or_default().notices;
        let oldest = if notices.len() >= limits::NOTICES_KEPT_MAX { notices.pop_first() } else { None };
        self.unwritten.insert(notice.number);
        notices.insert(notice.number, notice);
        oldest.map(|(number, _)| number)
    }

    /// Puts a notice back that was kept before the host started anew.
    pub(crate) fn restore_notice(&mut self, notice: Notice) {
        self.trays.entry(notice.sender.tenant).or_default().notices.insert(notice.number, notice);
    }

    /// What was put in is written down, and can be shown.
    pub(crate) fn show(&mut self, number: u64) {
        self.unwritten.remove(&number);
    }

    /// Takes a question, or a notice, out.
    pub(crate) fn remove(&mut self, tenant: TenantId, number: u64) {
        self.unwritten.remove(&number);
        if let Some(tray) = self.trays.get_mut(&tenant) {
            tray.questions.remove(&number);
            tray.notices.remove(&number);
        }
    }

    /// Takes an answer for whoever asked; one who comes when the time is over closes the question.
    pub(crate) fn take<T>(
        &mut self,
        tenant: TenantId,
        question: &PendingQuestion,
        take: impl FnOnce(GivenAnswer, Label) -> Result<T, (GivenAnswer, HumanError)>,
    ) -> Result<T, HumanError> {
        let taken = question.take(take);
        if matches!(taken, Err(HumanError::Expired)) {
            self.remove(tenant, question.number);
        }
        taken
    }

    /// An open question that people can see at this time.
    pub(crate) fn open(&self, number: u64, wall_ns: u64) -> Option<&OpenQuestion> {
        let found = self.trays.values().find_map(|tray| tray.questions.get(&number))?;
        (!self.unwritten.contains(&number) && wall_ns < found.posted.expires_ns).then_some(found)
    }

    /// Answers an open question. It is written down.
    pub(crate) fn answer(&mut self, number: u64, answer: GivenAnswer) {
        let Some(question) = self.trays.values_mut().find_map(|tray| tray.questions.remove(&number)) else { return };
        question.pending.settle(State::Answered(answer));
    }

    /// Takes out the open questions that were asked under these grants, with who asked.
    pub(crate) fn take_asked_under(&mut self, grants: &[GrantId]) -> Vec<(Pid, Arc<PendingQuestion>)> {
        let unwritten = &self.unwritten;
        let is_asked_under = |number: &u64, question: &OpenQuestion| {
            grants.contains(&question.posted.grant) && !unwritten.contains(number)
        };
        let trays = self.trays.values_mut();
        let taken = trays.flat_map(|tray| tray.questions.extract_if(.., |number, open| is_asked_under(number, open)));
        taken.map(|(_, question)| (question.posted.asker, question.pending)).collect()
    }

    /// Takes out the open questions of a process; their numbers.
    pub(crate) fn take_asked_by(&mut self, asker: Pid) -> BTreeSet<u64> {
        let Some(tray) = self.trays.get_mut(&asker.tenant) else { return BTreeSet::new() };
        let taken = tray.questions.extract_if(.., |_, question| question.posted.asker == asker);
        taken.map(|(number, _)| number).collect()
    }

    /// Whether one more approval may stand.
    pub(crate) fn room_for_approval(&self, tenant: TenantId) -> Result<(), Full> {
        let standing = self.trays.get(&tenant).map_or(0, |tray| tray.approvals.len());
        if standing < limits::APPROVALS_MAX { Ok(()) } else { Err(Full(limits::APPROVALS_MAX)) }
    }

    /// From here on an approval stands.
    pub(crate) fn approve(&mut self, approval: StandingApproval) {
        self.trays.entry(approval.tenant).or_default().approvals.insert(approval.number, approval);
    }

    /// An approval that stands.
    pub(crate) fn approval(&self, number: u64) -> Option<&StandingApproval> {
        self.trays.values().find_map(|tray| tray.approvals.get(&number))
    }

    /// It stands no more.
    pub(crate) fn withdraw_approval(&mut self, number: u64) -> Option<StandingApproval> {
        self.trays.values_mut().find_map(|tray| tray.approvals.remove(&number))
    }

    /// Puts a question back that was open before the host started anew.
    pub(crate) fn restore(&mut self, posted: PostedQuestion, pending: Arc<PendingQuestion>) {
        let tray = self.trays.entry(posted.asker.tenant).or_default();
        tray.questions.insert(posted.number, OpenQuestion { posted, pending });
    }

    /// Questions that people can answer at this time, oldest first; of one tenant, or of all.
    pub(crate) fn questions(&self, tenant: Option<TenantId>, wall_ns: u64) -> Vec<PostedQuestion> {
        let posted = self.trays_of(tenant).flat_map(|tray| tray.questions.values()).map(|question| &question.posted);
        let can_be_answered =
            |posted: &&PostedQuestion| wall_ns < posted.expires_ns && !self.unwritten.contains(&posted.number);
        sorted(posted.filter(can_be_answered), |posted| posted.number)
    }

    /// Approvals that stand, oldest first; of one tenant, or of all.
    pub(crate) fn approvals(&self, tenant: Option<TenantId>) -> Vec<StandingApproval> {
        sorted(self.trays_of(tenant).flat_map(|tray| tray.approvals.values()), |approval| approval.number)
    }

    /// Notices that are kept, oldest first; of one tenant, or of all.
    pub(crate) fn notices(&self, tenant: Option<TenantId>) -> Vec<Notice> {
        let notices = self.trays_of(tenant).flat_map(|tray| tray.notices.values());
        sorted(notices.filter(|notice| !self.unwritten.contains(&notice.number)), |notice| notice.number)
    }

    fn trays_of(&self, tenant: Option<TenantId>) -> impl Iterator<Item = &Tray> {
        self.trays.iter().filter(move |(of, _)| tenant.is_none_or(|tenant| tenant == **of)).map(|(_, tray)| tray)
    }
}

fn sorted<'a, T: Clone + 'a>(items: impl Iterator<Item = &'a T>, number: impl Fn(&T) -> u64) -> Vec<T> {
    let mut items: Vec<T> = items.cloned().collect();
    items.sort_unstable_by_key(number);
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::ValueImage;

    #[test]
    fn nobody_sees_or_answers_what_is_not_written_down() {
        let tenant = TenantId(1);
        let content = ValueImage { bytes: "Well?".into(), media_type: "text/plain".into(), label: Label::TRUSTED };
        let posted = PostedQuestion {
            number: 1,
            asker: Pid { tenant, index: 0, generation: 1 },
            package: "clerk".into(),
            digest: "0123".into(),
            grant: GrantId { index: 0, generation: 1 },
            desk: "boss".into(),
            wanted: Wanted::Answer { choices: [].into() },
            content,
            asked_ns: 0,
            expires_ns: 10,
        };
        let mut inbox = Inbox::default();
        inbox.post(posted.clone()).expect("there is room");
        assert!(inbox.questions(None, 5).is_empty() && inbox.open(1, 5).is_none());
        assert!(inbox.take_asked_under(&[posted.grant]).is_empty(), "its asker looks at its grant when it is shown");
        inbox.show(1);
        assert_eq!(inbox.questions(Some(tenant), 5), [posted]);
        assert!(inbox.open(1, 5).is_some() && inbox.open(1, 10).is_none());
        inbox.remove(tenant, 1);
        assert!(inbox.questions(None, 5).is_empty());
    }
}
