//! `mailbox`: messages between processes.

use super::{Context, Right, passing};
use crate::{
    bill::{Quote, Reservation},
    calls::{Answer, PendingCall},
    control::{ControlBlock, Durability},
    deadlock::Awaited,
    due::Publish,
    kernel::Shared,
    mailbox::{Letter, Select},
    ports::{CallImage, Change, Note},
    process::{Process, Value},
    room::{NoRoom, Room},
};
use remit_abi::{
    Access, CallId, Content, Filter, GrantId, GrantKind, Incoming, MailboxError, MailboxReply, MailboxRequest,
    Outgoing, Pid, limits,
};
use std::sync::Arc;

pub(super) fn validate(process: &Process, request: &MailboxRequest) -> Result<(), MailboxError> {
    match request {
        MailboxRequest::Send { message, .. }
        | MailboxRequest::TrySend { message, .. }
        | MailboxRequest::Reply { message, .. } => validate_message(process, message),
        MailboxRequest::Call { message, timeout_ns, .. } => {
            if !(1..=limits::CALL_TIMEOUT_NS_MAX).contains(timeout_ns) {
                return Err(MailboxError::Invalid("a call's time must be between 1 ns and an hour".into()));
            }
            if process.calls.len() as u64 >= process.limits.calls_max {
                return Err(MailboxError::TooMany { limit: process.limits.calls_max });
            }
            validate_message(process, message)
        }
        MailboxRequest::Watch { .. } if !process.has_room(process.watches.len()) => {
            Err(MailboxError::TooMany { limit: process.limits.objects_max })
        }
        MailboxRequest::Receive { filter }
        | MailboxRequest::TryReceive { filter }
        | MailboxRequest::Watch { filter } => {
            match filter.topic.as_ref().is_some_and(|topic| topic.len() > limits::NAME_BYTES_MAX) {
                true => Err(MailboxError::TooLarge { limit: limits::NAME_BYTES_MAX as u64 }),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn validate_message(process: &Process, message: &Outgoing) -> Result<(), MailboxError> {
    if message.topic.len() > limits::NAME_BYTES_MAX {
        return Err(MailboxError::TooLarge { limit: limits::NAME_BYTES_MAX as u64 });
    }
    if let Content::Value(id) = &message.body
        && process.values.get(*id).is_none()
    {
        return Err(MailboxError::Dead);
    }
    if process.content_size(&message.body) > limits::MESSAGE_BYTES_MAX {
        return Err(MailboxError::TooLarge { limit: limits::MESSAGE_BYTES_MAX });
    }
    passing::check(process, &message.grants).map_err(MailboxError::Invalid)
}

pub(super) fn right(process: &Process, request: &MailboxRequest) -> Right {
    match request {
        MailboxRequest::Send { to, message }
        | MailboxRequest::TrySend { to, message }
        | MailboxRequest::Call { to, message, .. } => Right::Use {
            grant: *to,
            kind: GrantKind::Mailbox,
            access: Access::ReadWrite,
            tokens: 0,
            label: process.content_label(&message.body),
        },
        _ => Right::None,
    }
}

pub(super) fn act(context: &mut Context<'_>, request: &MailboxRequest) -> Result<MailboxReply, MailboxError> {
    let process = &mut *context.process;
    match request {
        MailboxRequest::TrySend { to, message } => try_send(context, *to, message),
        MailboxRequest::TryReceive { filter } => {
            let received = receive(context.shared, context.block, process, &Select::of(filter));
            received.unwrap_or(Ok(MailboxReply::Nothing))
        }
        MailboxRequest::Watch { filter } => {
            Ok(MailboxReply::Watching(process.watches.insert(Arc::new(Select::of(filter)))))
        }
        MailboxRequest::DropWatch { watch } => {
            process.watches.remove(*watch).map(|_| MailboxReply::Done).ok_or(MailboxError::Dead)
        }
        MailboxRequest::Reply { answer, message } => {
            let answer = process.answers.remove(*answer).ok_or(MailboxError::Dead)?;
            reply(context.shared, process, answer, message)
        }
        MailboxRequest::DropAnswer { answer } => {
            let answer = process.answers.remove(*answer).ok_or(MailboxError::Dead)?;
            process.due.change(|| Change::Unanswered { number: answer.number() });
            Ok(MailboxReply::Done)
        }
        MailboxRequest::DropCall { call } => {
            let call = process.calls.remove(*call).ok_or(MailboxError::Dead)?;
            process.due.change(|| Change::CallGone { number: call.number });
            context.shared.drop_letters(call.forget().into_iter().collect());
            Ok(MailboxReply::Done)
        }
        MailboxRequest::Send { .. }
        | MailboxRequest::Call { .. }
        | MailboxRequest::Receive { .. }
        | MailboxRequest::Collect { .. } => unreachable!("a request that may wait becomes a call"),
    }
}

fn try_send(context: &mut Context<'_>, to: GrantId, message: &Outgoing) -> Result<MailboxReply, MailboxError> {
    let send = Send::prepare(context, to, message, None)?;
    let room = send.target.mailbox.try_room(send.bytes).map_err(|no_room| match no_room {
        NoRoom::Full => MailboxError::Full,
        NoRoom::Closed => MailboxError::Gone,
    })?;
    let paid = context.process.bill.charge(context.shared.prices.message());
    paid.map_err(|shortfall| MailboxError::Invalid(shortfall.to_string().into()))?;
    send.commit(context.shared, context.process, room)
}

fn reply(
    shared: &Shared,
    process: &mut Process,
    answer: Answer,
    message: &Outgoing,
) -> Result<MailboxReply, MailboxError> {
    if !answer.is_wanted() {
        return Err(MailboxError::Gone);
    }
    let letter = letter(shared, process, message, None)?;
    let number = answer.number();
    process.due.change(|| Change::Answered { number, letter: Box::new(letter.image()) });
    process.due.publish(Publish::Answer { answer, letter });
    Ok(MailboxReply::Done)
}

/// A message of this process, with what it passes on taken out of it.
fn letter(
    shared: &Shared,
    process: &mut Process,
    message: &Outgoing,
    answer: Option<Answer>,
) -> Result<Box<Letter>, MailboxError> {
    let text = process.resolve(&message.body).ok_or(MailboxError::Dead)?;
    Ok(Box::new(Letter {
        number: shared.next_letter(),
        sender: process.pid,
        sender_label: process.label,
        topic: message.topic.clone(),
        body: Value { bytes: text.bytes, media_type: text.media_type, label: text.label.join(process.label) },
        grants: passing::give(process, &message.grants),
        answer,
    }))
}

/// A message on its way, and a call where it is to be answered.
pub(crate) struct Send {
    target: Arc<ControlBlock>,
    message: Outgoing,
    bytes: usize,
    timeout_ns: Option<u64>,
}

impl Send {
    pub(super) fn prepare(
        context: &Context<'_>,
        to: GrantId,
        message: &Outgoing,
        timeout_ns: Option<u64>,
    ) -> Result<Self, MailboxError> {
        let target = target(context, to)?;
        let bytes = usize::try_from(context.process.content_size(&message.body)).unwrap_or(usize::MAX);
        Ok(Self { target, message: message.clone(), bytes, timeout_ns })
    }

    pub(super) fn quote(&self, shared: &Shared) -> Quote {
        Quote::exactly(shared.prices.message())
    }

    pub(super) async fn act(
        self,
        shared: &Shared,
        block: &ControlBlock,
        reserved: Reservation,
    ) -> Result<MailboxReply, MailboxError> {
        let room = match self.target.mailbox.try_room(self.bytes) {
            Ok(room) => room,
            Err(NoRoom::Closed) => return Err(MailboxError::Gone),
            Err(NoRoom::Full) => {
                let ticket = self.target.mailbox.queue_for_room(self.bytes);
                let edge = shared.waits.wait(block.pid, Awaited::Room(self.target.pid, ticket.waiting.clone()));
                let _edge = edge.map_err(|_circle| MailboxError::Deadlock)?;
                ticket.room().await.ok_or(MailboxError::Gone)?
            }
        };
        reserved.settle_whole();
        self.commit(shared, &mut block.process.lock(), room)
    }

    /// In one step, under the sender's lock: the message is the receiver's, and the grants in it with it. It lies in the mailbox
    /// when it is written down.
    fn commit(self, shared: &Shared, process: &mut Process, room: Room) -> Result<MailboxReply, MailboxError> {
        let Self { target, message, timeout_ns, .. } = self;
        if target.has_ended() {
            return Err(MailboxError::Gone);
        }
        let clock = &shared.ports.clock;
        let call = timeout_ns.map(|timeout_ns| {
            let (number, deadline_ns) = (shared.next_letter(), clock.monotonic_ns().saturating_add(timeout_ns));
            let (caller, receiver) = (process.pid, target.pid);
            process.due.change(|| {
                let deadline_ns = clock.wall_ns().saturating_add(timeout_ns);
                Change::Called(CallImage { number, caller, receiver, deadline_ns })
            });
            process.due.note(|| Note::Call(number));
            PendingCall::new(number, receiver, deadline_ns)
        });
        let (pending, answer) = call.map_or((None, None), |(pending, answer)| (Some(pending), Some(answer)));
        let letter = letter(shared, process, &message, answer)?;
        if target.facts.durability == Durability::Durable {
            let (number, to) = (letter.number, target.pid);
            process.due.change(|| Change::Sent { number, to, letter: Box::new(letter.image()) });
        }
        process.due.publish(Publish::Letter { to: target, letter, room });
        Ok(match pending {
            Some(pending) => MailboxReply::Called(process.calls.insert(pending)),
            None => MailboxReply::Done,
        })
    }
}

/// The process that a grant opens the mailbox of. A grant of several has to be narrowed to one first.
fn target(context: &Context<'_>, to: GrantId) -> Result<Arc<ControlBlock>, MailboxError> {
    let address = {
        let grants = context.shared.grants.lock();
        let node = grants.node(to).ok_or(MailboxError::Dead)?;
        let [address] = node.spec.scope.entries() else { return Err(MailboxError::Invalid(SEVERAL.into())) };
        address.clone()
    };
    if address.ends_with('*') {
        return Err(MailboxError::Invalid(SEVERAL.into()));
    }
    let tenant = context.process.pid.tenant;
    let found = match address.parse::<Pid>() {
        Ok(pid) => Some(pid).filter(|pid| pid.tenant == tenant),
        Err(_) => context.shared.table.read().named(tenant, &address),
    };
    found.and_then(|pid| context.shared.reach(pid)).ok_or(MailboxError::Gone)
}

const SEVERAL: &str = "the grant opens several mailboxes: attenuate it to one";

/// Takes a message in; `None` where there is none that the filter lets through.
fn receive(
    shared: &Shared,
    block: &ControlBlock,
    process: &mut Process,
    select: &Select,
) -> Option<Result<MailboxReply, MailboxError>> {
    let received = block.mailbox.take(select, |letter| take_in(shared, process, letter, !select.knows_the_topic()))?;
    Some(received.map(|incoming| MailboxReply::Received(Box::new(incoming))))
}

/// Makes a message the receiver's, or hands it back whole where there is no room.
fn take_in(
    shared: &Shared,
    process: &mut Process,
    letter: Box<Letter>,
    tells_the_topic: bool,
) -> Result<Incoming, (Box<Letter>, MailboxError)> {
    let grants_fit = process.grants.has_room_for(letter.grants.len(), &process.limits);
    let answers_fit = letter.answer.is_none() || (process.answers.len() as u64) < process.limits.calls_max;
    if !grants_fit || !answers_fit {
        return Err((letter, MailboxError::NoRoom));
    }
    let Ok(body) = process.values.insert(letter.body.clone(), &process.limits) else {
        return Err((letter, MailboxError::NoRoom));
    };
    if tells_the_topic {
        process.label = process.label.join(letter.sender_label);
    }
    let Letter { number, sender, topic, body: said, grants, answer, .. } = *letter;
    process.due.note(|| Note::Value(body, said.image()));
    process.due.change(|| Change::LetterGone { number });
    let grants = passing::adopt(shared, process, grants);
    if let Some(answer) = &answer {
        process.due.note(|| Note::Call(answer.number()));
    }
    let answer = answer.map(|answer| process.answers.insert(answer));
    Ok(Incoming { sender, topic, body, grants, answer })
}

/// Waiting for a message.
pub(crate) struct Receive {
    select: Select,
}

impl Receive {
    pub(super) fn prepare(filter: &Filter) -> Self {
        Self { select: Select::of(filter) }
    }

    /// Waits for one, and does not take it.
    pub(super) async fn ready(&self, block: &ControlBlock) {
        block.mailbox.ready(&self.select).await;
    }

    pub(super) async fn act(self, shared: &Shared, block: &ControlBlock) -> Result<MailboxReply, MailboxError> {
        loop {
            let received = receive(shared, block, &mut block.process.lock(), &self.select);
            match received {
                Some(received) => return received,
                None => block.mailbox.ready(&self.select).await,
            }
        }
    }
}

/// Waiting for a call's answer.
pub(crate) struct Collect {
    call: Arc<PendingCall>,
}

impl Collect {
    pub(super) fn prepare(process: &Process, call: CallId) -> Result<Self, MailboxError> {
        process.calls.get(call).cloned().map(|call| Self { call }).ok_or(MailboxError::Dead)
    }

    /// Waits until it is there, or its time is over, and does not take it.
    pub(super) async fn ready(&self, shared: &Shared, block: &ControlBlock) -> Result<(), MailboxError> {
        if self.call.is_open() {
            let edge = shared.waits.wait(block.pid, Awaited::Answer(self.call.clone()));
            let _edge = edge.map_err(|_circle| MailboxError::Deadlock)?;
            tokio::select! {
                biased;
                () = self.call.settled() => {}
                () = shared.ports.clock.sleep_until(self.call.deadline_ns) => {}
            }
        }
        Ok(())
    }

    pub(super) async fn act(self, shared: &Shared, block: &ControlBlock) -> Result<MailboxReply, MailboxError> {
        self.ready(shared, block).await?;
        let Self { call } = self;
        let process = &mut *block.process.lock();
        let answered = call.take(|letter| take_in(shared, process, letter, true));
        if answered.is_ok() {
            process.due.change(|| Change::CallGone { number: call.number });
        }
        answered.map(|incoming| MailboxReply::Received(Box::new(incoming)))
    }
}
