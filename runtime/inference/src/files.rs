//! A model's files, in either form that people have them.
//!
//! | what is at the path | form |
//! | --- | --- |
//! | a file | GGUF: weights, hyperparameters, tokenizer and chat template in one |
//! | a folder | safetensors (one or sharded), `config.json`, `tokenizer.json`, and what of `tokenizer_config.json`, `generation_config.json` and `chat_template.jinja` is there |

use crate::{
    LoadError,
    gguf::{Gguf, optional},
    model::{
        Architecture, Decoder, DeviceBytes, Encoder, ModelError, NativeDecoder, NativeMemory, Pool, Split,
        encoder::EncoderArchitecture, read_config,
    },
    safetensors::Safetensors,
    tokenizer::{Tokenizer, chat_template_of},
};
use remit_compute::Team;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A model's files, opened and checked; its weights are not read yet.
pub(crate) struct ModelFiles {
    /// As the registry calls the model.
    name: String,
    form: Form,
}

enum Form {
    Gguf(Gguf),
    Folder { path: PathBuf, config: Map<String, Value>, weights: Safetensors },
}

/// How a model is shared out between a device and the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) layers: usize,
    /// How many of them, the first ones, are the CPU's.
    pub(crate) host_layers: usize,
    /// What all others take on the device, with the output, keys and values, and what is computed in.
    pub(crate) device_bytes: u64,
}

impl ModelFiles {
    /// Opens what is at `path`.
    ///
    /// # Errors
    /// [`LoadError`], naming the model.
    pub(crate) fn open(name: &str, path: &Path) -> Result<Self, LoadError> {
        let name = name.to_owned();
        let form = match path.is_dir() {
            false => Gguf::open(path).map(Form::Gguf).map_err(ModelError::from),
            true => read_config(&path.join("config.json")).and_then(|config| {
                let weights = Safetensors::open(path)?;
                Ok(Form::Folder { path: path.to_owned(), config, weights })
            }),
        };
        match form {
            Ok(form) => Ok(Self { name, form }),
            Err(source) => Err(LoadError::Model { name, source }),
        }
    }

    /// Whether it says of itself that it embeds.
    pub(crate) fn is_encoder(&self) -> bool {
        let family = match &self.form {
            Form::Gguf(file) => file.get_str("general.architecture").ok(),
            Form::Folder { config, .. } => config.get("model_type").and_then(Value::as_str),
        };
        family == Some("bert")
    }

    /// What the model is, checked against its weights' shapes.
    pub(crate) fn architecture(&self) -> Result<Architecture, LoadError> {
        let architecture = match &self.form {
            Form::Gguf(file) => Architecture::from_gguf(file),
            Form::Folder { config, weights, .. } => Architecture::from_json(config, weights),
        };
        architecture.map_err(|source| LoadError::Model { name: self.name.clone(), source })
    }

    /// Its tokenizer.
    pub(crate) fn tokenizer(&self) -> Result<Tokenizer, LoadError> {
        let tokenizer = match &self.form {
            Form::Gguf(file) => Tokenizer::from_gguf(file),
            Form::Folder { path, .. } => Tokenizer::from_folder(path),
        };
        tokenizer.map_err(|source| LoadError::Tokenizer { name: self.name.clone(), source })
    }

    /// The source of its chat template, where it has one.
    pub(crate) fn chat_template(&self) -> Result<Option<String>, LoadError> {
        let name = || self.name.clone();
        match &self.form {
            Form::Gguf(file) => {
                let template = optional(file.get_str("tokenizer.chat_template"));
                let template = template.map_err(|error| LoadError::Model { name: name(), source: error.into() });
                Ok(template?.map(str::to_owned))
            }
            Form::Folder { path, .. } => {
                chat_template_of(path).map_err(|source| LoadError::Tokenizer { name: name(), source })
            }
        }
    }

    /// What of it goes onto a device that has so many bytes left: as many of its last layers as fit beside the output, with keys
    /// and values of so many tokens.
    pub(crate) fn share(&self, left: u64, tokens: usize) -> Result<Share, LoadError> {
        let bytes = self.bytes(false)?;
        let layers = bytes.layers.len();
        let host_layers = bytes.host_layers(left, tokens).unwrap_or(layers);
        if host_layers > 0 {
            tracing::info!(model = self.name, host_layers, layers, left, "not all layers fit onto the device");
        }
        Ok(Share { layers, host_layers, device_bytes: bytes.on_device(host_layers, tokens) })
    }

    /// Reads its weights to where its layers are computed.
    pub(crate) fn decoder(&self, split: Split) -> Result<Decoder, LoadError> {
        let decoder = match &self.form {
            Form::Gguf(file) => Decoder::load(file, split),
            Form::Folder { config, weights, .. } => Decoder::from_json(config, weights, split),
        };
        decoder.map_err(|source| LoadError::Model { name: self.name.clone(), source })
    }

    /// Room for its keys and values there.
    pub(crate) fn pool(&self, decoder: &Decoder, blocks: usize) -> Result<Pool, LoadError> {
        decoder.pool(blocks).map_err(|source| LoadError::Blocks { name: self.name.clone(), source })
    }

    /// Packs its weights for the CPU.
    pub(crate) fn native_decoder(&self, team: &Team) -> Result<NativeDecoder, LoadError> {
        let decoder = match &self.form {
            Form::Gguf(file) => NativeDecoder::load(file, team),
            Form::Folder { config, weights, .. } => NativeDecoder::from_json(config, weights, team),
        };
        decoder.map_err(|source| LoadError::Model { name: self.name.clone(), source })
    }

    /// Room for its keys and values on the CPU.
    pub(crate) fn native_memory(&self, decoder: &NativeDecoder, blocks: usize) -> Result<NativeMemory, LoadError> {
        let memory = NativeMemory::new(decoder.architecture(), blocks);
        memory.map_err(|error| LoadError::Blocks { name: self.name.clone(), source: error.into() })
    }

    /// What it takes where it is computed natively, or on a device.
    pub(crate) fn bytes(&self, is_native: bool) -> Result<DeviceBytes, LoadError> {
        let bytes = match &self.form {
            Form::Gguf(file) => DeviceBytes::of_gguf(file, is_native),
            Form::Folder { config, weights, .. } => DeviceBytes::of_json(config, weights, is_native),
        };
        bytes.map_err(|source| LoadError::Model { name: self.name.clone(), source })
    }

    /// What the encoder is, checked against its weights' shapes, and how many bytes those take, in memory.
    pub(crate) fn encoder_architecture(&self) -> Result<(EncoderArchitecture, u64), LoadError> {
        let architecture = match &self.form {
            Form::Gguf(file) => EncoderArchitecture::from_gguf(file),
            Form::Folder { config, weights, .. } => EncoderArchitecture::from_json(config, weights),
        };
        architecture.map_err(|source| LoadError::Model { name: self.name.clone(), source })
    }

    /// Packs the weights of an encoder.
    pub(crate) fn encoder(&self, team: &Team) -> Result<Encoder, LoadError> {
        let encoder = match &self.form {
            Form::Gguf(file) => Encoder::load(file, team),
            Form::Folder { config, weights, .. } => Encoder::from_json(config, weights, team),
        };
        encoder.map_err(|source| LoadError::Model { name: self.name.clone(), source })
    }
}
