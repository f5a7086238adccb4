//! Where the control socket is, and who may open it.
//!
//! It lies in the data folder, in `run/`, which only its owner can enter. Where that path is too long for a socket's
//! address, it lies below `$XDG_RUNTIME_DIR`, under a name made of the data folder's path: host and clients find the
//! same one.

use remit_assembly::{Home, HomeLock};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};

/// The longest path of a socket, without its closing zero: `sun_path` of unix(7).
const PATH_BYTES_MAX: usize = 107;

/// The socket's file.
const SOCKET_FILE: &str = "control.sock";

/// Where the user's short-lived files are, by the XDG Base Directory Specification.
const RUNTIME_VARIABLE: &str = "XDG_RUNTIME_DIR";

/// A socket that cannot be had.
#[derive(Debug, Error)]
pub enum SocketError {
    /// No address is short enough.
    #[error(
        "{path} is longer than the {PATH_BYTES_MAX} bytes of a socket's address: set REMIT_HOME to a shorter path, or \
         {RUNTIME_VARIABLE} to a folder of your own"
    )]
    TooLong {
        /// The path that was tried last.
        path: PathBuf,
    },
    /// Somebody else owns the socket's folder.
    #[error("{0} belongs to somebody else, so that no control socket can be in it: remove it")]
    Foreign(PathBuf),
    /// Something that is no socket has its name.
    #[error("{0} is there and is no socket: remove it")]
    InTheWay(PathBuf),
    /// The system's error.
    #[error("the control socket {path} cannot be made: {error}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Where the control socket of a data folder is, whether there is one or not.
///
/// # Errors
/// [`SocketError::TooLong`].
pub fn socket_path(home: &Home) -> Result<PathBuf, SocketError> {
    let runtime = std::env::var_os(RUNTIME_VARIABLE).map(PathBuf::from).filter(|folder| folder.is_absolute());
    place(home, runtime.as_deref())
}

fn place(home: &Home, runtime: Option<&Path>) -> Result<PathBuf, SocketError> {
    let usual = home.run().join(SOCKET_FILE);
    if fits(&usual) {
        return Ok(usual);
    }
    let Some(runtime) = runtime else { return Err(SocketError::TooLong { path: usual }) };
    let folder = std::path::absolute(home.folder()).unwrap_or_else(|_| home.folder().to_owned());
    let digest = hex::encode(&Sha256::digest(folder.as_os_str().as_bytes())[..8]);
    let short = runtime.join("remit").join(format!("{digest}.sock"));
    match fits(&short) {
        true => Ok(short),
        false => Err(SocketError::TooLong { path: short }),
    }
}

fn fits(path: &Path) -> bool {
    path.as_os_str().len() <= PATH_BYTES_MAX
}

/// A socket that listens. Its file goes with it.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) listener: UnixListener,
    path: PathBuf,
}

impl Bound {
    /// Listens. A file that a host left behind is replaced, which only the holder of the data folder's lock may do.
    pub(crate) fn at(path: PathBuf, _held: &HomeLock) -> Result<Self, SocketError> {
        let failed = |error| SocketError::Io { path: path.clone(), error };
        own_folder(path.parent().unwrap_or(Path::new("/")))?;
        match fs::symlink_metadata(&path) {
            Ok(found) if !found.file_type().is_socket() => return Err(SocketError::InTheWay(path)),
            Ok(_) => fs::remove_file(&path).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        // Nobody else can enter the folder, so that nobody comes between these two.
        let listener = UnixListener::bind(&path).map_err(failed)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the control socket's file is left behind");
        }
    }
}

/// Makes a folder that only its owner can enter.
fn own_folder(folder: &Path) -> Result<(), SocketError> {
    let failed = |error| SocketError::Io { path: folder.to_owned(), error };
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let found = fs::symlink_metadata(folder).map_err(failed)?;
    if !found.is_dir() || found.uid() != own_uid() {
        return Err(SocketError::Foreign(folder.to_owned()));
    }
    fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(failed)
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Who opened a connection, by the system's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    uid: u32,
}

impl Caller {
    /// Whoever opened a connection, if they may speak: the host's own user, and root.
    pub(crate) fn of(stream: &UnixStream) -> Option<Self> {
        let uid = stream.peer_cred().ok()?.uid();
        is_trusted(uid, own_uid()).then_some(Self { uid })
    }

    /// What is written down as who did something: the name that they give, which is theirs to say, and the user that they are.
    pub(crate) fn signature(self, name: Option<&str>) -> String {
        let Self { uid } = self;
        match name {
            Some(name) => format!("{name} (uid {uid})"),
            None => format!("uid {uid}"),
        }
    }
}

const fn is_trusted(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_and_root_are_heard() {
        assert!(is_trusted(1000, 1000) && is_trusted(0, 1000) && is_trusted(0, 0));
        assert!(!is_trusted(1001, 1000) && !is_trusted(1000, 0));
    }

    #[test]
    fn what_is_signed_says_who_the_system_knows() {
        let caller = Caller { uid: 1000 };
        assert_eq!(caller.signature(Some("ann")), "ann (uid 1000)");
        assert_eq!(caller.signature(None), "uid 1000");
    }

    #[test]
    fn a_path_that_is_too_long_is_replaced_by_a_short_one_or_refused() {
        let runtime = Path::new("/run/user/1000");
        let short = Home::at("/data/remit".into());
        assert_eq!(place(&short, Some(runtime)).expect("it fits"), Path::new("/data/remit/run/control.sock"));
        let long = Home::at(Path::new("/data").join("x".repeat(100)));
        let other = Home::at(Path::new("/data").join("y".repeat(100)));
        let replaced = place(&long, Some(runtime)).expect("it fits");
        assert!(replaced.starts_with("/run/user/1000/remit"), "{replaced:?}");
        assert_eq!(replaced, place(&long, Some(runtime)).expect("it fits"), "clients find the same one");
        assert_ne!(replaced, place(&other, Some(runtime)).expect("it fits"));
        let error = place(&long, None).expect_err("there is no short path").to_string();
        assert!(error.contains("REMIT_HOME") && error.contains(RUNTIME_VARIABLE), "{error}");
        assert!(place(&long, Some(&Path::new("/run").join("z".repeat(100)))).is_err());
    }

    #[tokio::test]
    async fn the_socket_is_its_owners_alone_and_goes_with_its_host() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let home = Home::at(folder.path().join("home"));
        let lock = home.lock().expect("nobody holds it");
        let path = place(&home, None).expect("it fits");
        let bound = Bound::at(path.clone(), &lock).expect("it listens");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o777;
        assert_eq!((mode(&path), mode(&home.run())), (0o600, 0o700));
        drop(bound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_any_other_file_is_not() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let home = Home::at(folder.path().to_owned());
        let lock = home.lock().expect("nobody holds it");
        let path = place(&home, None).expect("it fits");
        // A listener of the standard library leaves its file behind, as a crash does.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("it is free"));
        assert!(path.exists());
        drop(Bound::at(path.clone(), &lock).expect("the stale one is replaced"));
        fs::write(&path, "precious").expect("it is writable");
        let error = Bound::at(path.clone(), &lock).expect_err("it is no socket");
        assert!(matches!(error, SocketError::InTheWay(_)), "{error}");
        assert_eq!(fs::read(&path).expect("it is there"), b"precious");
    }
}
