//! Gemma 2: norms around both branches, capped scores and logits, a window on every other layer.
//!
//! Source: Gemma Team 2024, "Gemma 2: Improving Open Language Models at a Practical Size", and its published code. A
//! `config.json` says what the scale of scores is derived from; a GGUF file does not, so that it follows from the model's
//! size as in that code: in the largest one it comes from the width, in the others from a head's.

use super::{
    ATTENTION_SCALE, ATTENTION_SOFTCAP, Activation, Architecture, CONTEXT_MAX, Family, Key, Layer, Layout, Metadata,
    ModelError, OUTPUT_SOFTCAP, Part, Source, WINDOW, expect_activation, key, plain, refuse_flags, sliding_layers,
    tied_output,
};
use crate::model::placement;
use serde_json::Value;

/// Layers of the largest model.
const LAYERS_OF_27B: usize = 46;
/// Every so many-th layer sees all positions.
const PATTERN: usize = 2;

pub(super) const FAMILY: Family = Family {
    name: "gemma2",
    gguf: Some("gemma2"),
    json: "gemma2",
    read: |source| {
        let metadata = &source.metadata;
        let mut architecture = plain(source)?;
        adopt(&mut architecture, source, LAYERS_OF_27B)?;
        architecture.attention_softcap = softcap(metadata, ATTENTION_SOFTCAP, 50.0)?;
        architecture.output_softcap = softcap(metadata, OUTPUT_SOFTCAP, 30.0)?;
        let layers = architecture.layers.len();
        let window = metadata.size(WINDOW, CONTEXT_MAX)?;
        let sliding = sliding_layers(metadata, layers)?;
        let sliding = sliding.unwrap_or_else(|| (0..layers).map(|layer| (layer + 1) % PATTERN != 0).collect());
        architecture.arrange(|layer| Layer { window: sliding[layer].then_some(window), rope: 0 });
        Ok(architecture)
    },
    gguf_layout: placement::GGUF,
    json_layout: JSON_LAYOUT,
};

/// A cap that is the published models' where a file says nothing, and none where a `config.json` says null.
fn softcap(metadata: &Metadata<'_>, key: Key, usual: f32) -> Result<Option<f32>, ModelError> {
    if let Metadata::Json(map) = metadata
        && map.get(&metadata.name(key)) == Some(&Value::Null)
    {
        return Ok(None);
    }
    Ok(Some(metadata.number(key)?.map_or(usual, |cap| cap as f32)))
}

/// Four norms a layer, under names of their own.
pub(super) const JSON_LAYOUT: Layout = Layout {
    own: &[
        (Part::PostAttentionNorm, "model.layers.{layer}.post_attention_layernorm.weight"),
        (Part::FeedNorm, "model.layers.{layer}.pre_feedforward_layernorm.weight"),
        (Part::PostFeedNorm, "model.layers.{layer}.post_feedforward_layernorm.weight"),
    ],
    norm_offset: 1.0,
    ..placement::JSON
};

/// What all gemmas have, where the largest one has so many layers.
pub(super) fn adopt(architecture: &mut Architecture, source: &Source<'_>, largest: usize) -> Result<(), ModelError> {
    let metadata = &source.metadata;
    refuse_flags(metadata, &["attention_bias", "use_bidirectional_attention"])?;
    expect_activation(metadata, "hidden_activation", "gelu_pytorch_tanh")?;
    architecture.activation = Activation::GeluTanh;
    architecture.post_norms = true;
    architecture.embedding_scale = (architecture.width as f32).sqrt();
    architecture.tied_output = tied_output(source, true)?;
    let derived = match metadata {
        Metadata::Json(_) => metadata.number(key("", "query_pre_attn_scalar"))?,
        Metadata::Gguf(..) if metadata.number(ATTENTION_SCALE)?.is_some() => None,
        Metadata::Gguf(..) if architecture.layers.len() == largest => {
            Some((architecture.width / architecture.heads) as f64)
        }
        Metadata::Gguf(..) => Some(architecture.head_width as f64),
    };
    if let Some(derived) = derived {
        architecture.attention_scale = (1.0 / derived.sqrt()) as f32;
    }
    Ok(())
}
