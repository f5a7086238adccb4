//! Mistral: llama with a window on every layer. Source: Jiang et al. 2023, "Mistral 7B".
//!
//! In GGUF it is called llama.

use super::{Family, Layer, Metadata, llama};
use crate::model::placement;

/// Where a `config.json` does not name a window; null means none.
const WINDOW_DEFAULT: usize = 4096;

pub(super) const FAMILY: Family = Family {
    name: "mistral",
    gguf: None,
    json: "mistral",
    read: |source| {
        let mut architecture = llama::read(source)?;
        if let Metadata::Json(map) = source.metadata
            && !map.contains_key("sliding_window")
        {
            architecture.arrange(|_| Layer { window: Some(WINDOW_DEFAULT), rope: 0 });
        }
        Ok(architecture)
    },
    gguf_layout: placement::GGUF,
    json_layout: placement::JSON,
};
