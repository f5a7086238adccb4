//! What a client can take from the host: each limit with its name and its reason.

use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Limits of one server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at a time; more are refused at once. An operator has a handful.
    pub(crate) connections_max: usize,
    /// How long a request's line and headers may take, and how long a connection may be silent before them: a local
    /// client sends them at once.
    pub(crate) header_time_max: Duration,
    /// How long a request's body may take.
    pub(crate) body_time_max: Duration,
    /// How long a client may take nothing of its answer. A person who stopped a terminal's output comes back, or not.
    pub(crate) stall_time_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 64,
            header_time_max: Duration::from_secs(5),
            body_time_max: Duration::from_secs(10),
            stall_time_max: Duration::from_secs(60),
        }
    }
}

/// One request's body: a task of 64 messages of usual size, or a state of 4 MiB in hexadecimal.
pub(crate) const BODY_BYTES_MAX: usize = 8 * MIB;

/// What a connection buffers, a request's line and headers included. An answer's line may be longer: then it is buffered
/// alone.
pub(crate) const BUFFER_BYTES_MAX: usize = 64 * KIB;

/// Headers of one request: a client of ours sends three.
pub(crate) const HEADERS_MAX: usize = 32;

/// Answers that stream at a time, tasks and logs: the other connections are left for whoever wants to end them.
pub(crate) const STREAMS_MAX: usize = 48;

/// Lines of one stream that wait for the connection: the process's own queue is the one that holds many.
pub(crate) const LINES_QUEUED_MAX: usize = 4;

/// Bytes of an export of an audit that are sent at once.
pub(crate) const EXPORT_PIECE_BYTES: usize = 64 * KIB;

/// How long a kill's answer waits for the process's end.
pub(crate) const KILL_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a shutdown waits for killed processes, and then for answers that are still on their way.
pub(crate) const LAST_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long nobody is accepted after the system refused to: it is out of files, and the next try would fail as well.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
