//! Adapters and the models that they change: each adapter has one base, which is in a list and no adapter itself.

use super::{KnownModel, Registry, RegistryError, UnknownModel};
use remit_authority::ModelPrices;
use std::{collections::HashSet, path::Path};

/// Files that every adapter has.
pub(super) const ADAPTER_FILES: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

/// Files of an adapter that are read: those that it has, and those that it may have.
pub const ADAPTER_FILES_READ: [&str; 5] =
    [ADAPTER_FILES[0], ADAPTER_FILES[1], "chat_template.jinja", "tokenizer.json", "tokenizer_config.json"];

impl KnownModel {
    /// The same as an adapter of another model, where one is named.
    #[must_use]
    pub fn adapting(self, base: Option<String>) -> Self {
        Self { base, ..self }
    }

    /// What an adapter that has these files lacks, as the end of a sentence that begins with its name.
    pub(super) fn lacks(&self, files: &HashSet<&str>) -> Option<String> {
        let lacking = ADAPTER_FILES.into_iter().find(|name| self.base.is_some() && !files.contains(name))?;
        Some(format!("is an adapter and has no file {lacking}: add it"))
    }
}

impl Registry {
    /// Whether the base of an adapter is a model that can be one. So there are no adapters of adapters, and no circles.
    pub(super) fn check_base(&self, model: &KnownModel, path: &Path) -> Result<(), RegistryError> {
        let Some(base) = &model.base else { return Ok(()) };
        let why = match self.find(base) {
            _ if *base == model.name => "is its own base: name the model that it changes".to_owned(),
            Err(UnknownModel { known, .. }) => {
                format!("changes the base {base:?}, which is in no list: add that first, or name one of {known}")
            }
            Ok(KnownModel { base: Some(under), .. }) => {
                format!("changes {base:?}, which is an adapter itself (of {under:?}): name a model that is none")
            }
            Ok(_) => return Ok(()),
        };
        Err(RegistryError::Model { path: path.to_owned(), name: model.name.clone(), why })
    }

    /// Whether a model could go: nothing is made of it.
    ///
    /// # Errors
    /// [`RegistryError::Needed`].
    pub fn check_unneeded(&self, name: &str) -> Result<(), RegistryError> {
        let of_it = self.iter().filter(|model| model.base.as_deref() == Some(name));
        let adapters: Vec<&str> = of_it.map(|model| model.name.as_str()).collect();
        match adapters.is_empty() {
            true => Ok(()),
            false => Err(RegistryError::Needed { name: name.to_owned(), adapters: adapters.join(", ") }),
        }
    }

    /// What a model's tokens cost, where a list says so: an adapter's as much as its base's, unless it has a price of its own.
    #[must_use]
    pub fn price_of(&self, model: &KnownModel) -> Option<ModelPrices> {
        model.price().or_else(|| self.base_of(model)?.price())
    }

    /// The model that an adapter changes; none where this is no adapter.
    #[must_use]
    pub fn base_of(&self, model: &KnownModel) -> Option<&KnownModel> {
        let base = model.base.as_ref()?;
        self.iter().find(|model| model.name == *base)
    }
}
