//! The kernel: processes, their syscalls, and who pays.
//!
//! It knows no engine, no sandbox, no disk and no clock: those are [`ports`], which `assembly` fills. What it owns are
//! tables, and rules for changing them.
//!
//! Principles:
//!
//! - Every syscall takes the same four steps in one dispatcher: validate, authorise, charge, do. No interface has a copy.
//! - Tables change in short synchronous steps under one process's lock; no lock is held across an await.
//! - Tokens are reserved before work and settled after it. Whatever is dropped on the way settles itself.
//! - What a process is told is in its journal before it is told.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `kernel` | what all syscalls work on |
//! | `table`, `control`, `process`, `end` | the process table; one process for others, and for itself; its end |
//! | `spawn`, `life`, `supervise` | starting, running, starting again and reaping processes |
//! | `dispatch` | the Door: the four steps, journal, label and denial log |
//! | `syscalls` | what is particular to each interface |
//! | `mailbox`, `room`, `calls`, `signals`, `deadlock` | what processes tell each other, and who waits for whom |
//! | `treasury`, `bill` | the node's accounts; reservations and the ledger of one process |
//! | `generation` | a generation that streams |
//! | `routing`, `tries` | names that send each request to a model; the tries of one request |
//! | `outlet` | where a process's events go |
//! | `schedule` | who runs next |
//! | `runaway` | agents that run in circles |
//! | `inbox`, `people` | what people are asked and told, and what they say |
//! | `effects`, `tool_calls`, `doubts` | what tools are called for outside the node, that it is done, and what of it is uncertain after a crash |
//! | `contexts` | conversations whose window is paged |
//! | `memories`, `remembering` | what is remembered, in one order; what an operator does with it |
//! | `manage`, `freeze`, `denials` | what an operator sees and does |
//! | `deployments`, `group` | what an operator keeps running; processes that share a name |
//! | `due`, `recording` | what an act did, written down before anybody sees it |
//! | `recovery`, `replay` | a node put together again from its journal; processes told again what they were told |
//! | `hibernation` | processes that wait let go of what nobody else can reach, and have it again |
//! | `away`, `attend` | processes that sleep and are not in memory at all, and who brings them back |
//! | `history`, `rerun`, `fork` | the whole log of a process; running it again, offline; a new one that goes on where it was |
//! | `journal` | journals that survive no crash |
//! | `ports` | what others provide |

mod attend;
mod away;
mod bill;
mod calls;
mod contexts;
mod control;
mod deadlock;
mod denials;
mod deployments;
mod dispatch;
mod doubts;
mod due;
mod effects;
mod end;
mod fork;
mod freeze;
mod generation;
mod group;
mod hibernation;
mod history;
mod inbox;
mod journal;
mod kernel;
mod life;
mod mailbox;
mod manage;
mod memories;
mod outlet;
mod people;
pub mod ports;
mod process;
mod recording;
mod recovery;
mod remembering;
mod replay;
mod rerun;
mod results;
mod room;
pub mod routing;
mod runaway;
pub mod schedule;
mod signals;
mod spawn;
mod supervise;
mod syscalls;
mod table;
mod tags;
mod tool_calls;
mod treasury;
mod tries;

pub use attend::Attendant;
pub use bill::{Citations, Ledger};
pub use control::Durability;
pub use denials::Denied;
pub use fork::{Fork, ForkError};
pub use freeze::Selection;
pub use group::{Group, is_in_share};
pub use history::{History, HistoryError, Run};
pub use journal::{EphemeralJournal, KeptRecord, MemoryJournal};
pub use kernel::{Kernel, Ports};
pub use life::{Ended, Finished, Output};
pub use manage::{GiveError, GrantView, ProcessView, State};
pub use outlet::{Events, KeptEvent, Listener};
pub use people::InboxError;
pub use recovery::{Recovery, Resumed};
pub use remembering::{Looking, LookingBy, Remembering};
pub use rerun::{Logged, Reran, Rerun, RerunError, Step};
pub use runaway::RunawayPolicy;
pub use spawn::{GivenMessage, Spawn, SpawnError, Spawned};
pub use supervise::RestartPolicy;
pub use syscalls::validate_params;
