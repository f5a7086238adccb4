//! Gemma 3, its text part: normalised queries and keys, five layers with a window for one without, and a rotary
//! embedding for each of the two kinds.
//!
//! Source: Gemma Team 2025, "Gemma 3 Technical Report". Only the layers without a window have their rotary embedding
//! stretched. GGUF files do not say the other one's base, which is the same in all models.

use super::{
    CONTEXT_MAX, Family, Layer, Metadata, ModelError, Rope, SLIDING, Source, WINDOW, gemma2, json, key, plain,
    sliding_layers,
};
use crate::model::placement;
use serde_json::Value;

/// Layers of the largest model.
const LAYERS_OF_27B: usize = 62;
/// Every so many-th layer sees all positions.
const PATTERN: usize = 6;
/// Of the rotary embedding of layers with a window.
const LOCAL_BASE: f64 = 10_000.0;
/// Of the other one, where a `config.json` does not say it.
const GLOBAL_BASE: f64 = 1_000_000.0;

pub(super) const FAMILY: Family = Family {
    name: "gemma3",
    gguf: Some("gemma3"),
    json: "gemma3_text",
    read: |source| {
        let metadata = &source.metadata;
        let mut architecture = plain(source)?;
        gemma2::adopt(&mut architecture, source, LAYERS_OF_27B)?;
        architecture.query_key_norm = true;
        let local = local_rope(source, architecture.rope_width)?;
        architecture.ropes.push(local);
        default_global_base(metadata, &mut architecture.ropes[0]);
        let layers = architecture.layers.len();
        let window = metadata.size(WINDOW, CONTEXT_MAX)?;
        let every = metadata.size_if(key("attention.sliding_window_pattern", "sliding_window_pattern"), CONTEXT_MAX)?;
        let every = every.unwrap_or(PATTERN);
        let sliding = sliding_layers(metadata, layers)?;
        let sliding = sliding.unwrap_or_else(|| (0..layers).map(|layer| (layer + 1) % every != 0).collect());
        architecture.arrange(|layer| match sliding[layer] {
            true => Layer { window: Some(window), rope: 1 },
            false => Layer { window: None, rope: 0 },
        });
        Ok(architecture)
    },
    gguf_layout: placement::GGUF,
    json_layout: gemma2::JSON_LAYOUT,
};

fn local_rope(source: &Source<'_>, width: usize) -> Result<Rope, ModelError> {
    let metadata = &source.metadata;
    match metadata {
        Metadata::Json(map) if is_nested(map.get("rope_parameters"), SLIDING) => metadata.rope(source, width, SLIDING),
        Metadata::Gguf(..) | Metadata::Json(_) => {
            let base = metadata.number(key("rope.freq_base_swa", "rope_local_base_freq"))?;
            Ok(Rope::plain(base.unwrap_or(LOCAL_BASE)))
        }
    }
}

fn is_nested(parameters: Option<&Value>, kind: &str) -> bool {
    parameters.and_then(|parameters| parameters.get(kind)).is_some_and(Value::is_object)
}

fn default_global_base(metadata: &Metadata<'_>, rope: &mut Rope) {
    if let Metadata::Json(map) = metadata
        && json(map, "rope_theta").is_none()
        && json(map, "rope_parameters").is_none()
    {
        rope.base = GLOBAL_BASE;
    }
}
