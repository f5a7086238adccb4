//! The goldens of `tests/goldens/families`: models in either format, whose numbers come from the names of their tensors.

use crate::{
    gguf::{Gguf, sample::Writer},
    safetensors::{
        Safetensors,
        sample::{Tensor, bytes, file},
    },
    sampler::SplitMix64,
};
use serde_json::{Map, Value};
use std::path::PathBuf;

pub(super) fn golden(family: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/goldens/families/{family}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub(super) fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

pub(super) fn sizes(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|size| size.as_u64().unwrap() as usize).collect()
}

/// The numbers of a tensor: those listed, or as many as its shape has from the generator that its name seeds.
pub(super) fn tensor(entry: &Value) -> (&str, Vec<usize>, Vec<f32>) {
    let (name, shape) = (entry[0].as_str().unwrap(), sizes(&entry[1]));
    if entry[2].is_array() {
        return (name, shape, floats(&entry[2]));
    }
    let fnv1a = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let mut random = SplitMix64::new(name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv1a));
    let (scale, offset) = (entry[2].as_f64().unwrap(), entry[3].as_f64().unwrap());
    let count = shape.iter().product::<usize>();
    (name, shape, (0..count).map(|_| (offset + scale * (random.next_unit() * 2.0 - 1.0)) as f32).collect())
}

pub(super) fn entry(writer: Writer, key: &str, value: &Value) -> Writer {
    match value {
        Value::String(text) => writer.str(key, text),
        Value::Bool(value) => writer.bool(key, *value),
        Value::Number(number) if number.is_f64() => writer.f32(key, number.as_f64().unwrap() as f32),
        Value::Number(number) => writer.u32(key, number.as_u64().unwrap() as u32),
        _ => panic!("{key} is {value}"),
    }
}

pub(super) fn metadata(case: &Value) -> &Map<String, Value> {
    case["gguf"]["metadata"].as_object().unwrap()
}

/// The case's GGUF file with these metadata.
pub(super) fn gguf_with(case: &Value, metadata: &Map<String, Value>) -> Gguf {
    let writer = metadata.iter().fold(Writer::new(), |writer, (key, value)| entry(writer, key, value));
    let tensors = case["gguf"]["tensors"].as_array().unwrap().iter().map(tensor);
    let writer = tensors.fold(writer, |writer, (name, shape, numbers)| {
        let dimensions: Vec<u64> = shape.iter().rev().map(|size| *size as u64).collect();
        writer.tensor(
            name,
            &dimensions,
            0,
            &numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>(),
        )
    });
    Gguf::from_bytes(writer.finish()).unwrap()
}

pub(super) fn safetensors(case: &Value) -> Safetensors {
    let tensors = case["json"]["tensors"].as_array().unwrap().iter().map(tensor);
    let tensors: Vec<_> = tensors
        .map(|(name, shape, numbers)| {
            let shape: Vec<u64> = shape.into_iter().map(|size| size as u64).collect();
            (name, shape, bytes(&numbers))
        })
        .collect();
    let tensors = tensors.iter().map(|(name, shape, bytes)| Tensor { name, dtype: "F32", shape, bytes });
    Safetensors::from_bytes(file(&tensors.collect::<Vec<_>>())).unwrap()
}

pub(super) fn config(case: &Value) -> &Map<String, Value> {
    case["json"]["config"].as_object().unwrap()
}

pub(super) fn distance(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let difference = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    // Not max: it would pass over what is no number.
    difference.fold(0.0f32, |most, each| if each <= most { most } else { each }) / largest
}

pub(super) fn tokens(case: &Value) -> Vec<u32> {
    sizes(&case["tokens"]).into_iter().map(|token| token as u32).collect()
}
