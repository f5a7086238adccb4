//! The families of models, as data: one table, and one small file for each family.
//!
//! A family says what its architecture is called in a GGUF file and in a `config.json`, how its hyperparameters become an
//! [`Architecture`], and where its tensors are ([`Layout`]). It computes nothing. Most of what it says is the same for
//! all, so that it starts from [`plain`] and changes what is different; a new family is one such file and one line of
//! [`FAMILIES`].
//!
//! What the formats differ in:
//!
//! | | GGUF | `config.json` and safetensors |
//! | --- | --- | --- |
//! | rows of query and key in llama | ordered so that neighbours are turned together | halves |
//! | gemma's norms | the weight | the weight less one |
//! | experts | stacked, one tensor for all of a layer | one tensor each |
//! | a tied output | there is no output tensor | `tie_word_embeddings` |
//! | llama 3's rotary divisors | a tensor | computed from four numbers |

mod gemma2;
mod gemma3;
mod llama;
mod mistral;
mod phi3;
mod qwen2;
mod qwen3;
mod qwen3_moe;
#[cfg(test)]
mod tests;

use super::{
    Architecture, ModelError,
    architecture::{Activation, CONTEXT_MAX, EXPERTS_MAX, Feed, LAYERS_MAX, Layer, WIDTH_MAX},
    metadata::{Key, Metadata, Source, json, key},
    placement::{self, Layout, Part, Placement},
    rope::Rope,
    tensors::Tensors,
};
use crate::gguf::Gguf;
use serde_json::{Map, Value};

/// One family.
pub(super) struct Family {
    /// As a model card says it.
    name: &'static str,
    /// `general.architecture` of its GGUF files, where it has some of its own.
    gguf: Option<&'static str>,
    /// `model_type` of its `config.json`.
    json: &'static str,
    /// Its hyperparameters.
    read: fn(&Source<'_>) -> Result<Architecture, ModelError>,
    /// Its tensors in GGUF.
    gguf_layout: Layout,
    /// Its tensors in safetensors.
    json_layout: Layout,
}

/// All that are served.
const FAMILIES: [&Family; 8] = [
    &llama::FAMILY,
    &mistral::FAMILY,
    &qwen2::FAMILY,
    &qwen3::FAMILY,
    &qwen3_moe::FAMILY,
    &gemma2::FAMILY,
    &gemma3::FAMILY,
    &phi3::FAMILY,
];

const LAYERS: Key = key("block_count", "num_hidden_layers");
const WIDTH: Key = key("embedding_length", "hidden_size");
const INNER: Key = key("feed_forward_length", "intermediate_size");
const HEADS: Key = key("attention.head_count", "num_attention_heads");
const KV_HEADS: Key = key("attention.head_count_kv", "num_key_value_heads");
const HEAD_WIDTH: Key = key("attention.key_length", "head_dim");
const VALUE_WIDTH: Key = key("attention.value_length", "v_head_dim");
const CONTEXT: Key = key("context_length", "max_position_embeddings");
const EPSILON: Key = key("attention.layer_norm_rms_epsilon", "rms_norm_eps");
const WINDOW: Key = key("attention.sliding_window", "sliding_window");
const ATTENTION_SCALE: Key = key("attention.scale", "");
const ATTENTION_SOFTCAP: Key = key("attn_logit_softcapping", "attn_logit_softcapping");
const OUTPUT_SOFTCAP: Key = key("final_logit_softcapping", "final_logit_softcapping");
const EXPERTS: Key = key("expert_count", "num_local_experts");

/// What a layer of a `config.json` is called that sees all positions, and one that sees a window.
const FULL: &str = "full_attention";
const SLIDING: &str = "sliding_attention";

/// Reads and checks what a GGUF file holds.
///
/// # Errors
/// [`ModelError`], where the file holds no model that the decoder can compute.
pub(super) fn read_gguf(file: &Gguf) -> Result<(Architecture, Layout), ModelError> {
    let name = file.get_str("general.architecture")?;
    let family = FAMILIES
        .into_iter()
        .find(|family| family.gguf == Some(name))
        .ok_or_else(|| unknown(name, FAMILIES.iter().filter_map(|family| family.gguf).collect()))?;
    let source = Source { metadata: Metadata::Gguf(file, name), tensors: file };
    read(family, family.gguf_layout, &source)
}

/// Reads and checks what a `config.json` says and the tensors beside it.
///
/// # Errors
/// [`ModelError`], where they are no model that the decoder can compute.
pub(super) fn read_json(
    config: &Map<String, Value>,
    tensors: &dyn Tensors,
) -> Result<(Architecture, Layout), ModelError> {
    let name = json(config, "model_type").and_then(Value::as_str);
    let name = name.ok_or_else(|| ModelError::NoKey { key: "model_type".to_owned() })?;
    let family = FAMILIES
        .into_iter()
        .find(|family| family.json == name)
        .ok_or_else(|| unknown(name, FAMILIES.iter().map(|family| family.json).collect()))?;
    let source = Source { metadata: Metadata::Json(config), tensors };
    read(family, family.json_layout, &source)
}

/// Where the tensors of this architecture's family are in safetensors.
pub(super) fn json_layout(architecture: &Architecture) -> Layout {
    let family = FAMILIES.into_iter().find(|family| family.name == architecture.family);
    family.map_or(placement::JSON, |family| family.json_layout)
}

fn unknown(name: &str, supported: Vec<&'static str>) -> ModelError {
    ModelError::Architecture { name: name.chars().take(40).collect(), supported }
}

fn read(family: &Family, layout: Layout, source: &Source<'_>) -> Result<(Architecture, Layout), ModelError> {
    let mut architecture = (family.read)(source)?;
    architecture.family = family.name;
    architecture.rope_pairs = layout.pairs;
    architecture.check()?;
    Placement { architecture: &architecture, layout, tensors: source.tensors }.check()?;
    Ok((architecture, layout))
}

/// What a family has in common with llama, and no feature beyond.
fn plain(source: &Source<'_>) -> Result<Architecture, ModelError> {
    let metadata = &source.metadata;
    let inner = metadata.size(INNER, WIDTH_MAX)?;
    plain_with(source, Feed::Dense { inner })
}

/// The same with another feed-forward.
fn plain_with(source: &Source<'_>, feed: Feed) -> Result<Architecture, ModelError> {
    let metadata = &source.metadata;
    let width = metadata.size(WIDTH, WIDTH_MAX)?;
    let heads = metadata.size(HEADS, WIDTH_MAX)?;
    let head_width = match metadata.size_if(HEAD_WIDTH, WIDTH_MAX)? {
        Some(head_width) => head_width,
        None if width.is_multiple_of(heads) => width / heads,
        None => return Err(ModelError::metadata(format!("{heads} heads do not divide a width of {width}"))),
    };
    let values = metadata.size_if(VALUE_WIDTH, WIDTH_MAX)?.unwrap_or(head_width);
    if values != head_width {
        return Err(ModelError::variant(format!("values of {values} beside keys of {head_width}")));
    }
    let rope_width = rope_width(metadata, head_width)?;
    let layers = metadata.size(LAYERS, LAYERS_MAX)?;
    let epsilon = metadata.number(EPSILON)?.ok_or_else(|| ModelError::NoKey { key: metadata.name(EPSILON) })?;
    Ok(Architecture {
        family: "",
        width,
        heads,
        kv_heads: metadata.size_if(KV_HEADS, WIDTH_MAX)?.unwrap_or(heads),
        head_width,
        vocabulary: vocabulary(source)?,
        context: metadata.size(CONTEXT, CONTEXT_MAX)?,
        epsilon: epsilon as f32,
        layers: vec![Layer { window: None, rope: 0 }; layers],
        ropes: vec![metadata.rope(source, rope_width, FULL)?],
        rope_width,
        rope_pairs: placement::GGUF.pairs,
        feed,
        activation: Activation::Silu,
        post_norms: false,
        query_key_norm: false,
        projection_bias: false,
        attention_scale: match metadata {
            Metadata::Gguf(..) => metadata.number(ATTENTION_SCALE)?.map(|scale| scale as f32),
            Metadata::Json(_) => None,
        }
        .unwrap_or(1.0 / (head_width as f32).sqrt()),
        attention_softcap: None,
        output_softcap: None,
        embedding_scale: 1.0,
        tied_output: tied_output(source, false)?,
    })
}

/// How much of a head is turned: GGUF says the width, a `config.json` the share.
fn rope_width(metadata: &Metadata<'_>, head_width: usize) -> Result<usize, ModelError> {
    let map = match metadata {
        Metadata::Gguf(..) => {
            return Ok(metadata.size_if(key("rope.dimension_count", ""), WIDTH_MAX)?.unwrap_or(head_width));
        }
        Metadata::Json(map) => map,
    };
    let name = "partial_rotary_factor";
    let inside = json(map, "rope_parameters").or_else(|| json(map, "rope_scaling"));
    let share = inside.and_then(|value| value.get(name)).or_else(|| json(map, name));
    let share = share.filter(|value| !value.is_null()).map_or(Some(1.0), Value::as_f64);
    match share {
        Some(share) if share > 0.0 && share <= 1.0 => Ok((head_width as f64 * share) as usize),
        _ => Err(ModelError::metadata(format!("{name} is not a share of a head"))),
    }
}

/// GGUF files have no key for it in all families; the embedding has as many rows.
fn vocabulary(source: &Source<'_>) -> Result<usize, ModelError> {
    match &source.metadata {
        Metadata::Gguf(..) => {
            let shape = source.tensors.shape("token_embd.weight")?;
            Ok(if shape.len() == 2 { shape[0] } else { 0 })
        }
        Metadata::Json(_) => source.metadata.size(key("", "vocab_size"), CONTEXT_MAX),
    }
}

/// Whether the embedding serves as output; where a `config.json` does not say so, it is as in its family.
fn tied_output(source: &Source<'_>, usual: bool) -> Result<bool, ModelError> {
    match source.metadata {
        Metadata::Gguf(..) => Ok(source.tensors.shape_if("output.weight")?.is_none()),
        Metadata::Json(_) => Ok(source.metadata.flag(key("", "tie_word_embeddings"))?.unwrap_or(usual)),
    }
}

/// Refuses a `config.json` in which one of these features is on.
fn refuse_flags(metadata: &Metadata<'_>, names: &[&'static str]) -> Result<(), ModelError> {
    let Metadata::Json(_) = metadata else { return Ok(()) };
    for name in names {
        if metadata.flag(key("", name))? == Some(true) {
            return Err(ModelError::variant(*name));
        }
    }
    Ok(())
}

/// Refuses a file with experts in a family that has none here.
fn refuse_experts(metadata: &Metadata<'_>) -> Result<(), ModelError> {
    match metadata.whole(EXPERTS, EXPERTS_MAX)? {
        None | Some(0) => Ok(()),
        Some(_) => Err(ModelError::variant("experts")),
    }
}

/// Refuses a `config.json` whose activation is another one.
fn expect_activation(metadata: &Metadata<'_>, name: &str, expected: &str) -> Result<(), ModelError> {
    let Metadata::Json(map) = metadata else { return Ok(()) };
    match json(map, name).map(|value| value.as_str().unwrap_or("no string")) {
        Some(found) if found != expected => {
            let found: String = found.chars().take(40).collect();
            Err(ModelError::variant(format!("the activation {found}")))
        }
        _ => Ok(()),
    }
}

/// Which layers see a window, by the list that a newer `config.json` has.
fn sliding_layers(metadata: &Metadata<'_>, layers: usize) -> Result<Option<Vec<bool>>, ModelError> {
    let Metadata::Json(map) = metadata else { return Ok(None) };
    let Some(value) = json(map, "layer_types") else { return Ok(None) };
    let kinds = value.as_array().filter(|kinds| kinds.len() == layers);
    let kinds = kinds.ok_or_else(|| ModelError::metadata(format!("layer_types is no list of {layers}")))?;
    let kinds = kinds.iter().map(|kind| match kind.as_str() {
        Some(FULL) => Ok(false),
        Some(SLIDING) => Ok(true),
        _ => Err(ModelError::variant("a kind of attention that is neither full nor sliding")),
    });
    kinds.collect::<Result<_, _>>().map(Some)
}

/// The windows of a family whose `config.json` has `use_sliding_window`: the first layers see all, the rest a window.
fn arrange_late_windows(architecture: &mut Architecture, metadata: &Metadata<'_>) -> Result<(), ModelError> {
    let layers = architecture.layers.len();
    if metadata.flag(key("use_sliding_window", "use_sliding_window"))? != Some(true) {
        return Ok(());
    }
    let window = metadata.size_if(WINDOW, CONTEXT_MAX)?;
    let first = metadata.whole(key("max_window_layers", "max_window_layers"), CONTEXT_MAX)?.unwrap_or(0);
    let sliding =
        sliding_layers(metadata, layers)?.unwrap_or_else(|| (0..layers).map(|layer| layer >= first).collect());
    architecture.arrange(|layer| Layer { window: window.filter(|_| sliding[layer]), rope: 0 });
    Ok(())
}
