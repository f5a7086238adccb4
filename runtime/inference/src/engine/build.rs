//! From files to what computes: which device, each model's share of its memory, weights, keys and values, adapters.
//!
//! | a model | is |
//! | --- | --- |
//! | on the CPU | native |
//! | that fits onto the GPU, with keys and values | the GPU's |
//! | that does not | split: the first layers natively on the CPU, the others on the GPU |
//! | of which not even one layer fits | native |
//!
//! Engines that share a [`Residency`] share a GPU: each model plans with what the others leave of it, and has its share until
//! its weights leave.

use super::{
    DEVICE_SPARE, Limits, ModelFile, Served,
    adapters::Adapters,
    compute::{Base, Models, Threads},
    formats::Formats,
};
use crate::{
    LoadError,
    device::OpenDevice,
    files::ModelFiles,
    model::{Pool, Split},
    residency::{DeviceLease, Residency},
    template::ChatTemplate,
};
use burn::tensor::Device;
use remit_batching::BLOCK_TOKENS;
use remit_compute::{Isa, Team};
use remit_kernel::ports::ModelCard;
use std::sync::Arc;

/// Opens a model's files and checks them, for a device whose buffers have so many bytes at most.
pub(super) fn open(
    model: &ModelFile,
    limits: &Limits,
    buffer_bytes: Option<u64>,
) -> Result<(Served, ModelFiles), LoadError> {
    let name = || model.name.to_string();
    let files = ModelFiles::open(&model.name, &model.path)?;
    let tokenizer = files.tokenizer()?;
    let compile = |source: String| ChatTemplate::new(&source, tokenizer.begin_text(), tokenizer.end_text());
    let template = files.chat_template()?.map(compile).transpose();
    let template = template.map_err(|source| LoadError::Template { name: name(), source })?.map(Arc::new);
    let architecture = files.architecture()?;
    // Some models round the rows of their vocabulary up; what has no token is never drawn.
    let rows = architecture.vocabulary;
    if rows < tokenizer.size() {
        return Err(LoadError::Vocabulary { name: name(), tokens: tokenizer.size(), rows });
    }
    let blocks = buffer_bytes.map_or(usize::MAX, |bytes| Pool::blocks_within(&architecture, bytes));
    let blocks = blocks.min(limits.blocks());
    if blocks < limits.blocks() {
        let tokens = blocks * BLOCK_TOKENS;
        tracing::warn!(model = &*model.name, tokens, "the device's buffers have no room for more keys and values");
    }
    let card = ModelCard {
        name: model.name.clone(),
        family: architecture.family.into(),
        context_length: u32::try_from(architecture.context.min(blocks * BLOCK_TOKENS)).unwrap_or(u32::MAX),
        vocabulary: u32::try_from(tokenizer.size()).unwrap_or(u32::MAX),
        digest: model.digest.clone(),
    };
    let tokenizer = Arc::new(tokenizer);
    let formats = Arc::new(Formats::new(tokenizer.clone()));
    Ok((Served { card, tokenizer, template, formats, blocks }, files))
}

/// Reads the weights of all these files, with pools of so many blocks, and of the adapters that there are by then, as often as it
/// is called.
pub(super) fn reader(
    files: Vec<(ModelFiles, usize)>,
    adapters: Arc<Adapters>,
    limits: &Limits,
    residency: &Arc<Residency>,
) -> impl FnMut() -> Result<Models, LoadError> + Send + use<> {
    let (limits, residency) = (limits.clone(), residency.clone());
    move || {
        let threads = threads(limits.threads)?;
        let device = limits.device.open()?;
        tracing::info!(device = device.name(), isa = ?threads.team.isa(), "computing");
        let builder = Builder { limits: &limits, residency: &residency, device: &device, team: &threads.team };
        let mut leases = Vec::new();
        let base = |(files, blocks): &(ModelFiles, usize)| builder.base(files, *blocks, &mut leases);
        let bases = files.iter().map(base).collect::<Result<Vec<_>, LoadError>>()?;
        let homes = bases.iter().map(Base::home).collect();
        let adapters = adapters.place(homes);
        Ok(Models { bases, adapters, leases, device, threads })
    }
}

/// What all models of an engine are built with.
struct Builder<'a> {
    limits: &'a Limits,
    residency: &'a Residency,
    device: &'a OpenDevice,
    team: &'a Arc<Team>,
}

impl Builder<'_> {
    /// A model, with a pool of so many blocks.
    fn base(&self, files: &ModelFiles, blocks: usize, leases: &mut Vec<DeviceLease>) -> Result<Base, LoadError> {
        if *self.device.tensors() == Device::flex() {
            return self.native(files, blocks);
        }
        let known = self.device.memory_bytes().map(|bytes| bytes - bytes / DEVICE_SPARE);
        let room = self.limits.device_bytes.or(known).unwrap_or(u64::MAX);
        let share = |left| files.share(left, blocks * BLOCK_TOKENS).map(|share| (share, share.device_bytes));
        let (share, lease) = self.residency.lease(self.device.name(), room, share)?;
        if share.host_layers == share.layers {
            return self.native(files, blocks);
        }
        let split = Split::new(self.device.tensors(), share.host_layers, self.team);
        let decoder = files.decoder(split)?;
        let pool = files.pool(&decoder, blocks)?;
        leases.push(lease);
        Ok(Base::Tensors(Box::new((decoder, pool))))
    }

    fn native(&self, files: &ModelFiles, blocks: usize) -> Result<Base, LoadError> {
        let decoder = files.native_decoder(self.team)?;
        let memory = files.native_memory(&decoder, blocks)?;
        Ok(Base::Native(Box::new((decoder, memory))))
    }
}

fn threads(count: usize) -> Result<Threads, LoadError> {
    let failed = |error: &dyn std::fmt::Display| LoadError::Thread(error.to_string());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count).thread_name(|index| format!("inference-{index}"));
    let pool = pool.build().map_err(|error| failed(&error))?;
    let team = Team::new(count, Isa::best()).map_err(|error| failed(&error))?;
    Ok(Threads { team: Arc::new(team), pool })
}
