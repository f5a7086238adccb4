//! What an operator writes: a TOML file of `[[deployment]]`, each with the fields of the crate's example.

use crate::cron::Schedule;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use thiserror::Error;

/// Deployments of one file: they are read by people.
const DEPLOYMENTS_MAX: usize = 256;

/// Processes of one deployment that are kept running: a tenth of what a tenant may have by default.
const REPLICAS_MAX: u32 = 100;

/// Schedules of one deployment.
const CRON_MAX: usize = 32;

/// What a process is told at its start: as much as fits a screen some hundred times.
const TASK_BYTES_MAX: usize = 1 << 20;

/// Bytes of a name: processes have it with two numbers behind it.
const NAME_BYTES_MAX: usize = 64;

/// Pauses between two starts, in milliseconds: less than the least is a busy host, more than the most is a forgotten replica.
const BACKOFF_MS_MIN: u64 = 100;
const BACKOFF_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// One deployment as its file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// By which it is managed, and under which other agents find its replicas.
    pub name: String,
    /// `NAME` or `NAME@VERSION` of an installed package.
    pub package: String,
    /// How many processes are kept running.
    #[serde(default)]
    pub replicas: u32,
    /// What each of these is told at its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Labels of the wants that its processes get; all without this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Vec<String>>,
    /// For how many whole tokens each process runs; the manifest's budget without this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// When another process takes the place of a replica that has ended.
    #[serde(default)]
    pub restart: Restart,
    /// What begins by the clock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cron: Vec<Cron>,
}

/// When another process takes the place of a replica that has ended for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// After which ends.
    #[serde(default)]
    pub policy: RestartPolicy,
    /// The pause before the first, in milliseconds.
    #[serde(default = "backoff_ms")]
    pub backoff_ms: u64,
    /// The longest pause, in milliseconds.
    #[serde(default = "backoff_max_ms")]
    pub backoff_max_ms: u64,
}

/// After which ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// After every one.
    #[default]
    Always,
    /// Unless it did its work.
    OnFailure,
    /// After none.
    Never,
}

/// A second: a crash that repeats is seen in a log, and does no harm.
const fn backoff_ms() -> u64 {
    1000
}

/// Five minutes: what was out of order is used soon after it is in order again.
const fn backoff_max_ms() -> u64 {
    5 * 60 * 1000
}

impl Default for Restart {
    fn default() -> Self {
        Self { policy: RestartPolicy::default(), backoff_ms: backoff_ms(), backoff_max_ms: backoff_max_ms() }
    }
}

/// A process that is started by the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cron {
    /// When.
    pub schedule: Schedule,
    /// What it is told.
    pub task: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default)]
    deployment: Vec<Spec>,
}

/// A file that says no deployments.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FileError {
    /// It is no TOML, has an unknown field, or a value of another kind.
    #[error("line {line}: {why}")]
    Form {
        /// Where, from 1 on.
        line: usize,
        /// What is wrong there.
        why: String,
    },
    /// A deployment that cannot be.
    #[error("the deployment {name:?}: {why}")]
    Deployment {
        /// Which.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing, or too much.
    #[error("the file has {0} tables [[deployment]], and 1 to {DEPLOYMENTS_MAX} are what one file may have")]
    Count(usize),
}

/// Reads a deployment file.
///
/// # Errors
/// [`FileError`], for the first thing that is wrong.
pub fn parse(text: &str) -> Result<Vec<Spec>, FileError> {
    let form: Form = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        FileError::Form { line, why: error.message().replace('\n', " ") }
    })?;
    if form.deployment.is_empty() || form.deployment.len() > DEPLOYMENTS_MAX {
        return Err(FileError::Count(form.deployment.len()));
    }
    let mut names = BTreeSet::new();
    for spec in &form.deployment {
        let is_new = names.insert(&spec.name);
        let why = if is_new { spec.check() } else { Err("there are two of that name: give one another".to_owned()) };
        why.map_err(|why| FileError::Deployment { name: spec.name.clone(), why })?;
    }
    Ok(form.deployment)
}

impl Spec {
    /// What cannot be, although it is well-formed: one sentence without a full stop.
    fn check(&self) -> Result<(), String> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = self.name.starts_with(|first: char| first.is_ascii_lowercase()) && self.name.bytes().all(fits);
        if !is_name || self.name.len() > NAME_BYTES_MAX {
            return Err(format!(
                "its name is not 1 to {NAME_BYTES_MAX} lower-case letters, digits and -, a letter first"
            ));
        }
        if self.package.is_empty() {
            return Err("`package` is empty: name an installed package".to_owned());
        }
        if self.replicas > REPLICAS_MAX {
            return Err(format!("`replicas` is {}, and {REPLICAS_MAX} are the most", self.replicas));
        }
        if self.tokens == Some(0) {
            return Err("`tokens` is 0, for which no process runs: leave it out for the manifest's budget".to_owned());
        }
        let Restart { backoff_ms, backoff_max_ms, .. } = self.restart;
        if backoff_ms < BACKOFF_MS_MIN || backoff_max_ms < backoff_ms || backoff_max_ms > BACKOFF_MS_MAX {
            return Err(format!(
                "`restart` pauses from {backoff_ms} ms to {backoff_max_ms} ms: the first has to be {BACKOFF_MS_MIN} or more, and the \
                 second no less and at most {BACKOFF_MS_MAX}"
            ));
        }
        if self.cron.len() > CRON_MAX {
            return Err(format!("`cron` has {} entries, and {CRON_MAX} are the most", self.cron.len()));
        }
        let mut tasks = self.task.iter().chain(self.cron.iter().map(|cron| &cron.task));
        if tasks.any(|task| task.len() > TASK_BYTES_MAX) {
            return Err(format!("a `task` has more than {TASK_BYTES_MAX} bytes, which are the most"));
        }
        let labels = self.grants.as_deref().unwrap_or_default();
        match labels.iter().enumerate().find(|(at, label)| labels[..*at].contains(label)) {
            Some((_, label)) => Err(format!("`grants` names {label:?} twice")),
            None => Ok(()),
        }
    }

    /// What is different from an earlier one, a line for each field.
    #[must_use]
    pub fn differences(&self, earlier: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |field: &str, was: String, is: String| {
            if was != is {
                found.push(format!("{field}: {was} -> {is}"));
            }
        };
        let tokens = |spec: &Self| spec.tokens.map_or_else(|| "the manifest's".to_owned(), |tokens| tokens.to_string());
        let grants =
            |spec: &Self| spec.grants.as_ref().map_or_else(|| "all".to_owned(), |labels| format!("{labels:?}"));
        let task = |spec: &Self| spec.task.as_ref().map_or_else(|| "none".to_owned(), |task| format!("{task:?}"));
        let restart = |spec: &Self| {
            let Restart { policy, backoff_ms, backoff_max_ms } = spec.restart;
            format!("{}, {backoff_ms} to {backoff_max_ms} ms", policy.name())
        };
        let cron = |spec: &Self| {
            let entry = |Cron { schedule, task }: &Cron| format!("{:?} {task:?}", schedule.to_string());
            format!("[{}]", spec.cron.iter().map(entry).collect::<Vec<_>>().join(", "))
        };
        compare("package", earlier.package.clone(), self.package.clone());
        compare("replicas", earlier.replicas.to_string(), self.replicas.to_string());
        compare("task", task(earlier), task(self));
        compare("grants", grants(earlier), grants(self));
        compare("tokens", tokens(earlier), tokens(self));
        compare("restart", restart(earlier), restart(self));
        compare("cron", cron(earlier), cron(self));
        found
    }
}

impl RestartPolicy {
    /// As the file has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::OnFailure => "on-failure",
            Self::Never => "never",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(rest: &str) -> Result<Spec, String> {
        let text = format!("[[deployment]]\nname = \"support\"\npackage = \"clerk\"\n{rest}");
        parse(&text).map(|mut specs| specs.remove(0)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_is_what_the_documentation_says() {
        let spec = one("").expect("it is one");
        assert_eq!((spec.replicas, spec.task, spec.grants, spec.tokens, spec.cron.len()), (0, None, None, None, 0));
        assert_eq!(spec.restart, Restart { policy: RestartPolicy::Always, backoff_ms: 1000, backoff_max_ms: 300_000 });
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        let wrong = |rest: &str, expected: &str| {
            let told = one(rest).expect_err(rest);
            assert!(told.contains(expected) && !told.contains('\n'), "{told:?} is not {expected:?}");
        };
        wrong("replica = 2", "line 4: unknown field `replica`, expected one of `name`, `package`, `replicas`");
        wrong("replicas = \"2\"", "line 4: invalid type: string \"2\", expected u32");
        wrong("replicas = -1", "line 4");
        wrong("replicas = 101", "the deployment \"support\": `replicas` is 101, and 100 are the most");
        wrong("tokens = 0", "`tokens` is 0");
        wrong("grants = [\"a\", \"b\", \"a\"]", "`grants` names \"a\" twice");
        wrong("[deployment.restart]\npolicy = \"sometimes\"", "line 5: unknown variant `sometimes`");
        wrong("[deployment.restart]\nbackoff_ms = 10", "`restart` pauses from 10 ms");
        wrong(
            "[deployment.restart]\nbackoff_ms = 5000\nbackoff_max_ms = 1000",
            "`restart` pauses from 5000 ms to 1000 ms",
        );
        wrong("[[deployment.cron]]\nschedule = \"0 25 * * *\"\ntask = \"x\"", "\"25\" is no hour");
        wrong("[[deployment.cron]]\nschedule = \"0 5 * * *\"", "missing field `task`");
        wrong("[[deployment.webhook]]", "unknown field `webhook`");
        wrong("[[deployment]]\nname = \"support\"\npackage = \"x\"", "there are two of that name");
        wrong("[[deployment]]\nname = \"Support\"\npackage = \"x\"", "lower-case letters");
        wrong("[[deployment]]\nname = \"x\"\npackage = \"\"", "`package` is empty");
        wrong("[", "line 4");
        assert_eq!(parse(""), Err(FileError::Count(0)));
        assert!(matches!(parse("[deployment]\nname = \"x\""), Err(FileError::Form { .. })));
    }

    #[test]
    fn differences_are_told_by_field() {
        let (one, other) =
            (one("").expect("it is one"), one("replicas = 2\ntokens = 9\n[deployment.restart]\npolicy = \"never\""));
        let other = other.expect("it is one");
        assert_eq!(one.differences(&one), Vec::<String>::new());
        let expect = [
            "replicas: 0 -> 2",
            "tokens: the manifest's -> 9",
            "restart: always, 1000 to 300000 ms -> never, 1000 to 300000 ms",
        ];
        assert_eq!(other.differences(&one), expect);
    }
}
