//! Installed agents: `<data>/agents/NAME`, where `remit run NAME` looks.

use crate::{
    data_folder::{DataFolder, beside, make_folder, remove_folder, replace_folder},
    progress,
};
use anyhow::{Context as _, Result};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

/// Installs package folders under their own names; one that is installed as it is stays untouched.
///
/// # Errors
///
/// A folder cannot be read or written.
pub(crate) fn install(data: &DataFolder, packages: &[PathBuf]) -> Result<()> {
    let _lock = data.lock()?;
    let agents = data.join("agents");
    make_folder(&agents)?;
    let mut names = Vec::new();
    for package in packages {
        let name = package.file_name().unwrap_or_default();
        names.push(name.to_string_lossy().into_owned());
        let place = agents.join(name);
        let files = contents(package)?;
        if contents(&place).is_ok_and(|present| present == files) {
            continue;
        }
        let partial = beside(&place, "partial");
        remove_folder(&partial)?;
        make_folder(&partial)?;
        for (file, bytes) in &files {
            let path = partial.join(file);
            fs::write(&path, bytes).with_context(|| format!("cannot write {}: is the disk full?", path.display()))?;
        }
        replace_folder(&partial, &place)?;
    }
    names.sort();
    progress::already("agents", &format!("installed in {}: {}", agents.display(), names.join(", ")));
    Ok(())
}

/// The files of a package folder; packages are flat.
fn contents(folder: &Path) -> Result<BTreeMap<OsString, Vec<u8>>> {
    let unreadable = || format!("cannot read the package folder {}", folder.display());
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        files.insert(entry.file_name(), fs::read(entry.path()).with_context(unreadable)?);
    }
    Ok(files)
}

#[cfg(test)]
mod unit_tests {
    use super::contents;
    use crate::data_folder::DataFolder;
    use std::fs;

    #[test]
    fn an_agent_is_replaced_whole() {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let data = DataFolder::at(scratch.path().join("data"));
        let package = scratch.path().join("assistant");
        fs::create_dir(&package).expect("a folder");
        for (file, text) in [("old.wasm", "1"), ("new.wasm", "2")] {
            fs::write(package.join(file), text).expect("writable");
            super::install(&data, std::slice::from_ref(&package)).expect("it installs");
            let installed = contents(&data.join("agents/assistant")).expect("it is there");
            assert_eq!(installed, contents(&package).expect("readable"));
            fs::remove_file(package.join(file)).expect("it was there");
        }
        assert_eq!(fs::read_dir(data.join("agents")).expect("readable").count(), 1);
    }
}
