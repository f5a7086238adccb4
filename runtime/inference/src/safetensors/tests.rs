//! Whole files are read; broken ones are refused with a sentence, without a panic and without a large allocation.

use super::{
    sample::{Tensor, bytes, file, with_header},
    *,
};
use half::{bf16, f16};
use proptest::prelude::*;
use std::fs;

fn tensor<'a>(name: &'a str, dtype: &'a str, shape: &'a [u64], bytes: &'a [u8]) -> Tensor<'a> {
    Tensor { name, dtype, shape, bytes }
}

/// Several types and shapes, in under a kilobyte.
fn small() -> Vec<u8> {
    file(&[
        tensor("matrix", "F32", &[2, 2], &bytes(&[0.0, 1.0, 2.0, 3.0])),
        tensor("half", "F16", &[3], &[0, 60, 0, 192, 1, 0]),
        tensor("brain", "BF16", &[1, 2], &[128, 63, 0, 192]),
        tensor("scalar", "F32", &[], &bytes(&[7.0])),
        tensor("none", "F32", &[0, 3], &[]),
    ])
}

/// Reads everything that a model offers; what matters is that it comes back.
fn read_all(model: &Safetensors) -> Result<(), SafetensorsError> {
    let mut out = Vec::new();
    model.tensor_names().try_for_each(|name| model.read_f32(name, &mut out))
}

fn read_bytes(bytes: Vec<u8>) -> Result<(), SafetensorsError> {
    read_all(&Safetensors::from_bytes(bytes)?)
}

fn numbers(model: &Safetensors, name: &str) -> Vec<f32> {
    let mut out = Vec::new();
    model.read_f32(name, &mut out).unwrap();
    out
}

#[test]
fn what_was_written_is_read() {
    let model = Safetensors::from_bytes(small()).unwrap();
    assert_eq!(model.tensor("matrix").unwrap().shape, [2, 2]);
    assert_eq!(model.tensor("half").unwrap().dtype.name(), "F16");
    assert_eq!(numbers(&model, "matrix"), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(numbers(&model, "half"), [1.0, -2.0, 2.0f32.powi(-24)]);
    assert_eq!(numbers(&model, "brain"), [1.0, -2.0]);
    assert_eq!(numbers(&model, "scalar"), [7.0]);
    assert_eq!(numbers(&model, "none"), [0.0; 0]);
    assert_eq!(
        model.tensor("absent").unwrap_err().to_string(),
        "the model's files have no tensor absent: it is not complete; download it again or choose another"
    );
}

/// See `tests/goldens/tensors.py`.
#[test]
fn a_file_that_python_wrote_is_read() {
    let model = Safetensors::open(Path::new("tests/goldens/tensors.safetensors")).unwrap();
    for name in ["single", "half", "brain"] {
        assert_eq!(model.tensor(name).unwrap().shape, [2, 3], "{name}");
        assert_eq!(numbers(&model, name), [-0.75, -0.5, -0.25, 0.0, 0.25, 0.5], "{name}");
    }
    assert_eq!(numbers(&model, "scalar"), [0.5]);
    assert_eq!(model.tensor("empty").unwrap().shape, [0, 4]);
    let sentence = model.read_f32("ids", &mut Vec::new()).unwrap_err().to_string();
    assert_eq!(
        sentence,
        "the tensor ids has the type I64, which cannot be read; choose a model whose weights are F32, F16, BF16"
    );
}

#[test]
fn metadata_is_passed_over_however_deep() {
    let deep = [r#"{"__metadata__":"#, &"[".repeat(1 << 20), &"]".repeat(1 << 20), "}  "].concat();
    read_bytes(with_header(&deep, &[])).unwrap();
}

/// `expect` is a part of the sentence.
fn check(bytes: Vec<u8>, expect: &str) {
    let sentence = read_bytes(bytes).unwrap_err().to_string();
    assert!(sentence.contains(expect), "{sentence}");
    assert!(sentence.len() < 600, "{} bytes", sentence.len());
}

#[test]
fn hostile_headers_are_refused() {
    let length = |bytes: u64| [&bytes.to_le_bytes()[..], b"{}"].concat();
    check(Vec::new(), "not a safetensors file");
    check(b"GGUF\x03\0\0\0\0\0\0\0".to_vec(), "not a safetensors file");
    check(length(u64::MAX), "claims a header of 18446744073709551615 bytes");
    check(length(HEADER_BYTES_MAX + 1), "at most 33554432 are accepted");
    check(length(HEADER_BYTES_MAX), "should have 33554432 bytes and the file has 10");
    check(length(0), "cannot be read: EOF");
    check(with_header("{\"\u{0}", &[]), "cannot be read");
    check([&3u64.to_le_bytes()[..], b"{\"\xff"].concat(), "cannot be read");
    check(with_header("{} x", &[]), "trailing characters");
    check(with_header(r#"{"t":7}"#, &[]), "invalid type: integer");
    check(with_header(&format!(r#"{{"t":"{}\n"}}"#, "x".repeat(9999)), &[]), "invalid type: string");
    check(with_header(&format!("{{\"t\":{}", "[".repeat(1 << 20)), &[]), "cannot be read");
    check(with_header(&format!("{{\"t\":{}", "{\"a\":".repeat(1 << 20)), &[]), "cannot be read");
}

/// A file with one tensor `t` and eight bytes of data.
fn one(dtype: &str, shape: &str, offsets: &str) -> Vec<u8> {
    with_header(&format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#), &[0; 8])
}

#[test]
fn hostile_tensors_are_refused() {
    check(one("F32", "[3]", "[0,8]"), "has 8 bytes of data and its shape and type need 12");
    check(one("F32", "[4294967296,4294967296]", "[0,8]"), "its size overflows");
    check(one("F64", "[2305843009213693952]", "[0,8]"), "its size overflows");
    check(one("F4", "[15]", "[0,8]"), "do not fill whole bytes");
    check(one("F32", &format!("[2{}]", ",1".repeat(64)), "[0,8]"), "more than 64 dimensions");
    check(one("F32", "[-1]", "[0,8]"), "invalid value: integer `-1`");
    check(one("F32", "[2.0]", "[0,8]"), "invalid type: floating point");
    check(one("F32", "[[2]]", "[0,8]"), "invalid type: sequence");
    check(one("F32", "[2]", "[0,8,9]"), "cannot be read");
    check(one("F32", "[2]", "[0,18446744073709551616]"), "cannot be read");
    check(one("F32", "[3]", "[0,12]"), "should be bytes 0 to 12 of the file's 8 bytes");
    check(one("F32", "[2]", "[18446744073709551608,18446744073709551615]"), "the file's 8 bytes");
    check(one("F32", "[2]", "[8,0]"), "should be bytes 8 to 0");
    check(one("F32", "[1]", "[4,8]"), "bytes 0 to 4 of the safetensors file's data belong to no tensor");
    check(one("F32", "[1]", "[0,4]"), "bytes 4 to 8 of the safetensors file's data belong to no tensor");
    check(one("F33", "[2]", "[0,8]"), "the unknown type F33; those that can be read are F32, F16, BF16");
    check(one("F64", "[1]", "[0,8]"), "the type F64, which cannot be read");
    check(one("U8", "[8]", "[0,8]"), "the type U8, which cannot be read");
    check(with_header(r#"{"t":{"dtype":"F32","shape":[0]}}"#, &[]), "missing field `data_offsets`");
}

#[test]
fn tensors_that_contradict_each_other_are_refused() {
    let stated = |name: &str, begin: u64| {
        format!(r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":[{begin},{}]}}"#, begin + 4)
    };
    let two = |a: String, b: String| with_header(&format!("{{{a},{b}}}"), &[0; 8]);
    check(two(stated("a", 0), stated("b", 0)), "the data of the tensor b begins at byte 0, inside that of another");
    check(two(stated("a", 0), stated("b", 2)), "the data of the tensor b begins at byte 2, inside that of another");
    check(two(stated("a", 0), stated("a", 4)), "the tensor a is there twice");
    check(two(stated("a", 0), stated(r"\u0061", 4)), "the tensor a is there twice");
    check(two(stated("a", 0), stated(&"b".repeat(1025), 4)), "has 1025 bytes and at most 1024 are accepted");
    let many: Vec<_> = (0..=TENSORS_MAX)
        .map(|name| format!(r#""{name}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#))
        .collect();
    check(with_header(&format!("{{{}}}", many.join(",")), &[]), "there are more than 262144 tensors");
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    check(file(&[tensor("t", "F32", &[2], &bytes(&[1.0, f32::NAN]))]), "number 1 of the tensor t is infinite");
    check(file(&[tensor("t", "F16", &[2], &[0, 124, 0, 0])]), "number 0 of the tensor t is infinite");
    check(file(&[tensor("t", "BF16", &[2], &[0, 0, 128, 255])]), "number 1 of the tensor t is infinite");
}

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn scalar(name: &str, value: f32) -> Vec<u8> {
    file(&[tensor(name, "F32", &[1], &bytes(&[value]))])
}

fn index_of(map: &[(&str, &str)]) -> Vec<u8> {
    let pairs: Vec<_> = map.iter().map(|(name, file)| format!("{name:?}:{file:?}")).collect();
    format!(r#"{{"metadata":{{"total_size":8}},"weight_map":{{{}}}}}"#, pairs.join(",")).into_bytes()
}

const FIRST: &str = "model-00001-of-00002.safetensors";
const SECOND: &str = "model-00002-of-00002.safetensors";

#[test]
fn a_model_in_two_files_is_read() {
    let index = index_of(&[("a", FIRST), ("b", SECOND)]);
    let second = file(&[tensor("b", "F32", &[1], &bytes(&[2.0])), tensor("unnamed", "F32", &[1], &bytes(&[3.0]))]);
    let folder = folder(&[(FIRST, &scalar("a", 1.0)), (SECOND, &second), (INDEX_NAME, &index)]);
    for path in [folder.path().to_owned(), folder.path().join(INDEX_NAME)] {
        let model = Safetensors::open(&path).unwrap();
        assert_eq!((numbers(&model, "a"), numbers(&model, "b")), (vec![1.0], vec![2.0]));
        model.tensor("unnamed").unwrap_err();
    }
}

#[test]
fn a_folder_with_one_file_is_read() {
    let folder = folder(&[(SINGLE_NAME, &small())]);
    for path in [folder.path().to_owned(), folder.path().join(SINGLE_NAME)] {
        assert_eq!(numbers(&Safetensors::open(&path).unwrap(), "scalar"), [7.0]);
    }
}

#[cfg(unix)]
#[test]
fn a_file_of_a_model_may_be_a_link() {
    let blobs = folder(&[("blob", &scalar("a", 1.0))]);
    let folder = folder(&[(INDEX_NAME, &index_of(&[("a", FIRST)]))]);
    std::os::unix::fs::symlink(blobs.path().join("blob"), folder.path().join(FIRST)).unwrap();
    assert_eq!(numbers(&Safetensors::open(folder.path()).unwrap(), "a"), [1.0]);
}

/// `expect` is a part of the sentence about a model whose first file has `a` and whose second has `second`.
fn check_index(index: &[u8], second: &[u8], expect: &str) {
    let folder = folder(&[(FIRST, &scalar("a", 1.0)), (SECOND, second), (INDEX_NAME, index)]);
    let sentence = Safetensors::open(folder.path()).unwrap_err().to_string();
    assert!(sentence.contains(expect), "{sentence}");
    assert!(sentence.len() < 600, "{} bytes", sentence.len());
}

#[test]
fn hostile_indexes_are_refused() {
    let check = |index: &[u8], expect: &str| check_index(index, &scalar("b", 2.0), expect);
    for name in
        ["../m.safetensors", "/m.safetensors", "a/m.safetensors", "m.safetensors/", ".", "..", "", "a\\m.safetensors"]
            .into_iter()
            .chain(["./m.safetensors", "C:m.safetensors", "m\0.safetensors", "m.bin", "m.safetensors/.."])
    {
        let index = serde_json::json!({ "weight_map": { "a": name } }).to_string();
        check(index.as_bytes(), "which is not a plain name that ends with .safetensors");
    }
    check(b"{}", "missing field `weight_map`");
    check(b"", "the model's index cannot be read: EOF");
    check(br#"{"weight_map":{"a":7}}"#, "invalid type: integer");
    check(format!(r#"{{"weight_map":{}"#, "[".repeat(1 << 20)).as_bytes(), "cannot be read");
    check(&index_of(&[("a", FIRST), ("a", SECOND)]), "the tensor a is there twice");
    check(&vec![b' '; INDEX_BYTES_MAX as usize + 1], "has 33554433 bytes and at most 33554432 are accepted");
    let names: Vec<_> =
        (0..=SHARDS_MAX).map(|number| (format!("t{number}"), format!("{number}.safetensors"))).collect();
    let names: Vec<_> = names.iter().map(|(name, file)| (&**name, &**file)).collect();
    check(&index_of(&names), "names 1025 files and at most 1024 are accepted");
}

#[test]
fn files_that_do_not_fit_their_index_are_refused() {
    let index = index_of(&[("a", FIRST), ("b", SECOND)]);
    check_index(&index_of(&[("a", "absent.safetensors")]), &[], "in the model's file absent.safetensors: cannot open");
    check_index(
        &index,
        &scalar("c", 2.0),
        "says that model-00002-of-00002.safetensors has the tensor b, and it has not",
    );
    let both = file(&[tensor("a", "F32", &[1], &[0; 4]), tensor("b", "F32", &[1], &[0; 4])]);
    check_index(
        &index,
        &both,
        "the tensor a is in model-00001-of-00002.safetensors and in model-00002-of-00002.safetensors",
    );
    check_index(&index, &scalar("b", 2.0)[..60], "in the model's file model-00002-of-00002.safetensors: ");
}

fn check_path(path: &Path, expect: &str) {
    let sentence = Safetensors::open(path).unwrap_err().to_string();
    assert!(sentence.contains(expect), "{sentence}");
}

#[test]
fn paths_without_a_model_are_refused() {
    let folder = folder(&[("empty.safetensors", b"")]);
    check_path(folder.path(), "has neither model.safetensors nor model.safetensors.index.json");
    check_path(&folder.path().join("empty.safetensors"), "not a safetensors file");
    check_path(&folder.path().join("absent.safetensors"), "cannot open");
    check_path(&folder.path().join("absent.index.json"), "cannot open");
    fs::create_dir(folder.path().join(SINGLE_NAME)).unwrap();
    check_path(folder.path(), "is not a file");
}

#[test]
fn every_truncation_is_refused() {
    let whole = small();
    read_bytes(whole.clone()).unwrap();
    for length in 0..whole.len() {
        read_bytes(whole[..length].to_vec()).unwrap_err();
    }
}

#[test]
fn every_flipped_bit_is_survived() {
    let whole = small();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let _ = read_bytes(bytes);
    }
}

proptest! {
    #[test]
    fn any_file_that_was_written_is_read(
        tensors in prop::collection::btree_map(
            "\\PC{0,20}".prop_filter("metadata is no tensor", |name| name != METADATA_KEY),
            (0usize..3, prop::collection::vec(0u64..4, 0..4), -8i8..8),
            0..6,
        ),
    ) {
        let stored: Vec<_> = tensors.iter().map(|(name, (kind, shape, value))| {
            let count = shape.iter().product::<u64>() as usize;
            let numbers: Vec<_> = (0..count).map(|number| f32::from(*value) + number as f32).collect();
            let stored: Vec<u8> = match kind {
                0 => bytes(&numbers),
                1 => numbers.iter().flat_map(|number| f16::from_f32(*number).to_le_bytes()).collect(),
                _ => numbers.iter().flat_map(|number| bf16::from_f32(*number).to_le_bytes()).collect(),
            };
            (name, ["F32", "F16", "BF16"][*kind], shape, stored, numbers)
        }).collect();
        let written: Vec<_> = stored.iter().map(|(name, dtype, shape, bytes, _)| tensor(name, dtype, shape, bytes)).collect();
        let model = Safetensors::from_bytes(file(&written)).unwrap();
        prop_assert_eq!(model.tensor_names().count(), stored.len());
        for (name, dtype, shape, _, expect) in &stored {
            let info = model.tensor(name).unwrap();
            prop_assert_eq!(info.dtype.name(), *dtype);
            prop_assert!(info.shape.iter().map(|size| *size as u64).eq(shape.iter().copied()));
            prop_assert_eq!(info.elements(), expect.len());
            prop_assert_eq!(&numbers(&model, name), expect);
        }
    }
}
