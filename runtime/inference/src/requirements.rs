//! What a model asks of a machine, known from its files' directories without reading a weight.

use crate::{AdapterFile, LoadError, adapter_files::AdapterFiles, files::ModelFiles};
use rayon::prelude::*;
use std::{path::Path, time::Instant};

/// What a language model asks of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirements {
    /// Its family.
    pub family: &'static str,
    /// Bytes of its weights, loaded.
    pub weights_bytes: u64,
    /// Bytes of weights that one decode step reads.
    pub step_bytes: u64,
    /// Bytes that a token of a conversation takes.
    pub token_bytes: u64,
    /// Prompt and output together, in tokens, as it was trained.
    pub context: u32,
}

impl Requirements {
    /// Those of the model at `path`, computed on the CPU, or on a GPU.
    ///
    /// # Errors
    /// [`LoadError`], where it is no language model that the engine serves.
    pub fn of(name: &str, path: &Path, is_gpu: bool) -> Result<Self, LoadError> {
        Self::of_files(&ModelFiles::open(name, path)?, is_gpu)
    }

    /// Those of the model of these files.
    pub(crate) fn of_files(files: &ModelFiles, is_gpu: bool) -> Result<Self, LoadError> {
        let architecture = files.architecture()?;
        let bytes = files.bytes(!is_gpu)?;
        Ok(Self {
            family: architecture.family,
            weights_bytes: bytes.weights(),
            // An embedding that is not the output too is looked into, not read.
            step_bytes: bytes.weights().saturating_sub(bytes.embedding).saturating_sub(bytes.idle),
            token_bytes: bytes.token.saturating_mul(architecture.layers.len() as u64),
            context: u32::try_from(architecture.context).unwrap_or(u32::MAX),
        })
    }

    /// The longest conversation, in tokens, for which there is room in so many bytes beside the weights; none where the
    /// weights do not fit.
    #[must_use]
    pub fn context_within(&self, bytes: u64) -> Option<u32> {
        let room = bytes.checked_sub(self.weights_bytes)? / self.token_bytes.max(1);
        Some(self.context.min(u32::try_from(room).unwrap_or(u32::MAX)))
    }
}

/// Bytes that an adapter takes beside its base, loaded, known without reading a weight.
///
/// # Errors
/// [`LoadError`], where it does not fit the base at `base`, or one of the two is none that the engine serves.
pub fn adapter_bytes(adapter: &AdapterFile, base: &Path) -> Result<u64, LoadError> {
    let files = AdapterFiles::open(adapter)?;
    files.check(&ModelFiles::open(&adapter.base, base)?.architecture()?)?;
    files.bytes()
}

/// Bytes a second at which this machine's threads read memory together, from one look at so many bytes. What a decode step
/// can reach at best is this over [`Requirements::step_bytes`].
#[must_use]
pub fn read_bandwidth(bytes: usize) -> f64 {
    let buffer: Vec<u64> = (0..bytes as u64 / 8).collect();
    let share = buffer.len().div_ceil(rayon::current_num_threads()).max(1);
    let begin = Instant::now();
    let sum: u64 = buffer
        .par_chunks(share)
        .map(|part| {
            let mut sums = [0u64; 16];
            for numbers in part.as_chunks::<16>().0 {
                sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum ^= number);
            }
            sums.iter().fold(0, |all, sum| all ^ sum)
        })
        .reduce(|| 0, |a, b| a ^ b);
    std::hint::black_box(sum);
    (buffer.len() * 8) as f64 / begin.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Requirements =
        Requirements { family: "llama", weights_bytes: 1000, step_bytes: 900, token_bytes: 10, context: 50 };

    #[test]
    fn a_context_is_what_there_is_room_for_and_no_longer_than_the_models() {
        for (bytes, expect) in [(999, None), (1000, Some(0)), (1039, Some(3)), (1500, Some(50)), (u64::MAX, Some(50))] {
            assert_eq!(SMALL.context_within(bytes), expect, "{bytes}");
        }
    }
}
