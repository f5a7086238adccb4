//! The grant tree against a plain model: a list of all grants that ever were, each of which is asked everything.

use super::*;
use proptest::prelude::*;
use remit_abi::{Access, Denial, GrantLimits, Label, Scope, TagSet};
use std::collections::BTreeSet;

const NS_PER_MS: u64 = 1_000_000;

/// A grant, with what happened to it.
struct Entry {
    id: GrantId,
    parent: Option<usize>,
    spec: GrantSpec,
    used_ns: Vec<u64>,
    revoked: bool,
    released: bool,
}

#[derive(Default)]
struct Model {
    entries: Vec<Entry>,
}

impl Model {
    fn chain(&self, index: usize) -> Vec<usize> {
        std::iter::successors(Some(index), |index| self.entries[*index].parent).collect()
    }

    fn is_below(&self, index: usize, top: usize) -> bool {
        self.chain(index).contains(&top)
    }

    /// Kept as long as it, or something below it, is held.
    fn is_kept(&self, top: usize) -> bool {
        (0..self.entries.len()).any(|index| !self.entries[index].released && self.is_below(index, top))
    }

    /// Every reason that any grant of the chain has.
    fn refusals(&self, index: usize, wanted: &Use<'_>, now: u64) -> Vec<Refusal> {
        if self.entries[index].released {
            return vec![Refusal::NotHeld];
        }
        self.chain(index).into_iter().flat_map(|index| self.entries[index].refusals(wanted, now)).collect()
    }
}

impl Entry {
    fn refusals(&self, wanted: &Use<'_>, now: u64) -> Vec<Refusal> {
        let limits = &self.spec.limits;
        let wait_ns = limits.rate.map_or(0, |rate| self.wait_ns(rate, now));
        [
            (self.spec.kind != wanted.kind, Refusal::OtherKind),
            (self.revoked, Refusal::Revoked),
            (limits.expires_ns.is_some_and(|expires| expires <= now), Refusal::Expired),
            (wanted.access > self.spec.access, Refusal::Access),
            (wanted.name.is_some_and(|name| !self.spec.scope.contains(name)), Refusal::Scope),
            (limits.max_tokens_per_call.is_some_and(|most| wanted.tokens > most), Refusal::Tokens),
            (limits.ceiling.is_some_and(|ceiling| ceiling.join(wanted.label) != ceiling), Refusal::Ceiling),
            (limits.uses.is_some_and(|uses| self.used_ns.len() as u64 >= uses), Refusal::Uses),
            (wait_ns > 0, Refusal::Rate { wait_ns }),
        ]
        .into_iter()
        .filter_map(|(refuses, reason)| refuses.then_some(reason))
        .collect()
    }

    /// A bucket that drains evenly and that each use fills by one part: the same algorithm in its other form.
    fn wait_ns(&self, rate: Rate, now: u64) -> u64 {
        let part = (rate.per_ms * NS_PER_MS).div_ceil(u64::from(rate.uses));
        let (level, last) = self
            .used_ns
            .iter()
            .fold((0_u64, 0), |(level, last), used| (level.saturating_sub(used - last) + part, *used));
        level.saturating_sub(now - last).saturating_sub(part * u64::from(rate.uses - 1))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Issue(GrantSpec),
    Attenuate(usize, Narrowing),
    Check(usize, Wanted, u64),
    Revoke(usize),
    RevokeDerived(usize, usize),
    Release(usize),
}

#[derive(Clone, Debug)]
struct Wanted {
    kind: GrantKind,
    name: Option<&'static str>,
    access: Access,
    tokens: u32,
    label: Label,
}

impl Wanted {
    fn as_use(&self) -> Use<'_> {
        Use { kind: self.kind, name: self.name, access: self.access, tokens: self.tokens, label: self.label }
    }
}

const LABELS: [&str; 2] = ["one", "other"];

fn label() -> impl Strategy<Value = Label> {
    let tags = prop::option::of(0..2_u32).prop_map(|tag| tag.and_then(TagSet::single).unwrap_or_default());
    (prop::sample::select(vec![Label::TRUSTED, Label::UNTRUSTED]), tags)
        .prop_map(|(label, tags)| Label { tags, ..label })
}

fn access() -> impl Strategy<Value = Access> {
    prop::sample::select(vec![Access::ReadOnly, Access::ReadWrite])
}

fn limits() -> impl Strategy<Value = GrantLimits> {
    let rate = (1..5_u32, 1..50_u64).prop_map(|(uses, per_ms)| Rate { uses, per_ms });
    (
        prop::option::weighted(0.3, 0..6_u64),
        prop::option::weighted(0.3, rate),
        prop::option::weighted(0.2, 0..200 * NS_PER_MS),
        prop::option::weighted(0.3, 0..4_u32),
        prop::option::weighted(0.3, label()),
    )
        .prop_map(|(uses, rate, expires_ns, max_tokens_per_call, ceiling)| GrantLimits {
            uses,
            rate,
            expires_ns,
            max_tokens_per_call,
            ceiling,
        })
}

fn scope() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(vec!["*", "a*", "ab*", "ab", "b"], 1..3)
}

fn step() -> impl Strategy<Value = Step> {
    let spec = (scope(), access(), limits()).prop_map(|(entries, access, limits)| GrantSpec {
        label: LABELS[0].into(),
        kind: GrantKind::Tool,
        scope: Scope::parse(GrantKind::Tool, &entries).expect("they are entries"),
        access,
        limits,
    });
    let asked =
        (prop::option::of(scope()), prop::option::of(access()), limits()).prop_map(|(entries, access, limits)| {
            let scope = entries.map(|entries| entries.into_iter().map(Box::from).collect());
            Narrowing { scope, access, limits }
        });
    let kind = prop_oneof![9 => Just(GrantKind::Tool), 1 => Just(GrantKind::Model)];
    let name = prop::option::of(prop::sample::select(vec!["a", "ab", "abc", "b", "c", "a*"]));
    let wanted = (kind, name, access(), 0..5_u32, label()).prop_map(|(kind, name, access, tokens, label)| Wanted {
        kind,
        name,
        access,
        tokens,
        label,
    });
    let which = || any::<usize>();
    prop_oneof![
        1 => spec.prop_map(Step::Issue),
        3 => (which(), asked).prop_map(|(which, asked)| Step::Attenuate(which, asked)),
        8 => (which(), wanted, 0..20 * NS_PER_MS).prop_map(|(which, wanted, pause)| Step::Check(which, wanted, pause)),
        1 => which().prop_map(Step::Revoke),
        1 => (which(), 0..2_usize).prop_map(|(which, label)| Step::RevokeDerived(which, label)),
        1 => which().prop_map(Step::Release),
    ]
}

/// Both trees, and the time.
#[derive(Default)]
struct Both {
    grants: Grants,
    model: Model,
    now: u64,
}

impl Both {
    fn pick(&self, which: usize) -> Option<usize> {
        which.checked_rem(self.model.entries.len())
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Issue(spec) => {
                let id = self.grants.issue(spec.clone()).expect("it is well-formed");
                self.enter(id, None, spec);
            }
            Step::Attenuate(which, asked) => {
                if let Some(parent) = self.pick(which) {
                    self.attenuate(parent, LABELS[which % 2], &asked)?;
                }
            }
            Step::Check(which, wanted, pause) => {
                self.now += pause;
                if let Some(index) = self.pick(which) {
                    self.check(index, &wanted.as_use())?;
                }
            }
            Step::Revoke(which) => {
                if let Some(top) = self.pick(which) {
                    let answer = self.grants.revoke(self.model.entries[top].id);
                    prop_assert_eq!(answer.is_ok(), self.model.is_kept(top));
                    self.revoke(&answer.unwrap_or_default(), |model, index| model.is_below(index, top))?;
                }
            }
            Step::RevokeDerived(which, label) => {
                if let Some(parent) = self.pick(which) {
                    let answer = self.grants.revoke_derived(self.model.entries[parent].id, LABELS[label]);
                    prop_assert_eq!(answer.is_ok(), self.model.is_kept(parent));
                    let is_named = |entry: &Entry| entry.parent == Some(parent) && *entry.spec.label == *LABELS[label];
                    self.revoke(&answer.unwrap_or_default(), |model, index| {
                        model.chain(index).into_iter().any(|index| is_named(&model.entries[index]))
                    })?;
                }
            }
            Step::Release(which) => {
                if let Some(index) = self.pick(which) {
                    self.grants.release(self.model.entries[index].id);
                    self.model.entries[index].released = true;
                }
            }
        }
        self.compare()
    }

    fn enter(&mut self, id: GrantId, parent: Option<usize>, spec: GrantSpec) {
        self.model.entries.push(Entry { id, parent, spec, used_ns: Vec::new(), revoked: false, released: false });
    }

    fn attenuate(&mut self, index: usize, label: &str, asked: &Narrowing) -> Result<(), TestCaseError> {
        let parent = &self.model.entries[index];
        match self.grants.attenuate(parent.id, label, asked) {
            Ok(id) => {
                prop_assert!(!parent.released && !parent.revoked);
                let spec = self.grants.node(id).expect("it was made").spec.clone();
                self.enter(id, Some(index), spec);
            }
            Err(GrantError::Dead) => prop_assert!(parent.released),
            Err(GrantError::Revoked) => prop_assert!(parent.revoked),
            Err(error) => prop_assert!(matches!(error, GrantError::Widens { .. } | GrantError::TooDeep), "{}", error),
        }
        Ok(())
    }

    fn check(&mut self, index: usize, wanted: &Use<'_>) -> Result<(), TestCaseError> {
        let (id, now) = (self.model.entries[index].id, self.now);
        let refusals = self.model.refusals(index, wanted, now);
        let peeked = self.grants.peek(id, wanted, || now);
        let why = self.grants.explain(id, wanted, || now);
        let answer = self.grants.check(id, wanted, || now);
        prop_assert_eq!(&answer, &peeked);
        prop_assert_eq!(answer.clone().err(), why.as_ref().map(|why| why.denial.clone()));
        let label = &*self.model.entries[index].spec.label;
        match answer {
            Ok(()) => {
                prop_assert!(refusals.is_empty(), "{:?} were overlooked", refusals);
                self.model.chain(index).into_iter().for_each(|index| self.model.entries[index].used_ns.push(now));
            }
            Err(denial) => {
                let mut denials = refusals.iter().map(|refusal| refusal.denial(Some(label), wanted.kind));
                prop_assert!(denials.any(|expected| expected == denial), "{:?} is none of {:?}", denial, refusals);
                let at_once = matches!(denial, Denial::TooFast { retry_after_ms: 0, .. });
                prop_assert!(!at_once, "waiting for nothing helps nobody");
                Self::check_explanation(&why.expect("it was denied"), wanted, now)?;
            }
        }
        Ok(())
    }

    /// What is said to be enough is.
    fn check_explanation(why: &Explanation, wanted: &Use<'_>, now: u64) -> Result<(), TestCaseError> {
        let Some(enough) = why.enough.clone() else { return Ok(()) };
        let mut grants = Grants::default();
        let id = grants.issue(enough.clone()).expect("it is well-formed");
        prop_assert_eq!(grants.check(id, wanted, || now), Ok(()), "{:?}", why);
        Ok(())
    }

    fn revoke(&mut self, answer: &[GrantId], hit: impl Fn(&Model, usize) -> bool) -> Result<(), TestCaseError> {
        let hit: Vec<_> = (0..self.model.entries.len())
            .filter(|index| {
                !self.model.entries[*index].revoked && self.model.is_kept(*index) && hit(&self.model, *index)
            })
            .collect();
        let expected: BTreeSet<_> = hit.iter().map(|index| self.model.entries[*index].id).collect();
        prop_assert_eq!(answer.len(), expected.len());
        prop_assert_eq!(answer.iter().copied().collect::<BTreeSet<_>>(), expected);
        hit.into_iter().for_each(|index| self.model.entries[index].revoked = true);
        Ok(())
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let mut kept = 0;
        for (index, entry) in self.model.entries.iter().enumerate() {
            let Some(node) = self.grants.node(entry.id).filter(|_| self.model.is_kept(index)) else {
                prop_assert!(!self.model.is_kept(index) && self.grants.node(entry.id).is_none());
                continue;
            };
            kept += 1;
            prop_assert_eq!((node.revoked, node.released), (entry.revoked, entry.released));
            prop_assert_eq!(node.uses, entry.used_ns.len() as u64, "uses are counted exactly");
            prop_assert_eq!(node.parent, entry.parent.map(|parent| self.model.entries[parent].id));
            if let Some(parent) = entry.parent.map(|parent| &self.model.entries[parent].spec) {
                let all = Narrowing { scope: None, access: Some(entry.spec.access), limits: entry.spec.limits };
                prop_assert!(parent.scope.covers(&entry.spec.scope) && parent.access >= entry.spec.access);
                prop_assert_eq!(narrow_limits(&all.limits, &parent.limits), Ok(entry.spec.limits), "rights never grow");
            }
        }
        prop_assert_eq!(self.grants.tree().count(), kept, "nothing is kept that nobody needs");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_sequence_of_steps_is_what_the_model_says(steps in prop::collection::vec(step(), 1..60)) {
        let mut both = Both::default();
        for step in steps {
            both.step(step)?;
        }
        for index in 0..both.model.entries.len() {
            both.step(Step::Release(index))?;
        }
        prop_assert_eq!(both.grants.tree().count(), 0);
    }
}
