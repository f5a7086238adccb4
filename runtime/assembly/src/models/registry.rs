//! The names that are known: `models.toml`, built in.

use serde::Deserialize;
use thiserror::Error;

/// A model that has a name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownModel {
    /// What it is called here.
    pub name: String,
    /// One sentence for people.
    pub description: String,
    /// Its architecture.
    pub family: String,
    /// SPDX identifier of its licence.
    pub licence: String,
    /// The file's name.
    pub file: String,
    /// The file's size.
    pub bytes: u64,
    /// The file's SHA-256, in hexadecimal.
    pub sha256: String,
    /// A package that carries the file.
    pub package: PythonPackage,
}

/// A file inside a package of the Python index.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PythonPackage {
    /// The package.
    pub name: String,
    /// Exactly which version.
    pub version: String,
    /// The file's path in the wheel.
    pub member: String,
}

/// A name that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no model {name:?}: known are {known}")]
pub struct UnknownModel {
    /// What was asked for.
    pub name: String,
    /// What there is, comma-separated.
    pub known: String,
}

/// All known models; the first is the default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    #[serde(rename = "model")]
    models: Vec<KnownModel>,
}

impl Registry {
    /// The list that is part of this program.
    ///
    /// # Panics
    /// Never in a build that passed its tests: the list is part of the program.
    #[must_use]
    pub fn built_in() -> Self {
        toml::from_str(include_str!("../../models.toml")).expect("the built-in list is tested")
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &KnownModel> {
        self.models.iter()
    }

    /// The model that is used where none is named.
    #[must_use]
    pub fn default_model(&self) -> &KnownModel {
        &self.models[0]
    }

    /// The model of a name.
    ///
    /// # Errors
    /// [`UnknownModel`].
    pub fn find(&self, name: &str) -> Result<&KnownModel, UnknownModel> {
        self.models.iter().find(|model| model.name == name).ok_or_else(|| UnknownModel {
            name: name.to_owned(),
            known: self.models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_list_is_whole() {
        let registry = Registry::built_in();
        assert!(registry.find(&registry.default_model().name).is_ok());
        for model in registry.iter() {
            assert_eq!(model.sha256.len(), 64, "{}", model.name);
            assert!(model.package.member.ends_with(&model.file), "{}", model.name);
        }
        let unknown = registry.find("gpt").expect_err("no such model");
        assert!(unknown.to_string().contains("smollm2"));
    }
}
