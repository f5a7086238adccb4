//! What agents remember, over the ends of processes and hosts; and what operators see and do of it.

use super::stage::{Host, program, remit_on};
use serde_json::Value;
use std::{fs, path::Path};
use tempfile::TempDir;

/// An agent that may use a store, installed under a name.
fn install(home: &TempDir, name: &str, store: &str, access: &str) {
    let agent = home.path().join("agents").join(name);
    fs::create_dir_all(&agent).expect("it is writable");
    fs::copy(program("remembers"), agent.join("it.wasm")).expect("it is built");
    let wants = format!("[[wants.memory]]\nlabel = \"notes\"\nstores = [\"{store}\"]\naccess = \"{access}\"\n");
    let manifest = format!("name = \"{name}\"\nversion = \"0.1.0\"\ncomponent = \"it.wasm\"\n{wants}");
    fs::write(agent.join("remit.toml"), manifest).expect("it is writable");
}

/// A host with three agents: two share a store, one of them to read only; the third has another store.
fn host() -> Host {
    let home = tempfile::tempdir().expect("a folder for the test");
    install(&home, "writer", "team", "read-write");
    install(&home, "reader", "team", "read-only");
    install(&home, "stranger", "elsewhere", "read-write");
    Host::on(home, &[])
}

fn again(host: Host) -> Host {
    host.signal("KILL");
    Host::on(host.ended().1, &[])
}

/// What an agent says of some acts.
fn does(host: &Host, agent: &str, acts: &[&str]) -> Vec<String> {
    host.ask(&[&["run", "--budget", "100000", agent], acts].concat()).lines().map(str::to_owned).collect()
}

fn stats(host: &Host, name: &str) -> u64 {
    host.json(&["memory", "stats"])[name].as_u64().expect("it is a number")
}

/// The texts of what is listed or found.
fn texts<'a>(answer: &'a Value, list: &str) -> Vec<&'a str> {
    let entries = answer[list].as_array().expect("it is a list").iter();
    let entry = |found: &'a Value| if list == "hits" { &found["entry"] } else { found };
    entries.map(|found| entry(found)["content"]["text"].as_str().expect("it is a text")).collect()
}

#[test]
fn what_one_process_wrote_another_one_finds_also_after_a_crash() {
    let mut host = host();
    assert_eq!(does(&host, "writer", &["put the red boat sinks", "put the blue boat swims"]), ["m1", "m2"]);
    for round in 0..2 {
        assert_eq!(does(&host, "reader", &["words RED"]), ["the red boat sinks"], "round {round}");
        assert_eq!(does(&host, "reader", &["list"]), ["the red boat sinks | the blue boat swims"], "round {round}");
        host = again(host);
    }
    // It is in the memory's own files by then, and need not come from the journal.
    host.until("it is applied", |host| (stats(host, "pending") == 0).then_some(()));
    host = again(host);
    // What the journal still has is handed over once more, and counts once.
    host.until("it is known to be applied", |host| (stats(host, "pending") == 0).then_some(()));
    assert_eq!((stats(&host, "entries"), stats(&host, "versions")), (2, 2));
    assert_eq!(does(&host, "reader", &["words swims"]), ["the blue boat swims"]);
}

#[test]
fn a_store_is_whose_it_was_granted_to() {
    let host = host();
    does(&host, "writer", &["put a secret of the team"]);
    assert_eq!(does(&host, "stranger", &["words secret", "list"]), ["", ""]);
    let refused = does(&host, "stranger", &["read m1", "update m1 mine now", "destroy m1", "versions m1"]);
    assert!(
        refused.iter().all(|said| said == "0 destroyed" || said.contains("there is no such entry here")),
        "{refused:?}"
    );
    let refused = does(&host, "reader", &["put a word", "update m1 a word", "forget m1", "destroy m1", "restore m1 1"]);
    assert!(refused.iter().all(|said| said.contains("the grant notes does not open that")), "{refused:?}");
    assert_eq!(does(&host, "reader", &["read m1", "versions m1"]), ["a secret of the team", "1 versions"]);
}

#[test]
fn versions_come_back_until_they_are_destroyed() {
    let host = host();
    let said = does(
        &host,
        "writer",
        &["put one", "update m1 two", "read m1", "restore m1 1", "read m1", "forget m1", "read m1", "versions m1"],
    );
    assert_eq!(said[..6], ["m1", "version 2", "two", "version 3", "one", "1 forgotten"]);
    assert!(said[6].contains("there is no such entry here"), "{said:?}");
    assert_eq!(said[7], "3 versions");
    let host = again(host);
    host.ask(&["memory", "restore", "m1", "2"]);
    assert_eq!(does(&host, "reader", &["read m1"]), ["two"]);
    assert!(host.ask(&["memory", "show", "m1"]).contains("version 4"));
    assert_eq!(host.ask(&["memory", "forget", "--purge", "m1"]).trim(), "1 entries are destroyed");
    let gone = host.remit(&["memory", "show", "m1"]);
    assert!(gone.code != 0 && gone.stderr.contains("there is no entry m1"), "{gone:?}");
    assert!(does(&host, "writer", &["versions m1"])[0].contains("there is no such entry here"));
}

/// All files below a folder in which some bytes are.
fn files_with(folder: &Path, marker: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    // Upkeep may remove a folder meanwhile.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, marker));
        } else if let Ok(bytes) = fs::read(&path)
            && bytes.windows(marker.len()).any(|window| window == marker)
        {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn what_is_destroyed_is_in_no_file() {
    let host = host();
    // So long that nothing packs it together with others.
    let marker = "xyzzyplughplover".repeat(8);
    does(&host, "writer", &[&format!("put {marker}"), "put something else", &format!("update m1 {marker} again")]);
    host.until("it is applied", |host| (stats(host, "pending") == 0).then_some(()));
    let memory = host.home().path().join("memory");
    assert!(!files_with(&memory, b"xyzzyplughplover").is_empty(), "it is kept");
    host.ask(&["memory", "forget", "--purge", "m1"]);
    assert_eq!(files_with(&memory, b"xyzzyplughplover"), Vec::<String>::new());
    assert_eq!(does(&host, "reader", &["list"]), ["something else"]);
    let host = again(host);
    assert_eq!(does(&host, "reader", &["list"]), ["something else"]);
    assert_eq!(files_with(&memory, b"xyzzyplughplover"), Vec::<String>::new());
}

#[test]
fn an_operator_writes_searches_exports_and_imports() {
    let host = host();
    let put = |text: &str, more: &[&str]| host.ask(&[&["memory", "put", "team", text], more].concat());
    assert_eq!(put("the kettle is green", &["--tag", "kitchen", "--field", "floor=2", "--trusted"]).trim(), "m1");
    assert_eq!(put("the lamp is broken; DROP TABLE entries", &["--tag", "hall", "--secret", "home"]).trim(), "m2");
    assert_eq!(texts(&host.json(&["memory", "ls"]), "entries").len(), 2);
    assert_eq!(texts(&host.json(&["memory", "ls", "--tag", "kitchen"]), "entries"), ["the kettle is green"]);
    assert_eq!(texts(&host.json(&["memory", "ls", "--field", "floor=2"]), "entries"), ["the kettle is green"]);
    assert!(texts(&host.json(&["memory", "ls", "--field", "floor=\"2\""]), "entries").is_empty());
    assert!(texts(&host.json(&["memory", "ls", "--field", "floor=2' OR 'a'='a"]), "entries").is_empty());
    let refused = host.remit(&["memory", "ls", "--tag", "x' OR 'a'='a"]);
    assert_eq!((refused.code, &*refused.stdout), (2, ""), "{}", refused.stderr);
    assert!(refused.stderr.contains("the name of a tag"), "{}", refused.stderr);
    let found = host.json(&["memory", "search", "--by", "words", "'kettle' OR 1=1 -- \" * ("]);
    assert_eq!(texts(&found, "hits"), ["the kettle is green"]);
    assert_eq!(host.json(&["memory", "show", "m2"])["entries"][0]["label"]["tags"][0], "home");
    let shown = host.ask(&["memory", "show", "m2"]);
    assert!(shown.contains("home") && shown.contains("the lamp is broken"), "{shown}");

    let file = host.home().path().join("entries.jsonl");
    let file = file.to_str().expect("it is text");
    host.ask(&["memory", "export", file, "--tag", "hall"]);
    assert_eq!(host.ask(&["memory", "import", file, "--store", "copies"]).trim(), "1 entries are written");
    let copied = host.json(&["memory", "ls", "--store", "copies"]);
    assert_eq!(texts(&copied, "entries"), ["the lamp is broken; DROP TABLE entries"]);
    assert_eq!(copied["entries"][0]["label"]["tags"][0], "home");
    host.ask(&["memory", "forget", "--store", "copies"]);
    assert_eq!(stats(&host, "entries"), 2);

    let table = host.home().path().join("entries.parquet");
    let table = table.to_str().expect("it is text");
    assert!(host.ask(&["memory", "export", table]).starts_with("2 entries are in "));
    assert_eq!(host.ask(&["memory", "import", table, "--store", "tables"]).trim(), "2 entries are written");
    let told = |store: &str| {
        let mut listed = host.json(&["memory", "ls", "--store", store])["entries"].take();
        for entry in listed.as_array_mut().expect("it is a list").iter_mut().filter_map(Value::as_object_mut) {
            ["id", "version", "store", "written_ns"].iter().for_each(|own| drop(entry.remove(*own)));
        }
        listed
    };
    assert_eq!(told("tables"), told("team"));
    host.ask(&["memory", "forget", "--store", "tables"]);
    fs::write(table, "PAR1 and no more").expect("it is writable");
    let refused = host.remit(&["memory", "import", table]);
    assert!(refused.code == 2 && refused.stderr.contains("is no table"), "{refused:?}");
    host.ask(&["memory", "optimize"]);

    let refused = host.remit(&["memory", "put", "no such; store", "text"]);
    assert!(refused.code != 0 && refused.stderr.contains("is no store"), "{refused:?}");
    fs::write(file, "{\"id\": 1}\n").expect("it is writable");
    let refused = host.remit(&["memory", "import", file]);
    assert!(refused.code != 0 && refused.stderr.contains("line 1"), "{refused:?}");
}

#[test]
fn a_tenant_that_is_erased_remembers_nothing() {
    let host = host();
    does(&host, "writer", &["put something of the tenant"]);
    host.until("it is applied", |host| (stats(host, "pending") == 0).then_some(()));
    host.until("its end", |host| (host.ask(&["ps"]).lines().count() == 1).then_some(()));
    host.ask(&["erase", "--tenant", "0"]);
    assert_eq!(stats(&host, "entries"), 0);
    assert_eq!(does(&host, "writer", &["list", "put anew"])[0], "");
    assert_eq!(does(&host, "reader", &["list"]), ["anew"]);
}

#[test]
fn where_no_host_runs_on_there_is_no_memory_and_a_sentence_says_so() {
    let home = tempfile::tempdir().expect("a folder for the test");
    install(&home, "writer", "team", "read-write");
    let refused = remit_on(&home, &["run", "writer", "put one"]);
    assert!(refused.code != 0 && refused.stderr.contains("remit up"), "{refused:?}");
}
