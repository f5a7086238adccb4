//! What is an entry, what it contains, and that nothing covered is outside.

use super::*;
use proptest::prelude::*;

const NAMES: GrantKind = GrantKind::Tool;

fn scope(kind: GrantKind, entries: &[&str]) -> Scope {
    Scope::parse(kind, entries).expect("the test's entries are well-formed")
}

fn fault(kind: GrantKind, entry: &str) -> Option<EntryFault> {
    match Scope::parse(kind, &[entry]) {
        Err(ScopeError::Entry { fault, .. }) => Some(fault),
        Err(other) => panic!("{entry:?}: {other}"),
        Ok(_) => None,
    }
}

#[track_caller]
fn check_faults(kind: GrantKind, cases: &[(&str, EntryFault)]) {
    for (entry, expected) in cases {
        assert_eq!(fault(kind, entry), Some(*expected), "{entry:?}");
    }
}

#[track_caller]
fn check_contains(kind: GrantKind, entry: &str, inside: &[&str], outside: &[&str]) {
    let scope = scope(kind, &[entry]);
    for name in inside {
        assert!(scope.contains(name), "{entry:?} contains {name:?}");
    }
    for name in outside {
        assert!(!scope.contains(name), "{entry:?} does not contain {name:?}");
    }
}

#[test]
fn names_are_plain_ascii_with_a_star_at_the_end() {
    for entry in ["a", "chat", "org/model@v2.1", "tool:search_web", "notes-*", "*", "a/..b", "..*", "0.3.1"] {
        assert_eq!(fault(NAMES, entry), None, "{entry}");
    }
    let long = "a".repeat(NAME_BYTES_MAX + 1);
    check_faults(
        NAMES,
        &[
            ("", EntryFault::Empty),
            (&long, EntryFault::TooLong(NAME_BYTES_MAX)),
            ("ch\u{430}t", EntryFault::NameCharacter('\u{430}')),
            ("two words", EntryFault::NameCharacter(' ')),
            ("bell\u{7}", EntryFault::NameCharacter('\u{7}')),
            ("a\\b", EntryFault::NameCharacter('\\')),
            ("*a", EntryFault::Star),
            ("a**", EntryFault::Star),
            ("a*b", EntryFault::Star),
            ("..", EntryFault::Traversal),
            ("docs/../secret", EntryFault::Traversal),
            ("docs/../*", EntryFault::Traversal),
        ],
    );
}

#[test]
fn an_error_names_the_entry_and_the_look_alike_letter() {
    let error = Scope::parse(GrantKind::Model, &["ok", "ch\u{430}t"]).expect_err("the а is Cyrillic").to_string();
    assert!(
        error.starts_with("the model entry \"ch\u{430}t\" cannot be in a scope: the character 'а' (U+0430)"),
        "{error}"
    );
    let error = Scope::parse(GrantKind::Model, &["x".repeat(5000)]).expect_err("it is long").to_string();
    assert!(error.len() < 200, "an error repeats the beginning only: {error}");
}

#[test]
fn names_contain_themselves_and_what_begins_so() {
    check_contains(NAMES, "chat", &["chat"], &["Chat", "chat2", "cha", "chat*", "", "chat "]);
    check_contains(NAMES, "docs/*", &["docs/a", "docs/", "docs/a/b"], &["docs", "docs/*", "docs/../secret", "docs/.."]);
    check_contains(NAMES, "*", &["a", "a/b"], &["", "*", "..", "a b", "a\u{430}"]);
}

#[test]
fn paths_stay_below_their_folder() {
    for entry in [".", "docs", "docs/", "docs/2024/Übersicht.txt", "..a/b..", ".hidden", "12:30"] {
        assert_eq!(fault(GrantKind::File, entry), None, "{entry}");
    }
    assert_eq!(&*scope(GrantKind::File, &["docs/"]).entries()[0], "docs");
    let long = "a/".repeat(PATH_BYTES_MAX);
    check_faults(
        GrantKind::File,
        &[
            ("", EntryFault::Empty),
            (&long, EntryFault::TooLong(PATH_BYTES_MAX)),
            ("/", EntryFault::Absolute),
            ("/etc", EntryFault::Absolute),
            ("./docs", EntryFault::Traversal),
            ("..", EntryFault::Traversal),
            ("docs/../..", EntryFault::Traversal),
            ("docs//a", EntryFault::EmptySegment),
            ("docs//", EntryFault::EmptySegment),
            ("docs\\a", EntryFault::ForeignPath),
            ("C:", EntryFault::ForeignPath),
            ("c:/windows", EntryFault::ForeignPath),
            ("docs/c:x", EntryFault::ForeignPath),
            ("a\0b", EntryFault::HiddenCharacter('\0')),
            ("a\nb", EntryFault::HiddenCharacter('\n')),
            ("txt.\u{202e}exe", EntryFault::HiddenCharacter('\u{202e}')),
        ],
    );
}

#[test]
fn paths_contain_what_lies_below_and_no_traversal() {
    let outside =
        ["docs2", "doc", ".", "", "/docs", "docs/..", "docs/../x", "docs/./a", "docs//a", "docs/a\\..\\b", "docs\0"];
    check_contains(GrantKind::File, "docs", &["docs", "docs/", "docs/a", "docs/a/b"], &outside);
    check_contains(GrantKind::File, ".", &[".", "./", "a", "a/b"], &["..", "../a", "/", "a/../../b", "C:/x", ""]);
}

#[test]
fn hosts_are_names_addresses_and_wildcards() {
    for entry in
        ["example.com", "localhost", "*.example.com", "a-b.c:8443", "192.0.2.1", "xn--bcher-kva.example", "a.b:1"]
    {
        assert_eq!(fault(GrantKind::Http, entry), None, "{entry}");
    }
    let addresses = scope(GrantKind::Http, &["[2001:DB8:0::1]:8080", "[::1]"]);
    assert_eq!(addresses.entries(), ["[2001:db8::1]:8080".into(), Box::<str>::from("[::1]")]);
    let long_label = format!("{}.com", "a".repeat(64));
    check_faults(
        GrantKind::Http,
        &[
            ("", EntryFault::Empty),
            ("Example.com", EntryFault::HostCharacter('E')),
            ("ex\u{430}mple.com", EntryFault::HostCharacter('\u{430}')),
            ("user@example.com", EntryFault::HostCharacter('@')),
            ("example.com/", EntryFault::HostCharacter('/')),
            ("https://example.com", EntryFault::HostCharacter('/')),
            ("*", EntryFault::HostStar),
            ("*.*.com", EntryFault::HostStar),
            ("a.*.com", EntryFault::HostStar),
            ("example.com.", EntryFault::HostLabel),
            (".example.com", EntryFault::HostLabel),
            ("*.", EntryFault::HostLabel),
            ("-a.com", EntryFault::HostLabel),
            ("a-.com", EntryFault::HostLabel),
            (&long_label, EntryFault::HostLabel),
            ("192.0.2", EntryFault::Ipv4),
            ("192.0.2.01", EntryFault::Ipv4),
            ("192.0.2.256", EntryFault::Ipv4),
            ("example.0x1f", EntryFault::Ipv4),
            ("*.192.0.2.1", EntryFault::WildcardAddress),
            ("[::1", EntryFault::Ipv6),
            ("[example.com]", EntryFault::Ipv6),
            ("[fe80::1%eth0]", EntryFault::Ipv6),
            ("a.com:0", EntryFault::Port),
            ("a.com:080", EntryFault::Port),
            ("a.com:65536", EntryFault::Port),
            ("a.com:", EntryFault::Port),
            ("a.com:+1", EntryFault::Port),
        ],
    );
}

#[test]
fn hosts_contain_no_suffix_trick_and_no_other_port() {
    let outside =
        ["evil-example.com", "example.com.evil", "a.example.com", "example.com:8080", "EXAMPLE.com", "example.com."];
    check_contains(GrantKind::Http, "example.com", &["example.com"], &outside);
    let outside = [
        "example.com",
        ".example.com",
        "evil-example.com",
        "a.example.com.evil",
        "a@b.example.com",
        "*.example.com",
        "a.example.com:81",
        "a/.example.com",
        "..example.com",
    ];
    check_contains(GrantKind::Http, "*.example.com", &["a.example.com", "b.a.example.com"], &outside);
    check_contains(GrantKind::Http, "a.com:81", &["a.com:81"], &["a.com", "a.com:82", "a.com:081"]);
    check_contains(
        GrantKind::Http,
        "[2001:db8::1]:8",
        &["[2001:db8:0::1]:8"],
        &["[2001:db8::1]", "[2001:db8::2]:8", "2001:db8::1"],
    );
    check_contains(GrantKind::Http, "[::ffff:192.0.2.1]", &["[::ffff:c000:201]"], &["192.0.2.1"]);
}

#[test]
fn a_scope_is_bounded_sorted_and_has_each_entry_once() {
    assert_eq!(Scope::parse::<&str>(NAMES, &[]), Err(ScopeError::Empty(NAMES)));
    let many: Vec<_> = (0..=SCOPE_ENTRIES_MAX).map(|index| index.to_string()).collect();
    assert_eq!(Scope::parse(NAMES, &many), Err(ScopeError::TooMany { kind: NAMES, count: SCOPE_ENTRIES_MAX + 1 }));
    let large: Vec<_> = (10..27).map(|index| format!("{index}{}", "a".repeat(NAME_BYTES_MAX - 2))).collect();
    let bytes = 17 * NAME_BYTES_MAX;
    assert_eq!(Scope::parse(NAMES, &large), Err(ScopeError::TooLarge { kind: NAMES, bytes }));
    assert_eq!(scope(NAMES, &["b", "a", "b"]).entries(), ["a".into(), Box::<str>::from("b")]);
}

#[test]
fn no_file_or_wire_carries_a_malformed_scope() {
    let whole = scope(GrantKind::File, &["docs", "notes"]);
    let json = serde_json::to_string(&whole).expect("it is text");
    assert_eq!(serde_json::from_str::<Scope>(&json).ok(), Some(whole));
    let error = serde_json::from_str::<Scope>(&json.replace("docs", "..")).expect_err("it is a traversal");
    assert!(error.to_string().contains("the file entry \"..\""), "{error}");
    assert!(toml::from_str::<Scope>("kind = \"file\"\nentries = []").is_err());
    assert!(toml::from_str::<Scope>("kind = \"file\"\nentries = [\"a\"]\nentry = 1").is_err());
}

#[test]
fn an_entry_covers_what_is_narrower_and_nothing_else() {
    let check = |kind, wide: &str, narrow: &[&str], not: &[&str]| {
        let covers = |inner: &&&str| scope(kind, &[wide]).covers(&scope(kind, &[**inner]));
        assert_eq!(narrow.iter().find(|inner| !covers(inner)), None, "{wide} covers it");
        assert_eq!(not.iter().find(covers), None, "{wide} does not cover it");
    };
    check(NAMES, "a*", &["a*", "ab*", "a", "ab"], &["*", "b", "b*"]);
    check(NAMES, "a", &["a"], &["a*", "ab"]);
    check(GrantKind::File, "docs", &["docs/", "docs/a"], &[".", "docs2", "doc"]);
    check(GrantKind::File, ".", &[".", "docs"], &[]);
    let not = ["a.com", "*.com", "*.a.com:1", "b.a.com:1", "*.ba.com", "a.com.evil", "*.a.com.evil"];
    check(GrantKind::Http, "*.a.com", &["*.a.com", "*.b.a.com", "b.a.com"], &not);
    check(GrantKind::Http, "a.com:1", &["a.com:1"], &["a.com", "a.com:2", "*.a.com:1"]);
    check(GrantKind::Http, "[::1]", &["[0::1]"], &["[::2]", "[::1]:1", "0.0.0.1"]);
}

#[test]
fn different_kinds_cover_nothing_of_each_other() {
    assert!(!scope(GrantKind::Tool, &["*"]).covers(&scope(GrantKind::Model, &["a"])));
}

/// Entries and names from few parts, so that they meet often; and texts that are neither, among which are names that
/// nobody may open.
fn text(kind: GrantKind) -> BoxedStrategy<String> {
    let parts = |joint: &'static str| {
        let part = prop::sample::select(vec!["a", "b", "ab"]);
        prop::collection::vec(part, 1..4).prop_map(move |parts| parts.join(joint))
    };
    let end = |ends: &[&'static str]| prop::sample::select(ends.to_vec());
    let (whole, pieces) = match kind {
        GrantKind::File => {
            let path = (parts("/"), end(&["", "", "/"])).prop_map(|(path, end)| path + end);
            (path.boxed(), vec!["a", "b", "/", ".", "..", "a/", "\\", "C:", "/b"])
        }
        GrantKind::Http => {
            let host = (end(&["", "*."]), parts("."), end(&["", ":1", ":2"]));
            let host = host.prop_map(|(start, host, port)| format!("{start}{host}{port}"));
            (host.boxed(), vec!["a", "b", ".", "*.", "a.", ":1", ":2", "-", "1", "[::1]", "[0::1]", "*"])
        }
        _ => {
            let name = (parts("/"), end(&["", "/*", "*"])).prop_map(|(name, end)| name + end);
            (name.boxed(), vec!["a", "b", "/", ".", "..", "*", ":", "@"])
        }
    };
    let strange = prop::collection::vec(prop::sample::select(pieces), 0..5).prop_map(|pieces| pieces.concat());
    prop_oneof![2 => whole, 1 => strange].boxed()
}

fn entries(kind: GrantKind) -> impl Strategy<Value = Scope> {
    let written = prop::collection::vec(text(kind), 1..12);
    written.prop_filter_map("one entry at least is one", move |texts| {
        let valid: Vec<_> = texts.into_iter().filter(|text| Scope::parse(kind, &[text]).is_ok()).take(3).collect();
        Scope::parse(kind, &valid).ok()
    })
}

fn case() -> impl Strategy<Value = (Scope, Scope, Scope, Vec<String>)> {
    prop::sample::select(vec![GrantKind::File, GrantKind::Http, NAMES])
        .prop_flat_map(|kind| (entries(kind), entries(kind), entries(kind), prop::collection::vec(text(kind), 20)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_covered_is_contained((a, b, c, names) in case()) {
        prop_assert!(a.covers(&a));
        if a.covers(&b) {
            for name in names.iter().map(String::as_str).chain(b.entries().iter().map(|entry| &**entry)) {
                prop_assert!(!b.contains(name) || a.contains(name), "{:?} covers {:?} without {:?}", a, b, name);
            }
            prop_assert!(!b.covers(&c) || a.covers(&c), "{:?}, {:?}, {:?}", a, b, c);
        }
    }

    #[test]
    fn a_name_without_a_pattern_is_contained_exactly_where_it_is_covered((a, b, ..) in case()) {
        for entry in b.entries().iter().filter(|entry| b.kind() != GrantKind::File && !entry.contains('*')) {
            let alone = Scope::parse(b.kind(), &[entry]).expect("it is an entry");
            prop_assert_eq!(a.contains(entry), a.covers(&alone));
        }
    }

    #[test]
    fn nothing_contained_leaves_its_folder((a, _, _, names) in case()) {
        for name in names.iter().filter(|name| a.contains(name)) {
            prop_assert!(!name.split('/').any(|segment| segment == ".."), "{:?} contains {:?}", a, name);
            prop_assert!(!name.contains(['*', '\\']) && !name.starts_with('/') || a.kind() == NAMES, "{:?}", name);
        }
    }

    #[test]
    fn no_text_is_too_strange_to_be_read(text in "\\PC{0,40}", kind in prop::sample::select(GrantKind::ALL.to_vec())) {
        if let Ok(scope) = Scope::parse(kind, &[&text]) {
            let again = Scope::parse(kind, scope.entries()).expect("an entry in its one spelling is an entry");
            prop_assert_eq!(again, scope);
        }
    }
}
