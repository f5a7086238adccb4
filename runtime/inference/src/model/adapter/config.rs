//! `adapter_config.json`: the rank and the scale. Whatever else would change a number is refused, also what nobody here has
//! heard of: a key that is on and not listed is an error.
//!
//! Source: the class `LoraConfig` of Hugging Face `peft`, up to 0.21.

use super::AdapterError;
use crate::model::{
    ModelError,
    metadata::{Metadata, json, key},
};
use serde_json::{Map, Value};

/// Of an adapter, at most: the rank of the smallest matrices that anybody adapts.
pub const RANK_MAX: usize = 1024;

/// What is read below.
const READ: &[&str] = &["peft_type", "r", "lora_alpha", "use_rslora", "init_lora_weights"];

/// What matters to training alone, names things, or says again what the tensors' names say.
const HARMLESS: &[&str] = &[
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
];

/// Initialisations that leave the base's weights as they are. The others (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) train
/// against a base from which something was taken away.
const PLAIN_INITIALISATIONS: &[&str] = &["gaussian", "eva", "orthogonal"];

/// How strongly an adapter changes its base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Strength {
    pub(super) rank: usize,
    /// `alpha / rank`, or `alpha / √rank`.
    pub(super) scale: f32,
}

/// Reads a configuration.
pub(super) fn read(config: &Map<String, Value>) -> Result<Strength, AdapterError> {
    match json(config, "peft_type") {
        Some(Value::String(kind)) if kind == "LORA" => {}
        kind => return Err(AdapterError::Kind { kind: kind.map_or_else(|| "not there".to_owned(), beginning) }),
    }
    let asked = config.iter().filter(|(name, value)| {
        let listed = READ.contains(&name.as_str()) || HARMLESS.contains(&name.as_str());
        !listed && !is_off(value)
    });
    if let Some(name) = asked.map(|(name, _)| name).min() {
        return Err(AdapterError::Feature { what: name.chars().take(40).collect() });
    }
    match json(config, "init_lora_weights") {
        None | Some(Value::Bool(_)) => {}
        Some(Value::String(method)) if PLAIN_INITIALISATIONS.contains(&method.as_str()) => {}
        Some(method) => return Err(AdapterError::Initialisation { method: beginning(method) }),
    }
    strength(&Metadata::Json(config)).map_err(AdapterError::from)
}

fn strength(metadata: &Metadata<'_>) -> Result<Strength, ModelError> {
    let rank = metadata.size(key("", "r"), RANK_MAX)?;
    let alpha = key("", "lora_alpha");
    let alpha = metadata.number(alpha)?.ok_or_else(|| ModelError::NoKey { key: metadata.name(alpha) })?;
    let by_root = metadata.flag(key("", "use_rslora"))?.unwrap_or(false);
    let scale = (alpha / if by_root { (rank as f64).sqrt() } else { rank as f64 }) as f32;
    match scale.is_finite() {
        true => Ok(Strength { rank, scale }),
        false => Err(ModelError::metadata(format!("lora_alpha is {alpha}"))),
    }
}

/// Whether a value stands for: not at all.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::String(kind) => kind == "none",
        Value::Object(entries) => entries.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        Value::Number(_) => false,
    }
}

/// A value can be long, and it is the file's: its beginning says enough.
fn beginning(value: &Value) -> String {
    value.to_string().chars().take(40).collect()
}
