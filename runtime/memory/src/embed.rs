//! Vectors of texts, computed beside everything else: one task for all tenants, so that texts of many fill a batch.
//!
//! A text waits in the queue for no more than the batch before it. Where the embedder fails, the rows of that batch are applied without a
//! vector, and maintenance asks for them again.

use crate::{
    rows::{Row, Vector, is_sound},
    tenant::Tenant,
};
use remit_kernel::ports::Embedder;
use std::sync::{Arc, Weak};
use tokio::sync::mpsc::UnboundedReceiver;

/// Texts of one batch: as many as fill a small model's matrices. More would only wait longer.
const BATCH_TEXTS_MAX: usize = 32;

/// Bytes of one text that the embedder is given: above any model's context, at some six bytes a token.
pub(crate) const TEXT_BYTES_MAX: usize = 64 << 10;

/// A row that waits for its vector, and whose it is. The queue is bounded by what tenants may have pending.
pub(crate) type Waiting = (Weak<Tenant>, Arc<Row>);

/// Answers the queue until nobody can put anything in.
pub(crate) async fn run(embedder: Arc<dyn Embedder>, mut queue: UnboundedReceiver<Waiting>) {
    let mut batch = Vec::with_capacity(BATCH_TEXTS_MAX);
    while queue.recv_many(&mut batch, BATCH_TEXTS_MAX).await > 0 {
        // Whose tenant is gone needs no vector any more.
        batch.retain(|(tenant, row)| tenant.strong_count() > 0 && row.unembedded().is_some());
        let texts: Vec<_> = batch.iter().filter_map(|(_, row)| row.unembedded()).map(beginning).collect();
        let vectors = embed(&embedder, texts).await;
        for (place, (tenant, row)) in batch.drain(..).enumerate() {
            row.embed(vectors.as_ref().and_then(|vectors| vectors.get(place).cloned()));
            if let Some(tenant) = tenant.upgrade() {
                tenant.nudge();
            }
        }
    }
}

/// Vectors of texts, in their order; `None` where it failed, which is told.
pub(crate) async fn embed(embedder: &Arc<dyn Embedder>, texts: Vec<Arc<str>>) -> Option<Vec<Vector>> {
    if texts.is_empty() {
        return Some(Vec::new());
    }
    let (count, width, by) = (texts.len(), embedder.width(), embedder.digest());
    // A panic of the embedder ends its own task, and not this one.
    let outcome = tokio::spawn(embedder.embed(texts)).await;
    match outcome {
        Ok(Ok(vectors)) if vectors.len() == count && vectors.iter().all(|vector| is_sound(vector, width)) => {
            let of = |numbers: Vec<f32>| Vector { numbers: numbers.into(), by: Arc::clone(&by) };
            return Some(vectors.into_iter().map(of).collect());
        }
        Ok(Ok(_)) => {
            tracing::warn!("the embedder answered with vectors of another number or width, or without a direction");
        }
        Ok(Err(error)) => tracing::warn!(%error, "texts have no vectors yet"),
        Err(error) => tracing::error!(%error, "the embedder panicked"),
    }
    None
}

/// As much of a text as a vector can be of.
pub(crate) fn beginning(text: &str) -> Arc<str> {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].into()
}
