//! Model files that were changed at random: reading one never panics, and never takes memory beyond a multiple of the
//! file; nor does making a tokenizer, a chat template or a model of one. The targets in `fuzz/` search the same ground for as long as one
//! likes; this is what CI has time for. `REMIT_TEST_MUTATIONS` says how many times as many cases are tried.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod allocation;
mod model;
mod template;
mod tokenizer;

use proptest::{collection::vec, prelude::*, sample::Index};
use remit_inference::{gguf::Gguf, safetensors::Safetensors};

/// Bytes that reading may hold for each byte of the file. A block of `Q2_K` becomes 12 times as large as f32; an empty
/// tensor of a safetensors header takes 49 bytes there, some 100 as a struct, and thrice that while its list grows.
const HELD_PER_BYTE_MAX: i64 = 32;
/// And for none: tables that start with some capacity, and the sentence of an error.
const HELD_MAX: i64 = 64 * 1024;
/// About a second of each test.
const CASES: u32 = 32_768;

/// How many cases are tried, where that many are usual.
fn cases(usual: u32) -> u32 {
    let times = std::env::var("REMIT_TEST_MUTATIONS").map(|times| times.parse().expect("it is a number"));
    usual * times.unwrap_or(1)
}

/// One change to a file.
#[derive(Clone, Debug)]
enum Change {
    Byte(Index, u8),
    /// A count, a length or an offset, where numbers go wrong: around zero, the file's length and the largest.
    Number(Index, u64),
    Remove(Index, usize),
    /// A run of bytes, copied to another place.
    Repeat(Index, usize, Index),
    Cut(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let number =
        prop_oneof![0u64..4096, (0u64..64).prop_map(|back| u64::MAX - back), (0u32..64).prop_map(|bit| 1 << bit)];
    prop_oneof![
        6 => (any::<Index>(), any::<u8>()).prop_map(|(at, value)| Change::Byte(at, value)),
        3 => (any::<Index>(), number).prop_map(|(at, value)| Change::Number(at, value)),
        1 => (any::<Index>(), 1usize..40).prop_map(|(at, count)| Change::Remove(at, count)),
        1 => (any::<Index>(), 1usize..200, any::<Index>()).prop_map(|(at, count, to)| Change::Repeat(at, count, to)),
        1 => any::<Index>().prop_map(Change::Cut),
    ]
}

fn mutated(mut file: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if file.is_empty() {
            break;
        }
        let length = file.len();
        match change {
            Change::Byte(at, value) => file[at.index(length)] = *value,
            Change::Number(at, value) => {
                let at = at.index(length);
                let count = (length - at).min(8);
                file[at..at + count].copy_from_slice(&value.to_le_bytes()[..count]);
            }
            Change::Remove(at, count) => {
                let at = at.index(length);
                file.drain(at..(at + count).min(length));
            }
            Change::Repeat(at, count, to) => {
                let (at, to) = (at.index(length), to.index(length));
                let run = file[at..(at + count).min(length)].to_vec();
                file.splice(to..to, run);
            }
            Change::Cut(at) => file.truncate(at.index(length)),
        }
    }
    file
}

fn check(file: Vec<u8>, read: fn(Vec<u8>)) {
    let limit = HELD_MAX + HELD_PER_BYTE_MAX * file.len() as i64;
    let held = allocation::most_during(|| read(file));
    assert!(held <= limit, "{held} bytes, and at most {limit} are accepted");
}

fn read_gguf(bytes: Vec<u8>) {
    let Ok(file) = Gguf::from_bytes(bytes) else { return };
    for key in ["tokenizer.ggml.tokens", "general.name", "general.alignment"] {
        let _ = (file.get_u32(key), file.get_f32(key), file.get_bool(key), file.get_str(key).map(str::len));
        let _ = (file.get_strings(key).map(drop), file.get_i32s(key).map(drop));
    }
    for name in file.tensor_names() {
        let _ = file.dequantize(name, &mut Vec::new());
    }
}

fn read_safetensors(bytes: Vec<u8>) {
    let Ok(file) = Safetensors::from_bytes(bytes) else { return };
    for name in file.tensor_names() {
        let _ = file.read_f32(name, &mut Vec::new());
    }
}

/// A GGUF file with a value of some types and a tensor of several.
fn gguf() -> Vec<u8> {
    let string = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let entry = |key: &str, kind: u32, value: &[u8]| [&string(key), &kind.to_le_bytes()[..], value].concat();
    let words = [&8u32.to_le_bytes()[..], &2u64.to_le_bytes(), &string("a"), &string("bc")].concat();
    let entries = [
        entry("general.name", 8, &string("sample")),
        entry("general.alignment", 4, &32u32.to_le_bytes()),
        entry("tokenizer.ggml.tokens", 9, &words),
    ];
    let mut directory = Vec::new();
    let mut data = Vec::new();
    for (name, id, elements, bytes) in [
        ("plain", 0u32, 8u64, 32),
        ("bytes", 8, 32, 34),
        ("two", 10, 256, 84),
        ("four", 12, 512, 288),
        ("six", 14, 256, 210),
    ] {
        directory.extend([string(name), 1u32.to_le_bytes().to_vec(), elements.to_le_bytes().to_vec()].concat());
        directory.extend([&id.to_le_bytes()[..], &(data.len() as u64).to_le_bytes()].concat());
        data.extend(std::iter::repeat_n(7u8, bytes));
        data.resize(data.len().next_multiple_of(32), 0);
    }
    let head = [b"GGUF\x03\0\0\0", &5u64.to_le_bytes()[..], &(entries.len() as u64).to_le_bytes()].concat();
    let mut file = [head, entries.concat(), directory].concat();
    file.resize(file.len().next_multiple_of(32), 0);
    [file, data].concat()
}

fn safetensors() -> Vec<u8> {
    std::fs::read("tests/goldens/tensors.safetensors").unwrap()
}

#[test]
fn the_files_that_are_changed_are_sound() {
    let gguf = Gguf::from_bytes(gguf()).unwrap();
    assert_eq!(gguf.tensor_names().count(), 5);
    gguf.tensor_names().for_each(|name| gguf.dequantize(name, &mut Vec::new()).unwrap());
    assert_eq!(Safetensors::from_bytes(safetensors()).unwrap().tensor_names().count(), 6);
}

#[test]
fn headers_of_nothing_but_tensors_stay_within_the_limit() {
    let stated = r#""":{"dtype":"","shape":[],"data_offsets":[0,0]}"#;
    let header = format!("{{{}}}", vec![stated; 20_000].join(","));
    check([&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat(), read_safetensors);
    let header = format!(r#"{{"":{{"shape":[{}1"#, "1,".repeat(500_000));
    check([&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat(), read_safetensors);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(CASES)))]

    #[test]
    fn changed_gguf_files_are_survived(changes in vec(change(), 1..8)) {
        check(mutated(gguf(), &changes), read_gguf);
    }

    #[test]
    fn changed_safetensors_files_are_survived(changes in vec(change(), 1..8)) {
        check(mutated(safetensors(), &changes), read_safetensors);
    }
}
