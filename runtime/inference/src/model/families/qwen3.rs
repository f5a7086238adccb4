//! Qwen 3: llama whose query and key heads are normalised, and whose heads have a width of their own.
//!
//! Source: Yang et al. 2025, "Qwen3 Technical Report".

use super::{Architecture, Family, Feed, ModelError, Source, arrange_late_windows, expect_activation, plain_with};
use super::{INNER, WIDTH_MAX, refuse_flags};
use crate::model::placement;

pub(super) const FAMILY: Family = Family {
    name: "qwen3",
    gguf: Some("qwen3"),
    json: "qwen3",
    read: |source| read(source, Feed::Dense { inner: source.metadata.size(INNER, WIDTH_MAX)? }),
    gguf_layout: placement::GGUF,
    json_layout: placement::JSON,
};

/// The family with this feed-forward.
pub(super) fn read(source: &Source<'_>, feed: Feed) -> Result<Architecture, ModelError> {
    refuse_flags(&source.metadata, &["attention_bias"])?;
    expect_activation(&source.metadata, "hidden_act", "silu")?;
    let mut architecture = plain_with(source, feed)?;
    architecture.query_key_norm = true;
    arrange_late_windows(&mut architecture, &source.metadata)?;
    Ok(architecture)
}
