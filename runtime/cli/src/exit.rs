//! How the program ends: errors, and the exit codes that scripts may rely on.

use remit_assembly::{
    HistoryError, LockError, NoHome, NodeError, PackageError, StartError, ToolsError,
    audit::Flaw,
    eval::AnswererError,
    models::{ModelError, PullNewError, RegistryError, UnknownModel},
    recording::{RecordingError, RerunError},
    routes::RouteError,
};
use remit_server::{
    ClientError, SocketError,
    protocol::{End, ErrorCode, FaultKind},
};
use std::process::ExitCode;
use thiserror::Error;

/// What `--help` says about exit codes.
pub(crate) const HELP: &str = "\
Exit codes:
  0    the agent did all of its work
  1    the agent said that it could not; tasks did not pass, or who was compared is worse; an audit was tampered with
  2    the command line is wrong
  3    the agent did a usable part of its work: its budget or a limit ended it early
  4    the agent was stopped: its budget is used up
  5    the agent was refused: it is no agent, or asks for what it was not granted
  6    the agent was ended: it crashed, broke the protocol, or went over a limit
  7    the machine failed: a file, the disk, the network, a model, or a host that is not running
  130  interrupted

Environment:
  REMIT_HOME  the data folder
  REMIT_LOG   what to log to standard error, for example `debug`
  NO_COLOR    no colours";

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const PARTIAL: u8 = 3;
const BUDGET: u8 = 4;
const REFUSED: u8 = 5;
const ENDED: u8 = 6;
const MACHINE: u8 = 7;
const INTERRUPTED: u8 = 130;

/// Why a command did not do what it was asked.
#[derive(Debug, Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    NoHome(#[from] NoHome),
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    UnknownModel(#[from] UnknownModel),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    Answerer(#[from] AnswererError),
    #[error(transparent)]
    PullNew(#[from] PullNewError),
    #[error(transparent)]
    Tools(#[from] ToolsError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error(transparent)]
    Rerun(#[from] RerunError),
    /// An export of an audit is not what a host wrote.
    #[error("{path}: {flaw}")]
    Flaw {
        /// The export.
        path: String,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// The command line asks for what does not go together, or the input is no text.
    #[error("{0}")]
    Usage(String),
    /// A file, a stream or a process of this machine failed.
    #[error("{0}")]
    Machine(String),
}

impl CommandError {
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Flaw { .. } => FAILED,
            Self::Usage(_) | Self::UnknownModel(_) | Self::Registry(_) | Self::PullNew(PullNewError::Registry(_)) => {
                USAGE
            }
            Self::Tools(ToolsError::Read { .. }) => MACHINE,
            Self::Tools(_) => USAGE,
            Self::Route(RouteError::Io { .. }) => MACHINE,
            Self::Route(_) | Self::Answerer(AnswererError::Registry(_)) => USAGE,
            Self::Answerer(_) => MACHINE,
            Self::History(HistoryError::Journal(_)) => MACHINE,
            Self::History(_) => USAGE,
            Self::Recording(RecordingError::History(_) | RecordingError::NoJournal(_)) => USAGE,
            Self::Rerun(RerunError::Load(_)) => REFUSED,
            Self::Recording(_) | Self::Rerun(_) => MACHINE,
            Self::Package(PackageError::NotFound(_)) => USAGE,
            Self::Package(PackageError::Io { .. }) => MACHINE,
            Self::Package(_) => REFUSED,
            Self::Start(error) if error.is_refusal() => REFUSED,
            Self::Start(error) if error.is_usage() => USAGE,
            Self::Client(ClientError::Refused(refusal)) => code_of_refusal(refusal.code),
            Self::NoHome(_) | Self::Node(_) | Self::Start(_) | Self::Model(_) | Self::Machine(_) => MACHINE,
            Self::Lock(_) | Self::Socket(_) | Self::Client(_) | Self::PullNew(_) => MACHINE,
        })
    }
}

/// The same as where this program finds it out by itself.
const fn code_of_refusal(code: ErrorCode) -> u8 {
    match code {
        ErrorCode::Refused => REFUSED,
        ErrorCode::BadRequest | ErrorCode::Invalid | ErrorCode::TooLarge => USAGE,
        ErrorCode::NoSuchAgent | ErrorCode::NoSuchProcess | ErrorCode::NoSuchGrant => USAGE,
        ErrorCode::NoSuchQuestion | ErrorCode::NoSuchApproval => USAGE,
        ErrorCode::NotFound | ErrorCode::WrongMethod | ErrorCode::TooSlow => MACHINE,
        ErrorCode::Busy | ErrorCode::ShuttingDown | ErrorCode::MachineFailed => MACHINE,
    }
}

/// The exit code of a process's end.
pub(crate) fn code_of(end: &End, interrupted: bool) -> ExitCode {
    ExitCode::from(match end {
        End::Complete { .. } => 0,
        End::Partial { .. } => PARTIAL,
        End::Failed { .. } => FAILED,
        End::Faulted { .. } if interrupted => INTERRUPTED,
        End::Faulted { fault: FaultKind::Budget, .. } => BUDGET,
        End::Faulted { fault: FaultKind::Host, .. } => MACHINE,
        End::Faulted { .. } => ENDED,
    })
}
