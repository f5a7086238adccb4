//! A client of the control socket: one connection for each request.

use crate::{
    protocol::{
        Affected, AnswerRequest, Approval, Approvals, CalledBack, Denials, Ended, EraseRequest, ExplainRequest,
        Explanations, ForgetRequest, Forgotten, ForkRequest, Forked, Frozen, Given, GrantName, GrantRequest, Grants,
        Health, Inbox, Models, Notices, Numbered, Process, Processes, Refusal, Results, Revoked, Routes, RunLine,
        RunRequest, Selection, TaskResult, VERSION, WithdrawRequest,
    },
    socket::{SocketError, socket_path},
};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response,
    body::Incoming,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use remit_abi::Pid;
use remit_assembly::Home;
use serde::{Serialize, de::DeserializeOwned};
use std::{io, marker::PhantomData, path::PathBuf, time::Duration};
use thiserror::Error;
use tokio::{net::UnixStream, task::JoinSet, time};

mod deployments;
mod memory;

/// How long an answer that is no stream may take: a kill waits for its process.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// A request that got no answer, or no good one.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no host is running: start one with `remit up`")]
    NoHost,
    /// The host says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The socket is not the caller's, or has no address.
    #[error("{path} cannot be opened: {error}")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// No address.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The connection broke off, or what came is not of the protocol.
    #[error("the host broke off: {0}")]
    Broken(String),
}

fn broken(error: impl std::fmt::Display) -> ClientError {
    ClientError::Broken(error.to_string())
}

/// Asks the host of a data folder.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// The client of a data folder, whether a host runs there or not.
    ///
    /// # Errors
    /// [`SocketError::TooLong`].
    pub fn of(home: &Home) -> Result<Self, SocketError> {
        Ok(Self { path: socket_path(home)? })
    }

    /// The client of a data folder on which a host runs; `None` where none does.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn find(home: &Home) -> Result<Option<Self>, ClientError> {
        // Where no address is short enough for a socket, no host listens.
        let Ok(client) = Self::of(home) else { return Ok(None) };
        match client.connect().await {
            Ok(_) => Ok(Some(client)),
            Err(ClientError::NoHost) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the host is well.
    ///
    /// # Errors
    /// [`ClientError`], as all that follow.
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.ask(Method::GET, "health", &()).await
    }

    /// Starts a task. Who drops the lines before the last one kills it, unless it is detached.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn run(&self, request: &RunRequest) -> Result<Lines<RunLine>, ClientError> {
        self.lines(Method::POST, "tasks", request).await
    }

    /// Every live process.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn processes(&self) -> Result<Processes, ClientError> {
        self.ask(Method::GET, "processes", &()).await
    }

    /// Every model that was opened, with what it does.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn models(&self) -> Result<Models, ClientError> {
        self.ask(Method::GET, "models", &()).await
    }

    /// One of the processes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn process(&self, pid: Pid) -> Result<Process, ClientError> {
        self.ask(Method::GET, &format!("processes/{pid}"), &()).await
    }

    /// What a process showed after event number `after`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn events(&self, pid: Pid, after: u64, follow: bool) -> Result<Lines<Numbered>, ClientError> {
        self.lines(Method::GET, &format!("processes/{pid}/events?after={after}&follow={follow}"), &()).await
    }

    /// Stops a process where it stands.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn kill(&self, pid: Pid) -> Result<Ended, ClientError> {
        self.ask(Method::POST, &format!("processes/{pid}/kill"), &()).await
    }

    /// The recording of a process, also of one that has ended: the content of its file.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn recording(&self, pid: Pid) -> Result<Bytes, ClientError> {
        let (answer, _connection) = self.send(Method::GET, &format!("processes/{pid}/recording"), &()).await?;
        Ok(answer.into_body().collect().await.map_err(broken)?.to_bytes())
    }

    /// Starts a process that goes on where another one once was.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn fork(&self, request: &ForkRequest) -> Result<Forked, ClientError> {
        self.ask(Method::POST, "forks", request).await
    }

    /// Asks a process to end politely.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn cancel(&self, pid: Pid) -> Result<(), ClientError> {
        self.ask(Method::POST, &format!("processes/{pid}/cancel"), &()).await
    }

    /// Lets a process take no more turns.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn suspend(&self, pid: Pid) -> Result<(), ClientError> {
        self.ask(Method::POST, &format!("processes/{pid}/suspend"), &()).await
    }

    /// Lets it take turns again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn resume(&self, pid: Pid) -> Result<(), ClientError> {
        self.ask(Method::POST, &format!("processes/{pid}/resume"), &()).await
    }

    /// Freezes processes, and keeps others like them from starting.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn freeze(&self, selection: &Selection) -> Result<Affected, ClientError> {
        self.ask(Method::POST, "freeze", selection).await
    }

    /// Undoes a freeze.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn thaw(&self, selection: &Selection) -> Result<Affected, ClientError> {
        self.ask(Method::POST, "thaw", selection).await
    }

    /// What is frozen.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn frozen(&self) -> Result<Frozen, ClientError> {
        self.ask(Method::GET, "frozen", &()).await
    }

    /// Has the host read anew whom it trusts, and park what may run no longer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reload_trust(&self) -> Result<CalledBack, ClientError> {
        self.ask(Method::POST, "trust/reload", &()).await
    }

    /// The grant tree: of one process's grants and what they derive from, or all.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn grants(&self, pid: Option<Pid>) -> Result<Grants, ClientError> {
        self.ask(Method::GET, &format!("grants{}", of(pid)), &()).await
    }

    /// Gives a live process a grant.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn give(&self, pid: Pid, terms: &GrantRequest) -> Result<Given, ClientError> {
        self.ask(Method::POST, &format!("processes/{pid}/grants"), terms).await
    }

    /// Takes a grant back, and all that derive from it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn revoke(&self, grant: GrantName) -> Result<Revoked, ClientError> {
        self.ask(Method::DELETE, &format!("grants/{grant}"), &()).await
    }

    /// The latest denials: of one process, or all.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn denials(&self, pid: Option<Pid>) -> Result<Denials, ClientError> {
        self.ask(Method::GET, &format!("denials{}", of(pid)), &()).await
    }

    /// What detached tasks came to, latest first; at most so many.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn results(&self, limit: usize) -> Result<Results, ClientError> {
        self.ask(Method::GET, &format!("results?limit={limit}"), &()).await
    }

    /// What one of them came to.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn result(&self, pid: Pid) -> Result<TaskResult, ClientError> {
        self.ask(Method::GET, &format!("results/{pid}"), &()).await
    }

    /// Drops what one of them came to.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn drop_result(&self, pid: Pid) -> Result<(), ClientError> {
        self.ask(Method::DELETE, &format!("results/{pid}"), &()).await
    }

    /// Questions that wait for people.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn inbox(&self) -> Result<Inbox, ClientError> {
        self.ask(Method::GET, "inbox", &()).await
    }

    /// Answers one of them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn answer(&self, number: u64, request: &AnswerRequest) -> Result<(), ClientError> {
        self.ask(Method::POST, &format!("inbox/{number}/answer"), request).await
    }

    /// The latest notices to people.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn notices(&self) -> Result<Notices, ClientError> {
        self.ask(Method::GET, "notices", &()).await
    }

    /// Approvals that stand.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn approvals(&self) -> Result<Approvals, ClientError> {
        self.ask(Method::GET, "approvals", &()).await
    }

    /// Withdraws one of them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn withdraw_approval(&self, number: u64, request: &WithdrawRequest) -> Result<Approval, ClientError> {
        self.ask(Method::POST, &format!("approvals/{number}/withdraw"), request).await
    }

    /// Every route, with what it came to.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn routes(&self) -> Result<Routes, ClientError> {
        self.ask(Method::GET, "routes", &()).await
    }

    /// Has the host read the data folder's routes again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reload_routes(&self) -> Result<Routes, ClientError> {
        self.ask(Method::POST, "routes/reload", &()).await
    }

    /// What a request would get from a route.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn explain_route(&self, request: &ExplainRequest) -> Result<Explanations, ClientError> {
        self.ask(Method::POST, "routes/explain", request).await
    }

    /// The audit of a tenant, as a file in pieces; with `reveal` also the contents that are kept.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn export_audit(&self, tenant: u32, reveal: bool) -> Result<Pieces, ClientError> {
        let path = format!("audit?tenant={tenant}&reveal={reveal}");
        let (answer, connection) = self.send(Method::GET, &path, &()).await?;
        Ok(Pieces { body: answer.into_body(), _connection: connection })
    }

    /// Forgets history that is older than a moment. It takes as long as it takes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn forget(&self, request: &ForgetRequest) -> Result<Forgotten, ClientError> {
        self.reply(Method::POST, "forget", request).await
    }

    /// Erases a tenant. It takes as long as it takes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn erase(&self, request: &EraseRequest) -> Result<(), ClientError> {
        self.reply(Method::POST, "erase", request).await
    }

    async fn connect(&self) -> Result<UnixStream, ClientError> {
        UnixStream::connect(&self.path).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NoHost,
            _ => ClientError::Unreachable { path: self.path.clone(), error },
        })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let reply = self.reply(method, path, body);
        time::timeout(ANSWER_TIME_MAX, reply).await.unwrap_or_else(|_| Err(broken("it does not answer")))
    }

    /// The same, however long it takes.
    async fn reply<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let (answer, _connection) = self.send(method, path, body).await?;
        let bytes = answer.into_body().collect().await.map_err(broken)?.to_bytes();
        // An answer without a body says that it is done.
        serde_json::from_slice(if bytes.is_empty() { b"null" } else { &bytes }).map_err(broken)
    }

    async fn lines<T>(&self, method: Method, path: &str, body: &impl Serialize) -> Result<Lines<T>, ClientError> {
        let (answer, connection) = self.send(method, path, body).await?;
        Ok(Lines { body: answer.into_body(), read: BytesMut::new(), _connection: connection, of: PhantomData })
    }

    /// Sends a request; the connection is closed with what is returned beside the answer.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(Response<Incoming>, JoinSet<()>), ClientError> {
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the host broke off");
            }
        });
        let body = match method {
            Method::POST => serde_json::to_vec(body).map_err(broken)?,
            _ => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("/v{VERSION}/{path}"))
            .header(HOST, "remit")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(broken)?;
        let answer = sender.send_request(request).await.map_err(broken)?;
        if answer.status().is_success() {
            return Ok((answer, driver));
        }
        let bytes = answer.into_body().collect().await.map_err(broken)?.to_bytes();
        Err(serde_json::from_slice::<Refusal>(&bytes).map_or_else(broken, ClientError::Refused))
    }
}

fn of(pid: Option<Pid>) -> String {
    pid.map(|pid| format!("?pid={pid}")).unwrap_or_default()
}

/// An answer that is a file, as it comes.
pub struct Pieces {
    body: Incoming,
    _connection: JoinSet<()>,
}

impl Pieces {
    /// The next one; `None` behind the last.
    ///
    /// # Errors
    /// [`ClientError::Broken`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.body.frame().await {
                Some(frame) => {
                    if let Ok(piece) = frame.map_err(broken)?.into_data() {
                        return Ok(Some(piece));
                    }
                }
                None => return Ok(None),
            }
        }
    }
}

/// An answer of one JSON object a line, as they come.
pub struct Lines<T> {
    body: Incoming,
    /// What came and is no whole line yet.
    read: BytesMut,
    _connection: JoinSet<()>,
    of: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Lines<T> {
    /// The next one; `None` behind the last.
    ///
    /// # Errors
    /// [`ClientError::Broken`].
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.read[searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(searched + end + 1);
                return serde_json::from_slice(&line).map(Some).map_err(broken);
            }
            searched = self.read.len();
            match self.body.frame().await {
                Some(frame) => self.read.extend_from_slice(&frame.map_err(broken)?.into_data().unwrap_or_default()),
                None if self.read.is_empty() => return Ok(None),
                None => return Err(broken("the last line is cut off")),
            }
        }
    }
}
