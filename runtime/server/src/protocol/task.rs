//! Tasks: what is asked for, and the lines that answer.
//!
//! A task's answer is JSON, one object a line: `started`, then `text`, `progress`, `artifact` and `log` as they come, and
//! `finished` last. `remit run --output json` writes the same lines.

use super::{Marking, text};
use remit_abi::{LogLevel, Pid, Role};
use serde::{Deserialize, Serialize};

/// A task to do. `POST /v1/tasks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// An installed agent's name, or the absolute path of a package's folder or of a component's file.
    pub agent: String,
    /// Which of the grants that the agent asks for it gets, by label; all of them without this.
    #[serde(default)]
    pub grants: Option<Vec<String>>,
    /// For how many tokens; what the manifest says without this.
    #[serde(default)]
    pub budget_tokens: Option<u64>,
    /// What is to be done, oldest message first.
    #[serde(default)]
    pub messages: Vec<Message>,
    /// Confidentiality tags of all messages.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Under which name other processes find its mailbox.
    #[serde(default)]
    pub name: Option<String>,
    /// The state that the agent committed last, in hexadecimal, where it is started again.
    #[serde(default, with = "optional_hex", skip_serializing_if = "Option::is_none")]
    pub state: Option<Vec<u8>>,
    /// Whether the last line has the state that the agent committed last.
    #[serde(default)]
    pub keep_state: bool,
    /// Whether the task goes on where its client goes away; otherwise it is killed then.
    #[serde(default)]
    pub detach: bool,
    /// Of a task that is detached: whether nothing of it is kept, so that it ends with the host.
    #[serde(default)]
    pub ephemeral: bool,
}

/// A message of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// What is said.
    pub text: String,
    /// Whether the operator said it, rather than a document or a stranger.
    #[serde(default)]
    pub trusted: bool,
    /// Who speaks: the person, unless what was said before is told again.
    #[serde(default = "person")]
    pub role: Role,
}

const fn person() -> Role {
    Role::User
}

/// Bytes: as `text` where they are UTF-8, else as `hex`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Hex(#[serde(with = "hex")] Vec<u8>),
}

impl Content {
    /// The bytes themselves.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Hex(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Hex(bytes.to_vec()),
        }
    }
}

/// Something that a process showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Shown {
    /// More of the answer.
    Text {
        /// The text.
        #[serde(flatten)]
        content: Content,
        /// What went into it.
        label: Marking,
    },
    /// How far the work is.
    Progress {
        /// Steps done.
        done: u64,
        /// Steps in all, where that is known.
        total: Option<u64>,
        /// What is being done now.
        note: Box<str>,
    },
    /// A finished piece of work besides the answer.
    Artifact {
        /// The agent's name for it.
        name: Box<str>,
        /// RFC 6838.
        media_type: Box<str>,
        /// The content.
        #[serde(flatten)]
        content: Content,
        /// What went into it.
        label: Marking,
    },
    /// A log line of the agent.
    Log {
        /// How much it matters.
        level: LogLevel,
        /// One line.
        message: Box<str>,
    },
}

/// Something that a process showed, and its place among all that it did, from 1 on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// Its place. What is missing between two was forgotten: the latest events are kept.
    pub number: u64,
    /// What was shown.
    #[serde(flatten)]
    pub shown: Shown,
}

/// One line of a task's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum RunLine {
    /// The first one.
    Started {
        /// The process that does the task.
        #[serde(with = "text")]
        pid: Pid,
    },
    /// The last one.
    Finished(Box<Finished>),
    /// What comes between.
    #[serde(untagged)]
    Shown(Shown),
}

/// Why a process was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Its account could not pay.
    Budget,
    /// It crashed.
    Crash,
    /// It broke the protocol.
    Protocol,
    /// It went over a limit.
    Limit,
    /// Somebody killed it.
    Killed,
    /// The runtime's own mistake, or the machine's.
    Host,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum End {
    /// It did all of its work.
    Complete {
        /// What it returned.
        output: Option<Content>,
    },
    /// It did a usable part of it.
    Partial {
        /// What it returned.
        output: Option<Content>,
    },
    /// It could not.
    Failed {
        /// In its own words.
        message: Box<str>,
        /// Whether the same task may succeed later.
        retryable: bool,
    },
    /// It was ended.
    Faulted {
        /// Why, for people.
        message: String,
        /// Why, for programs.
        fault: FaultKind,
    },
}

/// What a process did and paid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Prompt tokens that had to be computed.
    pub input_tokens: u32,
    /// Prompt tokens whose state was at hand.
    pub cached_tokens: u32,
    /// Tokens that models wrote.
    pub output_tokens: u32,
    /// Instructions of the guest, about.
    pub fuel: u64,
    /// What it paid itself.
    pub paid_micro_tokens: u64,
    /// That, in the operator's currency, where the price list has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_money: Option<String>,
    /// What went back to its payer; nothing before its end.
    pub refunded_micro_tokens: u64,
    /// The price list that it was charged by.
    pub price_version: u32,
    /// What it cited of memories, and stands there.
    #[serde(default)]
    pub supported_citations: u64,
    /// What it cited, and does not stand there.
    #[serde(default)]
    pub unsupported_citations: u64,
}

/// The end of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// How it ended.
    #[serde(flatten)]
    pub end: End,
    /// What it did and paid itself.
    pub ledger: Ledger,
    /// What it and its children paid.
    #[serde(default)]
    pub paid_micro_tokens: u64,
    /// That, in the operator's currency, where the price list has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_money: Option<String>,
    /// How often it was started again.
    pub restarts: u32,
    /// Log lines that its listener was too slow for.
    pub logs_dropped: u64,
    /// The state that it committed last, in hexadecimal, where the request asked for it.
    #[serde(default, with = "optional_hex", skip_serializing_if = "Option::is_none")]
    pub state: Option<Vec<u8>>,
}

/// What a detached task came to. `GET /v1/results/{pid}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskResult {
    /// The process that did it.
    #[serde(with = "text")]
    pub pid: Pid,
    /// Of which package. Where its history was forgotten in part, this and the next two are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// The operator's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it was started, in nanoseconds since 1970-01-01T00:00:00Z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ns: Option<u64>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ns: Option<u64>,
    /// How.
    #[serde(flatten)]
    pub finished: Finished,
}

/// What detached tasks came to, latest first. `GET /v1/results`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// Each of them.
    pub results: Vec<TaskResult>,
}

mod optional_hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => serializer.serialize_str(&hex::encode(bytes)),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        Option::<String>::deserialize(deserializer)?.map(|text| hex::decode(text).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(line: &RunLine, expect: serde_json::Value) {
        assert_eq!(serde_json::to_value(line).expect("it is JSON"), expect);
        assert_eq!(&serde_json::from_value::<RunLine>(expect).expect("it is a line"), line);
    }

    #[test]
    fn each_line_says_its_type_and_reads_as_it_was_written() {
        let pid = "0.3.1".parse().expect("it is a pid");
        check(&RunLine::Started { pid }, json!({ "type": "started", "pid": "0.3.1" }));
        let label = Marking::default();
        let text = Shown::Text { content: b"hello".as_slice().into(), label: label.clone() };
        let shown = json!({ "type": "text", "text": "hello", "label": { "integrity": "trusted", "tags": [] } });
        check(&RunLine::Shown(text.clone()), shown);
        let numbered = serde_json::to_value(Numbered { number: 7, shown: text.clone() }).expect("it is JSON");
        assert_eq!((&numbered["number"], &numbered["text"]), (&json!(7), &json!("hello")));
        assert_eq!(serde_json::from_value::<Numbered>(numbered).expect("it is one").shown, text);
        let bytes = Shown::Artifact {
            name: "a.bin".into(),
            media_type: "application/octet-stream".into(),
            content: b"\xff\x00".as_slice().into(),
            label,
        };
        let line = serde_json::to_value(&bytes).expect("it is JSON");
        assert_eq!(line["hex"], "ff00");
        assert_eq!(serde_json::from_value::<Shown>(line).expect("it is one"), bytes);
    }

    #[test]
    fn the_last_line_says_how_it_ended() {
        let finished = Finished {
            end: End::Faulted { message: "it crashed".to_owned(), fault: FaultKind::Crash },
            ledger: Ledger { fuel: u64::MAX, ..Ledger::default() },
            paid_micro_tokens: 7,
            paid_money: None,
            restarts: 0,
            logs_dropped: 0,
            state: Some(vec![1, 255]),
        };
        let line = RunLine::Finished(Box::new(finished));
        let value = serde_json::to_value(&line).expect("it is JSON");
        assert_eq!((&value["type"], &value["status"]), (&json!("finished"), &json!("faulted")));
        assert_eq!((&value["fault"], &value["state"]), (&json!("crash"), &json!("01ff")));
        assert_eq!(serde_json::from_str::<RunLine>(&value.to_string()).expect("it is a line"), line);
    }

    #[test]
    fn a_request_needs_an_agent_and_nothing_that_is_unknown() {
        let least = serde_json::from_str::<RunRequest>(r#"{"agent":"assistant"}"#).expect("it is enough");
        assert_eq!(least, RunRequest { agent: "assistant".to_owned(), ..RunRequest::default() });
        for wrong in [r"{}", r#"{"agent":"a","bugdet":1}"#, r#"{"agent":"a","state":"xy"}"#, r#"{"agent":1}"#, "[]"] {
            assert!(serde_json::from_str::<RunRequest>(wrong).is_err(), "{wrong}");
        }
    }
}
