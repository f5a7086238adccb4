//! Each rule of the grant tree, one at a time.

use super::*;
use remit_abi::{Access, Denial, GrantLimits, Label, Scope, TagSet, limits::SCOPE_ENTRIES_MAX};
use std::cell::Cell;

const SECOND_NS: u64 = 1_000_000_000;

fn spec(kind: GrantKind, entries: &[&str], limits: GrantLimits) -> GrantSpec {
    let scope = Scope::parse(kind, entries).expect("the test's entries are well-formed");
    GrantSpec { label: "docs".into(), kind, scope, access: Access::ReadWrite, limits }
}

fn files(limits: GrantLimits) -> GrantSpec {
    spec(GrantKind::File, &["docs", "notes"], limits)
}

fn scoped(entries: &[&str]) -> Narrowing {
    Narrowing { scope: Some(entries.iter().map(|entry| Box::from(*entry)).collect()), ..Narrowing::default() }
}

fn limited(limits: GrantLimits) -> Narrowing {
    Narrowing { limits, ..Narrowing::default() }
}

fn reading(name: &str) -> Use<'_> {
    Use { name: Some(name), ..Use::least(GrantKind::File) }
}

const READ: Use<'static> = Use::least(GrantKind::File);

/// A grant of each limit, all of them far away.
fn all_limits() -> GrantLimits {
    GrantLimits {
        uses: Some(10),
        rate: Some(Rate { uses: 5, per_ms: 1000 }),
        expires_ns: Some(100 * SECOND_NS),
        max_tokens_per_call: Some(512),
        ceiling: Some(Label::TRUSTED),
    }
}

#[test]
fn a_malformed_grant_is_never_issued() {
    let mut grants = Grants::default();
    let whole = files(GrantLimits::default());
    for label in ["", "two words", "..", "ch\u{430}t", "bell\u{7}"] {
        assert_eq!(
            grants.issue(GrantSpec { label: label.into(), ..whole.clone() }),
            Err(GrantError::Label(label.into()))
        );
    }
    let mixed = GrantSpec { kind: GrantKind::Tool, ..whole.clone() };
    assert_eq!(grants.issue(mixed), Err(GrantError::Kind { grant: GrantKind::Tool, scope: GrantKind::File }));
    for rate in [Rate { uses: 0, per_ms: 1 }, Rate { uses: 1, per_ms: 0 }] {
        let still = GrantLimits { rate: Some(rate), ..GrantLimits::default() };
        assert_eq!(grants.issue(files(still)), Err(GrantError::Rate));
    }
    assert_eq!(grants.tree().count(), 0);
}

#[test]
fn asking_for_more_than_the_parent_has_names_the_limit() {
    let mut grants = Grants::default();
    let spec = GrantSpec { access: Access::ReadOnly, ..files(all_limits()) };
    let root = grants.issue(spec).expect("it is well-formed");
    let mut widens = |asked: Narrowing, what| {
        assert_eq!(grants.attenuate(root, "more", &asked), Err(GrantError::Widens { what }));
    };
    let none = GrantLimits::default();
    widens(scoped(&["docs", "secret"]), Limit::Scope);
    widens(scoped(&["."]), Limit::Scope);
    widens(Narrowing { access: Some(Access::ReadWrite), ..Narrowing::default() }, Limit::Access);
    widens(limited(GrantLimits { uses: Some(11), ..none }), Limit::Uses);
    widens(limited(GrantLimits { rate: Some(Rate { uses: 6, per_ms: 60_000 }), ..none }), Limit::Rate);
    widens(limited(GrantLimits { rate: Some(Rate { uses: 1, per_ms: 199 }), ..none }), Limit::Rate);
    widens(limited(GrantLimits { expires_ns: Some(100 * SECOND_NS + 1), ..none }), Limit::Expiry);
    widens(limited(GrantLimits { max_tokens_per_call: Some(513), ..none }), Limit::TokensPerCall);
    widens(limited(GrantLimits { ceiling: Some(Label::UNTRUSTED), ..none }), Limit::Ceiling);
    assert!(matches!(grants.attenuate(root, "more", &scoped(&["../x"])), Err(GrantError::Scope(_))));
    assert!(matches!(grants.attenuate(root, "two words", &Narrowing::default()), Err(GrantError::Label(_))));
    assert_eq!(grants.tree().count(), 1);
}

#[test]
fn what_a_narrowing_does_not_name_is_the_parents() {
    let mut grants = Grants::default();
    let root = grants.issue(files(all_limits())).expect("it is well-formed");
    let asked = limited(GrantLimits { max_tokens_per_call: Some(5), ..GrantLimits::default() });
    let child = grants.attenuate(root, "less", &asked).expect("it shrinks");
    let info = grants.info(child).expect("it is held");
    let limits = GrantLimits { max_tokens_per_call: Some(5), ..all_limits() };
    let scope = ["docs".into(), "notes".into()];
    let expected = GrantInfo {
        label: "less".into(),
        kind: GrantKind::File,
        scope: scope.into(),
        access: Access::ReadWrite,
        limits,
        revoked: false,
    };
    assert_eq!(info, expected);
}

#[test]
fn a_chain_has_a_bounded_depth() {
    let mut grants = Grants::default();
    let mut id = grants.issue(files(GrantLimits::default())).expect("it is well-formed");
    for _ in 1..GRANT_DEPTH_MAX {
        id = grants.attenuate(id, "docs", &Narrowing::default()).expect("it is not deep yet");
    }
    assert_eq!(grants.attenuate(id, "docs", &Narrowing::default()), Err(GrantError::TooDeep));
    assert_eq!(grants.node(id).map(|node| node.depth), Some(GRANT_DEPTH_MAX - 1));
}

#[test]
fn each_limit_has_its_denial() {
    let mut grants = Grants::default();
    let spec = GrantSpec { access: Access::ReadOnly, ..files(all_limits()) };
    let id = grants.issue(spec).expect("it is well-formed");
    let mut denied = |wanted: Use<'_>, now: u64, expected: Denial| {
        assert_eq!(grants.peek(id, &wanted, || now), Err(expected.clone()));
        assert_eq!(grants.check(id, &wanted, || now), Err(expected));
    };
    let grant = || "docs".into();
    denied(Use::least(GrantKind::Http), 0, Denial::NotGranted("http".into()));
    denied(reading("secret/a"), 0, Denial::OutOfScope { grant: grant() });
    denied(Use { access: Access::ReadWrite, ..READ }, 0, Denial::OutOfScope { grant: grant() });
    denied(Use { tokens: 513, ..READ }, 0, Denial::Exceeded(grant()));
    denied(Use { label: Label::UNTRUSTED, ..READ }, 0, Denial::Tainted { grant: grant() });
    denied(READ, 100 * SECOND_NS, Denial::Expired(grant()));
    assert_eq!(grants.node(id).map(|node| node.uses), Some(0), "what is denied is not counted");
    for _ in 0..5 {
        assert_eq!(grants.check(id, &reading("docs/a"), || 0), Ok(()));
    }
    let too_fast = Denial::TooFast { grant: grant(), retry_after_ms: 200 };
    assert_eq!(grants.check(id, &READ, || 0), Err(too_fast));
    for _ in 0..5 {
        assert_eq!(grants.check(id, &READ, || SECOND_NS), Ok(()));
    }
    assert_eq!(grants.check(id, &READ, || 9 * SECOND_NS), Err(Denial::Exhausted(grant())));
    grants.revoke(id).expect("it lives");
    assert_eq!(grants.check(id, &READ, || 9 * SECOND_NS), Err(Denial::Revoked(grant())));
    grants.release(id);
    assert_eq!(grants.check(id, &READ, || 9 * SECOND_NS), Err(Denial::NotGranted("file".into())));
}

#[test]
fn the_clock_is_read_once_and_only_for_a_limit_that_needs_it() {
    let mut grants = Grants::default();
    let timeless = GrantLimits { rate: None, expires_ns: None, ..all_limits() };
    for (limits, expected) in [(GrantLimits::default(), 0), (timeless, 0), (all_limits(), 1)] {
        let root = grants.issue(files(limits)).expect("it is well-formed");
        let child = grants.attenuate(root, "less", &Narrowing::default()).expect("it shrinks");
        let reads = Cell::new(0);
        let now = || {
            reads.set(reads.get() + 1);
            0
        };
        assert_eq!(grants.check(child, &READ, now), Ok(()));
        assert_eq!(reads.get(), expected, "{limits:?}");
    }
}

#[test]
fn siblings_share_what_their_parent_has_left() {
    let mut grants = Grants::default();
    let limits = GrantLimits { uses: Some(3), ..GrantLimits::default() };
    let root = grants.issue(files(limits)).expect("it is well-formed");
    let asked = limited(GrantLimits { uses: Some(2), ..limits });
    let [one, other] = ["one", "other"].map(|label| grants.attenuate(root, label, &asked).expect("it shrinks"));
    for (id, expected) in [
        (one, Ok(())),
        (one, Ok(())),
        (one, Err(Denial::Exhausted("one".into()))),
        (other, Ok(())),
        (other, Err(Denial::Exhausted("other".into()))),
        (root, Err(Denial::Exhausted("docs".into()))),
    ] {
        assert_eq!(grants.check(id, &READ, || 0), expected);
    }
    let uses: Vec<_> = grants.tree().map(|node| node.uses).collect();
    assert_eq!(uses, [3, 2, 1], "a use that one node refuses counts in none");
}

#[test]
fn revoking_takes_the_subtree_and_nothing_else() {
    let mut grants = Grants::default();
    let root = grants.issue(files(GrantLimits::default())).expect("it is well-formed");
    let mut derive = |parent, label| grants.attenuate(parent, label, &Narrowing::default()).expect("it shrinks");
    let (child, sibling) = (derive(root, "child"), derive(root, "sibling"));
    let (grandchild, twin) = (derive(child, "grandchild"), derive(root, "child"));
    assert_eq!(grants.revoke(grandchild), Ok(vec![grandchild]));
    assert_eq!(grants.revoke_derived(root, "child"), Ok(vec![child, twin]));
    assert_eq!(grants.revoke(child), Ok(vec![]), "revoking twice is no error");
    for (id, label) in [(child, "child"), (grandchild, "grandchild"), (twin, "child")] {
        assert_eq!(grants.check(id, &READ, || 0), Err(Denial::Revoked(label.into())));
        assert_eq!(grants.attenuate(id, "more", &Narrowing::default()), Err(GrantError::Revoked));
        assert_eq!(grants.info(id).map(|info| info.revoked), Some(true));
    }
    for live in [root, sibling] {
        assert_eq!(grants.check(live, &READ, || 0), Ok(()));
    }
}

#[test]
fn what_derives_from_a_released_grant_lives_on_under_its_limits() {
    let mut grants = Grants::default();
    let limits = GrantLimits { uses: Some(2), ..GrantLimits::default() };
    let root = grants.issue(files(limits)).expect("it is well-formed");
    let child = grants.attenuate(root, "child", &scoped(&["docs"])).expect("it shrinks");
    let grandchild = grants.attenuate(child, "grandchild", &Narrowing::default()).expect("it shrinks");
    grants.release(root);
    grants.release(child);
    grants.release(child);
    assert_eq!(grants.attenuate(child, "more", &Narrowing::default()), Err(GrantError::Dead));
    assert_eq!(grants.info(child), None);
    assert_eq!(
        grants.check(grandchild, &reading("notes"), || 0),
        Err(Denial::OutOfScope { grant: "grandchild".into() })
    );
    for expected in [Ok(()), Ok(()), Err(Denial::Exhausted("grandchild".into()))] {
        assert_eq!(grants.check(grandchild, &READ, || 0), expected);
    }
    assert_eq!(grants.revoke(root), Ok(vec![root, child, grandchild]), "an operator sees it, and can take it back");
    grants.release(grandchild);
    assert_eq!(grants.tree().count(), 0);
    assert_eq!(grants.revoke(root), Err(GrantError::Dead));
}

#[test]
fn an_explanation_names_the_grant_to_widen_and_how_far() {
    let mut grants = Grants::default();
    let tokens = |most| GrantLimits { max_tokens_per_call: Some(most), ..GrantLimits::default() };
    let spec = spec(GrantKind::Model, &["small"], tokens(100));
    let root = grants.issue(GrantSpec { label: "chat".into(), ..spec }).expect("it is well-formed");
    let child = grants.attenuate(root, "helper", &limited(tokens(50))).expect("it shrinks");
    let wanted = |tokens| Use { name: Some("small"), tokens, ..Use::least(GrantKind::Model) };
    assert_eq!(grants.explain(child, &wanted(50), || 0), None);
    for (asked, refused_by, label) in [(80, child, "helper"), (200, root, "chat")] {
        let why = grants.explain(child, &wanted(asked), || 0).expect("it is denied");
        assert_eq!((why.refusal, why.refused_by), (Refusal::Tokens, Some(refused_by)));
        assert_eq!(why.denial, Denial::Exceeded("helper".into()), "a process is told its own label");
        let enough = why.enough.expect("a wider grant exists");
        let most = enough.limits.max_tokens_per_call;
        assert_eq!((&*enough.label, most, enough.access), (label, Some(asked), Access::ReadWrite));
        assert_eq!(*enough.scope.entries(), ["small".into()]);
    }
}

#[test]
fn an_explanation_widens_what_refused_and_keeps_every_other_limit() {
    let mut grants = Grants::default();
    let ceiling = Label { tags: TagSet::single(3).expect("3 is in range"), ..Label::TRUSTED };
    let limits = GrantLimits { ceiling: Some(ceiling), ..all_limits() };
    let id = grants.issue(GrantSpec { access: Access::ReadOnly, ..files(limits) }).expect("it is well-formed");
    let wanted = Use { access: Access::ReadWrite, label: Label::UNTRUSTED, tokens: 600, ..reading("secret/\"a\".txt") };
    let why = grants.explain(id, &wanted, || 0).expect("it is denied");
    let enough = why.enough.expect("a wider grant exists");
    assert_eq!(*enough.scope.entries(), ["docs".into(), "notes".into(), "secret/\"a\".txt".into()]);
    let widened =
        GrantLimits { max_tokens_per_call: Some(600), ceiling: Some(ceiling.join(Label::UNTRUSTED)), ..all_limits() };
    assert_eq!((&*enough.label, enough.access, enough.limits), ("docs", Access::ReadWrite, widened));
}

#[test]
fn an_explanation_names_no_grant_where_none_would_be_enough() {
    let mut grants = Grants::default();
    let many: Vec<_> = (0..SCOPE_ENTRIES_MAX).map(|index| index.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let full = grants.issue(spec(GrantKind::File, &many, GrantLimits::default())).expect("it is well-formed");
    for name in ["../../etc/passwd", "one/more"] {
        let why = grants.explain(full, &reading(name), || 0).expect("it is out of scope");
        assert_eq!((why.refusal, why.enough), (Refusal::Scope, None));
    }
    let missing = Explanation::not_granted("web", &Use { name: Some("example.com"), ..Use::least(GrantKind::Http) });
    assert_eq!(missing.denial, Denial::NotGranted("web".into()));
    let enough = missing.enough.expect("the thing was named");
    assert_eq!((&*enough.label, enough.kind, enough.access), ("web", GrantKind::Http, Access::ReadOnly));
    assert_eq!(*enough.scope.entries(), ["example.com".into()]);
    assert_eq!(Explanation::not_granted("web", &Use::least(GrantKind::Http)).enough, None);
}
