//! A recording as a file, version 2. One of version 1 is read: its ledgers have no citations.
//!
//! | bytes | hold |
//! | --- | --- |
//! | 8 | `REMITREC` |
//! | 2 | the version, little-endian |
//! | 8 | the component's size, little-endian |
//! | so many | the component |
//! | up to the last 32 | by postcard: the host's version, the pid, and each line of the log as its place, its time and its entry |
//! | 32 | SHA-256 of all before: it finds damage, not forgery |

use super::Recording;
use bytes::Bytes;
use remit_abi::Pid;
use remit_kernel::{
    History, HistoryError,
    ports::{Entry, Line, version_1},
};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use thiserror::Error;

const MAGIC: &[u8; 8] = b"REMITREC";
const VERSION: u16 = 2;
/// The oldest that is read.
const VERSION_1: u16 = 1;
const DIGEST_BYTES: usize = 32;
/// Magic, version and the component's size.
const HEAD_BYTES: usize = 18;

/// A file that is no recording, or not as it was written.
#[derive(Debug, Error)]
pub enum FileError {
    /// Of something else.
    #[error("it is not a recording of a process: `remit export` makes one")]
    NotOne,
    /// Of a later time.
    #[error("it is a recording of version {0}, and this program reads {VERSION}: use a newer one")]
    Newer(u16),
    /// Cut off or changed.
    #[error("it is damaged: its bytes are not those that were written")]
    Damaged,
    /// Its log.
    #[error(transparent)]
    History(#[from] HistoryError),
}

type Written<E> = (String, Pid, Vec<(u64, u64, E)>);

/// The host's version, the pid and the lines, by the form of their entries.
fn read<E: DeserializeOwned + Into<Entry<'static>>>(said: &[u8]) -> Result<(String, Pid, Vec<Line>), FileError> {
    let (host, pid, lines): Written<E> = postcard::from_bytes(said).map_err(|_| FileError::Damaged)?;
    let line = |(sequence, at_ns, entry): (u64, u64, E)| Line { sequence, at_ns, entry: entry.into() };
    Ok((host, pid, lines.into_iter().map(line).collect()))
}

impl Recording {
    /// Its file's content.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let line = |Line { sequence, at_ns, entry }| (sequence, at_ns, entry);
        let written: Written<Entry<'_>> =
            (self.host.clone(), self.history.pid, self.history.lines().into_iter().map(line).collect());
        let mut bytes = Vec::with_capacity(self.component.len() + HEAD_BYTES + DIGEST_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((self.component.len() as u64).to_le_bytes());
        bytes.extend(&self.component);
        // Plain data written to memory: it cannot fail.
        bytes.extend(postcard::to_allocvec(&written).unwrap_or_default());
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest);
        bytes
    }

    /// What a file's content says.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, FileError> {
        let head = bytes.get(..HEAD_BYTES).filter(|head| head.starts_with(MAGIC)).ok_or(FileError::NotOne)?;
        let version = u16::from_le_bytes([head[8], head[9]]);
        if version > VERSION {
            return Err(FileError::Newer(version));
        }
        let (said, digest) = bytes
            .len()
            .checked_sub(DIGEST_BYTES)
            .and_then(|end| bytes.split_at_checked(end))
            .ok_or(FileError::Damaged)?;
        if Sha256::digest(said)[..] != *digest {
            return Err(FileError::Damaged);
        }
        let mut size = [0; 8];
        size.copy_from_slice(&head[10..HEAD_BYTES]);
        let end = usize::try_from(u64::from_le_bytes(size)).ok().and_then(|size| HEAD_BYTES.checked_add(size));
        let end = end.filter(|end| *end <= said.len()).ok_or(FileError::Damaged)?;
        let (host, pid, lines) = match version {
            VERSION_1 => read::<version_1::Entry<'static>>(&said[end..]),
            _ => read::<Entry<'static>>(&said[end..]),
        }?;
        let history = History::of(pid, lines)?;
        Ok(Self { host, history, component: bytes.slice(HEAD_BYTES..end) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_abi::{AccountId, Priority, TenantId, Tokens, limits::Limits};
    use remit_kernel::{
        RestartPolicy,
        ports::{Beginning, Created},
    };

    fn created() -> Box<Created> {
        Box::new(Created {
            package: "agent".into(),
            digest: "00".into(),
            kinds: Vec::new(),
            limits: Limits::default(),
            name: None,
            parent: None,
            depth: 0,
            priority: Priority::Normal,
            restart: RestartPolicy::default(),
            account: AccountId { index: 1, generation: 1 },
            funds: Tokens::ZERO,
            started_ns: 7,
            input: Vec::new(),
        })
    }

    fn recording() -> Recording {
        let entries = [Entry::Created(created()), Entry::Began(Box::<Beginning>::default())];
        let lines = (1..).zip(entries).map(|(sequence, entry)| Line { sequence, at_ns: 7, entry }).collect();
        let pid = Pid { tenant: TenantId(0), index: 3, generation: 1 };
        let history = History::of(pid, lines).expect("it has a beginning");
        Recording { host: "1.2.3".to_owned(), history, component: Bytes::from_static(b"component") }
    }

    #[test]
    fn what_is_written_is_read() {
        let recording = recording();
        let bytes = Bytes::from(recording.to_bytes());
        assert_eq!(Recording::from_bytes(&bytes).expect("it is whole"), recording);
    }

    #[test]
    fn what_version_1_wrote_is_read() {
        let mut began = version_1::Beginning::default();
        began.restarts = 3;
        let old = [version_1::Entry::Created(created()), version_1::Entry::Began(Box::new(began))];
        let now =
            [Entry::Created(created()), Entry::Began(Box::new(Beginning { restarts: 3, ..Beginning::default() }))];
        let Recording { host, history, component } = recording();
        let lines: Vec<(u64, u64, _)> = (1..).zip(old).map(|(sequence, entry)| (sequence, 7, entry)).collect();
        let mut bytes = [&MAGIC[..], &VERSION_1.to_le_bytes(), &(component.len() as u64).to_le_bytes()].concat();
        bytes.extend(&component);
        bytes.extend(postcard::to_allocvec(&(&host, history.pid, lines)).expect("it is plain"));
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest);
        let lines = (1..).zip(now).map(|(sequence, entry)| Line { sequence, at_ns: 7, entry }).collect();
        let history = History::of(history.pid, lines).expect("it has a beginning");
        let expect = Recording { host, history, component };
        assert_eq!(Recording::from_bytes(&bytes.into()).expect("it is whole"), expect);
    }

    #[test]
    fn a_file_that_is_cut_off_changed_or_of_something_else_says_so() {
        let whole = recording().to_bytes();
        let read = |bytes: &[u8]| Recording::from_bytes(&Bytes::copy_from_slice(bytes));
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length} bytes");
        }
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            assert!(read(&changed).is_err(), "byte {place}");
        }
        assert!(matches!(read(b"something else entirely"), Err(FileError::NotOne)));
        let mut newer = whole;
        newer[8] = 9;
        assert!(matches!(read(&newer), Err(FileError::Newer(9))));
    }

    #[test]
    fn a_size_that_a_digest_vouches_for_is_still_not_believed() {
        let mut bytes = recording().to_bytes();
        bytes.truncate(bytes.len() - DIGEST_BYTES);
        bytes[10..HEAD_BYTES].copy_from_slice(&u64::MAX.to_le_bytes());
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest);
        assert!(matches!(Recording::from_bytes(&bytes.into()), Err(FileError::Damaged)));
    }
}
