//! Where models are computed.
//!
//! | choice | device |
//! | --- | --- |
//! | `Cpu` | the CPU, through `burn`'s flex and the kernels in [`model`](crate::model) |
//! | `Wgpu` | the best GPU that `wgpu` finds (Vulkan, Metal, DirectX 12); a software adapter where there is no other |
//! | `Auto` | the best GPU through `wgpu`; the CPU where there is none, or where it cannot be opened |
//! | `Cuda`, `Rocm` | the first card of that kind; only with the cargo feature of that name |
//!
//! What is found out about a GPU (with the cargo feature `autotune`: which of several programs is the fastest for a shape) is
//! kept on disk, in a folder of the operator's ([`keep_in`]).
//!
//! A card of its own comes before one inside the processor, and that before a virtual one. A software adapter computes on
//! the CPU, slower than the CPU's own kernels: it is for tests, and for whoever asks for it.

mod adapter;
mod room;

use adapter::Adapter;
use burn::tensor::{Device, Tensor};
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig as _, cache::CacheConfig, environment::EnvironmentConfig};
use std::{path::Path, str::FromStr, time::Instant};
use thiserror::Error;

/// Keeps what is found out about GPUs in a folder, from the first opening of one on. Whoever comes first decides; answers
/// whether that was this call. Without it nothing is looked for in the working directory either, and what there is to keep
/// goes to the user's cache.
pub fn keep_in(folder: &Path) -> bool {
    configure(CacheConfig::Directory(folder.to_owned()))
}

/// Once set, the runtime reads no file of its own from where the process happens to be.
fn configure(path: CacheConfig) -> bool {
    let environment = EnvironmentConfig { path, ..EnvironmentConfig::default() };
    CubeClRuntimeConfig::try_set(CubeClRuntimeConfig { environment, ..CubeClRuntimeConfig::default() })
}

/// Where models are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// On the CPU.
    Cpu,
    /// On a GPU through `wgpu`, or on a software adapter.
    Wgpu,
    /// On a GPU where there is one, else on the CPU.
    #[default]
    Auto,
    /// On an NVIDIA card.
    #[cfg(feature = "cuda")]
    Cuda,
    /// On an AMD card.
    #[cfg(feature = "rocm")]
    Rocm,
}

/// For people.
const CPU: &str = "CPU";
#[cfg(feature = "cuda")]
const CUDA: &str = "CUDA card 0";
#[cfg(feature = "rocm")]
const ROCM: &str = "ROCm card 0";

/// The names of all choices.
const NAMES: &[(&str, DeviceChoice)] = &[
    ("cpu", DeviceChoice::Cpu),
    ("wgpu", DeviceChoice::Wgpu),
    ("auto", DeviceChoice::Auto),
    #[cfg(feature = "cuda")]
    ("cuda", DeviceChoice::Cuda),
    #[cfg(feature = "rocm")]
    ("rocm", DeviceChoice::Rocm),
];

/// Why there is no such device.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DeviceError {
    /// A name that stands for no choice.
    #[error("there is no device {name}; choose one of {}", NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "))]
    Unknown {
        /// The name.
        name: String,
    },
    /// No adapter of any kind.
    #[error(
        "no GPU can be used: no graphics driver offers an adapter to wgpu; install one (Vulkan on Linux: \
         `mesa-vulkan-drivers` or the vendor's, with `libvulkan1`), or choose the CPU"
    )]
    NoAdapter,
    /// An adapter that is there and cannot be used.
    #[error("the GPU {name} cannot be used: {why}; update its driver, or choose the CPU")]
    Refused {
        /// Its name.
        name: String,
        /// The driver's reason.
        why: String,
    },
}

/// What a choice comes to on this machine, before it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceView {
    /// For people.
    pub name: String,
    /// Whether it is another device than the CPU, where weights are as narrow as their file has them.
    pub is_gpu: bool,
    /// Bytes of memory of its own, where that is known.
    pub memory_bytes: Option<u64>,
    /// Bytes of memory that a program sees at once, at most, where that is known.
    pub buffer_bytes_max: Option<u64>,
}

/// A device that was opened. Its tensors are its own: another opening of the same choice cannot use them.
#[derive(Clone, Debug)]
pub struct OpenDevice {
    tensors: Device,
    name: String,
    is_software: bool,
    memory_bytes: Option<u64>,
    /// Of a GPU through `wgpu`.
    handle: Option<burn_wgpu::wgpu::Device>,
}

impl OpenDevice {
    fn new(tensors: Device, name: &str, memory_bytes: Option<u64>) -> Self {
        Self { tensors, name: name.to_owned(), is_software: false, memory_bytes, handle: None }
    }

    /// Where its tensors are made.
    #[must_use]
    pub fn tensors(&self) -> &Device {
        &self.tensors
    }

    /// For people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it stands for a GPU and computes on the CPU.
    #[must_use]
    pub fn is_software(&self) -> bool {
        self.is_software
    }

    /// Bytes of memory of its own, where that is known.
    #[must_use]
    pub fn memory_bytes(&self) -> Option<u64> {
        self.memory_bytes
    }

    /// Bytes a second at which it reads its memory, from some looks at so many bytes: a sum, which is bound by nothing else.
    /// A device that fails reads nothing.
    #[must_use]
    pub fn read_bandwidth(&self, bytes: usize) -> f64 {
        /// The first look compiles, and the fastest of the others was disturbed least.
        const LOOKS: usize = 4;
        let numbers = Tensor::<1>::ones([bytes / size_of::<f32>()], &self.tensors);
        let look = |_| {
            let begin = Instant::now();
            let sum = numbers.clone().sum().try_into_scalar::<f32>().ok()?;
            std::hint::black_box(sum);
            Some(bytes as f64 / begin.elapsed().as_secs_f64())
        };
        (0..LOOKS).filter_map(look).skip(1).fold(0.0, f64::max)
    }

    /// Loses it, as a driver's reset does: whatever is computed with it from now on fails. Answers whether it can be lost
    /// at all. For tests of what happens then.
    pub fn lose(&self) -> bool {
        let Some(handle) = &self.handle else { return false };
        handle.destroy();
        // The loss is told at the next look.
        let _ = handle.poll(burn_wgpu::wgpu::PollType::wait_indefinitely());
        true
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    /// `cpu`, `wgpu` or `auto`, and what else was compiled in.
    fn from_str(name: &str) -> Result<Self, DeviceError> {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, choice)| *choice).ok_or_else(|| DeviceError::Unknown { name: name.chars().take(40).collect() })
    }
}

impl std::fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = NAMES.iter().find(|(_, choice)| choice == self).map_or("", |(name, _)| *name);
        f.write_str(name)
    }
}

impl DeviceChoice {
    /// What it comes to.
    ///
    /// # Errors
    /// [`DeviceError::NoAdapter`].
    pub fn look(self) -> Result<DeviceView, DeviceError> {
        let of = |adapter: &Adapter| DeviceView {
            name: adapter.name(),
            is_gpu: true,
            memory_bytes: adapter.memory_bytes(),
            buffer_bytes_max: Some(adapter.buffer_bytes_max()),
        };
        #[cfg(any(feature = "cuda", feature = "rocm"))]
        let card = |name: &str, memory_bytes| DeviceView {
            name: name.to_owned(),
            is_gpu: true,
            memory_bytes,
            buffer_bytes_max: None,
        };
        let cpu = DeviceView { name: CPU.to_owned(), is_gpu: false, memory_bytes: None, buffer_bytes_max: None };
        match self {
            Self::Cpu => Ok(cpu),
            #[cfg(feature = "cuda")]
            Self::Cuda => Ok(card(CUDA, room::of_nvidia("0"))),
            #[cfg(feature = "rocm")]
            Self::Rocm => Ok(card(ROCM, None)),
            Self::Wgpu => Adapter::all().first().map(of).ok_or(DeviceError::NoAdapter),
            Self::Auto => Ok(gpu().as_ref().map_or(cpu, of)),
        }
    }

    /// Opens the device.
    ///
    /// # Errors
    /// [`DeviceError`], where a GPU is asked for and there is none that can be used.
    pub fn open(self) -> Result<OpenDevice, DeviceError> {
        let cpu = || OpenDevice::new(Device::flex(), CPU, None);
        if self != Self::Cpu {
            configure(CacheConfig::Global);
        }
        match self {
            Self::Cpu => Ok(cpu()),
            #[cfg(feature = "cuda")]
            Self::Cuda => Ok(OpenDevice::new(Device::cuda(0), CUDA, room::of_nvidia("0"))),
            #[cfg(feature = "rocm")]
            Self::Rocm => Ok(OpenDevice::new(Device::rocm(0), ROCM, None)),
            Self::Wgpu => open(Adapter::all().first().ok_or(DeviceError::NoAdapter)?),
            Self::Auto => self.settle().open(),
        }
    }

    /// The same choice with no `Auto`: the GPU where there is one that can be opened, which this tries, else the CPU. Whoever
    /// plans for a device and opens it later asks once, so that both are the same.
    #[must_use]
    pub fn settle(self) -> Self {
        if self != Self::Auto {
            return self;
        }
        configure(CacheConfig::Global);
        match gpu().map(|gpu| open(&gpu)) {
            Some(Ok(_)) => Self::Wgpu,
            Some(Err(error)) => {
                tracing::warn!(%error, "computing on the CPU");
                Self::Cpu
            }
            None => Self::Cpu,
        }
    }
}

/// The best adapter that is no software.
fn gpu() -> Option<Adapter> {
    Adapter::all().into_iter().find(|adapter| !adapter.is_software())
}

fn open(adapter: &Adapter) -> Result<OpenDevice, DeviceError> {
    let opened = adapter.open()?;
    Ok(OpenDevice {
        tensors: opened.tensors,
        name: adapter.name(),
        is_software: adapter.is_software(),
        memory_bytes: adapter.memory_bytes(),
        handle: Some(opened.handle),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_have_names() {
        for (name, choice) in NAMES {
            assert_eq!(name.parse(), Ok(*choice));
            assert_eq!(choice.to_string(), *name);
        }
        let error = "tpu".parse::<DeviceChoice>().unwrap_err().to_string();
        assert!(error.starts_with("there is no device tpu; choose one of cpu, wgpu, auto"), "{error}");
    }

    #[test]
    fn the_cpu_is_always_there() {
        let cpu = DeviceChoice::Cpu.open().unwrap();
        assert_eq!(cpu.tensors(), &Device::flex());
        assert!(!DeviceChoice::Cpu.look().unwrap().is_gpu);
        assert!(!cpu.lose());
    }
}
