//! A model in several files, as `model.safetensors.index.json` lists them.
//!
//! Source: Hugging Face's `transformers` (sharded checkpoints). The index is an object; its `weight_map` gives for each
//! tensor the name of the file that has it, beside the index. A tensor that a file has and the index does not name is
//! not part of the model. Whatever else the index holds is passed over.

use super::{
    INDEX_BYTES_MAX, SHARDS_MAX, Safetensors, SafetensorsError, error::quoted, header::check_names, json::Pairs,
    map_file,
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    path::{Component, Path},
};

#[derive(Deserialize)]
struct Index {
    weight_map: Pairs<Box<str>>,
}

/// The names of tensors by the file that has them; a sorted map, so that the same fault is reported each time.
type Shards = BTreeMap<Box<str>, Vec<Box<str>>>;

/// Opens every file of the index at `path`.
pub(super) fn open(path: &Path) -> Result<Safetensors, SafetensorsError> {
    let shards = read((*map_file(path)?).as_ref())?;
    // A path to a file has a parent.
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut model = Safetensors { files: Vec::new(), tensors: HashMap::new() };
    let mut places = HashMap::new();
    for (file, names) in &shards {
        add(&mut model, &mut places, folder, file, names)?;
    }
    Ok(model)
}

fn read(bytes: &[u8]) -> Result<Shards, SafetensorsError> {
    if bytes.len() as u64 > INDEX_BYTES_MAX {
        return Err(SafetensorsError::IndexTooLong { bytes: bytes.len() as u64 });
    }
    // A copy, as of a header.
    let bytes = bytes.to_vec();
    let Index { weight_map: Pairs(pairs) } = serde_json::from_slice(&bytes)
        .map_err(|error| SafetensorsError::Index { reason: quoted(&error.to_string()) })?;
    check_names(pairs.iter().map(|(name, _)| &**name))?;
    let mut shards = Shards::new();
    for (name, file) in pairs {
        shards.entry(file).or_default().push(name);
    }
    if shards.len() > SHARDS_MAX {
        return Err(SafetensorsError::TooManyShards { count: shards.len() });
    }
    match shards.keys().find(|file| !is_plain(file)) {
        Some(file) => Err(SafetensorsError::ShardName { file: quoted(file) }),
        None => Ok(shards),
    }
}

/// Whether a name stays in its folder on every platform. What it names may be a symbolic link: download caches have
/// those, and who places a link beside a model may place a file there.
fn is_plain(file: &str) -> bool {
    let mut components = Path::new(file).components();
    let one = matches!((components.next(), components.next()), (Some(Component::Normal(name)), None) if name == file);
    one && file.ends_with(".safetensors") && !file.contains(['/', '\\', ':', '\0'])
}

/// Adds the tensors that the index names to `model`; `places` has every tensor of the files before, named or not.
fn add<'a>(
    model: &mut Safetensors,
    places: &mut HashMap<Box<str>, &'a str>,
    folder: &Path,
    file: &'a str,
    names: &[Box<str>],
) -> Result<(), SafetensorsError> {
    let shard = Safetensors::open_file(&folder.join(file))
        .map_err(|source| SafetensorsError::Shard { file: quoted(file), source: Box::new(source) })?;
    for name in shard.tensors.keys() {
        if let Some(first) = places.insert(name.clone(), file) {
            return Err(SafetensorsError::InTwoShards {
                name: quoted(name),
                first: quoted(first),
                second: quoted(file),
            });
        }
    }
    let Safetensors { files, mut tensors } = shard;
    for name in names {
        let Some(mut info) = tensors.remove(name) else {
            return Err(SafetensorsError::NotInShard { file: quoted(file), name: quoted(name) });
        };
        info.file = model.files.len();
        model.tensors.insert(name.clone(), info);
    }
    model.files.extend(files);
    Ok(())
}
