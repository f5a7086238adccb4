//! Models whose metadata and directory were changed at random: what reading one allocates is bounded by its file, since the
//! shapes of its tensors are compared before anything is read.

use super::{Change, allocation, change, mutated};
use burn::tensor::Device;
use proptest::{collection::vec, prelude::*};
use remit_inference::{
    gguf::Gguf,
    model::{Architecture, Decoder},
};
use serde_json::Value;

/// Bytes that reading may hold for each byte of the file: all its tensors are f32, an expert's are held twice while a
/// layer is read, and of each tensor there is a struct and a name.
const HELD_PER_BYTE_MAX: i64 = 4;
const HELD_MAX: i64 = 256 * 1024;
/// Some seconds.
const CASES: u32 = 256;
const FAMILIES: [&str; 8] = ["llama", "mistral", "qwen2", "qwen3", "qwen3_moe", "gemma2", "gemma3", "phi3"];

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// A golden's GGUF file: everything before its numbers, and as many zeros as they take.
fn file(family: &str) -> (Vec<u8>, usize) {
    let path = format!("tests/goldens/families/{family}.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let gguf = &golden["cases"][0]["gguf"];
    let (metadata, tensors) = (gguf["metadata"].as_object().unwrap(), gguf["tensors"].as_array().unwrap());
    let counts = [tensors.len() as u64, metadata.len() as u64].map(u64::to_le_bytes).concat();
    let mut head = [b"GGUF\x03\0\0\0", &counts[..]].concat();
    for (key, value) in metadata {
        head.extend(string(key));
        head.extend(match value {
            Value::String(text) => [&8u32.to_le_bytes()[..], &string(text)].concat(),
            value if value.is_f64() => [6u32.to_le_bytes(), (value.as_f64().unwrap() as f32).to_le_bytes()].concat(),
            value => [4u32.to_le_bytes(), (value.as_u64().unwrap() as u32).to_le_bytes()].concat(),
        });
    }
    let mut bytes = 0;
    for tensor in tensors {
        let sizes = tensor[1].as_array().unwrap().iter().rev().map(|size| size.as_u64().unwrap());
        let sizes: Vec<u64> = sizes.collect();
        head.extend(string(tensor[0].as_str().unwrap()));
        head.extend((sizes.len() as u32).to_le_bytes());
        head.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
        head.extend(0u32.to_le_bytes());
        head.extend((bytes as u64).to_le_bytes());
        bytes += (4 * sizes.iter().product::<u64>() as usize).next_multiple_of(32);
    }
    head.resize(head.len().next_multiple_of(32), 0);
    (head, bytes)
}

fn whole(mut head: Vec<u8>, bytes: usize) -> Vec<u8> {
    head.resize(head.len() + bytes, 0);
    head
}

fn check(bytes: Vec<u8>) {
    let length = bytes.len() as i64;
    let Ok(file) = Gguf::from_bytes(bytes) else { return };
    let held = allocation::most_during(|| drop(Architecture::from_gguf(&file)));
    assert!(held <= HELD_MAX, "{held} bytes for an architecture");
    let held = allocation::most_during(|| drop(Decoder::load(&file, &Device::flex())));
    let limit = HELD_MAX + HELD_PER_BYTE_MAX * length;
    assert!(held <= limit, "{held} bytes, and at most {limit} are accepted");
}

#[test]
fn the_models_that_are_changed_are_sound() {
    for family in FAMILIES {
        let (head, bytes) = file(family);
        let file = Gguf::from_bytes(whole(head, bytes)).unwrap();
        Decoder::load(&file, &Device::flex()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(super::cases(CASES)))]

    #[test]
    fn changed_models_are_survived(changes in vec(change(), 1..4)) {
        for family in FAMILIES {
            let (head, bytes) = file(family);
            let length = head.len();
            // Those that keep every place: others end in a file that is refused before it is a model.
            let changes: Vec<Change> =
                changes.iter().filter(|change| matches!(change, Change::Byte(..) | Change::Number(..))).cloned().collect();
            let head = mutated(head, &changes);
            assert_eq!(head.len(), length);
            check(whole(head, bytes));
        }
    }
}
