//! Packed weights: what their words mean, and products with them.

use super::{back, check, device, on, random};
use crate::{
    gguf::TensorType,
    model::device::{
        Matrix, Packed, Packing,
        matvec::multiply_with,
        memory::{memory, room},
        packing::Pairs,
    },
    sampler::SplitMix64,
    to_f32::{self, Stored},
};
use burn::tensor::{Device, Tensor, TensorData};
use half::f16 as Half;
use remit_compute::weights::Format;

/// Blocks of random quants with sound scales: bytes of a block, and where its f16 are.
fn blocks(kind: TensorType, count: usize, scales: &[usize]) -> Vec<u8> {
    let mut random = SplitMix64::new(kind.block_bytes() as u64);
    let mut bytes: Vec<u8> = (0..count * kind.block_bytes()).map(|_| random.next_u64() as u8).collect();
    for block in bytes.chunks_exact_mut(kind.block_bytes()) {
        for scale in scales {
            let number =
                Half::from_f64((random.next_unit() + 0.1) * 0.01 * if random.next_unit() < 0.5 { 1.0 } else { -1.0 });
            block[*scale..scale + 2].copy_from_slice(&number.to_le_bytes());
        }
    }
    bytes
}

struct Case {
    name: &'static str,
    packed: Packed,
    /// As the CPU reads them.
    numbers: Vec<f32>,
    inputs: usize,
}

/// A matrix of `outputs` rows of a GGUF type, with f16 at these places of each block.
fn case(id: u32, scales: &[usize], inputs: usize, outputs: usize) -> Case {
    let kind = TensorType::from_id(id).unwrap();
    let bytes = blocks(kind, inputs / kind.block_elements() * outputs, scales);
    let stored = Stored { format: kind.format().unwrap(), block: kind.block().unwrap(), bytes: &bytes };
    let mut numbers = Vec::new();
    to_f32::append(&bytes, stored.block, &mut numbers).unwrap();
    let packed = Packed::of_stored(&stored, 0..outputs, inputs).unwrap();
    Case { name: kind.name(), packed, numbers, inputs }
}

/// One of each packing, in shapes that are no multiples of what programs take at once.
fn cases() -> Vec<Case> {
    let plain = random(3, 5 * 300);
    let bytes: Vec<u8> = plain.iter().flat_map(|number| number.to_le_bytes()).collect();
    let block = TensorType::from_id(0).unwrap().block().unwrap();
    let stored = Stored { format: Format::F32, block, bytes: &bytes };
    let single =
        Case { name: "F32", packed: Packed::of_stored(&stored, 0..5, 300).unwrap(), numbers: plain, inputs: 300 };
    vec![
        single,
        case(1, &[0], 70, 7),
        case(30, &[0], 70, 6),
        case(2, &[0], 96, 9),
        case(3, &[0, 2], 2144, 3),
        case(8, &[0], 96, 130),
        case(12, &[0, 2], 256, 5),
        case(14, &[208], 256, 6),
    ]
}

fn matrix(case: Case, device: &Device) -> (Matrix, Vec<f32>, usize) {
    (Matrix::new(vec![case.packed], device), case.numbers, case.inputs)
}

fn products(numbers: &[f32], input: &[f32], inputs: usize) -> Vec<f64> {
    let product = |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    let rows = input.chunks_exact(inputs).flat_map(|row| numbers.chunks_exact(inputs).map(move |weight| (weight, row)));
    rows.map(product).collect()
}

#[test]
fn types_are_packed_as_narrow_as_they_are() {
    let packings: Vec<_> = cases().iter().map(|case| (case.name, case.packed.packing)).collect();
    let halves = Pairs::Halves;
    assert_eq!(
        packings,
        [
            ("F32", Packing::F32),
            ("F16", Packing::F16),
            ("BF16", Packing::Bf16),
            ("Q4_0", Packing::Bits4(halves)),
            ("Q4_1", Packing::Bits4(halves)),
            ("Q8_0", Packing::Bits8(halves)),
            ("Q4_K", Packing::Bits4(Pairs::Singles)),
            ("Q6_K", Packing::F16),
        ]
    );
}

#[test]
fn products_and_rows_are_those_of_the_cpus_numbers() {
    let device = device();
    for case in cases() {
        let name = case.name;
        let (matrix, numbers, inputs) = matrix(case, &device);
        // Q6_K is rounded to f16; a group's number is rounded once, and its parts are.
        let tolerance = if name == "Q6_K" { 5e-4 } else { 3e-7 };
        let wide: Vec<f64> = numbers.iter().map(|number| f64::from(*number)).collect();
        let unpacked = matrix.unpacked(Tensor::from_data([[0.0f32]], &device)).into_data().try_to_vec().unwrap();
        check(name, &unpacked, &wide, tolerance);
        if !matches!(name, "Q4_0" | "Q4_1" | "Q4_K" | "Q8_0" | "Q6_K") {
            assert_eq!(unpacked, numbers, "{name}: bit for bit");
        }
        let last = matrix.outputs() - 1;
        let rows = matrix.rows(vec![last as u32, 0], 3.0, &device).into_data().try_to_vec::<f32>().unwrap();
        let expected: Vec<f64> =
            [last, 0].iter().flat_map(|row| &wide[row * inputs..][..inputs]).map(|x| x * 3.0).collect();
        check(name, &rows, &expected, tolerance);
        for rows in [1, 3] {
            let input = random(7, rows * inputs);
            let on_device = Tensor::from_data(TensorData::new(input.clone(), [rows, inputs]), &device);
            let found = matrix.forward(on_device, None).into_data().try_to_vec::<f32>().unwrap();
            check(&format!("{name}, {rows} rows"), &found, &products(&numbers, &input, inputs), tolerance.max(2e-6));
        }
    }
}

#[test]
fn parts_of_several_types_are_one_weight() {
    let device = device();
    let (first, second) = (case(2, &[0], 64, 5), case(30, &[0], 64, 6));
    let numbers = [first.numbers, second.numbers].concat();
    let matrix = Matrix::new(vec![first.packed, second.packed], &device);
    let bias = random(9, 11);
    // Few rows, and so many that the weight is unpacked.
    for rows in [1, 16] {
        let input = random(8, rows * 64);
        let mut expected = products(&numbers, &input, 64);
        expected.chunks_exact_mut(11).for_each(|row| {
            row.iter_mut().zip(&bias).for_each(|(out, bias)| *out += f64::from(*bias));
        });
        let bias = Tensor::from_data(TensorData::new(bias.clone(), [11]), &device);
        let on_device = Tensor::from_data(TensorData::new(input, [rows, 64]), &device);
        let found = matrix.forward(on_device, Some(&bias)).into_data().try_to_vec::<f32>().unwrap();
        check(&format!("{rows} rows"), &found, &expected, 2e-6);
    }
}

/// A software adapter's planes are not used by default, but they are there and compute what those of a GPU do.
#[test]
fn planes_add_up_as_shared_memory_does() {
    let device = device();
    let (matrix, numbers, inputs) = matrix(case(3, &[0, 2], 2144, 6), &device);
    let input = random(10, inputs);
    let on_device = on(&device, &input, [1, inputs]);
    let plane = on_device.client.properties().hardware.plane_size_min;
    for plane in [0, plane] {
        let output = room(&on_device, [1, 6]);
        for (first, words) in matrix.parts() {
            multiply_with(plane, words, &on_device, None, (&output, first));
        }
        check(&format!("planes of {plane}"), &back::<2>(output), &products(&numbers, &input, inputs), 2e-6);
    }
}

/// Whatever f16 has, its smallest numbers too, also where a device would take those for zero in f32.
#[test]
fn every_half_is_read() {
    let device = device();
    let halves: Vec<Half> = (0..=u16::MAX).map(Half::from_bits).filter(|half| half.is_finite()).collect();
    let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
    let block = TensorType::from_id(1).unwrap().block().unwrap();
    let stored = Stored { format: Format::F16, block, bytes: &bytes };
    let inputs = 992;
    let matrix = Matrix::new(vec![Packed::of_stored(&stored, 0..halves.len() / inputs, inputs).unwrap()], &device);
    let found = matrix.unpacked(Tensor::from_data([[0.0f32]], &device)).into_data().try_to_vec::<f32>().unwrap();
    assert_eq!(found.len(), halves.len());
    for (found, half) in found.iter().zip(halves) {
        assert_eq!(found.to_bits(), half.to_f32().to_bits(), "{half}");
    }
}

#[test]
fn what_is_not_finite_is_refused() {
    let check = |id: u32, place: usize| {
        let kind = TensorType::from_id(id).unwrap();
        let mut bytes = vec![0; 4 * kind.block_bytes()];
        let half = Half::INFINITY.to_le_bytes();
        let place = 2 * kind.block_bytes() + place;
        bytes[place..place + 2].copy_from_slice(&half);
        let stored = Stored { format: kind.format().unwrap(), block: kind.block().unwrap(), bytes: &bytes };
        assert!(Packed::of_stored(&stored, 0..2, 2 * kind.block_elements()).is_err(), "{kind:?}");
    };
    for (id, place) in [(1, 0), (2, 0), (3, 2), (8, 0), (12, 2), (14, 208)] {
        check(id, place);
    }
    assert!(Packed::of_numbers(&[1.0, f32::NAN], 2, Packing::F32).is_err());
    // Beyond f16, f32 is kept.
    assert_eq!(Packed::of_numbers(&[1.0, 1e6], 2, Packing::F16).unwrap().packing, Packing::F32);
}

#[test]
fn memory_has_the_numbers_of_its_tensor() {
    let device = device();
    let numbers = random(1, 12);
    let narrow = Tensor::<2>::from_data(TensorData::new(numbers.clone(), [3, 4]), &device).narrow(1, 1, 2);
    let expected: Vec<f32> = numbers.chunks_exact(4).flat_map(|row| &row[1..3]).copied().collect();
    assert_eq!(back::<2>(memory(narrow)), expected);
    assert_eq!(back::<2>(on(&device, &numbers, [3, 4])), numbers);
}
