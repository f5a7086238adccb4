//! Where models are computed.
//!
//! | choice | device |
//! | --- | --- |
//! | `Cpu` | the CPU, through `burn`'s flex and the kernels in [`model`](crate::model) |
//! | `Wgpu` | the first GPU that `wgpu` finds (Vulkan, Metal, DirectX 12); a software adapter where there is no other |
//! | `Auto` | the first GPU through `wgpu`; the CPU where there is none, since a software adapter is slower |
//! | `Cuda`, `Rocm` | the first card of that kind; only with the cargo feature of that name |
//!
//! A card of its own comes before one inside the processor, and that before a virtual one. `burn` opens an adapter when
//! the first tensor is made on it.

use burn::tensor::{Device, DeviceKind, DeviceType};
use std::str::FromStr;
use thiserror::Error;

/// Where models are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// On the CPU.
    #[default]
    Cpu,
    /// On a GPU through `wgpu`, or on a software adapter.
    Wgpu,
    /// On a GPU where there is one, else on the CPU.
    Auto,
    /// On an NVIDIA card.
    #[cfg(feature = "cuda")]
    Cuda,
    /// On an AMD card.
    #[cfg(feature = "rocm")]
    Rocm,
}

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
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    /// `cpu`, `wgpu` or `auto`, and what else was compiled in.
    fn from_str(name: &str) -> Result<Self, DeviceError> {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, choice)| *choice).ok_or_else(|| DeviceError::Unknown { name: name.chars().take(40).collect() })
    }
}

impl DeviceChoice {
    /// The device.
    ///
    /// # Errors
    /// [`DeviceError`], where a GPU is asked for and there is none.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => return Ok(Device::flex()),
            #[cfg(feature = "cuda")]
            Self::Cuda => return Ok(Device::cuda(0)),
            #[cfg(feature = "rocm")]
            Self::Rocm => return Ok(Device::rocm(0)),
            Self::Wgpu | Self::Auto => {}
        }
        let adapters = Device::enumerate(DeviceType::Wgpu).into_vec();
        let find = |kind| Some(Device::wgpu(kind)).filter(|device| adapters.contains(device));
        let gpu = [DeviceKind::DiscreteGpu(0), DeviceKind::IntegratedGpu(0), DeviceKind::VirtualGpu(0)];
        match (self, gpu.into_iter().find_map(find)) {
            (_, Some(gpu)) => Ok(gpu),
            (Self::Wgpu, None) => adapters.into_iter().next().ok_or(DeviceError::NoAdapter),
            (_, None) => Ok(Device::flex()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_have_names() {
        for (name, choice) in NAMES {
            assert_eq!(name.parse(), Ok(*choice));
        }
        let error = "tpu".parse::<DeviceChoice>().unwrap_err().to_string();
        assert!(error.starts_with("there is no device tpu; choose one of cpu, wgpu, auto"), "{error}");
        assert_eq!(DeviceChoice::default().open(), Ok(Device::flex()));
    }
}
