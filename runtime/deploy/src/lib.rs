//! Deployments: agents that an operator wants to run, how many of each, and what begins them. Pure: no clock, no disk, no process.
//!
//! Whoever runs them asks this crate what is to be done, does it, and asks again. What is wanted is data that is kept; what is there
//! is seen by the names of living processes; so nothing has to be remembered of how far somebody came, and it may end anywhere.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `file` | what an operator writes |
//! | `cron` | moments in five fields |
//! | `state` | what was decided about one deployment, and each act that changes it |
//! | `member` | the names of its processes |
//! | `plan` | which replicas are to be started and which are to end; pauses between starts |
//!
//! A deployment file with every field:
//!
//! ```
//! let specs = remit_deploy::parse(r#"
//!     [[deployment]]
//!     name = "support"               # by which it is managed, and under which other agents find its replicas
//!     package = "clerk@1.2.0"        # an installed package; without a version the one that the name means when it is deployed
//!     replicas = 2                   # processes that are kept running; none without this
//!     task = "Answer letters."       # what each replica is told at its start; nothing without this
//!     grants = ["chat", "letters"]   # labels of the wants that its processes get; all of them without this
//!     tokens = 5000                  # for how much each process runs; the manifest's budget without this
//!
//!     [deployment.restart]           # when another process takes the place of a replica that has ended
//!     policy = "on-failure"          # always (without this), on-failure, never
//!     backoff_ms = 1000              # before the first; the pause doubles from one to the next,
//!     backoff_max_ms = 300000        # up to this, and begins anew behind a process that lived for so long
//!
//!     [[deployment.cron]]            # starts a process of its own, however many replicas there are
//!     schedule = "30 7 * * mon-fri"  # minute, hour, day of the month, month, day of the week; in UTC
//!     task = "Write the report."     # what it is told
//! "#)?;
//! assert_eq!((specs.len(), specs[0].replicas, specs[0].cron.len()), (1, 2, 1));
//! # Ok::<(), remit_deploy::FileError>(())
//! ```

mod cron;
mod file;
mod member;
mod plan;
mod state;

pub use cron::{Schedule, ScheduleError};
pub use file::{Cron, FileError, Restart, RestartPolicy, Spec, parse};
pub use member::{Member, group_of, run_name};
pub use plan::{Act, Pauses, plan};
pub use state::{Applied, Deployment, Package, Revision, StateError, Tried, Undecidable, Upgraded};
