//! `/v1/processes/{pid}/recording` and `/v1/forks`: what a process was told, and new ones that go on there.

use super::{
    Host, Managed,
    extract::{Body, Named},
    tasks::{shutting_down, whole_tokens},
};
use crate::protocol::{ErrorCode, ForkRequest, Forked, Recorded, Refusal};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
};
use bytes::Bytes;
use remit_abi::Pid;
use remit_assembly::{
    HistoryError,
    recording::{FileError, ForkTerms, ForkingError, Recording, RecordingError},
};
use std::{fs, path::Path, sync::Arc};
use tokio::task;

impl From<RecordingError> for Refusal {
    fn from(error: RecordingError) -> Self {
        let code = match &error {
            RecordingError::History(error) => code_of(error),
            _ => ErrorCode::MachineFailed,
        };
        Self::new(code, error)
    }
}

impl From<ForkingError> for Refusal {
    fn from(error: ForkingError) -> Self {
        let code = match &error {
            ForkingError::Engine(_) | ForkingError::Keep(_) => ErrorCode::MachineFailed,
            ForkingError::Load(_) | ForkingError::Denied(_) => ErrorCode::Refused,
            ForkingError::Fork(_) | ForkingError::NoGrants(_) | ForkingError::NotKept => ErrorCode::Invalid,
        };
        Self::new(code, error)
    }
}

const fn code_of(error: &HistoryError) -> ErrorCode {
    match error {
        HistoryError::Nothing(_) => ErrorCode::NoSuchProcess,
        HistoryError::NoBeginning(_) | HistoryError::NoSuchRun { .. } => ErrorCode::Invalid,
        HistoryError::Journal(_) => ErrorCode::MachineFailed,
    }
}

/// The recording of a process, also of one that has ended, as the file that it is.
pub(super) async fn recording(State(host): Host, Named(pid): Named<Pid>) -> Result<impl IntoResponse, Refusal> {
    let bytes = blocking(move || Ok(host.node.recording(pid)?.to_bytes())).await?;
    Ok(([(CONTENT_TYPE, "application/vnd.remit.recording")], bytes))
}

pub(super) async fn fork(
    State(host): Host,
    Body(request): Body<ForkRequest>,
) -> Result<(StatusCode, Json<Forked>), Refusal> {
    let managed = host.clone();
    let resumed = blocking(move || managed.fork(request)).await?;
    let pid = resumed.pid;
    host.resumed.spawn(resumed.finished);
    Ok((StatusCode::CREATED, Json(Forked { pid })))
}

impl Managed {
    /// Blocks.
    fn fork(self: Arc<Self>, request: ForkRequest) -> Result<remit_assembly::ResumedTask, Refusal> {
        let ForkRequest { of, at, budget_tokens, agent, grants } = request;
        let budget = budget_tokens.map(whole_tokens).transpose()?;
        let recording = match of {
            Recorded::Process(pid) => self.node.recording(pid)?,
            Recorded::File(path) => read(Path::new(&path))?,
        };
        let agent = agent.map(|agent| self.load(&agent, grants)).transpose()?;
        // Held for the start, so that a shutdown finds the process or keeps it from starting.
        let closed = self.closed.read();
        if *closed {
            return Err(shutting_down());
        }
        Ok(self.node.fork(recording, &ForkTerms { at, budget, agent: agent.as_ref() })?)
    }
}

fn read(path: &Path) -> Result<Recording, Refusal> {
    if !path.is_absolute() {
        let sentence = format_args!("{} is no absolute path: the host is in another folder", path.display());
        return Err(Refusal::new(ErrorCode::Invalid, sentence));
    }
    let said = |code, error: &dyn std::fmt::Display| Refusal::new(code, format_args!("{}: {error}", path.display()));
    let bytes = fs::read(path).map_err(|error| said(ErrorCode::Invalid, &error))?;
    Recording::from_bytes(&Bytes::from(bytes)).map_err(|error: FileError| said(ErrorCode::Invalid, &error))
}

/// Work that blocks, on a thread for that.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let ended = |error| Refusal::new(ErrorCode::MachineFailed, format_args!("it was not done: {error}"));
    task::spawn_blocking(work).await.unwrap_or_else(|error| Err(ended(error)))
}
