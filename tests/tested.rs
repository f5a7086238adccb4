//! Which file tests which guests of `tests/programs`. A guest that is in none of these lists, and a list that its file does
//! not bear out, fail here.

use crate::stage::made;
use std::collections::BTreeSet;

/// A file's text, and the programs that it tests.
struct Tested(&'static str, &'static [&'static str]);

const TESTED: &[Tested] = &[
    Tested(
        include_str!("programs.rs"),
        &[
            "ask",
            "calls",
            "checkpointer",
            "clocks_and_random",
            "core_module",
            "crunch",
            "echo",
            "emits_much",
            "grant_checks",
            "imports_http",
            "many_values",
            "memory_bomb",
            "no_grant",
            "nothing",
            "other_world",
            "panics",
            "reads_taint",
            "sampled",
            "shows_pictures",
            "sleeper",
            "spin",
            "stack_overflow",
            "streams_and_drops",
            "tool_user",
            "turns",
        ],
    ),
    Tested(
        include_str!("hostile.rs"),
        &[
            "budget_dust",
            "bulk_memory",
            "checker",
            "double_drop",
            "forged_handles",
            "giant_data",
            "handle_leak",
            "host_calls",
            "log_flood",
            "mailbox_flood",
            "malformed_text",
            "odd_amounts",
            "panics_in_drop",
            "poll_tricks",
            "post_return_traps",
            "realloc_calls_out",
            "realloc_lies",
            "realloc_traps",
            "reenters",
            "revoked",
            "start_loops",
            "table_growth",
            "unarmed",
            "widens",
        ],
    ),
    Tested(
        include_str!("processes.rs"),
        &[
            "alarmist",
            "blocker",
            "deadlocks",
            "dies",
            "echo_server",
            "fork_bomb",
            "late_message",
            "leaves_children",
            "ping_times",
            "pinger",
            "roll_call",
            "side_by_side",
            "signals",
            "spawner",
        ],
    ),
    Tested(include_str!("cli.rs"), &["embeds"]),
    Tested(include_str!("contexts.rs"), &["talks"]),
    Tested(include_str!("up.rs"), &["chatter"]),
    Tested(include_str!("up/history.rs"), &["unarmed"]),
    Tested(include_str!("up/inbox.rs"), &["asks_people"]),
    Tested(include_str!("up/memory.rs"), &["remembers"]),
    Tested(include_str!("up/relay.rs"), &["relay"]),
    Tested(include_str!("up/soak.rs"), &["spin"]),
    Tested(include_str!("up/tools.rs"), &["acts"]),
    Tested(include_str!("benches/durable/main.rs"), &["commits", "late_riser"]),
    Tested(include_str!("benches/recall/needle.rs"), &["converses"]),
    Tested(include_str!("benches/recall/nested.rs"), &["looks_up"]),
    Tested(include_str!("benches/remembering/paging.rs"), &["pages_out"]),
    Tested(include_str!("benches/remembering/put.rs"), &["notes_much"]),
    Tested(include_str!("up/socket.rs"), &["torrent"]),
];

#[test]
fn every_program_has_a_test() {
    let built = std::fs::read_dir(made("REMIT_TEST_PROGRAMS")).expect("the set-up built them");
    let names = built.filter_map(|entry| {
        let path = entry.expect("it is readable").path();
        let is_program = path.extension().is_some_and(|extension| extension == "wasm");
        is_program.then(|| path.file_stem().expect("a file").to_string_lossy().into_owned())
    });
    let tested = TESTED.iter().flat_map(|Tested(_, names)| *names).map(|name| (*name).to_owned());
    assert_eq!(names.collect::<BTreeSet<_>>(), tested.collect::<BTreeSet<_>>());
}

#[test]
fn every_program_is_named_where_it_is_said_to_be_tested() {
    for Tested(text, names) in TESTED {
        for name in *names {
            assert!(text.contains(&format!("\"{name}\"")), "no test of its file names {name}");
        }
    }
}
