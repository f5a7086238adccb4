//! Agents that would start each other for ever.
//!
//! An agent that may start an agent that may start it again can spend whatever it was given on copies of itself. Whether
//! that is meant is the operator's to say; here it is found, from what manifests ask for.
//!
//! An entry with `*` at its end asks for every installed agent whose name begins so, whichever comes to be installed, so
//! it counts for all that are. An agent that asks for `*` may start itself: that is a cycle of one. An agent that is not
//! installed starts nobody.

use crate::Manifest;
use remit_abi::{GrantKind, Scope};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

/// An agent on the way from the root, and what it asks for that was not followed yet.
struct Step<'m> {
    name: &'m str,
    entries: Vec<&'m str>,
}

impl<'m> Step<'m> {
    fn of(manifest: &'m Manifest) -> Self {
        let processes = manifest.wants.iter().filter(|want| want.kind == GrantKind::Process);
        let entries = processes.filter_map(|want| want.scope.as_ref()).flat_map(Scope::entries);
        let mut entries: Vec<&str> = entries.map(|entry| &**entry).collect();
        entries.reverse();
        Self { name: &manifest.name, entries }
    }
}

/// A way on which an agent comes back to itself, that starts at `root` or at an agent that it may lead to: `a`, `b`, `a`.
/// `None` where there is none.
///
/// Every agent and every entry is followed once; each is looked up in time logarithmic in the number of agents.
#[must_use]
pub fn spawn_cycle<'m>(installed: impl IntoIterator<Item = &'m Manifest>, root: &str) -> Option<Vec<String>> {
    let manifests: BTreeMap<&str, &Manifest> =
        installed.into_iter().map(|manifest| (manifest.name.as_str(), manifest)).collect();
    let mut unseen: BTreeSet<&str> = manifests.keys().copied().collect();
    let mut on_the_way = BTreeSet::new();
    let mut way = Vec::new();
    let mut next = manifests.get(root).copied();
    loop {
        if let Some(manifest) = next.take() {
            let step = Step::of(manifest);
            unseen.remove(step.name);
            on_the_way.insert(step.name);
            way.push(step);
        }
        let step = way.last_mut()?;
        let Some(entry) = step.entries.last().copied() else {
            on_the_way.remove(step.name);
            way.pop();
            continue;
        };
        if let Some(again) = covered(&on_the_way, entry) {
            let cycle = way.iter().map(|step| step.name).skip_while(|name| *name != again);
            return Some(cycle.chain([again]).map(str::to_owned).collect());
        }
        match covered(&unseen, entry) {
            Some(name) => next = manifests.get(name).copied(),
            None => drop(step.entries.pop()),
        }
    }
}

/// The first name that an entry covers.
fn covered<'m>(names: &BTreeSet<&'m str>, entry: &str) -> Option<&'m str> {
    match entry.strip_suffix('*') {
        None => names.get(entry).copied(),
        Some(start) => {
            let from = (Bound::Included(start), Bound::Unbounded);
            names.range::<str, _>(from).next().copied().filter(|name| name.starts_with(start))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Want;

    /// A manifest that asks to start the agents of one want for each entry.
    fn agent(name: &str, may_start: &[&str]) -> Manifest {
        let mut manifest = Manifest::bare(name, "agent.wasm");
        for entry in may_start {
            let scope = Scope::parse(GrantKind::Process, &[entry]).expect("it is an entry");
            manifest.wants.push(Want::new(GrantKind::Process, entry, Some(scope)));
        }
        manifest
    }

    fn check(agents: &[(&str, &[&str])], root: &str, expect: Option<&str>) {
        let manifests: Vec<_> = agents.iter().map(|(name, may_start)| agent(name, may_start)).collect();
        let cycle = spawn_cycle(&manifests, root).map(|cycle| cycle.join(" -> "));
        assert_eq!(cycle.as_deref(), expect, "{agents:?}");
    }

    #[test]
    fn cycles_are_found_with_their_path() {
        check(&[("a", &["b"]), ("b", &["a"])], "a", Some("a -> b -> a"));
        check(&[("a", &["a"])], "a", Some("a -> a"));
        check(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])], "a", Some("b -> c -> b"));
        check(&[("a", &["b", "c"]), ("b", &[]), ("c", &["d"]), ("d", &["a"])], "a", Some("a -> c -> d -> a"));
    }

    #[test]
    fn what_meets_without_coming_back_is_no_cycle() {
        check(&[("a", &["b", "c"]), ("b", &["d"]), ("c", &["d"]), ("d", &[])], "a", None);
        check(&[("a", &["b"]), ("c", &["c"])], "a", None);
        check(&[], "a", None);
    }

    #[test]
    fn a_wildcard_stands_for_all_that_it_covers() {
        check(&[("a", &["*"])], "a", Some("a -> a"));
        check(&[("a", &["team-*"]), ("team-x", &[]), ("team-y", &["a"])], "a", Some("a -> team-y -> a"));
        check(&[("a", &["team-*"]), ("team-x", &[]), ("team-y", &["team"]), ("teams", &["a"])], "a", None);
        check(&[("a", &["b*"]), ("b1", &["b2"]), ("b2", &["b*"])], "a", Some("b1 -> b2 -> b1"));
    }

    #[test]
    fn many_agents_take_no_stack_and_little_time() {
        const AGENTS: usize = 20_000;
        let name = |index: usize| format!("agent-{index}");
        let all = |entries: &dyn Fn(usize) -> Vec<String>| {
            let made = (0..AGENTS).map(|index| {
                let entries = entries(index);
                agent(&name(index), &entries.iter().map(String::as_str).collect::<Vec<_>>())
            });
            made.collect::<Vec<_>>()
        };
        let chain = all(&|index| vec![name((index + 1) % AGENTS)]);
        assert_eq!(spawn_cycle(&chain, &name(0)).map(|cycle| cycle.len()), Some(AGENTS + 1));
        let mut fan = all(&|_| vec!["nobody*".to_owned()]);
        fan.push(agent("root", &["agent-*"]));
        assert_eq!(spawn_cycle(&fan, "root"), None);
    }
}
