//! `remit.toml`: an agent's name, its component, and what it asks for.
//!
//! Unknown keys are errors: a misspelt limit must not silently be no limit. Whoever writes a manifest is told all that is
//! wrong with it at once, each with its line.

use crate::{
    form::{self, ManifestForm},
    name::{plain, quoted},
    problem::{ManifestError, Problem},
    read::Reading,
    restart::{Priority, Restart},
    want::{Want, check_name, wants},
};
use remit_abi::{Tokens, limits::Limits};
use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One manifest: a few names and numbers. A larger file is not one.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 64 << 10;

/// The largest budget that can be counted.
const BUDGET_TOKENS_MAX: u64 = Tokens::MAX.micro() / Tokens::MICRO;

/// What an agent is, and asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Lower-case letters, digits, dashes, dots and underscores.
    pub name: String,
    /// The author's version.
    pub version: Version,
    /// One sentence for people, in one line.
    pub description: String,
    /// The component's file, beside the manifest.
    pub component: String,
    /// Rights that it asks for, in the author's order.
    pub wants: Vec<Want>,
    /// What it may spend where the operator names nothing else.
    pub budget: Budget,
    /// Limits, none above the host's.
    pub limits: Limits,
    /// What becomes of it when it ends.
    pub restart: Restart,
    /// Who goes first.
    pub priority: Priority,
}

/// What an agent may spend where the operator names nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Whole tokens.
    #[schemars(range(min = 1, max = BUDGET_TOKENS_MAX))]
    pub tokens: u64,
    /// Tokens left at which the agent is told that they run out; below `tokens`.
    #[schemars(range(min = 1, max = BUDGET_TOKENS_MAX))]
    pub soft: Option<u64>,
}

impl Default for Budget {
    /// Enough to start and say why it cannot go on: 100 tokens are some 10⁹ instructions.
    fn default() -> Self {
        Self { tokens: 100, soft: None }
    }
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ManifestError::Wrong`], with up to 16 problems, each naming its key and line.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        if text.len() as u64 > MANIFEST_BYTES_MAX {
            let text = format!("the manifest has {} bytes, and {MANIFEST_BYTES_MAX} are the most", text.len());
            return Err(ManifestError::Wrong { problems: vec![Problem { line: 1, text }], more: 0 });
        }
        let mut reading = Reading::of(text, &form::schema(), "the manifest");
        let form = match ManifestForm::deserialize(&reading.value) {
            Ok(form) => form,
            Err(error) => {
                reading.problems.add(0, format!("the manifest cannot be read: {error}"));
                ManifestForm::default()
            }
        };
        let manifest = Self::of(form, &mut reading);
        reading.problems.into_error(text).map_or(Ok(manifest), Err)
    }

    /// The manifest of a component that came without one: it asks for nothing.
    #[must_use]
    pub fn bare(name: &str, component: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: Version::new(0, 0, 0),
            description: String::new(),
            component: component.to_owned(),
            wants: Vec::new(),
            budget: Budget::default(),
            limits: Limits::default(),
            restart: Restart::default(),
            priority: Priority::default(),
        }
    }

    /// What a form means. What is wrong with it is reported, and the manifest is then nobody's.
    fn of(form: ManifestForm, reading: &mut Reading) -> Self {
        if let Some(name) = &form.name {
            check_name("name", name, reading);
        }
        if let Some(file) = form.component.as_deref().filter(|file| !is_file_name(file)) {
            let sentence = format!("is {}, and must be the name of a file beside it, without a folder", quoted(file));
            reading.wrong("component", &sentence);
        }
        let manifest = Self {
            name: form.name.unwrap_or_default(),
            version: version(form.version.as_deref(), reading),
            description: plain(&form.description.unwrap_or_default()),
            component: form.component.unwrap_or_default(),
            wants: wants("wants", form.wants.unwrap_or_default(), reading),
            budget: form.budget.unwrap_or_default(),
            limits: limits(form.limits.map(Value::Object), reading),
            restart: form.restart.unwrap_or_default(),
            priority: form.priority.unwrap_or_default(),
        };
        check_order(&manifest, reading);
        manifest
    }
}

impl Budget {
    /// As an amount.
    ///
    /// # Errors
    /// [`ManifestError::Budget`] where it cannot be counted.
    pub fn amount(&self) -> Result<Tokens, ManifestError> {
        Tokens::from_whole(self.tokens).ok_or(ManifestError::Budget(self.tokens))
    }

    /// The amount left at which the agent is told; `None` where it is not.
    ///
    /// # Errors
    /// [`ManifestError::Budget`] where it cannot be counted.
    pub fn soft_amount(&self) -> Result<Option<Tokens>, ManifestError> {
        self.soft.map(|soft| Tokens::from_whole(soft).ok_or(ManifestError::Budget(soft))).transpose()
    }
}

/// Reports numbers of which one must be below the other.
fn check_order(manifest: &Manifest, reading: &mut Reading) {
    let Budget { tokens, soft } = manifest.budget;
    if let Some(soft) = soft.filter(|soft| *soft >= tokens && !reading.is_refused("budget.tokens")) {
        reading.wrong("budget.soft", &format!("is {soft}, and must be below `budget.tokens`, which is {tokens}"));
    }
    let Restart { backoff_ms: first, backoff_max_ms: last, .. } = manifest.restart;
    if last < first && !reading.is_refused("restart.backoff_max_ms") {
        let sentence = format!("is {last}, and must not be below `restart.backoff_ms`, which is {first}");
        reading.wrong("restart.backoff_max_ms", &sentence);
    }
}

fn is_file_name(file: &str) -> bool {
    let forbidden = |character: char| matches!(character, '/' | '\\' | ':') || character.is_control();
    !file.is_empty() && !file.contains(forbidden) && file != "." && file != ".."
}

fn version(text: Option<&str>, reading: &mut Reading) -> Version {
    let none = Version::new(0, 0, 0);
    let Some(text) = text else { return none };
    Version::parse(text).unwrap_or_else(|error| {
        let sentence = format!("is {}, which is no semantic version: {error}; write one such as 1.0.0", quoted(text));
        reading.wrong("version", &sentence);
        none
    })
}

/// The schema allows nothing above the host's limits, so there is nothing to lower here.
fn limits(given: Option<Value>, reading: &mut Reading) -> Limits {
    let Some(given) = given else { return Limits::default() };
    serde_json::from_value(given).unwrap_or_else(|error| {
        reading.wrong("limits", &format!("cannot be read: {error}"));
        Limits::default()
    })
}
