//! Qwen 2 and 2.5: llama with a bias on query, key and value. Source: Yang et al. 2024, "Qwen2 Technical Report".

use super::{Family, arrange_late_windows, expect_activation, plain};
use crate::model::placement;

pub(super) const FAMILY: Family = Family {
    name: "qwen2",
    gguf: Some("qwen2"),
    json: "qwen2",
    read: |source| {
        expect_activation(&source.metadata, "hidden_act", "silu")?;
        let mut architecture = plain(source)?;
        architecture.projection_bias = true;
        arrange_late_windows(&mut architecture, &source.metadata)?;
        Ok(architecture)
    },
    gguf_layout: placement::GGUF,
    json_layout: placement::JSON,
};
