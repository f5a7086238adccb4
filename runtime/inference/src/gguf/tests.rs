//! Whole files are read; broken ones are refused with a sentence, without a panic and without a large allocation.

use super::{
    sample::{ARRAY, STRING, U32, Writer, string},
    *,
};
use proptest::prelude::*;

/// Every value type and several tensors, in under a kilobyte.
fn small() -> Vec<u8> {
    let nested = [&ARRAY.to_le_bytes()[..], &1u64.to_le_bytes(), &U32.to_le_bytes(), &2u64.to_le_bytes(), &[7; 8]];
    let nested = nested.concat();
    Writer::new()
        .str("name", "small")
        .u32("count", 3)
        .f32("ratio", 0.5)
        .bool("yes", true)
        .entry("signed", 5, &(-4i32).to_le_bytes())
        .entry("long", 10, &u64::MAX.to_le_bytes())
        .entry("double", 12, &2.5f64.to_le_bytes())
        .array("words", STRING, &[string("a"), string("bé")])
        .array("kinds", 5, &[1i32.to_le_bytes().to_vec(), 3i32.to_le_bytes().to_vec()])
        .entry("nested", ARRAY, &nested)
        .tensor("plain", &[2, 2], 0, &[0; 16])
        .tensor("quants", &[32, 2], 3, &[60; 40])
        .tensor("bytes", &[32], 8, &[60; 34])
        .finish()
}

/// Reads everything that a file offers; what matters is that it comes back.
fn read_all(bytes: Vec<u8>) -> Result<(), GgufError> {
    let file = Gguf::from_bytes(bytes)?;
    for key in file.entries.keys() {
        let _ = (file.get_u32(key), file.get_f32(key), file.get_bool(key), file.get_str(key));
        let _ = (file.get_strings(key), file.get_i32s(key));
    }
    let mut out = Vec::new();
    file.tensor_names().try_for_each(|name| file.dequantize(name, &mut out))
}

#[test]
fn reads_what_was_written() {
    let file = Gguf::from_bytes(small()).unwrap();
    assert_eq!(file.get_str("name").unwrap(), "small");
    assert_eq!(file.get_u32("count").unwrap(), 3);
    assert_eq!(file.get_f32("ratio").unwrap(), 0.5);
    assert_eq!(file.get_f32("double").unwrap(), 2.5);
    assert!(file.get_bool("yes").unwrap());
    assert_eq!(file.get_strings("words").unwrap(), ["a", "bé"]);
    assert_eq!(file.get_i32s("kinds").unwrap(), [1, 3]);
    assert_eq!(file.tensor("quants").unwrap().dimensions, [32, 2]);
    assert_eq!(file.tensor("quants").unwrap().kind.name(), "Q4_1");
    assert_eq!(optional(file.get_u32("absent")).unwrap(), None);
    assert!(optional(file.get_u32("name")).is_err());
}

fn check_getter<T: std::fmt::Debug>(got: Result<T, GgufError>, expect: &str) {
    assert_eq!(got.unwrap_err().to_string(), expect);
}

#[test]
fn getters_name_key_and_type() {
    let file = Gguf::from_bytes(small()).unwrap();
    check_getter(
        file.get_u32("name"),
        "the metadata key name is String and should be an unsigned integer; convert the file with a current converter",
    );
    check_getter(
        file.get_u32("long"),
        "the metadata key long is U64 and should be an unsigned integer below 2^32; convert the file with a current converter",
    );
    check_getter(
        file.get_u32("signed"),
        "the metadata key signed is I32 and should be an unsigned integer; convert the file with a current converter",
    );
    check_getter(
        file.get_i32s("words"),
        "the metadata key words is an Array of String and should be an Array of integers below 2^31; convert the file with a \
         current converter",
    );
    check_getter(
        file.get_str("absent"),
        "the GGUF file has no metadata key absent: convert it with a current converter, or choose another",
    );
}

/// `expect` is a part of the sentence.
fn check(bytes: Vec<u8>, expect: &str) {
    let sentence = read_all(bytes).unwrap_err().to_string();
    assert!(sentence.contains(expect), "{sentence}");
}

fn header(tensors: u64, entries: u64) -> Vec<u8> {
    [b"GGUF\x03\0\0\0", &tensors.to_le_bytes()[..], &entries.to_le_bytes()].concat()
}

#[test]
fn refuses_hostile_headers() {
    check(b"PK\x03\x04aaaaaaaaaaaaaaaaaaaa".to_vec(), "not a GGUF model");
    check(b"GGUF\x01\0\0\0aaaaaaaaaaaaaaaa".to_vec(), "version 1");
    check(b"GGUF\0\0\0\x03aaaaaaaaaaaaaaaa".to_vec(), "big-endian");
    check(header(1_000_000_000_000, 0), "claims 1000000000000 tensors");
    check(header(0, u64::MAX), "claims 18446744073709551615 metadata entries");
    check(header(60_000, 0), "ends within a tensor's name");
    check(header(0, 60_000), "ends within a metadata key");
}

#[test]
fn refuses_hostile_metadata() {
    let of = |kind: u32, value: &[u8]| Writer::new().entry("k", kind, value).finish();
    let array = |kind: u32, count: u64| of(ARRAY, &[&kind.to_le_bytes()[..], &count.to_le_bytes()].concat());
    check(of(13, &[0; 64]), "unknown value type 13");
    check(of(STRING, &u64::MAX.to_le_bytes()), "ends within a metadata string");
    check(array(U32, u64::MAX), "ends within a metadata array");
    check(array(U32, u64::MAX / 4), "ends within a metadata array");
    check(array(STRING, u64::MAX), "ends within a metadata string");
    check(
        of(ARRAY, &[&ARRAY.to_le_bytes()[..], &1u64.to_le_bytes()].concat().repeat(1000)),
        "nests arrays more than 4 deep",
    );
    check(Writer::new().u32("k", 1).u32("k", 2).finish(), "the metadata key k twice");
    for alignment in [0, 3, 1 << 30] {
        check(Writer::new().u32(ALIGNMENT_KEY, alignment).finish(), "must be a power of two");
    }
    check(Writer::new().str(ALIGNMENT_KEY, "32").finish(), "should be an unsigned integer");
}

#[test]
fn refuses_hostile_tensors() {
    let of = |dimensions: &[u64], kind, offset| Writer::new().stated("t", dimensions, kind, offset).finish();
    check(of(&[], 0, 0), "one to four dimensions");
    check(of(&[1; 5], 0, 0), "one to four dimensions");
    check(of(&[0, 4], 0, 0), "a dimension is zero");
    check(of(&[1 << 40, 1 << 40], 0, 0), "overflows");
    check(of(&[1 << 62], 0, 0), "overflows");
    check(of(&[33], 3, 0), "not whole blocks");
    check(of(&[1 << 40], 0, 0), "not inside");
    check(of(&[1], 0, u64::MAX - 31), "not inside");
    check(of(&[1], 0, 7), "not a multiple of 32");
    check(of(&[1], 4, 0), "unknown type 4; supported are F32, F16, Q4_0, Q4_1,");
    check(of(&[1], u32::MAX, 0), "unknown type");
    check(Writer::new().stated(&"x".repeat(65), &[1], 0, 0).finish(), "at most 64 are accepted");
    let twice = Writer::new().tensor("t", &[1], 0, &[0; 4]).tensor("t", &[1], 0, &[0; 4]);
    check(twice.finish(), "the tensor t twice");
    check(Writer::new().tensor("t", &[256], 16, &[0; 66]).finish(), "type IQ2_XXS, which is not supported yet");
    check(Writer::new().tensor("t", &[2], 0, &[0, 0, 0, 0, 0, 0, 192, 127]).finish(), "number 1 of the tensor t");
}

#[test]
fn refuses_what_is_not_a_file() {
    let sentence = Gguf::open(Path::new("/")).unwrap_err().to_string();
    assert!(sentence.contains("is not a file"), "{sentence}");
    let sentence = Gguf::open(Path::new("/absent/model.gguf")).unwrap_err().to_string();
    assert!(sentence.starts_with("cannot open /absent/model.gguf"), "{sentence}");
}

#[test]
fn refuses_every_truncation() {
    let whole = small();
    read_all(whole.clone()).unwrap();
    // Behind the last tensor there is only padding.
    for length in 0..whole.len() - 30 {
        read_all(whole[..length].to_vec()).unwrap_err();
    }
}

#[test]
fn survives_every_flipped_bit() {
    let whole = small();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let _ = read_all(bytes);
    }
}

proptest! {
    #[test]
    fn survives_mutations(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = small();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let _ = read_all(bytes.clone());
        bytes.truncate(cut.index(bytes.len()));
        let _ = read_all(bytes);
    }

    #[test]
    fn survives_noise_behind_a_header(
        tensors in 0u64..4,
        entries in 0u64..4,
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = read_all([header(tensors, entries), noise].concat());
    }
}
