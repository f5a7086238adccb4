//! `remit:kernel/task`: what a process was started for, and what it shows of it.

use crate::{
    bindings::remit::kernel::{task, types},
    guest::{Guest, dead, mismatch},
    row::ValueRow,
};
use remit_abi::{EmitError, Failure, GuestEvent, Outcome, Reply, Request, Role, Start, Status, TaskRequest};
use wasmtime::Result;

impl Guest {
    /// The argument of `run`: each message's value gets a handle.
    pub(crate) fn task(&mut self, start: &Start) -> Result<task::Task> {
        let mut conversation = Vec::with_capacity(start.conversation.len());
        for input in &start.conversation {
            let role = match input.role {
                Role::System => types::Role::System,
                Role::User => types::Role::User,
                Role::Assistant => types::Role::Assistant,
            };
            conversation.push(task::Input { role, content: self.push(ValueRow(input.content))? });
        }
        Ok(task::Task { conversation })
    }

    /// The result of `run`.
    pub(crate) fn end(
        &mut self,
        result: std::result::Result<task::Outcome, task::Failure>,
    ) -> Result<std::result::Result<Outcome, Failure>> {
        Ok(match result {
            Ok(outcome) => Ok(Outcome {
                status: match outcome.status {
                    task::Status::Complete => Status::Complete,
                    task::Status::Partial => Status::Partial,
                },
                output: outcome.output.map(|handle| self.remove(handle)).transpose()?.map(|row| row.0),
            }),
            Err(failure) => Err(Failure { message: failure.message.into(), retryable: failure.retryable }),
        })
    }
}

pub(crate) fn role_from_wit(role: types::Role) -> Role {
    match role {
        types::Role::System => Role::System,
        types::Role::User => Role::User,
        types::Role::Assistant => Role::Assistant,
    }
}

pub(crate) fn status_to_wit(status: Status) -> task::Status {
    match status {
        Status::Complete => task::Status::Complete,
        Status::Partial => task::Status::Partial,
    }
}

impl task::Host for Guest {
    async fn emit(&mut self, event: task::Event) -> Result<std::result::Result<(), task::EmitError>> {
        let event = match event {
            task::Event::Text(content) => GuestEvent::Text(self.content(content)?),
            task::Event::Progress(progress) => {
                GuestEvent::Progress { done: progress.done, total: progress.total, note: progress.note.into() }
            }
            task::Event::Artifact(artifact) => {
                GuestEvent::Artifact { name: artifact.name.into(), content: self.content(artifact.content)? }
            }
        };
        match self.call_waiting(Request::Task(TaskRequest::Emit(Box::new(event)))).await? {
            Reply::Task(Ok(())) => Ok(Ok(())),
            Reply::Task(Err(EmitError::Closed)) => Ok(Err(task::EmitError::Closed)),
            Reply::Task(Err(EmitError::TooLarge { limit })) => Ok(Err(task::EmitError::TooLarge(limit))),
            Reply::Task(Err(EmitError::Dead)) => Err(dead("value")),
            _ => Err(mismatch("task.emit")),
        }
    }
}
