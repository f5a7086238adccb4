//! What the engine's thread computes with: a seam, so that tests can script a model that fails.

use super::adapters::Placed;
use crate::{
    device::OpenDevice,
    model::{Adapter, Decoder, Home, NativeDecoder, NativeMemory, Pool, Span},
    residency::DeviceLease,
};
use burn::tensor::Device;
use remit_compute::Team;
use std::sync::Arc;

/// Something that computes tokens of sequences, whose keys and values are in blocks of one pool for each base. Any of its functions
/// may panic: then all of it is thrown away.
pub(super) trait Compute {
    /// Copies a block.
    fn copy(&mut self, base: usize, from: u32, to: u32);

    /// A block's bytes.
    fn read(&mut self, base: usize, block: u32) -> Vec<u8>;

    /// Writes what was read from a block into one.
    fn write(&mut self, base: usize, block: u32, bytes: &[u8]);

    /// Bytes of a block.
    fn block_bytes(&self, base: usize) -> usize;

    /// How blocks of a base are laid out, and by what they are computed: where two differ, a block of one is none of the other.
    fn layout(&self, base: usize) -> String;

    /// The logits that sequences of one base ask for, in order, one vocabulary after the other.
    fn forward(&mut self, base: usize, work: &[Work<'_>]) -> Vec<f32>;

    /// The same, but of each row of logits the likeliest one of the first `tokens`, so that logits stay where they are;
    /// nothing, and nothing was computed, where they are at hand anyway.
    fn forward_greedy(&mut self, _base: usize, _work: &[Work<'_>], _tokens: usize) -> Option<Vec<u32>> {
        None
    }

    /// Whether [`Compute::forward`] may return before all is computed: a step that asks for no logits on a device.
    fn is_deferred(&self) -> bool;

    /// Waits until all steps so far are computed.
    fn settle(&self);

    /// Why an adapter cannot be computed with, where that is so: a sequence with it never comes to the functions above.
    fn broken(&self, _adapter: usize) -> Option<Arc<str>> {
        None
    }

    /// Loses the device, where it can be lost: whatever is computed from now on fails.
    fn lose(&self) -> bool;

    /// Computes one token of each model, so as to see whether anything can be computed. It writes into the first block.
    fn probe(&mut self);
}

/// New tokens of a sequence; see [`Span`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Work<'a> {
    pub(super) adapter: Option<usize>,
    pub(super) tokens: &'a [u32],
    pub(super) table: &'a [u32],
    pub(super) known: usize,
    pub(super) room: usize,
    pub(super) logits: usize,
}

/// The models, their adapters, and the threads that compute them.
pub(super) struct Models {
    pub(super) bases: Vec<Base>,
    pub(super) adapters: Placed,
    /// What the models have of the device's memory.
    #[allow(dead_code, reason = "it is given back when it is dropped")]
    pub(super) leases: Vec<DeviceLease>,
    pub(super) device: OpenDevice,
    pub(super) threads: Threads,
}

/// A model, and the blocks of its sequences.
pub(super) enum Base {
    Native(Box<(NativeDecoder, NativeMemory)>),
    Tensors(Box<(Decoder, Pool)>),
}

impl Base {
    /// Where its adapters have to be.
    pub(super) fn home(&self) -> Home {
        match self {
            Self::Native(_) => Home::Native,
            Self::Tensors(tensors) => tensors.0.split().clone().into(),
        }
    }
}

/// Who computes.
pub(super) struct Threads {
    /// Native models.
    pub(super) team: Arc<Team>,
    /// What the tensors of other models leave to the CPU.
    pub(super) pool: rayon::ThreadPool,
}

impl Models {
    /// The adapters of some work.
    fn adapters(&self, work: &[Work<'_>]) -> Vec<Option<Arc<Adapter>>> {
        work.iter().map(|work| work.adapter.map(|adapter| self.adapters.weights(adapter))).collect()
    }
}

fn spans<'a>(work: &[Work<'a>], adapters: &'a [Option<Arc<Adapter>>]) -> Vec<Span<'a>> {
    let span = |(work, adapter): (&Work<'a>, &'a Option<Arc<Adapter>>)| {
        let Work { tokens, table, known, room, logits, .. } = *work;
        Span { tokens, table, known, room, logits, adapter: adapter.as_ref() }
    };
    work.iter().zip(adapters).map(span).collect()
}

impl Compute for Models {
    fn copy(&mut self, base: usize, from: u32, to: u32) {
        match &mut self.bases[base] {
            Base::Native(native) => native.1.blocks_mut().copy(from, to),
            Base::Tensors(tensors) => tensors.1.copy(from, to),
        }
    }

    fn read(&mut self, base: usize, block: u32) -> Vec<u8> {
        match &self.bases[base] {
            Base::Native(native) => {
                let mut bytes = Vec::new();
                native.1.blocks().read(block, &mut bytes);
                bytes
            }
            Base::Tensors(tensors) => tensors.1.read(block),
        }
    }

    fn write(&mut self, base: usize, block: u32, bytes: &[u8]) {
        match &mut self.bases[base] {
            Base::Native(native) => {
                let written = native.1.blocks_mut().write(block, bytes);
                written.unwrap_or_else(|error| unreachable!("it was read from a block: {error}"));
            }
            Base::Tensors(tensors) => tensors.1.write(block, bytes),
        }
    }

    fn block_bytes(&self, base: usize) -> usize {
        match &self.bases[base] {
            Base::Native(native) => native.1.blocks().bytes_each(),
            Base::Tensors(tensors) => tensors.1.block_bytes(),
        }
    }

    fn layout(&self, base: usize) -> String {
        let (version, bytes) = (env!("CARGO_PKG_VERSION"), self.block_bytes(base));
        let isa = self.threads.team.isa();
        match &self.bases[base] {
            Base::Native(_) => format!("{version} native {isa:?} {bytes}"),
            Base::Tensors(tensors) => {
                let (device, host) = (self.device.name(), tensors.1.host_block_bytes());
                format!("{version} tensors {device} {isa:?} {host} {bytes}")
            }
        }
    }

    fn forward(&mut self, base: usize, work: &[Work<'_>]) -> Vec<f32> {
        let adapters = self.adapters(work);
        let spans = spans(work, &adapters);
        let Threads { team, pool } = &self.threads;
        match &mut self.bases[base] {
            Base::Native(native) => {
                let (decoder, memory) = &mut **native;
                decoder.forward(team, memory, &spans)
            }
            Base::Tensors(tensors) => {
                let (decoder, blocks) = &mut **tensors;
                // On a thread of the pool, so that its tasks need no wake-up of this one.
                pool.install(|| decoder.forward(blocks, &spans))
            }
        }
    }

    fn forward_greedy(&mut self, base: usize, work: &[Work<'_>], tokens: usize) -> Option<Vec<u32>> {
        if !self.is_deferred() {
            return None;
        }
        let adapters = self.adapters(work);
        let spans = spans(work, &adapters);
        match &mut self.bases[base] {
            Base::Native(_) => None,
            Base::Tensors(tensors) => {
                let (decoder, blocks) = &mut **tensors;
                Some(self.threads.pool.install(|| decoder.forward_greedy(blocks, &spans, tokens)))
            }
        }
    }

    fn is_deferred(&self) -> bool {
        *self.device.tensors() != Device::flex()
    }

    fn settle(&self) {
        if let Err(error) = self.device.tensors().sync() {
            panic!("the device does not answer: {error}");
        }
    }

    fn broken(&self, adapter: usize) -> Option<Arc<str>> {
        self.adapters.broken(adapter)
    }

    fn lose(&self) -> bool {
        self.device.lose()
    }

    fn probe(&mut self) {
        let work = Work { adapter: None, tokens: &[0], table: &[0], known: 0, room: 1, logits: 1 };
        for base in 0..self.bases.len() {
            drop(self.forward(base, &[work]));
        }
    }
}
