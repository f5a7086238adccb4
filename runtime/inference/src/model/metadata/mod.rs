//! A model's hyperparameters, from a GGUF file's metadata or from a `config.json`.
//!
//! The two formats say the same under other names, so that a [`Key`] is both names and a family asks once for both. A
//! number of a file is an allegation: it comes back within its limit or as an error. In JSON, null counts as absent.
//!
//! Sources: the GGUF specification in the ggml repository (`docs/gguf.md`); the configuration classes of Hugging Face
//! `transformers`.

mod rotary;

use super::{ModelError, rope::Rope, tensors::Tensors};
use crate::gguf::{Gguf, optional};
use serde_json::{Map, Value};

/// What a hyperparameter is called: behind the architecture's name in GGUF, and in JSON.
#[derive(Clone, Copy)]
pub(super) struct Key {
    gguf: &'static str,
    json: &'static str,
}

/// A hyperparameter that both formats have.
pub(super) const fn key(gguf: &'static str, json: &'static str) -> Key {
    Key { gguf, json }
}

/// Where hyperparameters are read.
pub(super) enum Metadata<'a> {
    /// A GGUF file, and the architecture that its keys begin with.
    Gguf(&'a Gguf, &'a str),
    /// A `config.json`.
    Json(&'a Map<String, Value>),
}

/// What a family is read from.
pub(super) struct Source<'a> {
    pub(super) metadata: Metadata<'a>,
    /// A few hyperparameters are tensors.
    pub(super) tensors: &'a dyn Tensors,
}

impl Metadata<'_> {
    /// As this format calls it.
    pub(super) fn name(&self, key: Key) -> String {
        match self {
            Self::Gguf(_, architecture) => format!("{architecture}.{}", key.gguf),
            Self::Json(_) => key.json.to_owned(),
        }
    }

    fn wrong(&self, key: Key, value: &Value, wanted: &str) -> ModelError {
        // A value can be long, and it is the file's: its beginning says enough.
        let value: String = value.to_string().chars().take(40).collect();
        ModelError::metadata(format!("{} is {value} and should be {wanted}", self.name(key)))
    }

    /// A whole number of 0 to `most`.
    pub(super) fn whole(&self, key: Key, most: usize) -> Result<Option<usize>, ModelError> {
        self.within(key, 0, most)
    }

    /// A whole number of 1 to `most`.
    pub(super) fn size_if(&self, key: Key, most: usize) -> Result<Option<usize>, ModelError> {
        self.within(key, 1, most)
    }

    fn within(&self, key: Key, least: usize, most: usize) -> Result<Option<usize>, ModelError> {
        let value = match self {
            Self::Gguf(file, _) => optional(file.get_u32(&self.name(key)))?.map(u64::from),
            Self::Json(map) => match json(map, key.json) {
                Some(value) => Some(value.as_u64().ok_or_else(|| self.wrong(key, value, "a whole number"))?),
                None => None,
            },
        };
        let Some(value) = value else { return Ok(None) };
        if value < least as u64 || value > most as u64 {
            let name = self.name(key);
            return Err(ModelError::metadata(format!("{name} is {value} and must be {least} to {most}")));
        }
        // It fits: it is at most a usize.
        Ok(Some(value as usize))
    }

    /// The same where it has to be there.
    pub(super) fn size(&self, key: Key, most: usize) -> Result<usize, ModelError> {
        self.size_if(key, most)?.ok_or_else(|| ModelError::NoKey { key: self.name(key) })
    }

    /// A number; whether it makes sense is for [`Architecture::check`](super::Architecture::check).
    pub(super) fn number(&self, key: Key) -> Result<Option<f64>, ModelError> {
        match self {
            Self::Gguf(file, _) => Ok(optional(file.get_f32(&self.name(key)))?.map(f64::from)),
            Self::Json(map) => match json(map, key.json) {
                Some(value) => Ok(Some(value.as_f64().ok_or_else(|| self.wrong(key, value, "a number"))?)),
                None => Ok(None),
            },
        }
    }

    /// A truth value.
    pub(super) fn flag(&self, key: Key) -> Result<Option<bool>, ModelError> {
        match self {
            Self::Gguf(file, _) => Ok(optional(file.get_bool(&self.name(key)))?),
            Self::Json(map) => match json(map, key.json) {
                Some(value) => Ok(Some(value.as_bool().ok_or_else(|| self.wrong(key, value, "true or false"))?)),
                None => Ok(None),
            },
        }
    }

    /// The rotary embedding, of heads of which `width` is turned. Of a `config.json` that has one for each kind of
    /// layer, that of `kind`.
    pub(super) fn rope(&self, source: &Source<'_>, width: usize, kind: &str) -> Result<Rope, ModelError> {
        match self {
            Self::Gguf(file, architecture) => rotary::of_gguf(file, architecture, source.tensors, width),
            Self::Json(map) => rotary::of_json(map, kind),
        }
    }
}

/// What a `config.json` has under a name; null is nothing.
pub(super) fn json<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).filter(|value| !value.is_null())
}
