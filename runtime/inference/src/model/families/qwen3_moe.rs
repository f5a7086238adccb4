//! Qwen 3 with experts in place of each feed-forward.
//!
//! Sources: Yang et al. 2025, "Qwen3 Technical Report"; Shazeer et al. 2017, "Outrageously Large Neural Networks". GGUF
//! files say nothing of whether the chosen experts' weights are made to add up to one; all published models do so.

use super::{EXPERTS, EXPERTS_MAX, Family, Feed, Metadata, ModelError, WIDTH_MAX, json, key, qwen3};
use crate::model::{metadata::Key, placement};

/// As `transformers` before 5 called it.
const OLDER_COUNT: Key = key("expert_count", "num_experts");
const USED: Key = key("expert_used_count", "num_experts_per_tok");
const INNER: Key = key("expert_feed_forward_length", "moe_intermediate_size");
const NORMALISE: Key = key("expert_weights_norm", "norm_topk_prob");

pub(super) const FAMILY: Family = Family {
    name: "qwen3-moe",
    gguf: Some("qwen3moe"),
    json: "qwen3_moe",
    read: |source| {
        let metadata = &source.metadata;
        refuse_dense_layers(metadata)?;
        let feed = Feed::Experts {
            count: match metadata.size_if(EXPERTS, EXPERTS_MAX)? {
                Some(count) => count,
                None => metadata.size(OLDER_COUNT, EXPERTS_MAX)?,
            },
            used: metadata.size(USED, EXPERTS_MAX)?,
            inner: metadata.size(INNER, WIDTH_MAX)?,
            normalise: metadata.flag(NORMALISE)?.unwrap_or(matches!(metadata, Metadata::Gguf(..))),
        };
        qwen3::read(source, feed)
    },
    gguf_layout: placement::GGUF,
    json_layout: placement::JSON,
};

fn refuse_dense_layers(metadata: &Metadata<'_>) -> Result<(), ModelError> {
    let Metadata::Json(map) = metadata else { return Ok(()) };
    let every = metadata.whole(key("", "decoder_sparse_step"), EXPERTS_MAX)?.unwrap_or(1) == 1;
    let all = json(map, "mlp_only_layers").is_none_or(|layers| layers.as_array().is_some_and(Vec::is_empty));
    if every && all { Ok(()) } else { Err(ModelError::variant("layers without experts beside others")) }
}
