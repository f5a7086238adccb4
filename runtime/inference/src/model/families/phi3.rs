//! Phi 3 and 4, the small ones: query, key and value in one matrix, gate and up in another, long texts by LongRoPE.
//!
//! Sources: Abdin et al. 2024, "Phi-3 Technical Report"; Ding et al. 2024, "LongRoPE". A GGUF file whose window is 0 has
//! none.

use super::{CONTEXT_MAX, Family, Layer, Layout, Part, WINDOW, expect_activation, plain, refuse_flags};
use crate::model::placement;

pub(super) const FAMILY: Family = Family {
    name: "phi3",
    gguf: Some("phi3"),
    json: "phi3",
    read: |source| {
        let metadata = &source.metadata;
        refuse_flags(metadata, &["attention_bias"])?;
        expect_activation(metadata, "hidden_act", "silu")?;
        let mut architecture = plain(source)?;
        let window = metadata.whole(WINDOW, CONTEXT_MAX)?.filter(|window| *window > 0);
        architecture.arrange(|_| Layer { window, rope: 0 });
        Ok(architecture)
    },
    gguf_layout: Layout {
        own: &[(Part::QueryKeyValue, "blk.{layer}.attn_qkv.weight"), (Part::GateUp, "blk.{layer}.ffn_up.weight")],
        needless: &["rope_factors_long.weight", "rope_factors_short.weight"],
        ..placement::GGUF
    },
    json_layout: Layout {
        own: &[
            (Part::QueryKeyValue, "model.layers.{layer}.self_attn.qkv_proj.weight"),
            (Part::GateUp, "model.layers.{layer}.mlp.gate_up_proj.weight"),
        ],
        ..placement::JSON
    },
};
