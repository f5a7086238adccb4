//! A line of a chain: its canonical bytes, and the hashes over them.
//!
//! | hash | is SHA-256 of |
//! | --- | --- |
//! | digest of an entry | its salt, the entry as postcard writes it |
//! | link of a line | [`LINK`], the link before, the line's 72 plain bytes, what it says |
//! | the link before the first | [`BEGINNING`], the tenant, the host's public key |

use super::key::PublicKey;
use crate::error::Damage;
use hmac::{Hmac, Mac};
use remit_abi::{Pid, TenantId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// SHA-256.
pub(crate) type Hash = [u8; 32];

/// What a link is of. It fills one block of the hash, whose state is computed once.
const LINK: [u8; 64] = padded(*b"remit audit line");
const fn padded(text: [u8; 16]) -> [u8; 64] {
    let mut block = [0; 64];
    let mut at = 0;
    while at < text.len() {
        block[at] = text[at];
        at += 1;
    }
    block
}

const BEGINNING: &[u8] = b"remit audit chain";
/// The first byte of what a line says, and of a row's lines.
pub(crate) const LINES_VERSION: u8 = 1;
/// Numbers of a line as a row has them: six, of 10 bytes at most.
const NUMBERS_BYTES: usize = 60;

/// Of whom an act is: no process has the generation 0.
const NOBODY: (u32, u32) = (0, 0);

/// A line without its tenant, which all lines of a chain have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// In its chain, from 1 on.
    pub(crate) number: u64,
    /// Of the record in the node's log; of an act that of the last record before it.
    pub(crate) position: u64,
    /// On the wall clock.
    pub(crate) at_ns: u64,
    /// Index and generation.
    pub(crate) process: (u32, u32),
    /// In the log of its process, from 1 on.
    pub(crate) sequence: u64,
    pub(crate) digest: Hash,
    /// Its fact, or the act: version and postcard. Empty where there is no fact.
    pub(crate) said: &'a [u8],
}

impl<'a> Line<'a> {
    /// Of an entry; its number is given when it is added.
    pub(crate) fn entry(pid: Pid, sequence: u64, position: u64, at_ns: u64, digest: Hash, fact: &'a [u8]) -> Self {
        Self { number: 0, position, at_ns, process: (pid.index, pid.generation), sequence, digest, said: fact }
    }

    /// Of an act, as [`said`] wrote it.
    pub(crate) fn act(position: u64, at_ns: u64, said: &'a [u8]) -> Self {
        Self { number: 0, position, at_ns, process: NOBODY, sequence: 0, digest: [0; 32], said }
    }

    /// Whose entry it is; `None` of an act.
    pub(crate) fn pid(&self, tenant: TenantId) -> Option<Pid> {
        let (index, generation) = self.process;
        (self.process != NOBODY).then_some(Pid { tenant, index, generation })
    }

    /// The link of this line.
    pub(crate) fn link(&self, before: &Hash) -> Hash {
        static BEGUN: LazyLock<Sha256> = LazyLock::new(|| Sha256::new_with_prefix(LINK));
        let mut plain = [0; 104];
        let (index, generation) = self.process;
        plain[..32].copy_from_slice(before);
        plain[32..40].copy_from_slice(&self.number.to_be_bytes());
        plain[40..48].copy_from_slice(&self.position.to_be_bytes());
        plain[48..56].copy_from_slice(&self.at_ns.to_be_bytes());
        plain[56..60].copy_from_slice(&index.to_be_bytes());
        plain[60..64].copy_from_slice(&generation.to_be_bytes());
        plain[64..72].copy_from_slice(&self.sequence.to_be_bytes());
        plain[72..].copy_from_slice(&self.digest);
        BEGUN.clone().chain_update(plain).chain_update(self.said).finalize().into()
    }

    /// Adds it to a row, of which `after` is the line before.
    pub(crate) fn write(&self, after: (u64, u64), row: &mut Vec<u8>) -> Result<(), Damage> {
        let since = self.at_ns.wrapping_sub(after.1).cast_signed();
        let (index, generation) = self.process;
        let numbers =
            (self.position.wrapping_sub(after.0), since, index, generation, self.sequence, self.said.len() as u64);
        row.extend_from_slice(postcard::to_slice(&numbers, &mut [0; NUMBERS_BYTES])?);
        if self.process != NOBODY {
            row.extend_from_slice(&self.digest);
        }
        row.extend_from_slice(self.said);
        Ok(())
    }
}

/// The lines of a row, of which the first has this number, and the line before this position and time.
pub(crate) fn read_lines(row: &[u8], first: u64, before: (u64, u64)) -> Result<Vec<Line<'_>>, Damage> {
    let malformed = || Damage::Form(postcard::Error::DeserializeBadEncoding);
    let mut rest = row.strip_prefix(&[LINES_VERSION]).ok_or_else(malformed)?;
    let (mut lines, (mut position, mut at_ns)) = (Vec::new(), before);
    while !rest.is_empty() {
        let (numbers, after) = postcard::take_from_bytes::<(u64, i64, u32, u32, u64, u64)>(rest)?;
        let (more, since, index, generation, sequence, said) = numbers;
        position = position.wrapping_add(more);
        at_ns = at_ns.wrapping_add_signed(since);
        let process = (index, generation);
        let (digest, after) = match process {
            NOBODY => ([0; 32], after),
            _ => after.split_first_chunk().map(|(digest, after)| (*digest, after)).ok_or_else(malformed)?,
        };
        let said = usize::try_from(said).map_err(|_| malformed())?;
        let (said, after) = after.split_at_checked(said).ok_or_else(malformed)?;
        let number = first + lines.len() as u64;
        lines.push(Line { number, position, at_ns, process, sequence, digest, said });
        rest = after;
    }
    Ok(lines)
}

/// What a line says, as it is hashed and stored.
pub(crate) fn said(what: &impl Serialize) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(what, vec![LINES_VERSION])
}

/// The same, read.
pub(crate) fn read_said<'a, T: Deserialize<'a>>(said: &'a [u8]) -> Result<T, Damage> {
    let malformed = Damage::Form(postcard::Error::DeserializeBadEncoding);
    Ok(postcard::from_bytes(said.strip_prefix(&[LINES_VERSION]).ok_or(malformed)?)?)
}

/// The link before the first line of a chain.
pub(crate) fn beginning(tenant: TenantId, key: &PublicKey) -> Hash {
    let hash = Sha256::new_with_prefix(BEGINNING).chain_update(tenant.0.to_be_bytes());
    hash.chain_update(key.0).finalize().into()
}

/// The digest of an entry.
pub(crate) fn digest(salt: &Hash, entry: &[u8]) -> Hash {
    Sha256::new_with_prefix(salt).chain_update(entry).finalize().into()
}

/// The salts of a process's entries. They follow from its key, so that they are gone with it, and nothing is stored.
#[derive(Clone)]
pub(crate) struct Salts(Hmac<Sha256>);

impl Salts {
    /// The key that a process's salts are made with, out of the process's own: HMAC-SHA-256 (RFC 2104) as a key derivation (NIST SP 800-108).
    pub(crate) fn derive(key: &Hash) -> Hash {
        keyed(key).chain_update(b"remit audit salts").finalize().into_bytes().into()
    }

    pub(crate) fn new(key: &Hash) -> Self {
        Self(keyed(key))
    }

    /// Of the entry at a place in the process's log.
    pub(crate) fn of(&self, sequence: u64) -> Hash {
        self.0.clone().chain_update(sequence.to_be_bytes()).finalize().into_bytes().into()
    }
}

/// The key fills less than a block of the hash, so that no key is refused.
pub(crate) fn keyed(key: &Hash) -> Hmac<Sha256> {
    let mut block = hmac::digest::generic_array::GenericArray::default();
    block[..key.len()].copy_from_slice(key);
    <Hmac<Sha256> as hmac::digest::KeyInit>::new(&block)
}

/// Something that an operator did, or that became of a tenant, in no process's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Act {
    /// The chain begins in the middle: what the log had up to this position is in no line.
    Began {
        /// Of the node's log.
        after: u64,
    },
    /// History was forgotten for its age.
    Forgot {
        /// What is older.
        before_ns: u64,
        /// So many chunks.
        chunks: u64,
    },
    /// A part of the tenant's data was deleted, on the way to all of it.
    Erasing {
        /// Processes of which nothing is left.
        processes: u64,
        /// So many chunks.
        chunks: u64,
    },
    /// All of it was deleted, and its key destroyed.
    Erased,
    /// Somebody looked through what its processes were told.
    Recalled {
        /// Who.
        by: Box<str>,
        /// Of what they looked for, keyed by what is destroyed with the tenant's data, in hexadecimal.
        question: Box<str>,
        /// How many texts they were shown.
        hits: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<Line<'static>> {
        let pid = Pid { tenant: TenantId(1), index: 3, generation: 7 };
        let all = [
            Line::entry(pid, 1, 10, 1_000, [1; 32], b"fact"),
            Line::entry(pid, u64::MAX, 9, 5, [2; 32], b""),
            Line::act(u64::MAX, u64::MAX, b"act"),
        ];
        (5..).zip(all).map(|(number, line)| Line { number, ..line }).collect()
    }

    #[test]
    fn a_row_reads_as_it_was_written_and_no_part_of_it_does() {
        let mut row = vec![LINES_VERSION];
        let mut after = (8, 999);
        for line in lines() {
            line.write(after, &mut row).expect("there is room");
            after = (line.position, line.at_ns);
        }
        assert_eq!(read_lines(&row, 5, (8, 999)).expect("it is whole"), lines());
        let ends: Vec<_> = (0..row.len()).filter(|end| read_lines(&row[..*end], 5, (8, 999)).is_ok()).collect();
        assert_eq!(ends.len(), lines().len(), "only where a line ends: {ends:?}");
    }

    #[test]
    fn each_number_of_a_line_is_in_its_link() {
        let [one, ..] = lines()[..] else { unreachable!("there are three") };
        let links = [
            one.link(&[0; 32]),
            one.link(&[1; 32]),
            Line { number: 6, ..one }.link(&[0; 32]),
            Line { position: 11, ..one }.link(&[0; 32]),
            Line { at_ns: 1_001, ..one }.link(&[0; 32]),
            Line { process: (7, 3), ..one }.link(&[0; 32]),
            Line { sequence: 2, ..one }.link(&[0; 32]),
            Line { digest: [3; 32], ..one }.link(&[0; 32]),
            Line { said: b"fict", ..one }.link(&[0; 32]),
        ];
        for (at, link) in links.iter().enumerate() {
            assert!(!links[..at].contains(link), "{at}");
        }
    }
}
