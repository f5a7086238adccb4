//! Deployments: what an operator decides, what is refused, and what is seen. Who does it is [`keeper`].
//!
//! | | |
//! | --- | --- |
//! | what is decided | the pure crate `deploy` says it; the kernel keeps it in the log |
//! | what runs | installed packages, by the digest that their names meant when they were deployed: those bytes, or nothing |
//! | who lets it in | the policies, when it is decided and at each start |
//! | what a new version may ask for | what the one that runs was given; more is refused, with the difference |
//! | who gets a message | to a deployment's name, from an agent that was granted it: a replica, each in its turn |
//! | who does a run | a process of its own, begun by an operator or by a schedule |
//!
//! What is decided is decided one after the other, and is in the log before anything of it is done.

mod keeper;

pub use keeper::keep_deployments;

use crate::{
    node::{GrantChoice, LOCAL_TENANT, Node, Running, StartError, Task, TaskMessage},
    resumed::ResumedTask,
};
use parking_lot::Mutex;
use remit_abi::{Pid, Tokens};
use remit_deploy::{Applied, Deployment, Member, Revision, Spec, StateError, Undecidable, Upgraded, run_name};
use remit_kernel::{is_in_share, ports::JournalError};
use remit_package::{AgentName, Manifest, Package, Store, StoreError, Version, Want, excesses};
use std::{collections::BTreeMap, sync::Arc};
use thiserror::Error;
use tokio::sync::Notify;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// A deployment that is not decided, or a run that is not begun.
#[derive(Debug, Error)]
pub enum DeployError {
    /// A name that is none.
    #[error("the deployment {deployment}: {why}")]
    Name {
        /// Which.
        deployment: String,
        /// What is wrong with the package's name.
        why: String,
    },
    /// What is installed cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing of that name.
    #[error("no package {0} is installed, and only what is installed is deployed: `remit install` installs one")]
    NotInstalled(AgentName),
    /// A version means other bytes than it did.
    #[error(
        "{package} has the digest {found} now, and {deployed} was deployed: those bytes run or none do; deploy it anew, or install what \
         it was"
    )]
    OtherBytes {
        /// Which package.
        package: String,
        /// What it means now.
        found: String,
        /// What it meant.
        deployed: String,
    },
    /// It would not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A budget that is none.
    #[error("{0} tokens are too many to count: name fewer")]
    Tokens(u64),
    /// It asks for more than what runs.
    #[error("{new} asks for more than {runs}, which runs: {}; --allow-wider takes it all the same", differences.join("; "))]
    Wider {
        /// What is to run.
        new: String,
        /// What runs.
        runs: String,
        /// Each thing that it asks for besides, a sentence without a full stop.
        differences: Vec<String>,
    },
    /// It makes no sense now.
    #[error("the deployment {deployment}: {error}")]
    Undecidable {
        /// Which.
        deployment: String,
        /// Why.
        error: Undecidable,
    },
    /// Nothing of that name.
    #[error("there is no deployment {name}: there are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is, comma-separated.
        known: String,
    },
    /// It is not written down.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What was written down is not read.
    #[error(transparent)]
    State(#[from] StateError),
    /// A host that keeps nothing.
    #[error("only a host that keeps a journal deploys: start one with `remit up`")]
    NotDurable,
}

/// Whether a version may ask for more than the one that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wider {
    /// No.
    Refused,
    /// Yes, since an operator says so.
    Allowed,
}

/// Whether what would be done is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It is.
    Now,
    /// It is only said.
    Nothing,
}

/// A deployment, as an operator sees it.
#[derive(Clone, Debug)]
pub struct DeploymentView {
    /// What was decided.
    pub deployment: Deployment,
    /// Its replicas that live.
    pub replicas: Vec<(Member, Pid)>,
    /// Replicas that are not started for now, and why.
    pub troubles: Vec<(Member, String)>,
}

/// What a node has for its deployments, besides what the log has.
#[derive(Debug, Default)]
pub(crate) struct Deploying {
    /// Held by whoever decides.
    alone: Mutex<()>,
    /// Woken whenever there may be something to do.
    changed: Arc<Notify>,
    /// Replicas that are not started for now.
    troubles: Mutex<BTreeMap<Member, String>>,
}

impl Node {
    /// What an operator sees of all deployments, by name.
    ///
    /// # Errors
    /// [`DeployError::State`].
    pub fn deployments(&self) -> Result<Vec<DeploymentView>, DeployError> {
        let living = self.members();
        let troubles = self.deploying.troubles.lock().clone();
        let view = |deployment: Deployment| {
            let is_its = |member: &Member| member.deployment == deployment.spec.name;
            let replicas = living.iter().filter(|(member, _)| is_its(member));
            let troubles = troubles.iter().filter(|(member, _)| is_its(member));
            DeploymentView {
                replicas: replicas.map(|(member, pid)| (member.clone(), *pid)).collect(),
                troubles: troubles.map(|(member, why)| (member.clone(), why.clone())).collect(),
                deployment,
            }
        };
        Ok(self.decided()?.into_iter().map(view).collect())
    }

    /// Applies deployments: one of a new name is new, one that is there becomes what its file says. Others stay. Each is looked at before
    /// any is changed. Blocks.
    ///
    /// # Errors
    /// [`DeployError`]: of the first one that is refused; nothing is different then.
    pub fn deploy(&self, specs: Vec<Spec>, wider: Wider, doing: Doing) -> Result<Vec<(String, Applied)>, DeployError> {
        if !self.durable {
            return Err(DeployError::NotDurable);
        }
        let _alone = self.deploying.alone.lock();
        let known = self.decided()?;
        let mut all = Vec::with_capacity(specs.len());
        for spec in specs {
            let there = known.iter().find(|deployment| deployment.spec.name == spec.name);
            all.push(self.applied(there, spec, wider)?);
        }
        for (deployment, applied) in all.iter().filter(|_| doing == Doing::Now) {
            if *applied != Applied::Unchanged {
                self.keep(deployment)?;
            }
        }
        self.deploying.changed.notify_one();
        Ok(all.into_iter().map(|(deployment, applied)| (deployment.spec.name, applied)).collect())
    }

    fn applied(
        &self,
        there: Option<&Deployment>,
        spec: Spec,
        wider: Wider,
    ) -> Result<(Deployment, Applied), DeployError> {
        let names_other = there.is_none_or(|there| there.spec.package != spec.package);
        let package = names_other.then(|| self.resolve(&spec)).transpose()?;
        let now = self.now_seconds();
        let (deployment, applied) = match (there, package) {
            (None, Some(package)) => (Deployment::new(spec, package, now), Applied::New),
            (Some(there), package) => {
                let mut deployment = there.clone();
                let name = spec.name.clone();
                let undecidable = |error| DeployError::Undecidable { deployment: name, error };
                let applied = deployment.apply(spec, package, now).map_err(undecidable)?;
                (deployment, applied)
            }
            (None, None) => unreachable!("what is new names a package"),
        };
        let was = there.map(|there| &there.stable);
        if was.is_none_or(|was| was.number != deployment.stable.number) {
            self.check(&deployment.stable, was, wider)?;
        }
        Ok((deployment, applied))
    }

    /// Goes to another version, with everything or with so many of a hundred messages and runs. Blocks.
    ///
    /// # Errors
    /// [`DeployError`]; nothing is different then.
    pub fn upgrade(
        &self,
        name: &str,
        version: &Version,
        percent: Option<u8>,
        wider: Wider,
    ) -> Result<Upgraded, DeployError> {
        self.decide(name, |deployment| {
            let asked = AgentName { name: deployment.stable.package.name.clone(), version: Some(version.clone()) };
            let (package, was) = (self.installed(&asked)?, deployment.stable.clone());
            let undecidable = |error| DeployError::Undecidable { deployment: name.to_owned(), error };
            let upgraded = deployment.upgrade(package.clone(), percent).map_err(undecidable)?;
            let new = deployment.revisions().find(|revision| revision.package == package);
            new.map_or(Ok(()), |new| self.check(new, Some(&was), wider))?;
            Ok(upgraded)
        })
    }

    /// Goes to the version that is tried. Blocks.
    ///
    /// # Errors
    /// [`DeployError`]; nothing is different then.
    pub fn promote(&self, name: &str) -> Result<Upgraded, DeployError> {
        let undecidable = |error| DeployError::Undecidable { deployment: name.to_owned(), error };
        self.decide(name, |deployment| deployment.promote().map_err(undecidable))
    }

    /// Tries no version any more, or goes back to what ran before. It is looked at as if it were started now. Blocks.
    ///
    /// # Errors
    /// [`DeployError`]; nothing is different then.
    pub fn roll_back(&self, name: &str) -> Result<Upgraded, DeployError> {
        let undecidable = |error| DeployError::Undecidable { deployment: name.to_owned(), error };
        self.decide(name, |deployment| {
            let upgraded = deployment.rollback().map_err(undecidable)?;
            if matches!(upgraded, Upgraded::Stable { .. }) {
                self.check(&deployment.stable, None, Wider::Allowed)?;
            }
            Ok(upgraded)
        })
    }

    /// Runs a deployment no more: its replicas are asked to end. Blocks.
    ///
    /// # Errors
    /// [`DeployError`].
    pub fn remove_deployment(&self, name: &str) -> Result<(), DeployError> {
        let _alone = self.deploying.alone.lock();
        self.one_decided(name)?;
        self.kernel.keep_deployment(LOCAL_TENANT, name, None)?;
        self.deploying.changed.notify_one();
        Ok(())
    }

    /// Begins a run of a deployment: a process of its own that is told something. Where a version is tried, a share of the runs is of that
    /// one. Blocks.
    ///
    /// # Errors
    /// [`DeployError`]; nothing runs then.
    pub fn run_deployed(&self, name: &str, task: &str) -> Result<Running, DeployError> {
        let _alone = self.deploying.alone.lock();
        let mut deployment = self.one_decided(name)?;
        let revision = deployment.revision_of_run(is_in_share(deployment.runs, deployment.percent()));
        let run = run_name(name, revision.number, &format!("run{}", deployment.runs));
        let running = self.start_revision(revision, run, Some(task))?;
        deployment.runs = deployment.runs.saturating_add(1);
        self.keep(&deployment)?;
        Ok(running)
    }

    /// Changes one deployment, and writes it down.
    fn decide<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Deployment) -> Result<T, DeployError>,
    ) -> Result<T, DeployError> {
        let _alone = self.deploying.alone.lock();
        let mut deployment = self.one_decided(name)?;
        let done = change(&mut deployment)?;
        self.keep(&deployment)?;
        self.deploying.changed.notify_one();
        Ok(done)
    }

    fn keep(&self, deployment: &Deployment) -> Result<(), DeployError> {
        let text = deployment.to_json()?;
        Ok(self.kernel.keep_deployment(LOCAL_TENANT, &deployment.spec.name, Some(text.into()))?)
    }

    fn decided(&self) -> Result<Vec<Deployment>, DeployError> {
        let kept = self.kernel.deployments(LOCAL_TENANT);
        Ok(kept.iter().map(|(_, state)| Deployment::of_json(state)).collect::<Result<_, _>>()?)
    }

    fn one_decided(&self, name: &str) -> Result<Deployment, DeployError> {
        let mut known = self.decided()?;
        match known.iter().position(|deployment| deployment.spec.name == name) {
            Some(place) => Ok(known.swap_remove(place)),
            None => {
                let names: Vec<_> = known.iter().map(|deployment| deployment.spec.name.as_str()).collect();
                let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                Err(DeployError::Unknown { name: name.to_owned(), known })
            }
        }
    }

    /// Every replica that lives, of whichever deployment, also of one that is none any more.
    fn members(&self) -> BTreeMap<Member, Pid> {
        let processes = self.kernel.processes();
        let own = processes.iter().filter(|process| process.pid.tenant == LOCAL_TENANT && process.parent.is_none());
        own.filter_map(|process| Some((process.name.as_deref()?.parse().ok()?, process.pid))).collect()
    }

    /// What a file's package means now.
    fn resolve(&self, spec: &Spec) -> Result<remit_deploy::Package, DeployError> {
        let wrong = |why| DeployError::Name { deployment: spec.name.clone(), why };
        let asked: AgentName = spec.package.parse().map_err(wrong)?;
        self.installed(&asked)
    }

    fn installed(&self, asked: &AgentName) -> Result<remit_deploy::Package, DeployError> {
        let mut listed = Store::at(self.home.packages()).list()?.into_iter();
        let found = listed.find(|listed| {
            let is_it = asked.version.as_ref().map_or(listed.is_current, |version| listed.version == *version);
            listed.name == asked.name && is_it
        });
        let found = found.ok_or_else(|| DeployError::NotInstalled(asked.clone()))?;
        Ok(remit_deploy::Package { name: found.name, version: found.version.to_string(), digest: found.digest })
    }

    /// The bytes that were deployed.
    fn open_deployed(&self, deployed: &remit_deploy::Package) -> Result<Package, DeployError> {
        let name = deployed.to_string();
        let wrong = |why| DeployError::Name { deployment: name.clone(), why };
        let asked: AgentName = name.parse().map_err(wrong)?;
        let found = Store::at(self.home.packages()).open(&asked)?;
        let package = found.ok_or_else(|| DeployError::NotInstalled(asked.clone()))?;
        let found = package.digest();
        if found == deployed.digest {
            return Ok(package);
        }
        Err(DeployError::OtherBytes { package: name, found, deployed: deployed.digest.clone() })
    }

    /// Whether processes of a revision would start, and ask for no more than those that run.
    fn check(&self, new: &Revision, runs: Option<&Revision>, wider: Wider) -> Result<(), DeployError> {
        let package = self.open_deployed(&new.package)?;
        if let Some(tokens) = new.tokens {
            Tokens::from_whole(tokens).ok_or(DeployError::Tokens(tokens))?;
        }
        self.load(&package, &choice(new))?;
        let runs = runs.filter(|runs| wider == Wider::Refused && runs.package != new.package);
        let Some(runs) = runs else { return Ok(()) };
        let bounds = self.open_deployed(&runs.package)?;
        let differences = differences(&package.manifest, new, &bounds.manifest, runs, self.kernel.wall_ns());
        match differences.is_empty() {
            true => Ok(()),
            false => {
                Err(DeployError::Wider { new: new.package.to_string(), runs: runs.package.to_string(), differences })
            }
        }
    }

    /// Starts a process of a revision.
    fn start_revision(&self, revision: &Revision, name: String, task: Option<&str>) -> Result<Running, DeployError> {
        let package = self.open_deployed(&revision.package)?;
        let agent = self.load(&package, &choice(revision))?;
        let whole = |tokens| Tokens::from_whole(tokens).ok_or(DeployError::Tokens(tokens));
        let budget = revision.tokens.map(whole).transpose()?;
        let message = |text: &str| TaskMessage { text: text.to_owned(), trusted: true, ..TaskMessage::default() };
        let messages = task.map(message).into_iter().collect();
        Ok(self.start(&agent, Task { budget, messages, name: Some(name), durable: true, ..Task::default() })?)
    }

    fn now_seconds(&self) -> i64 {
        i64::try_from(self.kernel.wall_ns() / NS_PER_SECOND).unwrap_or(i64::MAX)
    }
}

impl Running {
    /// It goes on, and nobody is shown what it does.
    #[must_use]
    pub fn unwatched(self) -> ResumedTask {
        self.events.leave();
        ResumedTask { pid: self.pid, finished: self.finished }
    }
}

fn choice(revision: &Revision) -> GrantChoice {
    revision.grants.clone().map_or(GrantChoice::All, GrantChoice::Only)
}

/// The wants of a manifest that a revision's processes get.
fn chosen(manifest: &Manifest, revision: &Revision) -> Vec<Want> {
    let is_chosen = |want: &&Want| revision.grants.as_ref().is_none_or(|labels| labels.contains(&want.label));
    manifest.wants.iter().filter(is_chosen).cloned().collect()
}

/// What a revision asks for beyond another one.
fn differences(new: &Manifest, asks: &Revision, old: &Manifest, has: &Revision, now_ns: u64) -> Vec<String> {
    let beyond = excesses(&chosen(new, asks), &chosen(old, has), now_ns);
    let mut differences: Vec<String> = beyond.iter().map(ToString::to_string).collect();
    let most = has.tokens.unwrap_or(old.budget.tokens);
    // What its file says is its operator's word.
    if asks.tokens.is_none() && new.budget.tokens > most {
        differences.push(format!("its budget is {} tokens, and {most} are what it may have", new.budget.tokens));
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(rest: &str) -> Manifest {
        let text = format!("name = \"clerk\"\nversion = \"1.0.0\"\ncomponent = \"clerk.wasm\"\n{rest}");
        Manifest::parse(&text).expect("it is a manifest")
    }

    fn revision(grants: Option<&[&str]>, tokens: Option<u64>) -> Revision {
        let package = remit_deploy::Package { name: "clerk".into(), version: "1.0.0".into(), digest: "00".into() };
        let grants = grants.map(|labels| labels.iter().map(ToString::to_string).collect());
        Revision { number: 1, package, task: None, grants, tokens }
    }

    #[test]
    fn a_version_may_ask_for_what_the_one_before_got_and_no_more() {
        let one = "[[wants.models]]\nlabel = \"chat\"\nmax_tokens_per_call = 100\n";
        let more = "[[wants.models]]\nlabel = \"chat\"\nmax_tokens_per_call = 200\n";
        let two = &format!("{one}[[wants.processes]]\nlabel = \"workers\"\nagents = [\"worker\"]\n");
        let all = || revision(None, None);
        let check = |new: &str, asks: Revision, old: &str, has: Revision, expect: &[&str]| {
            let told = differences(&manifest(new), &asks, &manifest(old), &has, 0);
            assert_eq!(told.len(), expect.len(), "{told:?}");
            assert!(told.iter().zip(expect).all(|(told, expect)| told.contains(expect)), "{told:?}");
        };
        check(one, all(), one, all(), &[]);
        check(one, all(), two, all(), &[]);
        check(more, all(), one, all(), &["the want \"chat\""]);
        check(two, all(), one, all(), &["the want \"workers\""]);
        // What the deployment leaves out is asked for by nobody, and is no ground for anything.
        check(two, revision(Some(&["chat"]), None), one, all(), &[]);
        check(two, all(), two, revision(Some(&["chat"]), None), &["the want \"workers\""]);
        let rich = &format!("{one}[budget]\ntokens = 5000\n");
        check(rich, all(), one, all(), &["its budget is 5000 tokens"]);
        check(rich, revision(None, Some(9)), one, all(), &[]);
        check(rich, all(), one, revision(None, Some(5000)), &[]);
    }
}
