//! GPUs through `wgpu`: which there are, and opening one.
//!
//! An adapter is opened here rather than by `burn`, which opens each adapter once for the life of the process: after a
//! driver's reset that one stays lost. Here each opening makes a device of its own on the same adapter, so that one that
//! was lost can be replaced.
//!
//! All of them come from one instance that is never dropped: the Vulkan loader crashes where instances come and go on
//! several threads.

use super::{DeviceError, room};
use burn::tensor::Device;
use burn_wgpu::{RuntimeOptions, WgpuInitError, WgpuSetup, try_init_device, wgpu};
use cubecl::future::block_on;
use std::sync::OnceLock;
use wgpu::{Backends, DeviceType, Features};

/// A GPU, or a program that stands for one.
pub(super) struct Adapter {
    instance: &'static wgpu::Instance,
    adapter: wgpu::Adapter,
    info: wgpu::AdapterInfo,
}

/// A device of an adapter.
pub(super) struct Opened {
    pub(super) tensors: Device,
    /// What `wgpu` knows it by.
    pub(super) handle: wgpu::Device,
}

fn instance() -> &'static wgpu::Instance {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    INSTANCE.get_or_init(|| {
        wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: Backends::PRIMARY,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        })
    })
}

impl Adapter {
    /// All that this machine has, the best first: a card of its own, one inside the processor, a virtual one, software.
    pub(super) fn all() -> Vec<Self> {
        let instance = instance();
        let mut all: Vec<_> = block_on(instance.enumerate_adapters(Backends::PRIMARY))
            .into_iter()
            .map(|adapter| Self { instance, info: adapter.get_info(), adapter })
            .collect();
        all.sort_by_key(|adapter| match adapter.info.device_type {
            DeviceType::DiscreteGpu => 0,
            DeviceType::IntegratedGpu => 1,
            DeviceType::VirtualGpu => 2,
            DeviceType::Other => 3,
            DeviceType::Cpu => 4,
        });
        all
    }

    /// Whether the CPU computes what it is given.
    pub(super) fn is_software(&self) -> bool {
        self.info.device_type == DeviceType::Cpu
    }

    /// For people: its name, and the interface that it is spoken to by.
    pub(super) fn name(&self) -> String {
        format!("{} ({:?})", self.info.name, self.info.backend)
    }

    /// Bytes of memory of its own, where that is known.
    pub(super) fn memory_bytes(&self) -> Option<u64> {
        room::memory_bytes(self.info.vendor, &self.info.device_pci_bus_id)
    }

    /// Bytes that a program sees at once, and that an allocation may have, at most.
    pub(super) fn buffer_bytes_max(&self) -> u64 {
        let limits = self.adapter.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
    }

    /// A new device of it, which shares nothing with others.
    pub(super) fn open(&self) -> Result<Opened, DeviceError> {
        let failed = |why: String| DeviceError::Refused { name: self.name(), why };
        let (device, queue) = self.request().map_err(|error| failed(error.to_string()))?;
        let setup = WgpuSetup {
            instance: self.instance.clone(),
            adapter: self.adapter.clone(),
            device: device.clone(),
            queue,
            backend: self.info.backend,
        };
        let options = RuntimeOptions::try_default().map_err(|error| failed(error.to_string()))?;
        let tensors = try_init_device(setup, options).map_err(|error| failed(error.to_string()))?;
        Ok(Opened { tensors: tensors.into(), handle: device })
    }

    fn request(&self) -> Result<(wgpu::Device, wgpu::Queue), WgpuInitError> {
        #[cfg(feature = "vulkan")]
        if self.info.backend == wgpu::Backend::Vulkan
            && let Some(opened) = block_on(cubecl::wgpu::vulkan::try_request_vulkan_device(&self.adapter))?
        {
            return Ok(opened);
        }
        #[cfg(all(feature = "metal", target_os = "macos"))]
        if self.info.backend == wgpu::Backend::Metal {
            return block_on(cubecl::wgpu::metal::try_request_metal_device(&self.adapter));
        }
        let request = wgpu::DeviceDescriptor {
            label: None,
            required_features: self.adapter.features()
                - Features::MAPPABLE_PRIMARY_BUFFERS
                - Features::all_experimental_mask(),
            required_limits: self.adapter.limits(),
            // The runtime allocates in large pieces itself.
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..wgpu::DeviceDescriptor::default()
        };
        let opened = block_on(self.adapter.request_device(&request));
        opened.map_err(|error| WgpuInitError::RequestDevice { message: error.to_string() })
    }
}
