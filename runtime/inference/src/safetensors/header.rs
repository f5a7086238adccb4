//! The header of one file: from what it states to tensors that are known to lie inside the file.

use super::{Dtype, HEADER_BYTES_MAX, NAME_BYTES_MAX, SafetensorsError, TensorInfo, error::quoted, json::Pairs};
use serde::Deserialize;
use std::collections::HashSet;

/// Dimensions of a tensor: PyTorch has at most 64, weights have at most five.
const DIMENSIONS_MAX: usize = 64;
/// Bytes of the header's length.
const LENGTH_BYTES: usize = 8;

/// A tensor as the header states it.
#[derive(Deserialize)]
struct Stated {
    dtype: Box<str>,
    shape: Vec<u64>,
    /// Begin and end, from the start of the data.
    data_offsets: [u64; 2],
}

/// The tensors of a file in the order of their data.
pub(super) fn read(file: &[u8]) -> Result<Vec<(Box<str>, TensorInfo)>, SafetensorsError> {
    let (header, data_start) = header(file)?;
    // A copy: text has to stay what it was when it was checked, and a map may change under a reader.
    let header = header.to_vec();
    let Pairs(mut stated) = serde_json::from_slice::<Pairs<Stated>>(&header)
        .map_err(|error| SafetensorsError::Header { reason: quoted(&error.to_string()) })?;
    check_names(stated.iter().map(|(name, _)| &**name))?;
    let data_bytes = (file.len() - data_start) as u64;
    stated.sort_by_key(|(_, stated)| stated.data_offsets);
    check_cover(&stated, data_bytes)?;
    stated.into_iter().map(|(name, stated)| tensor(&name, stated, data_start).map(|info| (name, info))).collect()
}

/// The header's bytes, and where the data begins.
fn header(file: &[u8]) -> Result<(&[u8], usize), SafetensorsError> {
    let (Some(length), Some(b'{')) = (file.first_chunk::<LENGTH_BYTES>(), file.get(LENGTH_BYTES)) else {
        return Err(SafetensorsError::NotSafetensors);
    };
    let bytes = u64::from_le_bytes(*length);
    if bytes > HEADER_BYTES_MAX {
        return Err(SafetensorsError::HeaderTooLong { bytes });
    }
    // It fits: the limit is far below 2^32.
    let end = LENGTH_BYTES + bytes as usize;
    let header = file.get(LENGTH_BYTES..end).ok_or(SafetensorsError::Truncated { bytes, length: file.len() as u64 })?;
    Ok((header, end))
}

/// That no name is too long, and none is there twice.
pub(super) fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), SafetensorsError> {
    let mut seen = HashSet::new();
    for name in names {
        if name.len() > NAME_BYTES_MAX {
            return Err(SafetensorsError::NameTooLong { bytes: name.len() });
        }
        if !seen.insert(name) {
            return Err(SafetensorsError::Duplicate { name: quoted(name) });
        }
    }
    Ok(())
}

/// That each byte of the data belongs to one tensor, as the format demands; `stated` is sorted by offsets.
fn check_cover(stated: &[(Box<str>, Stated)], data_bytes: u64) -> Result<(), SafetensorsError> {
    let mut covered = 0;
    for (name, Stated { data_offsets: [begin, end], .. }) in stated {
        let (begin, end) = (*begin, *end);
        if begin > end || end > data_bytes {
            return Err(SafetensorsError::Outside { name: quoted(name), begin, end, length: data_bytes });
        }
        if begin < covered {
            return Err(SafetensorsError::Overlap { name: quoted(name), begin });
        }
        if begin > covered {
            return Err(SafetensorsError::Gap { begin: covered, end: begin });
        }
        covered = end;
    }
    if covered < data_bytes {
        return Err(SafetensorsError::Gap { begin: covered, end: data_bytes });
    }
    Ok(())
}

/// A tensor whose data is known to lie inside the file.
fn tensor(name: &str, stated: Stated, data_start: usize) -> Result<TensorInfo, SafetensorsError> {
    let shape_error = |why| SafetensorsError::Shape { name: quoted(name), why };
    let Some(dtype) = Dtype::from_name(&stated.dtype) else {
        return Err(SafetensorsError::UnknownType { name: quoted(name), dtype: quoted(&stated.dtype) });
    };
    if stated.shape.len() > DIMENSIONS_MAX {
        return Err(shape_error("it has more than 64 dimensions"));
    }
    let overflow = || shape_error("its size overflows");
    let elements = stated.shape.iter().try_fold(1u64, |product, size| product.checked_mul(*size));
    let bits = elements.and_then(|elements| elements.checked_mul(dtype.bits())).ok_or_else(overflow)?;
    if !bits.is_multiple_of(8) {
        return Err(shape_error("its elements do not fill whole bytes"));
    }
    let [begin, end] = stated.data_offsets;
    if end - begin != bits / 8 {
        return Err(SafetensorsError::Size { name: quoted(name), bytes: end - begin, needed: bits / 8 });
    }
    let shape = stated.shape.into_iter().map(|size| usize::try_from(size).map_err(|_| overflow()));
    let shape = shape.collect::<Result<_, _>>()?;
    // They fit: both are at most the length of a slice.
    let (start, bytes) = (data_start + begin as usize, (end - begin) as usize);
    Ok(TensorInfo { shape, dtype, file: 0, start, bytes })
}
