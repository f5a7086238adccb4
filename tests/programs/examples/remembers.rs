//! Does with the memory at `notes` (kind `memory`) what its inputs say, one after the other, and says what came of each, one a line:
//! `put TEXT`, `update ENTRY TEXT`, `words TEXT`, `meaning TEXT`, `read ENTRY`, `versions ENTRY`, `restore ENTRY VERSION`, `forget ENTRY`,
//! `destroy ENTRY`, `list`, `wait`.

use remit::{
    MemoryError,
    memory::{Filter, Hit, Store},
    prelude::*,
    time,
};
use std::time::Duration;

/// An hour: no host of a test is away for so long.
const LONG: Duration = Duration::from_secs(3600);

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let store = Store::take("notes")?;
    for input in &task.conversation {
        let text = input.content.text()?;
        let (verb, rest) = text.split_once(' ').unwrap_or((text.as_str(), ""));
        let said = match verb {
            "wait" => {
                time::sleep(LONG);
                "waited".to_owned()
            }
            verb => done(&store, verb, rest)?.unwrap_or_else(|error| format!("error: {error}")),
        };
        emit_text(said + "\n")?;
    }
    Ok(Outcome::complete())
}

fn done(store: &Store, verb: &str, rest: &str) -> Result<Result<String, MemoryError>, Failure> {
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    let entry = || first.trim_start_matches('m').parse::<u64>();
    Ok(match verb {
        "put" => store.note(rest).tag("said").field("length", rest.len() as i64).put().map(|entry| format!("m{entry}")),
        "update" => store.note(second).update(entry()?, None).map(|version| format!("version {version}")),
        "words" => store.search(rest).by_words().find().and_then(|hits| texts(&hits)),
        "meaning" => store.search(rest).by_meaning().find().and_then(|hits| texts(&hits)),
        "list" => store.entries(&Filter::tagged("said"), None, 100).and_then(|hits| texts(&hits)),
        "read" => store.get(entry()?).and_then(|hit| texts(&[hit])),
        "versions" => store.versions(entry()?).map(|kept| format!("{} versions", kept.len())),
        "restore" => store.restore(entry()?, second.parse()?).map(|version| format!("version {version}")),
        "forget" => store.forget(entry()?).map(|count| format!("{count} forgotten")),
        "destroy" => store.destroy(entry()?).map(|count| format!("{count} destroyed")),
        other => return Err(Failure::new(format!("there is no verb {other:?}"))),
    })
}

/// What entries say, in their order.
fn texts(hits: &[Hit]) -> Result<String, MemoryError> {
    let said = hits.iter().map(|hit| hit.content.text().unwrap_or_else(|error| error.to_string()));
    Ok(said.collect::<Vec<_>>().join(" | "))
}
