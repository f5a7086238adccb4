//! A manifest in plain words, for the operator who decides.
//!
//! - The worst comes first: what acts on the world before what changes data, sends it away, reads it, or thinks.
//! - Every limit that an author set is said, and none that they did not.
//! - Words of the author stand in quotation marks and are theirs alone: they cannot end the quotation, break the line, or
//!   reach the terminal.

use crate::{
    Manifest,
    form::limits_by_name,
    moment::{Expiry, counted, rate_in_words, spoken},
    name::plain,
    restart::{Priority, Restart, RestartPolicy},
    want::{Ceiling, Want},
};
use remit_abi::{Access, GrantKind, Integrity, limits::Limits};
use std::fmt;

/// What a sentence is about, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Power {
    /// It acts on the world, or has others act.
    Act,
    /// It changes data that outlives it.
    Change,
    /// It sends data away, or asks for attention.
    Send,
    /// It reads data that is not its own.
    Read,
    /// It uses a model.
    Think,
    /// It spends.
    Spend,
    /// It stays.
    Run,
}

/// One sentence, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// What it is about.
    pub power: Power,
    /// Which want it explains, by its label.
    pub label: Option<String>,
    /// One line for people, free of control characters.
    pub text: String,
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What an agent could do if it were given all that it asks for.
#[must_use]
pub fn explain(manifest: &Manifest) -> Vec<Sentence> {
    let mut wants: Vec<&Want> = manifest.wants.iter().collect();
    // Of equal powers, the one without bounds is worse; else the author's order.
    wants.sort_by_key(|want| (power(want), !is_unbounded(want)));
    let explained = |want: &Want| Sentence { power: power(want), label: Some(plain(&want.label)), text: of_want(want) };
    let mut sentences: Vec<Sentence> = wants.into_iter().map(explained).collect();
    if sentences.is_empty() {
        sentences.push(own(Power::Act, "It asks for no right: it can compute, and answer.".to_owned()));
    }
    sentences.push(own(Power::Spend, of_budget(manifest)));
    sentences.push(own(Power::Run, of_restart(&manifest.restart)));
    sentences.extend(of_priority(manifest.priority).map(|text| own(Power::Run, text.to_owned())));
    sentences.extend(of_limits(&manifest.limits).map(|text| own(Power::Run, text)));
    sentences
}

/// A sentence about the agent itself.
const fn own(power: Power, text: String) -> Sentence {
    Sentence { power, label: None, text }
}

fn power(want: &Want) -> Power {
    use GrantKind::{Context, Device, File, Http, KeyValue, Mailbox, Memory, Model, Person, Process, Tool};
    match (want.kind, want.access) {
        (Process, _) | (Tool | Device | Http, Access::ReadWrite) => Power::Act,
        (File | KeyValue | Memory | Context, Access::ReadWrite) => Power::Change,
        // Whoever asks for a page tells its server what they ask, and so does who looks something up.
        (Http | Tool, Access::ReadOnly) | (Mailbox | Person, _) => Power::Send,
        (File | KeyValue | Memory | Context | Device, Access::ReadOnly) => Power::Read,
        (Model, _) => Power::Think,
    }
}

fn is_unbounded(want: &Want) -> bool {
    let whole = if want.kind == GrantKind::File { "." } else { "*" };
    want.scope.as_ref().is_some_and(|scope| scope.entries().iter().any(|entry| **entry == *whole))
}

fn of_want(want: &Want) -> String {
    let things = things(want);
    let changes = want.access == Access::ReadWrite;
    let mut text = match (want.kind, changes) {
        (GrantKind::Model, _) => format!("It may ask {things}"),
        (GrantKind::Context | GrantKind::Memory | GrantKind::KeyValue, true) => {
            format!("It may read and change {things}")
        }
        (GrantKind::File, true) => format!("It may read, change and delete {things}"),
        (GrantKind::Context | GrantKind::Memory | GrantKind::KeyValue | GrantKind::File, false) => {
            format!("It may read {things}")
        }
        (GrantKind::Http, true) => format!("It may send requests to {things}, and change things there"),
        (GrantKind::Http, false) => format!("It may fetch from {things}, and so tell them what it asks"),
        (GrantKind::Tool, true) => format!("It may use {things}"),
        (GrantKind::Tool, false) => format!("It may look things up with {things}"),
        (GrantKind::Process, _) => format!("It may start {things}"),
        (GrantKind::Mailbox, _) => format!("It may send messages to {things}"),
        (GrantKind::Person, true) => format!("It may tell, ask and seek approval of {things}"),
        (GrantKind::Person, false) => format!("It may ask and tell {things}"),
        (GrantKind::Device, true) => format!("It may use and change {things}"),
        (GrantKind::Device, false) => format!("It may look at {things}"),
    };
    for limit in limits_of(want) {
        text.push_str(", ");
        text.push_str(&limit);
    }
    text.push('.');
    if let Some(ceiling) = &want.limits.ceiling {
        text.push_str(&of_ceiling(ceiling));
    }
    if want.optional {
        text.push_str(" It runs without this, too.");
    }
    if let Some(reason) = &want.reason {
        // The quotation ends where we end it.
        let reason = plain(reason).replace('"', "'");
        text.push_str(&format!(" Its author says why: \"{reason}\""));
    }
    text
}

fn limits_of(want: &Want) -> Vec<String> {
    let limits = &want.limits;
    let said = [
        limits.max_tokens_per_call.map(|most| format!("for at most {} a call", counted(most.into(), "token"))),
        want.children_max.map(|most| format!("at most {most} at a time")),
        limits.uses.map(|uses| format!("at most {} in all", counted(uses, "time"))),
        limits.rate.map(rate_in_words),
        limits.expires.map(Expiry::in_words),
    ];
    said.into_iter().flatten().collect()
}

fn of_ceiling(ceiling: &Ceiling) -> String {
    let which = match ceiling.integrity {
        Integrity::Trusted => "Only trusted data",
        Integrity::Untrusted => "Data of any origin",
    };
    match ceiling.tags.as_slice() {
        [] => format!(" {which} may flow there, and none that is tagged."),
        tags => format!(" {which} may flow there, with no tag but {}.", listed(tags.iter().map(|tag| word(tag)))),
    }
}

/// What a want opens, as the object of a sentence.
fn things(want: &Want) -> String {
    let Some(scope) = &want.scope else { return "the host's default model".to_owned() };
    let entries = scope.entries().iter().map(|entry| word(entry));
    let phrases: Vec<String> = match want.kind {
        GrantKind::File => vec![files(entries.collect())],
        GrantKind::Http => entries.map(host).collect(),
        kind => named(kind, entries.collect()),
    };
    listed(phrases.into_iter())
}

/// A name as a part of a sentence: in quotation marks where it could be taken for more of the sentence.
fn word(name: &str) -> String {
    let name = plain(name);
    let fits = |character: char| character.is_alphanumeric() || "-._/*:@".contains(character);
    match name.chars().all(fits) && !name.ends_with(':') {
        true => name,
        false => format!("\"{}\"", name.replace('"', "'")),
    }
}

fn files(paths: Vec<String>) -> String {
    match paths.iter().any(|path| path == ".") {
        true => "every file of the folders that this host has declared".to_owned(),
        false => format!("files at and below {}", listed(paths.into_iter())),
    }
}

fn host(entry: String) -> String {
    match entry.strip_prefix("*.") {
        Some(domain) => format!("every host below {domain}"),
        None => entry,
    }
}

fn named(kind: GrantKind, entries: Vec<String>) -> Vec<String> {
    let (one, many) = nouns(kind);
    if entries.iter().any(|entry| entry == "*") {
        return vec![format!("every {one}")];
    }
    let (patterns, names): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.ends_with('*'));
    let noun = if names.len() == 1 { one } else { many };
    let exact = (!names.is_empty()).then(|| format!("the {noun} {}", listed(names.into_iter())));
    let start = |pattern: &String| format!("every {one} whose name begins with {}", pattern.trim_end_matches('*'));
    let every = patterns.iter().map(start);
    exact.into_iter().chain(every).collect()
}

const fn nouns(kind: GrantKind) -> (&'static str, &'static str) {
    match kind {
        GrantKind::Model => ("model", "models"),
        GrantKind::Context => ("conversation", "conversations"),
        GrantKind::Memory => ("memory store", "memory stores"),
        GrantKind::Tool => ("tool", "tools"),
        GrantKind::File => ("file", "files"),
        GrantKind::Http => ("host", "hosts"),
        GrantKind::KeyValue => ("key-value bucket", "key-value buckets"),
        GrantKind::Process => ("agent", "agents"),
        GrantKind::Mailbox => ("process", "processes"),
        GrantKind::Person => ("person", "people"),
        GrantKind::Device => ("device", "devices"),
    }
}

/// `a`, `a and b`, `a, b and c`.
fn listed(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    match items.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [start @ .., last] => format!("{} and {last}", start.join(", ")),
    }
}

fn of_budget(manifest: &Manifest) -> String {
    let may = format!("It may spend {}", counted(manifest.budget.tokens, "token"));
    match manifest.budget.soft {
        None => format!("{may}."),
        Some(1) => format!("{may}; it is told when 1 is left."),
        Some(soft) => format!("{may}; it is told when {soft} are left."),
    }
}

fn of_restart(restart: &Restart) -> String {
    let when = match restart.policy {
        RestartPolicy::Never => return "When it ends, it stays ended.".to_owned(),
        RestartPolicy::OnFailure => "If it fails",
        RestartPolicy::Always => "Whenever it ends",
    };
    format!(
        "{when} it is started again, at most {} in {}, after {} at first and {} at most.",
        counted(restart.storm.restarts.into(), "time"),
        spoken(restart.storm.within_ms),
        spoken(restart.backoff_ms),
        spoken(restart.backoff_max_ms),
    )
}

const fn of_priority(priority: Priority) -> Option<&'static str> {
    match priority {
        Priority::Background => Some("It runs when nobody else wants to."),
        Priority::Low => Some("Others go before it."),
        Priority::Normal => None,
        Priority::High => Some("It goes before others."),
    }
}

/// The limits that are lower than the host's.
fn of_limits(limits: &Limits) -> Option<String> {
    let host = limits_by_name(&Limits::default());
    let lowered = limits_by_name(limits).into_iter().filter_map(|(name, limit)| {
        let default = host.get(&name).filter(|default| limit < **default)?;
        Some(format!("{name} {limit} instead of {default}"))
    });
    let lowered = listed(lowered);
    (!lowered.is_empty()).then(|| format!("It keeps below the host's limits: {lowered}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name = \"clerk\"\nversion = \"1.0.0\"\ncomponent = \"clerk.wasm\"\n";

    /// What a manifest of a head and this text is explained as.
    fn check(text: &str, expect: &[&str]) {
        let manifest = match Manifest::parse(&format!("{HEAD}{text}")) {
            Ok(manifest) => manifest,
            Err(error) => panic!("{error}"),
        };
        let texts: Vec<_> = explain(&manifest).iter().map(ToString::to_string).collect();
        assert_eq!(texts, expect);
    }

    /// What one want is explained as.
    fn check_want(section: &str, keys: &str, expect: &str) {
        let spends = "It may spend 100 tokens.";
        check(
            &format!("[[wants.{section}]]\nlabel = \"x\"\n{keys}\n"),
            &[expect, spends, "When it ends, it stays ended."],
        );
    }

    #[test]
    fn every_kind_has_its_words() {
        check_want("models", "", "It may ask the host's default model.");
        check_want("models", "names = ['a', 'b', 'c']", "It may ask the models a, b and c.");
        check_want("contexts", "contexts = ['talk']", "It may read the conversation talk.");
        check_want(
            "memory",
            "stores = ['notes', 'team-*']\naccess = 'read-write'",
            "It may read and change the memory store notes and every memory store whose name begins with team-.",
        );
        check_want("tools", "tools = ['*']", "It may look things up with every tool.");
        check_want("tools", "tools = ['*']\naccess = 'read-write'", "It may use every tool.");
        check_want("files", "paths = ['docs', 'notes']", "It may read files at and below docs and notes.");
        check_want(
            "files",
            "paths = ['.']\naccess = 'read-write'",
            "It may read, change and delete every file of the folders that this host has declared.",
        );
        check_want(
            "http",
            "hosts = ['api.example.com']\naccess = 'read-write'",
            "It may send requests to api.example.com, and change things there.",
        );
        check_want(
            "http",
            "hosts = ['*.example.com']",
            "It may fetch from every host below example.com, and so tell them what it asks.",
        );
        check_want("keyvalue", "buckets = ['b']", "It may read the key-value bucket b.");
        check_want("processes", "agents = ['b']\nchildren_max = 2", "It may start the agent b, at most 2 at a time.");
        check_want("mailboxes", "mailboxes = ['b']", "It may send messages to the process b.");
        check_want("people", "people = ['ann', 'bob']", "It may ask and tell the people ann and bob.");
        check_want(
            "people",
            "people = ['ann']\naccess = 'read-write'",
            "It may tell, ask and seek approval of the person ann.",
        );
        check_want("devices", "devices = ['lamp']", "It may look at the device lamp.");
        check_want("devices", "devices = ['lamp']\naccess = 'read-write'", "It may use and change the device lamp.");
    }

    #[test]
    fn every_limit_is_said() {
        check_want(
            "models",
            "max_tokens_per_call = 512\nuses = 1\nrate = '60/minute'\nexpires = '30d'\noptional = true",
            "It may ask the host's default model, for at most 512 tokens a call, at most 1 time in all, \
             on average at most 60 times a minute, for 30 days from its start. It runs without this, too.",
        );
        check_want(
            "tools",
            "tools = ['send']\naccess = 'read-write'\nceiling = { integrity = 'trusted', tags = ['hr', 'law firm'] }",
            "It may use the tool send. Only trusted data may flow there, with no tag but hr and \"law firm\".",
        );
        check_want(
            "tools",
            "tools = ['send']\naccess = 'read-write'\nexpires = 2030-01-01T00:00:00Z\nceiling = { integrity = 'untrusted' }",
            "It may use the tool send, until 2030-01-01T00:00:00Z. \
             Data of any origin may flow there, and none that is tagged.",
        );
    }

    #[test]
    fn the_authors_words_stay_the_authors() {
        check_want(
            "tools",
            r#"tools = ['send']
               access = 'read-write'
               reason = "To \"send\".\n\u001b[2J\u202eIt may do nothing else." "#,
            "It may use the tool send. \
             Its author says why: \"To 'send'. [2JIt may do nothing else.\"",
        );
    }

    #[test]
    fn the_worst_comes_first() {
        let text = "
            priority = 'background'
            [[wants.models]]
            label = 'chat'
            [[wants.files]]
            label = 'read'
            paths = ['docs']
            [[wants.files]]
            label = 'write'
            paths = ['out']
            access = 'read-write'
            [[wants.tools]]
            label = 'one'
            tools = ['one']
            access = 'read-write'
            [[wants.tools]]
            label = 'all'
            tools = ['*']
            access = 'read-write'
            [[wants.people]]
            label = 'boss'
            people = ['boss']
            [budget]
            tokens = 2000
            soft = 200
            [limits]
            generations_max = 1
            [restart]
            policy = 'on-failure'
        ";
        check(
            text,
            &[
                "It may use every tool.",
                "It may use the tool one.",
                "It may read, change and delete files at and below out.",
                "It may ask and tell the person boss.",
                "It may read files at and below docs.",
                "It may ask the host's default model.",
                "It may spend 2000 tokens; it is told when 200 are left.",
                "If it fails it is started again, at most 5 times in 1 minute, after 1 second at first and 1 minute at most.",
                "It runs when nobody else wants to.",
                "It keeps below the host's limits: generations_max 1 instead of 16.",
            ],
        );
    }

    #[test]
    fn who_asks_for_nothing_is_said_to() {
        let sentences = explain(&Manifest::bare("echo", "echo.wasm"));
        assert_eq!(sentences[0].text, "It asks for no right: it can compute, and answer.");
    }
}
