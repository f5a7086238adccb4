//! Programs that are left where a host was killed.
//!
//! A host that ends takes its programs along; one that is killed, or whose machine runs out of memory, cannot. What it left would go on
//! beside its own repetition. So each program says in its environment, which all that it starts inherits, on behalf of which host it runs,
//! and the next host of that name ends what it finds, before it calls anything itself.
//!
//! Told from the environment, and not from a list that the host keeps: there is no moment between a program's start and its mark, and no
//! number in it that may have come to mean another process since.

use rustix::process::{Pid, Signal, getpgid, getpgrp, kill_process, kill_process_group};
use std::{
    ffi::{OsStr, OsString},
    thread,
    time::Duration,
};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

/// Says which host a program runs for.
pub(crate) const VARIABLE: &str = "REMIT_TOOL_HOST";

/// What was killed is looked for again after so long: it may have started another one in its last moment.
const PAUSE: Duration = Duration::from_millis(2);

/// So often, at most. A process that the system cannot end, for example in the middle of a read that hangs, holds no host up.
const ROUNDS: usize = 250;

/// Kills the programs that an earlier host of this name left, with all that they started; how many processes there were.
///
/// Blocks, some milliseconds where there are none. Only the one host that runs under its name may ask: it would kill the programs of
/// another one.
pub(crate) fn end(host: &OsStr) -> usize {
    let mark: OsString = [OsStr::new(VARIABLE), OsStr::new("="), host].into_iter().collect();
    let mut ended = Vec::new();
    for _ in 0..ROUNDS {
        let left = marked(&mark);
        if left.is_empty() {
            break;
        }
        for pid in left {
            kill(pid);
            if !ended.contains(&pid) {
                ended.push(pid);
            }
        }
        thread::sleep(PAUSE);
    }
    ended.len()
}

/// The processes whose environment has this, of those whose environment this user may read. One that has ended has none.
fn marked(mark: &OsStr) -> Vec<Pid> {
    let mut system = System::new();
    let environments = ProcessRefreshKind::nothing().without_tasks().with_environ(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, environments);
    let marked = system.processes().values().filter(|process| process.environ().iter().any(|entry| entry == mark));
    marked.filter_map(|process| Pid::from_raw(i32::try_from(process.pid().as_u32()).ok()?)).collect()
}

/// Its whole group, unless that is the one this host is in.
fn kill(pid: Pid) {
    let _gone = match getpgid(Some(pid)) {
        Ok(group) if group != getpgrp() => kill_process_group(group, Signal::KILL),
        _ => kill_process(pid, Signal::KILL),
    };
}
