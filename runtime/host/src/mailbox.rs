//! `remit:kernel/mailbox`: messages between processes.
//!
//! What a message gives away leaves the guest's table before the kernel is asked. A call that came lives as long as its
//! one handle: an answer that the kernel did not take leaves the call unanswered, as dropping the handle does.

use crate::{
    bindings::remit::kernel::mailbox,
    capability::denial_to_wit,
    guest::{Guest, Halt, gone, mismatch},
    row::{AnswerRow, CallRow, GrantRow, PollableRow, ValueRow},
};
use remit_abi::{
    AnswerId, Fault, Filter, Incoming, MailboxError, MailboxReply, MailboxRequest, Outgoing, Reply, Request, WaitId,
    WatchId,
};
use wasmtime::{Result, component::Resource};

/// What the kernel answered.
type Answered = Result<std::result::Result<MailboxReply, MailboxError>>;

/// What a sender is told.
type Sent<T> = Result<std::result::Result<T, mailbox::SendError>>;

impl Guest {
    fn call_mailbox(&self, request: MailboxRequest) -> Answered {
        answered(self.call(&Request::Mailbox(request))?)
    }

    async fn call_mailbox_waiting(&mut self, request: MailboxRequest) -> Answered {
        answered(self.call_waiting(Request::Mailbox(request)).await?)
    }

    /// A message as the guest gives it; the grants in it leave the table.
    fn outgoing(&mut self, message: mailbox::Outgoing) -> Result<Box<Outgoing>> {
        Ok(Box::new(Outgoing {
            topic: message.topic.into(),
            body: self.content(message.body)?,
            grants: self.passed_on(message.grants)?,
        }))
    }

    fn incoming(&mut self, message: Incoming) -> Result<mailbox::Incoming> {
        Ok(mailbox::Incoming {
            sender: message.sender.to_string(),
            topic: message.topic.into(),
            body: self.push(ValueRow(message.body))?,
            grants: self.received(message.grants)?,
            call: message.answer.map(|answer| self.push(AnswerRow(answer))).transpose()?,
        })
    }

    /// Leaves a call unanswered. Of one that is gone already, nothing is left to answer.
    fn leave_unanswered(&self, answer: AnswerId) -> Result<()> {
        self.forget(MailboxRequest::DropAnswer { answer }, "answer.drop")
    }

    /// Lets go of what a pollable watched.
    pub(crate) fn drop_watch(&self, watch: WatchId) -> Result<()> {
        self.forget(MailboxRequest::DropWatch { watch }, "pollable.drop")
    }

    fn forget(&self, request: MailboxRequest, call: &str) -> Result<()> {
        match self.call_mailbox(request)? {
            Ok(MailboxReply::Done) | Err(MailboxError::Dead) => Ok(()),
            _ => Err(mismatch(call)),
        }
    }
}

impl mailbox::Host for Guest {
    async fn send(&mut self, to: Resource<GrantRow>, message: mailbox::Outgoing) -> Sent<()> {
        let GrantRow(to) = self.row(&to)?;
        let message = self.outgoing(message)?;
        sent("mailbox.send", self.call_mailbox_waiting(MailboxRequest::Send { to, message }).await?)
    }

    fn try_send(&mut self, to: Resource<GrantRow>, message: mailbox::Outgoing) -> Sent<()> {
        let GrantRow(to) = self.row(&to)?;
        let message = self.outgoing(message)?;
        sent("mailbox.try-send", self.call_mailbox(MailboxRequest::TrySend { to, message })?)
    }

    async fn call(
        &mut self,
        to: Resource<GrantRow>,
        message: mailbox::Outgoing,
        timeout_ns: u64,
    ) -> Sent<Resource<CallRow>> {
        let GrantRow(to) = self.row(&to)?;
        let message = self.outgoing(message)?;
        match self.call_mailbox_waiting(MailboxRequest::Call { to, message, timeout_ns }).await? {
            Ok(MailboxReply::Called(call)) => self.push(CallRow(call)).map(Ok),
            Ok(_) => Err(mismatch("mailbox.call")),
            Err(error) => send_error_to_wit("mailbox.call", error).map(Err),
        }
    }

    async fn receive(
        &mut self,
        filter: mailbox::Filter,
    ) -> Result<std::result::Result<mailbox::Incoming, mailbox::ReceiveError>> {
        match self.call_mailbox_waiting(MailboxRequest::Receive { filter: filter_from_wit(filter) }).await? {
            Ok(MailboxReply::Received(message)) => self.incoming(*message).map(Ok),
            Err(MailboxError::NoRoom) => Ok(Err(mailbox::ReceiveError::NoRoom)),
            _ => Err(mismatch("mailbox.receive")),
        }
    }

    fn try_receive(
        &mut self,
        filter: mailbox::Filter,
    ) -> Result<std::result::Result<Option<mailbox::Incoming>, mailbox::ReceiveError>> {
        match self.call_mailbox(MailboxRequest::TryReceive { filter: filter_from_wit(filter) })? {
            Ok(MailboxReply::Received(message)) => self.incoming(*message).map(Some).map(Ok),
            Ok(MailboxReply::Nothing) => Ok(Ok(None)),
            Err(MailboxError::NoRoom) => Ok(Err(mailbox::ReceiveError::NoRoom)),
            _ => Err(mismatch("mailbox.try-receive")),
        }
    }

    fn subscribe(&mut self, filter: mailbox::Filter) -> Result<Resource<PollableRow>> {
        match self.call_mailbox(MailboxRequest::Watch { filter: filter_from_wit(filter) })? {
            Ok(MailboxReply::Watching(watch)) => self.push(PollableRow(WaitId::Watch(watch))),
            Err(MailboxError::TooMany { limit }) => Err(wasmtime::Error::new(Halt(Fault::Limit(
                format!("it may wait for {limit} sorts of messages at once: drop what is no longer waited for").into(),
            )))),
            _ => Err(mismatch("mailbox.subscribe")),
        }
    }
}

impl mailbox::HostAnswer for Guest {
    fn reply(&mut self, handle: Resource<AnswerRow>, message: mailbox::Outgoing) -> Sent<()> {
        let AnswerRow(answer) = self.remove(handle)?;
        let message = self.outgoing(message)?;
        let told = sent("answer.reply", self.call_mailbox(MailboxRequest::Reply { answer, message })?)?;
        if told.is_err() {
            self.leave_unanswered(answer)?;
        }
        Ok(told)
    }

    fn drop(&mut self, handle: Resource<AnswerRow>) -> Result<()> {
        let AnswerRow(answer) = self.remove(handle)?;
        self.leave_unanswered(answer)
    }
}

impl mailbox::HostPending for Guest {
    async fn get(
        &mut self,
        handle: Resource<CallRow>,
    ) -> Result<std::result::Result<mailbox::Incoming, mailbox::CallError>> {
        let CallRow(call) = self.row(&handle)?;
        match self.call_mailbox_waiting(MailboxRequest::Collect { call }).await? {
            Ok(MailboxReply::Received(message)) => self.incoming(*message).map(Ok),
            Ok(_) => Err(mismatch("pending.get")),
            Err(error) => call_error_to_wit(&error).map(Err),
        }
    }

    fn subscribe(&mut self, handle: Resource<CallRow>) -> Result<Resource<PollableRow>> {
        let CallRow(call) = self.row(&handle)?;
        self.push_child(PollableRow(WaitId::Call(call)), &handle)
    }

    fn drop(&mut self, handle: Resource<CallRow>) -> Result<()> {
        let CallRow(call) = self.remove(handle)?;
        self.forget(MailboxRequest::DropCall { call }, "pending.drop")
    }
}

fn answered(reply: Reply) -> Answered {
    match reply {
        Reply::Mailbox(reply) => Ok(reply),
        _ => Err(mismatch("mailbox")),
    }
}

fn sent(call: &str, answer: std::result::Result<MailboxReply, MailboxError>) -> Sent<()> {
    match answer {
        Ok(MailboxReply::Done) => Ok(Ok(())),
        Ok(_) => Err(mismatch(call)),
        Err(error) => send_error_to_wit(call, error).map(Err),
    }
}

fn filter_from_wit(filter: mailbox::Filter) -> Box<Filter> {
    Box::new(Filter { topic: filter.topic.map(Into::into), sender: filter.sender.map(Into::into) })
}

fn send_error_to_wit(call: &str, error: MailboxError) -> Result<mailbox::SendError> {
    Ok(match error {
        MailboxError::Denied(denial) => mailbox::SendError::Denied(denial_to_wit(denial)),
        MailboxError::Gone => mailbox::SendError::Dead,
        MailboxError::Full => mailbox::SendError::Full,
        MailboxError::TooLarge { limit } => mailbox::SendError::TooLarge(limit),
        MailboxError::Invalid(reason) => mailbox::SendError::Invalid(reason.into()),
        MailboxError::Deadlock => mailbox::SendError::Deadlock,
        MailboxError::TooMany { limit } => mailbox::SendError::TooMany(limit),
        MailboxError::Dead => return Err(gone("a call, a grant or a value")),
        MailboxError::TimedOut | MailboxError::Unanswered | MailboxError::Taken | MailboxError::NoRoom => {
            return Err(mismatch(call));
        }
    })
}

fn call_error_to_wit(error: &MailboxError) -> Result<mailbox::CallError> {
    Ok(match error {
        MailboxError::TimedOut => mailbox::CallError::TimedOut,
        MailboxError::Unanswered => mailbox::CallError::Unanswered,
        MailboxError::Deadlock => mailbox::CallError::Deadlock,
        MailboxError::Taken => mailbox::CallError::Taken,
        MailboxError::NoRoom => mailbox::CallError::NoRoom,
        MailboxError::Dead => return Err(gone("a call")),
        _ => return Err(mismatch("pending.get")),
    })
}
