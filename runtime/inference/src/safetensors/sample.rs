//! Writes small safetensors files for tests: sound and broken ones.

use serde_json::{Map, json};

/// A tensor with its bytes.
pub(crate) struct Tensor<'a> {
    pub(crate) name: &'a str,
    pub(crate) dtype: &'a str,
    pub(crate) shape: &'a [u64],
    pub(crate) bytes: &'a [u8],
}

/// A file of these tensors, one behind the other.
pub(crate) fn file(tensors: &[Tensor<'_>]) -> Vec<u8> {
    let mut header = Map::new();
    let mut data = Vec::new();
    for Tensor { name, dtype, shape, bytes } in tensors {
        let begin = data.len();
        data.extend_from_slice(bytes);
        header.insert((*name).into(), json!({ "dtype": dtype, "shape": shape, "data_offsets": [begin, data.len()] }));
    }
    with_header(&serde_json::Value::Object(header).to_string(), &data)
}

/// A file with that header, whatever it says.
pub(crate) fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// Numbers as they are stored.
pub(crate) fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
