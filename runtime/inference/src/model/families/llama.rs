//! Llama 2 and 3, and what was made like them: SmolLM2, TinyLlama, Mistral in GGUF.
//!
//! Source: Touvron et al. 2023, "Llama 2"; Llama Team 2024, "The Llama 3 Herd of Models". GGUF files permute the rows of
//! query and key so that the pairs which the rotary embedding turns are neighbours; those of llama 3 carry its rotary
//! divisors as `rope_freqs.weight`. Mistral has no name of its own in GGUF, only a window.

use super::{
    Architecture, CONTEXT_MAX, Family, Layer, ModelError, Source, WINDOW, expect_activation, plain, refuse_experts,
    refuse_flags,
};
use crate::model::{architecture::Pairs, placement};

pub(super) const FAMILY: Family = Family {
    name: "llama",
    gguf: Some("llama"),
    json: "llama",
    read,
    gguf_layout: placement::Layout { pairs: Pairs::Neighbours, needless: &["rope_freqs.weight"], ..placement::GGUF },
    json_layout: placement::JSON,
};

pub(super) fn read(source: &Source<'_>) -> Result<Architecture, ModelError> {
    let metadata = &source.metadata;
    refuse_experts(metadata)?;
    refuse_flags(metadata, &["attention_bias", "mlp_bias"])?;
    expect_activation(metadata, "hidden_act", "silu")?;
    let mut architecture = plain(source)?;
    let window = metadata.size_if(WINDOW, CONTEXT_MAX)?;
    architecture.arrange(|_| Layer { window, rope: 0 });
    Ok(architecture)
}
