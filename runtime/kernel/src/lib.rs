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
//! | `kernel` | the process table; starting and reaping processes |
//! | `dispatch` | the Door: the four steps, journal, label and denial log |
//! | `syscalls` | what is particular to each interface |
//! | `process` | what one process holds |
//! | `bill` | reservations and the ledger of one process |
//! | `generation` | a generation that streams |
//! | `journal` | the journal that forgets |
//! | `ports` | what others provide |
//! | `schedule` | who runs next, for whoever runs guests |

mod bill;
mod dispatch;
mod generation;
mod journal;
mod kernel;
pub mod ports;
mod process;
pub mod schedule;
mod syscalls;
mod tags;

pub use bill::Ledger;
pub use journal::MemoryJournal;
pub use kernel::{Ended, Finished, GivenGrant, GivenMessage, Kernel, Output, Ports, Spawn, SpawnError, Spawned};
