//! An adapter's files, as Hugging Face `peft` leaves them in a folder.
//!
//! | file | what it is |
//! | --- | --- |
//! | `adapter_config.json` | method, rank, scale |
//! | `adapter_model.safetensors` | the matrices |
//! | `chat_template.jinja`, or a template in `tokenizer_config.json` | used in place of the base's, where it is there |
//! | `tokenizer.json` | compared with the base's tokenizer, where it is there: a token that differs is an error |

use crate::{
    LoadError,
    model::{Adapter, AdapterError, Architecture, Home, Tensors as _, read_config},
    safetensors::Safetensors,
    tokenizer::{Tokenizer, chat_template_of},
};
use serde_json::{Map, Value};
use std::{path::PathBuf, sync::Arc};

/// Bytes of a number as the engine holds it.
const NUMBER_BYTES: u64 = size_of::<f32>() as u64;

/// An adapter to load.
#[derive(Clone, Debug)]
pub struct AdapterFile {
    /// As the registry calls it, and as jobs will: no other model's name.
    pub name: Arc<str>,
    /// The model that it changes, as the registry calls it.
    pub base: Arc<str>,
    /// The folder of its files.
    pub path: PathBuf,
    /// SHA-256, in hexadecimal, that binds its files and its base's: neither says alone what is computed.
    pub digest: Arc<str>,
}

/// The files of an adapter, opened; its weights are not read yet.
pub(crate) struct AdapterFiles<'a> {
    file: &'a AdapterFile,
    config: Map<String, Value>,
    tensors: Safetensors,
}

impl<'a> AdapterFiles<'a> {
    /// Opens them.
    ///
    /// # Errors
    /// [`LoadError::Adapter`].
    pub(crate) fn open(file: &'a AdapterFile) -> Result<Self, LoadError> {
        let open = || {
            if !file.path.is_dir() {
                return Err(AdapterError::NotAFolder { path: file.path.clone() });
            }
            let (weights, pickle) = (file.path.join("adapter_model.safetensors"), file.path.join("adapter_model.bin"));
            if !weights.exists() && pickle.exists() {
                return Err(AdapterError::Pickle { path: pickle });
            }
            Ok((read_config(&file.path.join("adapter_config.json"))?, Safetensors::open(&weights)?))
        };
        let (config, tensors) = open().map_err(|source| wrong(file, source))?;
        Ok(Self { file, config, tensors })
    }

    /// Bytes that its weights take, loaded.
    ///
    /// # Errors
    /// [`LoadError::Adapter`].
    pub(crate) fn bytes(&self) -> Result<u64, LoadError> {
        let sum = self.tensors.names().try_fold(0u64, |sum, name| {
            let numbers = self.tensors.shape(name)?.iter().fold(1u64, |all, size| all.saturating_mul(*size as u64));
            Ok::<_, AdapterError>(sum.saturating_add(numbers))
        });
        let numbers = sum.map_err(|source| wrong(self.file, source))?;
        Ok(numbers.saturating_mul(NUMBER_BYTES))
    }

    /// Whether they fit a base.
    ///
    /// # Errors
    /// [`LoadError::Adapter`].
    pub(crate) fn check(&self, base: &Architecture) -> Result<(), LoadError> {
        Adapter::check(&self.config, &self.tensors, base).map_err(|source| wrong(self.file, source))
    }

    /// Reads the weights to where the base's layers are computed.
    ///
    /// # Errors
    /// [`LoadError::Adapter`].
    pub(crate) fn weights(&self, base: &Architecture, home: &Home) -> Result<Adapter, LoadError> {
        Adapter::load(&self.config, &self.tensors, base, home.clone()).map_err(|source| wrong(self.file, source))
    }

    /// The source of its own chat template, where it has one.
    ///
    /// # Errors
    /// [`LoadError::Tokenizer`].
    pub(crate) fn chat_template(&self) -> Result<Option<String>, LoadError> {
        let template = chat_template_of(&self.file.path);
        template.map_err(|source| LoadError::Tokenizer { name: self.file.name.to_string(), source })
    }

    /// Whether a tokenizer beside its weights, where there is one, is its base's.
    ///
    /// # Errors
    /// [`LoadError::Tokenizer`], [`LoadError::Adapter`].
    pub(crate) fn check_tokenizer(&self, base: &Tokenizer) -> Result<(), LoadError> {
        if !self.file.path.join("tokenizer.json").exists() {
            return Ok(());
        }
        let own = Tokenizer::from_folder(&self.file.path);
        let own = own.map_err(|source| LoadError::Tokenizer { name: self.file.name.to_string(), source })?;
        match own.first_unlike(base) {
            Some(token) => Err(wrong(self.file, AdapterError::Tokenizer { token })),
            None => Ok(()),
        }
    }
}

fn wrong(file: &AdapterFile, source: AdapterError) -> LoadError {
    LoadError::Adapter { name: file.name.to_string(), base: file.base.to_string(), source: Box::new(source) }
}
