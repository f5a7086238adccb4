//! Memory of a device: `burn`'s tensors as programs see them, and back.

use burn::{
    backend::{Cube, DispatchDevice},
    tensor::{DType, Device, Element, Shape, Tensor, TensorData},
};
use burn_cubecl::{CubeDevice, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::{client::Client, features::Plane, prelude::CubeCount};

/// Cubes along one side of a launch, at most: what every device allows.
const SIDE_MAX: usize = 65_535;

/// What a tensor is on its device, its rows without gaps.
pub(super) fn memory<const D: usize>(tensor: Tensor<D>) -> CubeTensor {
    let primitive = tensor.try_into_primitive::<Cube>();
    let primitive = primitive.unwrap_or_else(|error| unreachable!("a device's tensors are cubecl's: {error:?}"));
    into_contiguous(primitive)
}

/// The same as a tensor.
pub(super) fn tensor<const D: usize>(memory: CubeTensor) -> Tensor<D> {
    Tensor::from_primitive::<Cube>(memory)
}

/// What programs run on.
pub(super) fn cube_device(device: &Device) -> &CubeDevice {
    match device.as_dispatch() {
        DispatchDevice::Cube(device) => device,
        other => unreachable!("{other:?} runs no programs"),
    }
}

/// Puts numbers or words onto a device.
pub(super) fn upload<E: Element>(elements: Vec<E>, device: &Device) -> CubeTensor {
    let count = elements.len();
    let (bytes, shape, dtype) = TensorData::new(elements, [count]).into_parts();
    let device = cube_device(device);
    let client = device.client();
    let handle = client.create(bytes);
    CubeTensor::new_contiguous(client, device.clone(), shape, handle, dtype)
}

/// Room for an f32 tensor beside another; nobody has written to it.
pub(super) fn room(beside: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    allocate(beside.client.clone(), beside.device.clone(), shape.into())
}

/// The same on a device.
pub(super) fn empty(device: &Device, shape: impl Into<Shape>) -> CubeTensor {
    let device = cube_device(device);
    allocate(device.client(), device.clone(), shape.into())
}

fn allocate(client: Client, device: CubeDevice, shape: Shape) -> CubeTensor {
    let handle = client.empty(shape.num_elements() * size_of::<f32>());
    CubeTensor::new_contiguous(client, device, shape, handle, DType::F32)
}

/// So many cubes, in rows of which the last may be longer than needed: programs look at their number.
pub(super) fn cubes(count: usize) -> CubeCount {
    let rows = count.div_ceil(SIDE_MAX).max(1);
    CubeCount::Static(count.div_ceil(rows) as u32, rows as u32, 1)
}

/// Units that compute in step and can add up among themselves, where a device says how many, and always as many.
pub(super) fn plane(memory: &CubeTensor) -> u32 {
    let properties = memory.client.properties();
    let hardware = &properties.hardware;
    let fixed = hardware.plane_size_min == hardware.plane_size_max;
    match fixed && memory.client.features().plane.contains(Plane::Ops) {
        true => hardware.plane_size_min,
        false => 0,
    }
}
