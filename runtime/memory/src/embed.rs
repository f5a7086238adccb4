//! Vectors of texts, computed beside everything else: one task for all tenants, so that texts of many fill a batch.
//!
//! Where the embedder fails, or more texts come than it can follow, rows are applied without a vector. Those that wait here still are passed
//! over then, and maintenance asks for them all, as fast as the embedder is.

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

/// A row that waits for its vector, and whose it is. One that was applied meanwhile is gone, as is a tenant that was erased.
pub(crate) type Waiting = (Weak<Tenant>, Weak<Row>);

/// Answers the queue until nobody can put anything in.
pub(crate) async fn run(embedder: Arc<dyn Embedder>, mut queue: UnboundedReceiver<Waiting>) {
    let mut queued = Vec::with_capacity(BATCH_TEXTS_MAX);
    while queue.recv_many(&mut queued, BATCH_TEXTS_MAX).await > 0 {
        // A tenant is not held: whoever drops the store waits for nothing here.
        let waits = queued.drain(..).filter_map(|(tenant, row)| Some((tenant, row.upgrade()?)));
        let batch: Vec<_> =
            waits.filter(|(tenant, row)| tenant.strong_count() > 0 && row.unembedded().is_some()).collect();
        let texts: Vec<_> = batch.iter().filter_map(|(_, row)| row.unembedded()).map(beginning).collect();
        let vectors = embed(&embedder, texts).await;
        for (place, (tenant, row)) in batch.into_iter().enumerate() {
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
