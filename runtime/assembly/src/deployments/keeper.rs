//! Who does what was decided of deployments: starts what is missing, ends what is too much, begins what is due.
//!
//! It remembers nothing that matters: who lives is seen by the names of processes, what was decided is in the log, and how a replica ended
//! is among the results until it was looked at. So it may be cut off anywhere, and the next one goes on.
//!
//! | moment | a crash there |
//! | --- | --- |
//! | before a replica's start is in the log | there is none, and it is started again |
//! | behind a replica's end, before that was looked at | its result is there, and is looked at when the host starts anew |
//! | behind the start of a run that was due, before that is written down | a process, or a result, has the moment in its name |

use super::{Deploying, NS_PER_SECOND};
use crate::{
    node::{LOCAL_TENANT, Node},
    resumed::ResumedTask,
};
use remit_abi::Pid;
use remit_deploy::{Act, Deployment, Member, Pauses, group_of, plan, run_name};
use remit_kernel::{Ended, Group, is_in_share, ports::StoredResult};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time;

/// How often it is looked whether something ended of itself, or is due: a schedule counts minutes.
const LOOK: Duration = Duration::from_secs(1);

/// How long a replica has to end by itself: an answer that it writes is a minute's work.
const GRACE: Duration = Duration::from_mins(1);

/// How long a result is waited for: it is written when its process is gone. An operator may have dropped it.
const RESULT_WAIT: Duration = Duration::from_secs(10);

/// Results that are looked through when a host starts: as many as a day of short runs leaves.
const RESULTS_MAX: usize = 10_000;

/// A replica that was seen alive.
#[derive(Clone, Copy, Debug)]
struct Seen {
    pid: Pid,
    since: Instant,
    /// Since when it is asked to end.
    ending: Option<Instant>,
    /// Since when it is not alive any more.
    gone: Option<Instant>,
}

impl Seen {
    fn now(pid: Pid) -> Self {
        Self { pid, since: Instant::now(), ending: None, gone: None }
    }
}

/// What is remembered from one turn to the next.
struct Keeper {
    begun: Instant,
    /// The same on the wall clock, in seconds: what was due before may have been begun by the host before.
    began: i64,
    pauses: Pauses,
    seen: BTreeMap<Member, Seen>,
    groups: BTreeMap<String, Group>,
    /// Whether the ends were looked at that the host before did not see.
    looked_back: bool,
}

/// Does what was decided, for as long as it is polled. What it starts is handed over, and stops where that is dropped.
pub async fn keep_deployments<N>(node: N, run: impl Fn(ResumedTask) + Send + Sync + 'static)
where
    N: Deref<Target = Node> + Clone + Send + 'static,
{
    if !node.durable {
        return std::future::pending().await;
    }
    let (run, changed) = (Arc::new(run), node.deploying.changed.clone());
    let mut keeper = Keeper::new(&node);
    loop {
        let (turning, run) = (node.clone(), run.clone());
        let turn = tokio::task::spawn_blocking(move || {
            keeper.turn(&turning, &*run);
            keeper
        });
        keeper = match turn.await {
            Ok(keeper) => keeper,
            Err(error) => {
                tracing::error!(%error, "deployments were not looked after; it is tried again");
                Keeper::new(&node)
            }
        };
        tokio::select! {
            () = time::sleep(LOOK) => {}
            () = changed.notified() => {}
        }
    }
}

impl Keeper {
    fn new(node: &Node) -> Self {
        Self {
            begun: Instant::now(),
            began: node.now_seconds(),
            pauses: Pauses::default(),
            seen: BTreeMap::new(),
            groups: BTreeMap::new(),
            looked_back: false,
        }
    }

    /// Everything that is to be done now. Blocks.
    fn turn(&mut self, node: &Node, run: &dyn Fn(ResumedTask)) {
        let Some(decided) = decided_now(node) else { return };
        if decided.is_empty() && self.seen.is_empty() && self.groups.is_empty() && self.looked_back {
            return;
        }
        let living = node.members();
        let back = if self.looked_back || decided.is_empty() { Vec::new() } else { results(node) };
        self.see(&living);
        self.look_at_ends(node, &decided, &living, &back);
        self.looked_back = true;
        // Ends decide: who did its work is not to be started again.
        let Some(decided) = decided_now(node) else { return };
        self.gather(node, &decided);
        for deployment in &decided {
            self.tend(node, deployment, &living, run);
            self.begin_due(node, deployment, run);
        }
        // Those of deployments that are none any more.
        let is_left = |member: &&Member| decided.iter().all(|deployment| deployment.spec.name != member.deployment);
        living.keys().filter(is_left).for_each(|member| self.end(node, member));
        let is_wanted = |member: &Member| decided.iter().any(|deployment| wants(deployment, member));
        self.pauses.keep(is_wanted);
        node.deploying.troubles.lock().retain(|member, _| is_wanted(member));
    }

    fn see(&mut self, living: &BTreeMap<Member, Pid>) {
        for (member, pid) in living {
            let seen = Seen::now(*pid);
            let known = self.seen.entry(member.clone()).or_insert(seen);
            if known.pid != *pid {
                *known = seen;
            }
        }
    }

    /// Looks at how replicas ended that live no more: those that were seen alive, and those of which the host before left a result.
    fn look_at_ends(
        &mut self,
        node: &Node,
        decided: &[Deployment],
        living: &BTreeMap<Member, Pid>,
        back: &[StoredResult],
    ) {
        let gone = self.seen.iter().filter(|(member, _)| !living.contains_key(*member));
        let mut ended: BTreeMap<Member, (Pid, Duration)> =
            gone.map(|(member, seen)| (member.clone(), (seen.pid, seen.since.elapsed()))).collect();
        for result in back {
            let Some(created) = &result.created else { continue };
            let Some(Ok(member)) = created.name.as_deref().map(str::parse::<Member>) else { continue };
            let Some(deployment) = decided.iter().find(|it| it.spec.name == member.deployment) else { continue };
            let is_earlier = i64::try_from(created.started_ns / NS_PER_SECOND).is_ok_and(|at| at < deployment.began);
            if !is_earlier && result.pid.tenant == LOCAL_TENANT && !living.contains_key(&member) {
                let lived_ns = result.ended_ns.unwrap_or_default().saturating_sub(created.started_ns);
                // The latest result comes first, and is its last word.
                ended.entry(member).or_insert((result.pid, Duration::from_nanos(lived_ns)));
            }
        }
        for (member, (pid, lived)) in ended {
            if self.look_at_end(node, decided, &member, pid, lived) {
                self.seen.remove(&member);
            }
        }
    }

    /// Whether there is no more to be done about an end.
    fn look_at_end(&mut self, node: &Node, decided: &[Deployment], member: &Member, pid: Pid, lived: Duration) -> bool {
        let Some(deployment) = decided.iter().find(|deployment| wants(deployment, member)) else { return true };
        // Who was asked to end, and is wanted again by now, neither did its work nor failed at it.
        if self.seen.get(member).is_some_and(|seen| seen.ending.is_some()) {
            return true;
        }
        let result = match node.kernel.result(pid) {
            Ok(result) => result,
            Err(error) => {
                tracing::error!(%member, %error, "how a replica ended cannot be read");
                return false;
            }
        };
        if result.is_none()
            && let Some(seen) = self.seen.get_mut(member)
            && seen.gone.get_or_insert_with(Instant::now).elapsed() < RESULT_WAIT
        {
            return false;
        }
        let did_its_work = result.is_some_and(|result| matches!(result.finished.ended, Ended::Done(..)));
        let restart = &deployment.spec.restart;
        if restart.again(did_its_work) {
            let lived_ms = u64::try_from(lived.as_millis()).unwrap_or(u64::MAX);
            let pause_ms = self.pauses.begin(member, restart, lived_ms, self.now_ms());
            tracing::info!(%member, %pid, did_its_work, pause_ms, "a replica ended, and is started again");
            // Its log stays. What it came to would be one of many alike.
            if let Err(error) = node.kernel.drop_result(pid) {
                tracing::warn!(%member, %error, "what a replica came to is kept");
            }
            return true;
        }
        tracing::info!(%member, %pid, did_its_work, "a replica ended, and its policy starts it no more");
        let replica = (member.revision, member.slot);
        let noted = node.decide(&member.deployment, |deployment| {
            if wants(deployment, member) {
                deployment.ended.insert(replica);
            }
            Ok(())
        });
        noted.inspect_err(|error| tracing::error!(%member, %error, "the end of a replica is not written down")).is_ok()
    }

    /// Has messages to the names of deployments find their replicas.
    fn gather(&mut self, node: &Node, decided: &[Deployment]) {
        let group = |deployment: &Deployment| {
            let name = &deployment.spec.name;
            let tried = deployment.tried.as_ref();
            let tried = tried.map(|tried| (group_of(name, tried.revision.number).into(), tried.percent));
            (name.clone(), Group { members: format!("{name}#").into(), tried })
        };
        let groups: BTreeMap<_, _> = decided.iter().map(group).collect();
        for name in self.groups.keys().filter(|name| !groups.contains_key(*name)) {
            node.kernel.set_group(LOCAL_TENANT, name, None);
        }
        for (name, group) in groups.iter().filter(|(name, group)| self.groups.get(*name) != Some(*group)) {
            node.kernel.set_group(LOCAL_TENANT, name, Some(group.clone()));
        }
        self.groups = groups;
    }

    /// Starts what is missing of one deployment, and ends what is too much.
    fn tend(
        &mut self,
        node: &Node,
        deployment: &Deployment,
        living: &BTreeMap<Member, Pid>,
        run: &dyn Fn(ResumedTask),
    ) {
        let name = &deployment.spec.name;
        let own = living.keys().filter(|member| member.deployment == *name);
        let replicas: BTreeSet<_> = own.map(|member| (member.revision, member.slot)).collect();
        for act in plan(deployment, &replicas) {
            match act {
                Act::Start { revision, slot } => {
                    let member = Member { deployment: name.clone(), revision, slot };
                    // One whose end is not looked at yet waits for that.
                    if !self.seen.contains_key(&member) && self.pauses.are_over(&member, self.now_ms()) {
                        self.start(node, deployment, member, run);
                    }
                }
                Act::End { revision, slot } => self.end(node, &Member { deployment: name.clone(), revision, slot }),
            }
        }
    }

    fn start(&mut self, node: &Node, deployment: &Deployment, member: Member, run: &dyn Fn(ResumedTask)) {
        let Some(revision) = deployment.revision(member.revision) else { return };
        match node.start_revision(revision, member.to_string(), revision.task.as_deref()) {
            Ok(running) => {
                node.deploying.troubles.lock().remove(&member);
                self.seen.insert(member, Seen::now(running.pid));
                run(told(&node.deploying, running.unwatched()));
            }
            Err(error) => {
                let pause_ms = self.pauses.begin(&member, &deployment.spec.restart, 0, self.now_ms());
                tracing::warn!(%member, %error, pause_ms, "a replica is not started; it is tried again");
                node.deploying.troubles.lock().insert(member, error.to_string());
            }
        }
    }

    /// Asks a replica to end, and kills it where it does not.
    fn end(&mut self, node: &Node, member: &Member) {
        let Some(seen) = self.seen.get_mut(member) else { return };
        match seen.ending {
            None => {
                seen.ending = Some(Instant::now());
                node.kernel.cancel(seen.pid);
            }
            Some(since) if since.elapsed() > GRACE => node.kernel.kill(seen.pid),
            Some(_) => {}
        }
    }

    /// Begins the runs of a deployment whose moments have come.
    fn begin_due(&self, node: &Node, deployment: &Deployment, run: &dyn Fn(ResumedTask)) {
        let now = node.now_seconds();
        let due = deployment.due(now);
        if due.is_empty() {
            return;
        }
        // What was due before this host began may have been begun by the one before.
        let may_be_begun = due.iter().any(|(_, at)| *at <= self.began);
        let begun = if may_be_begun { begun_before(node, &deployment.spec.name) } else { BTreeSet::new() };
        let mut runs = deployment.runs;
        for (place, at) in due {
            let Some(cron) = deployment.spec.cron.get(place) else { continue };
            let begun_by = format!("cron{place}.{}", at / 60);
            let revision = deployment.revision_of_run(is_in_share(runs, deployment.percent()));
            runs = runs.saturating_add(1);
            if begun.contains(&begun_by) {
                continue;
            }
            let name = run_name(&deployment.spec.name, revision.number, &begun_by);
            match node.start_revision(revision, name, Some(&cron.task)) {
                Ok(running) => run(told(&node.deploying, running.unwatched())),
                Err(error) => {
                    tracing::error!(deployment = %deployment.spec.name, schedule = %cron.schedule, %error, "what was due is not begun");
                }
            }
        }
        let count = runs.saturating_sub(deployment.runs);
        let noted = node.decide(&deployment.spec.name, |deployment| {
            deployment.clock = deployment.clock.max(now);
            deployment.runs = deployment.runs.saturating_add(count);
            Ok(())
        });
        if let Err(error) = noted {
            tracing::error!(deployment = %deployment.spec.name, %error, "it is not written down what was begun");
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn decided_now(node: &Node) -> Option<Vec<Deployment>> {
    node.decided().inspect_err(|error| tracing::error!(%error, "deployments are not looked after")).ok()
}

/// Whether a replica is one that there is to be, whether it did its work or not.
fn wants(deployment: &Deployment, member: &Member) -> bool {
    let count = deployment.replicas_of(member.revision);
    member.deployment == deployment.spec.name && (1..=count).contains(&member.slot)
}

/// A task at whose end it is looked what is to be done.
fn told(deploying: &Deploying, task: ResumedTask) -> ResumedTask {
    let changed = deploying.changed.clone();
    let finished = Box::pin(async move {
        let finished = task.finished.await;
        changed.notify_one();
        finished
    });
    ResumedTask { pid: task.pid, finished }
}

fn results(node: &Node) -> Vec<StoredResult> {
    let read = node.kernel.results(RESULTS_MAX);
    read.inspect_err(|error| tracing::error!(%error, "what ended before cannot be read")).unwrap_or_default()
}

/// By what the runs of a deployment were begun that live, or whose result is kept.
fn begun_before(node: &Node, deployment: &str) -> BTreeSet<String> {
    let living = node.kernel.processes().into_iter().filter_map(|process| process.name);
    let ended = results(node).into_iter().filter_map(|result| result.created?.name);
    let begun_by = |name: Arc<str>| {
        let (whose, run) = name.split_once('!')?;
        let (_, begun_by) = run.split_once('.')?;
        (whose == deployment).then(|| begun_by.to_owned())
    };
    living.chain(ended).filter_map(begun_by).collect()
}
