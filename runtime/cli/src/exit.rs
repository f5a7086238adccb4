//! How the program ends: errors, and the exit codes that scripts may rely on.

use remit_assembly::{
    HistoryError, LockError, NoHome, NodeError, OpenError, PackageError, RevokeError, StartError, ToolsError,
    audit::Flaw,
    carrying::CarryError,
    eval::AnswererError,
    models::{ModelError, PullNewError, RegistryError, UnknownModel},
    package::{CheckKind, FolderError, KeyError, RingError, SignError, StoreError, TrustError},
    recording::{RecordingError, RerunError},
    routes::RouteError,
};
use remit_kit::{BuildError, CompilerError, CreateError, ProjectError, UpdateError};
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
  1    the agent said that it could not; tasks or cases did not pass, or who was compared is worse;
       an audit was tampered with; an agent does not compile
  2    the command line is wrong
  3    the agent did a usable part of its work: its budget or a limit ended it early
  4    the agent was stopped: its budget is used up
  5    the agent was refused: it is no agent, or asks for what it was not granted
  6    the agent was ended: it crashed, broke the protocol, or went over a limit
  7    the machine failed: a file, the disk, the network, a model, or a host that is not running
  10 to 21  `remit verify` alone: which check failed, as its help says
  130  interrupted

Environment:
  REMIT_HOME  the data folder
  REMIT_PASSPHRASE  the passphrase of the key that is asked for
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
    Folder(#[from] FolderError),
    #[error(transparent)]
    Ring(#[from] RingError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Carry(#[from] CarryError),
    #[error(transparent)]
    Revoke(#[from] RevokeError),
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
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    Update(#[from] UpdateError),
    #[error(transparent)]
    Compiler(#[from] CompilerError),
    #[error(transparent)]
    BuildAgent(#[from] BuildError),
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
            Self::BuildAgent(BuildError::Source | BuildError::NoModule(_) | BuildError::NoAgent { .. }) => FAILED,
            Self::BuildAgent(BuildError::Project(error)) | Self::Project(error) => code_of_project(error),
            Self::Create(CreateError::Io { .. }) | Self::Update(UpdateError::Io { .. }) => MACHINE,
            Self::Create(_) | Self::Update(_) => USAGE,
            Self::BuildAgent(_) | Self::Compiler(_) => MACHINE,
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
            Self::Package(error) | Self::Carry(CarryError::Package(error)) => code_of_package(error),
            Self::Carry(error) if error.is_usage() => USAGE,
            Self::Carry(error) if error.is_refusal() => REFUSED,
            Self::Folder(FolderError::Io { .. }) => MACHINE,
            Self::Folder(_) | Self::Sign(_) => REFUSED,
            Self::Ring(error) | Self::Revoke(RevokeError::Ring(error)) => code_of_ring(error),
            Self::Store(error) | Self::Revoke(RevokeError::Store(error)) | Self::Carry(CarryError::Store(error)) => {
                code_of_store(error)
            }
            Self::Trust(TrustError::Policy { .. }) | Self::Revoke(RevokeError::Trust(TrustError::Policy { .. })) => {
                USAGE
            }
            Self::Carry(CarryError::Trust(TrustError::Policy { .. })) => USAGE,
            Self::Trust(TrustError::Io { .. }) => MACHINE,
            Self::Revoke(RevokeError::Trust(TrustError::Io { .. }) | RevokeError::Io { .. }) => MACHINE,
            Self::Revoke(_) => USAGE,
            Self::Start(error) if error.is_refusal() => REFUSED,
            Self::Start(error) if error.is_usage() => USAGE,
            Self::Client(ClientError::Refused(refusal)) => code_of_refusal(refusal.code),
            Self::NoHome(_) | Self::Node(_) | Self::Start(_) | Self::Model(_) | Self::Machine(_) => MACHINE,
            Self::Carry(_) | Self::Lock(_) | Self::Socket(_) | Self::Client(_) | Self::PullNew(_) => MACHINE,
        })
    }
}

impl From<OpenError> for CommandError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Package(error) => error.into(),
            OpenError::Store(error) => error.into(),
        }
    }
}

const fn code_of_package(error: &PackageError) -> u8 {
    match error {
        PackageError::NotFound(_) => USAGE,
        PackageError::Io { .. } => MACHINE,
        _ => REFUSED,
    }
}

const fn code_of_project(error: &ProjectError) -> u8 {
    match error {
        ProjectError::NoManifest(_) | ProjectError::NoSource(_) => USAGE,
        ProjectError::Manifest { .. } => REFUSED,
        ProjectError::Io { .. } => MACHINE,
    }
}

const fn code_of_ring(error: &RingError) -> u8 {
    match error {
        RingError::Io { .. } | RingError::Key { error: KeyError::Io { .. } | KeyError::Random(_), .. } => MACHINE,
        _ => USAGE,
    }
}

const fn code_of_store(error: &StoreError) -> u8 {
    match error {
        StoreError::Io { .. } | StoreError::Lockfile { .. } => MACHINE,
        StoreError::Denied(_) | StoreError::Package(_) | StoreError::Bytes { .. } | StoreError::NotPacked(_) => REFUSED,
        StoreError::OtherBytes { .. } => REFUSED,
        StoreError::Unknown { .. } | StoreError::NoneBefore(_) | StoreError::Current(_) => USAGE,
    }
}

/// The exit code of `remit verify` where a package is refused: which check failed first.
pub(crate) fn code_of_check(kind: Option<CheckKind>) -> ExitCode {
    ExitCode::from(kind.map_or(REFUSED, number_of))
}

const fn number_of(kind: CheckKind) -> u8 {
    match kind {
        CheckKind::Envelope => 10,
        CheckKind::Statement => 11,
        CheckKind::Subject => 12,
        CheckKind::Claims => 13,
        CheckKind::Time => 14,
        CheckKind::Serial => 15,
        CheckKind::Name => 16,
        CheckKind::Revocation => 17,
        CheckKind::Signers => 18,
        CheckKind::Wants => 19,
        CheckKind::Budget => 20,
        CheckKind::Identity => 21,
    }
}

/// The same as where this program finds it out by itself.
const fn code_of_refusal(code: ErrorCode) -> u8 {
    match code {
        ErrorCode::Refused => REFUSED,
        ErrorCode::BadRequest | ErrorCode::Invalid | ErrorCode::TooLarge => USAGE,
        ErrorCode::NoSuchAgent | ErrorCode::NoSuchProcess | ErrorCode::NoSuchGrant => USAGE,
        ErrorCode::NoSuchQuestion | ErrorCode::NoSuchApproval | ErrorCode::NoSuchEntry => USAGE,
        ErrorCode::NoSuchDeployment => USAGE,
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
