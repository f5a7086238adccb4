//! `remit.toml`: an agent's name, its component, and what it asks for.
//!
//! Unknown keys are errors: a misspelt limit must not silently be no limit.

use remit_abi::{Tokens, limits::Limits};
use serde::Deserialize;
use thiserror::Error;

/// One manifest: a few names and numbers. A larger file is not one.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 64 << 10;

/// Wants of one kind: as many as a person can read before agreeing.
const WANTS_MAX: usize = 64;

/// A name: it becomes a folder's, a label's or a column's.
const NAME_BYTES_MAX: usize = 64;

/// What an agent is, and asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Lower-case letters, digits and dashes.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// One sentence for people.
    #[serde(default)]
    pub description: String,
    /// The component's file, beside the manifest.
    pub component: String,
    /// Rights that it asks for.
    #[serde(default)]
    pub wants: Wants,
    /// What it may spend where the operator names nothing else.
    #[serde(default)]
    pub budget: Budget,
    /// Limits that are lower than the host's.
    #[serde(default)]
    pub limits: Limits,
}

/// Rights that an agent asks for, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wants {
    /// Models to generate with.
    #[serde(default)]
    pub models: Vec<ModelWant>,
}

/// A model that an agent asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelWant {
    /// What the agent takes it by.
    pub label: String,
    /// The registry's name; without one, the host's default model.
    #[serde(default)]
    pub name: Option<String>,
    /// At most so many output tokens a call.
    #[serde(default)]
    pub max_tokens_per_call: Option<u32>,
}

/// What an agent may spend where the operator names nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Whole tokens.
    pub tokens: u64,
}

impl Default for Budget {
    /// Enough to start and say why it cannot go on: 100 tokens are some 10⁹ instructions.
    fn default() -> Self {
        Self { tokens: 100 }
    }
}

/// A manifest that cannot be used.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// Not in the form of a manifest.
    #[error("the manifest cannot be read: {0}")]
    Syntax(#[from] toml::de::Error),
    /// A name that is none.
    #[error("the manifest's {field} {value:?} is no name: use 1 to 64 lower-case letters, digits and dashes")]
    Name {
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// A component that is not a file beside the manifest.
    #[error("the manifest's component {0:?} must be the name of a file beside it, without a folder")]
    Component(String),
    /// Two wants under one label.
    #[error("the manifest asks for the label {0:?} twice: a label names one grant")]
    Twice(String),
    /// More than a person reads.
    #[error("the manifest asks for {0} models, and {WANTS_MAX} are the most")]
    TooMany(usize),
    /// More than can be counted.
    #[error("the manifest's budget of {0} tokens is too large to count: name less than 18 million million")]
    Budget(u64),
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ManifestError`], naming the field.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text)?;
        check_name("name", &manifest.name)?;
        let file = &manifest.component;
        if file.is_empty() || file.contains(['/', '\\', ':', '\0']) || file == "." || file == ".." {
            return Err(ManifestError::Component(file.clone()));
        }
        let models = &manifest.wants.models;
        if models.len() > WANTS_MAX {
            return Err(ManifestError::TooMany(models.len()));
        }
        for (index, want) in models.iter().enumerate() {
            check_name("label", &want.label)?;
            if let Some(name) = &want.name {
                check_name("model name", name)?;
            }
            if models[..index].iter().any(|earlier| earlier.label == want.label) {
                return Err(ManifestError::Twice(want.label.clone()));
            }
        }
        manifest.budget.amount()?;
        Ok(manifest)
    }

    /// The manifest of a component that came without one: it asks for nothing.
    #[must_use]
    pub fn bare(name: &str, component: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: "0.0.0".to_owned(),
            description: String::new(),
            component: component.to_owned(),
            wants: Wants::default(),
            budget: Budget::default(),
            limits: Limits::default(),
        }
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
}

fn check_name(field: &'static str, value: &str) -> Result<(), ManifestError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_');
    let valid = (1..=NAME_BYTES_MAX).contains(&value.len())
        && value.bytes().all(fits)
        && value.starts_with(|first: char| first.is_ascii_alphanumeric());
    match valid {
        true => Ok(()),
        false => Err(ManifestError::Name { field, value: value.chars().take(NAME_BYTES_MAX).collect() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
        name = "assistant"
        version = "0.1.0"
        component = "assistant.wasm"
        [[wants.models]]
        label = "chat"
        max_tokens_per_call = 512
        [budget]
        tokens = 2000
        [limits]
        memory_bytes_max = 1048576
    "#;

    #[test]
    fn a_whole_manifest_is_read() {
        let manifest = Manifest::parse(WHOLE).expect("it is whole");
        assert_eq!(manifest.wants.models[0].max_tokens_per_call, Some(512));
        assert_eq!(manifest.limits.memory_bytes_max, 1 << 20);
        assert_eq!(manifest.limits.objects_max, Limits::default().objects_max);
        assert_eq!(manifest.budget.amount().expect("2000 fit").to_string(), "2000");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |from: &str, to: &str, word: &str| {
            let error = Manifest::parse(&WHOLE.replacen(from, to, 1)).expect_err(to).to_string();
            assert!(error.contains(word), "{error}");
        };
        check("tokens = 2000", "token = 2000", "unknown field `token`");
        check("wants.models", "wants.modles", "unknown field `modles`");
        check("name = \"assistant\"", "name = \"аssistant\"", "lower-case letters");
        check("assistant.wasm", "../assistant.wasm", "without a folder");
        check("tokens = 2000", "tokens = 18446744073709551616", "cannot be read");
        check("tokens = 2000", "tokens = 9223372036854775807", "too large");
        check("tokens = 2000", "tokens = -1", "cannot be read");
        check("label = \"chat\"", "label = \"chat\"\n[[wants.models]]\nlabel = \"chat\"", "twice");
    }
}
