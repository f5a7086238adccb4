//! `/v1/tasks`: starts a task, and tells how it goes.
//!
//! One follower sees each task to its end, whoever reads along: lines go through a short queue, so that a client that does
//! not read makes the process wait as any listener does. Where the client goes away, the task is killed, or, if it was
//! detached, goes on with nobody listening.

use super::{Host, Managed, busy, extract::Body};
use crate::{
    limits::LINES_QUEUED_MAX,
    protocol::{ErrorCode, Refusal, RunLine, RunRequest},
    view,
};
use axum::{
    body,
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{Stream, stream};
use remit_abi::{Event, Pid, Tokens, is_name};
use remit_assembly::{
    Agent, Finished, GrantChoice, Node, OpenError, Package, PackageError, Running, StartError, Task, TaskMessage,
    open_installed, package::StoreError,
};
use serde::Serialize;
use std::{convert::Infallible, path::Path, sync::Arc};
use tokio::{sync::mpsc, task};

impl From<PackageError> for Refusal {
    fn from(error: PackageError) -> Self {
        let code = match error {
            PackageError::NotFound(_) => ErrorCode::NoSuchAgent,
            PackageError::Io { .. } => ErrorCode::MachineFailed,
            _ => ErrorCode::Refused,
        };
        Self::new(code, error)
    }
}

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Package(error) => error.into(),
            OpenError::Store(StoreError::Unknown { .. }) => Self::new(ErrorCode::NoSuchAgent, error),
            OpenError::Store(StoreError::Io { .. } | StoreError::Lockfile { .. }) => {
                Self::new(ErrorCode::MachineFailed, error)
            }
            OpenError::Store(_) => Self::new(ErrorCode::Refused, error),
        }
    }
}

impl From<StartError> for Refusal {
    fn from(error: StartError) -> Self {
        let code = match &error {
            error if error.is_refusal() => ErrorCode::Refused,
            error if error.is_usage() => ErrorCode::Invalid,
            _ => ErrorCode::MachineFailed,
        };
        Self::new(code, error)
    }
}

pub(super) async fn run(State(host): Host, Body(request): Body<RunRequest>) -> Result<Response, Refusal> {
    let place = host.streams.clone().try_acquire_owned().map_err(|_| busy())?;
    let task = task_of(&request)?;
    if *host.closed.read() {
        return Err(shutting_down());
    }
    let loading = host.clone();
    let RunRequest { agent, grants, keep_state, detach, .. } = request;
    let agent = match task::spawn_blocking(move || loading.load(&agent, grants)).await {
        Ok(loaded) => loaded?,
        Err(error) => {
            return Err(Refusal::new(ErrorCode::MachineFailed, format_args!("the agent was not loaded: {error}")));
        }
    };
    let outlives = task.durable;
    let running = host.start(|node| node.start(&agent, task))?;
    let (sender, mut receiver) = mpsc::channel(LINES_QUEUED_MAX);
    let follower = Follower::of(host.clone(), running.pid, sender, detach);
    let tasks = if outlives { &host.resumed } else { &host.tasks };
    tasks.spawn(follower.follow(running, keep_state));
    Ok(json_lines(stream::poll_fn(move |context| {
        let _held = &place;
        receiver.poll_recv(context).map(|line| line.map(Ok))
    })))
}

fn task_of(request: &RunRequest) -> Result<Task, Refusal> {
    // No grant opens any other name, and those of deployments' processes are others.
    if let Some(name) = request.name.as_deref().filter(|name| !is_name(name)) {
        let sentence = format_args!("{name:?} is no name: it has letters, digits and -._/:@");
        return Err(Refusal::new(ErrorCode::Invalid, sentence));
    }
    Ok(Task {
        budget: request.budget_tokens.map(whole_tokens).transpose()?,
        messages: request
            .messages
            .iter()
            .map(|message| TaskMessage { text: message.text.clone(), trusted: message.trusted, role: message.role })
            .collect(),
        tags: request.tags.clone(),
        resumed: request.state.clone().map(Bytes::from),
        name: request.name.clone(),
        // Whoever waits for a task is gone when the host starts anew.
        durable: request.detach && !request.ephemeral,
    })
}

/// A budget.
pub(super) fn whole_tokens(whole: u64) -> Result<Tokens, Refusal> {
    let sentence = format_args!("a budget of {whole} tokens is too large to count: name a smaller one");
    Tokens::from_whole(whole).ok_or_else(|| Refusal::new(ErrorCode::Invalid, sentence))
}

pub(super) fn shutting_down() -> Refusal {
    Refusal::new(ErrorCode::ShuttingDown, "the host is shutting down: it takes no new work")
}

impl Managed {
    /// Blocks.
    pub(super) fn load(&self, agent: &str, grants: Option<Vec<String>>) -> Result<Agent, Refusal> {
        let choice = grants.map_or(GrantChoice::All, GrantChoice::Only);
        let path = Path::new(agent);
        let package = match path.components().count() {
            _ if path.is_absolute() => Package::open(path)?,
            // A name is never looked for in the folder that the host happens to be in.
            1 => open_installed(&self.home, agent)?,
            _ => {
                let sentence =
                    format_args!("{agent:?} is neither a name nor an absolute path: the host is in another folder");
                return Err(Refusal::new(ErrorCode::Invalid, sentence));
            }
        };
        Ok(self.node.load(&package, &choice)?)
    }

    /// Starts something, unless the host is shutting down.
    pub(super) fn start<E: Into<Refusal>>(
        &self,
        start: impl FnOnce(&Node) -> Result<Running, E>,
    ) -> Result<Running, Refusal> {
        // Held for the start, so that a shutdown finds the process or keeps it from starting.
        let closed = self.closed.read();
        if *closed {
            return Err(shutting_down());
        }
        start(&self.node).map_err(Into::into)
    }
}

/// Sees one task to its end.
pub(super) struct Follower {
    host: Arc<Managed>,
    pid: Pid,
    lines: mpsc::Sender<Bytes>,
    detach: bool,
    /// Whether nobody reads any more.
    gone: bool,
}

impl Follower {
    pub(super) fn of(host: Arc<Managed>, pid: Pid, lines: mpsc::Sender<Bytes>, detach: bool) -> Self {
        Self { host, pid, lines, detach, gone: false }
    }

    pub(super) async fn follow(mut self, running: Running, keep_state: bool) {
        let Running { pid, mut events, mut finished } = running;
        self.tell(&RunLine::Started { pid }).await;
        let end: Finished = loop {
            let gone = self.gone;
            if gone && self.detach {
                // Whoever listens keeps a process in memory.
                events.leave();
                break finished.await;
            }
            tokio::select! {
                biased;
                () = self.lines.closed(), if !gone => self.nobody_reads(),
                Some(event) = events.recv() => self.show(event).await,
                end = &mut finished => {
                    // A process that has ended shows nothing more: what is left is there, and then the end of it.
                    while let Some(event) = events.recv().await {
                        self.show(event).await;
                    }
                    break end;
                }
            }
        };
        let end = view::finished(&self.host.node, end, keep_state);
        self.tell(&RunLine::Finished(Box::new(end))).await;
    }

    async fn show(&mut self, event: Event) {
        if !self.gone {
            let shown = view::shown(&self.host.node, event);
            self.tell(&RunLine::Shown(shown)).await;
        }
    }

    async fn tell(&mut self, said: &RunLine) {
        if self.lines.send(line(said)).await.is_err() && !self.gone {
            self.nobody_reads();
        }
    }

    fn nobody_reads(&mut self) {
        self.gone = true;
        if !self.detach {
            self.host.node.kill(self.pid);
        }
    }
}

/// One line of JSON.
pub(super) fn line<T: Serialize>(said: &T) -> Bytes {
    // What the protocol's types hold is text, numbers and lists, and writing to memory does not fail.
    let mut line = serde_json::to_vec(said).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// An answer of lines as they come.
pub(super) fn json_lines(lines: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    ([(CONTENT_TYPE, "application/x-ndjson")], body::Body::from_stream(lines)).into_response()
}
