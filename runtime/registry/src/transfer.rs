//! Bytes on their way: what is sent from a file, what is received into one, and how far it got.

use crate::{Digest, Error, documents::Descriptor};
use futures::{StreamExt as _, stream};
use remit_egress::{Body, Bytes};
use sha2::{Digest as _, Sha256};
use std::{
    io::{self, SeekFrom},
    path::{Path, PathBuf},
};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
};

/// What is read from a file at once.
const PIECE_BYTES: usize = 64 << 10;

/// How far a transfer got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are there.
    pub done: u64,
    /// Bytes that there will be.
    pub total: u64,
}

/// Told after each piece, on the task that moves it: it should not take long.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// What a call sends. It can be sent again.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Empty,
    Bytes(Bytes),
    /// A part of a file.
    File {
        path: PathBuf,
        from: u64,
        bytes: u64,
    },
}

impl Content {
    pub(crate) const fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { bytes, .. } => *bytes,
        }
    }

    /// A part of it.
    pub(crate) fn part(&self, from: u64, bytes: u64) -> Self {
        match self {
            Self::Empty => Self::Empty,
            // What lies in memory has a length that fits there.
            Self::Bytes(all) => Self::Bytes(all.slice(from as usize..(from + bytes) as usize)),
            Self::File { path, from: begin, .. } => Self::File { path: path.clone(), from: begin + from, bytes },
        }
    }

    pub(crate) async fn body(&self) -> Result<Body, Error> {
        let (path, from, bytes) = match self {
            Self::Empty => return Ok(Body::Empty),
            Self::Bytes(bytes) => return Ok(Body::Bytes(bytes.clone())),
            Self::File { path, from, bytes } => (path, *from, *bytes),
        };
        let mut file = File::open(path).await.map_err(|error| Error::reading(path, error))?;
        file.seek(SeekFrom::Start(from)).await.map_err(|error| Error::reading(path, error))?;
        let pieces = stream::try_unfold((file, bytes), |(mut file, left)| async move {
            if left == 0 {
                return Ok::<_, io::Error>(None);
            }
            let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES))];
            let count = file.read(&mut piece).await?;
            piece.truncate(count);
            // A file that became shorter is found out by whoever counts what is sent.
            let left = if count == 0 { 0 } else { left - count as u64 };
            Ok(Some((Bytes::from(piece), (file, left))))
        });
        Ok(Body::Stream { bytes, pieces: pieces.boxed() })
    }
}

/// The digest and the length of a file.
pub(crate) async fn digest_file(path: &Path, most: u64) -> Result<(Digest, u64), Error> {
    let reading = |error| Error::reading(path, error);
    let mut file = File::open(path).await.map_err(reading)?;
    let (mut hash, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE_BYTES]);
    loop {
        let count = file.read(&mut piece).await.map_err(reading)?;
        if count == 0 {
            return Ok((Digest::finish(hash), bytes));
        }
        bytes += count as u64;
        if bytes > most {
            return Err(Error::TooLarge { what: path.display().to_string(), bytes, most });
        }
        hash.update(&piece[..count]);
    }
}

/// A file that is not whole yet. It stays where a transfer breaks off, and the next one goes on behind it.
pub(crate) struct Partial {
    path: PathBuf,
    file: File,
    hash: Sha256,
    bytes: u64,
    expected: Descriptor,
    /// It was there before: whether its bytes are right shows at the end.
    pub(crate) is_inherited: bool,
}

impl Partial {
    /// Goes on with what a transfer to `to` left, or begins.
    pub(crate) async fn open(to: &Path, expected: &Descriptor) -> Result<Self, Error> {
        let path = beside(to, expected);
        let storing = |error| Error::storing(&path, error);
        let present = File::options().read(true).write(true).create(true).truncate(false).open(&path).await;
        let mut file = present.map_err(storing)?;
        let (mut hash, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE_BYTES]);
        loop {
            let count = file.read(&mut piece).await.map_err(storing)?;
            if count == 0 {
                break;
            }
            bytes += count as u64;
            hash.update(&piece[..count]);
        }
        let is_inherited = bytes > 0;
        let mut partial = Self { path, file, hash, bytes, expected: expected.clone(), is_inherited };
        if bytes > expected.size {
            partial.restart().await?;
        }
        Ok(partial)
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Forgets what is there.
    pub(crate) async fn restart(&mut self) -> Result<(), Error> {
        let begun = async {
            self.file.set_len(0).await?;
            self.file.seek(SeekFrom::Start(0)).await
        };
        begun.await.map_err(|error| Error::storing(&self.path, error))?;
        (self.hash, self.bytes, self.is_inherited) = (Sha256::new(), 0, false);
        Ok(())
    }

    /// Adds a piece, unless it were more than was promised.
    pub(crate) async fn write(&mut self, piece: &[u8], what: &str) -> Result<(), Error> {
        let bytes = self.bytes + piece.len() as u64;
        if bytes > self.expected.size {
            return Err(Error::Size { what: what.to_owned(), found: bytes, expected: self.expected.size });
        }
        self.file.write_all(piece).await.map_err(|error| Error::storing(&self.path, error))?;
        self.hash.update(piece);
        self.bytes = bytes;
        Ok(())
    }

    /// Leaves nothing of it.
    pub(crate) async fn discard(self) -> Result<(), Error> {
        tokio::fs::remove_file(&self.path).await.map_err(|error| Error::storing(&self.path, error))
    }

    /// Puts the whole file into its place, if it is what was promised; if not, nothing of it stays.
    pub(crate) async fn finish(mut self, to: &Path, what: &str) -> Result<(), Error> {
        let found = Digest::finish(std::mem::take(&mut self.hash));
        let fault = if self.bytes != self.expected.size {
            Some(Error::Size { what: what.to_owned(), found: self.bytes, expected: self.expected.size })
        } else if found != self.expected.digest {
            Some(Error::Lie { what: what.to_owned(), found, expected: self.expected.digest.clone() })
        } else {
            None
        };
        if let Some(fault) = fault {
            self.discard().await?;
            return Err(fault);
        }
        // What has the right name is whole, whenever the machine stops.
        self.file.sync_all().await.map_err(|error| Error::storing(&self.path, error))?;
        tokio::fs::rename(&self.path, to).await.map_err(|error| Error::storing(to, error))
    }
}

/// `clerk.wasm` is put together in `.clerk.wasm.0a1b2c3d4e5f6071.partial`: two versions of one file do not meet.
fn beside(to: &Path, expected: &Descriptor) -> PathBuf {
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let digest = expected.digest.hex();
    to.with_file_name(format!(".{name}.{}.partial", &digest[..16]))
}
