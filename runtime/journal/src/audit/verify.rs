//! Checks an export, with nothing but the file.
//!
//! | somebody | is found by |
//! | --- | --- |
//! | changed a line, or anything in it | its link, which is over all of it and the link before |
//! | dropped, repeated or moved lines | their numbers, and the next line's link |
//! | put the lines of two exports together | the link where they meet |
//! | computed all links anew | the next checkpoint, signed by the host's key |
//! | cut the file off, also at a checkpoint | the end, which is signed as such |
//! | dropped or repeated checkpoints | the end, which has their number |
//! | signed with another key | the key that is expected, or that of an earlier export |
//! | rewrote the past and signed it with the right key | an earlier export, which it does not go on from |
//! | shows other contents than were written down | the digest, and the commitments in what it is of |
//!
//! Every row has to be as an export writes it, byte for byte, so that nothing in the file is unchecked.

use super::{
    file::{Ended, EntryItem, FILE_VERSION, Header, Item, LineItem, Says, Signed},
    key::{PublicKey, Purpose},
    line::{Hash, beginning, digest},
    summary::{Checkpoint, Summary},
};
use crate::{apart::are_of, queue::WAITING_BYTES_MAX};
use std::io::{self, BufRead, Read};
use thiserror::Error;

/// A row of an export has at most so many bytes: an entry with its salt is shown with two digits a byte, and is never larger than what may
/// wait for the disk.
pub const ROW_BYTES_MAX: usize = 2 * WAITING_BYTES_MAX + (1 << 20);
/// By how much the times of lines may go back, unless [`Expected`] says otherwise: threads look at the clock before they get in line, and
/// systems set it by some seconds. A minute.
pub const CLOCK_BACK_NS_MAX: u64 = 60_000_000_000;

/// How much of what is wrong with a row's form is shown, in bytes: a name in it may be as long as the row.
const SHOWN_BYTES_MAX: usize = 200;

/// What whoever checks knows besides the file. By default nothing.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The host's key.
    pub key: Option<PublicKey>,
    /// The end of an earlier export, which was checked: this one has to go on from there.
    pub earlier: Option<Checkpoint>,
    /// By how much the time of a line may be before that of an earlier one.
    pub clock_back_ns_max: u64,
}

impl Default for Expected {
    fn default() -> Self {
        Self { key: None, earlier: None, clock_back_ns_max: CLOCK_BACK_NS_MAX }
    }
}

/// What is wrong with an export: the first thing that is.
#[derive(Debug, Error)]
pub enum Flaw {
    /// The system does not read it.
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// A row that no export has.
    #[error("row {row} has more than {} bytes, which no row of an export has", ROW_BYTES_MAX)]
    TooLong {
        /// Which, from 1 on.
        row: u64,
    },
    /// A row that is not as an export writes it.
    #[error("row {row} is not as an export writes it: {why}")]
    Malformed {
        /// Which, from 1 on.
        row: u64,
        /// Why.
        why: Box<str>,
    },
    /// It was written by another version.
    #[error("the export is of version {found}, and this build reads version {}: use another build", FILE_VERSION)]
    Version {
        /// Of the file.
        found: u32,
    },
    /// It is another host's.
    #[error(
        "the export is signed with the key {found}, and {expected} is expected: it is another host's, or was made anew"
    )]
    OtherKey {
        /// Of the file.
        found: PublicKey,
        /// What was expected.
        expected: PublicKey,
    },
    /// Lines are missing, come twice or stand elsewhere.
    #[error(
        "line {number} is not where it belongs, in row {row}: line {found} is; lines were dropped, repeated or moved"
    )]
    OutOfOrder {
        /// In the file, from 1 on.
        row: u64,
        /// What belongs there.
        number: u64,
        /// What is there.
        found: u64,
    },
    /// A line does not follow from the one before it.
    #[error("line {number}, in row {row}, was changed, or does not belong behind the line before: its link is another")]
    Changed {
        /// In the file, from 1 on.
        row: u64,
        /// Which.
        number: u64,
    },
    /// The contents that are shown are others.
    #[error("line {number}, in row {row}, shows another entry than was written down: its digest is another")]
    OtherContent {
        /// In the file, from 1 on.
        row: u64,
        /// Which.
        number: u64,
    },
    /// A line says that it was written long before one that stands before it.
    #[error(
        "line {number}, in row {row}, says that it is {back_ns} ns older than a line before it: the host's clock was set back, or one of them is backdated"
    )]
    BackInTime {
        /// In the file, from 1 on.
        row: u64,
        /// Which.
        number: u64,
        /// By how much.
        back_ns: u64,
    },
    /// A checkpoint is not over the lines before it.
    #[error("the checkpoint in row {row} is over {signed} lines with another history than the {number} before it")]
    OtherHistory {
        /// In the file, from 1 on.
        row: u64,
        /// So many lines stand before it.
        number: u64,
        /// It says that it is over so many.
        signed: u64,
    },
    /// There are other checkpoints than were written.
    #[error("checkpoints are missing before row {row}, or one of them comes twice")]
    Checkpoints {
        /// In the file, from 1 on.
        row: u64,
    },
    /// A signature is not the key's.
    #[error(
        "the signature in row {row} over {number} lines is not the host's: the lines since the checkpoint before it may be anybody's"
    )]
    Forged {
        /// In the file, from 1 on.
        row: u64,
        /// Over so many.
        number: u64,
    },
    /// The end is missing.
    #[error("the file ends after row {row} and line {number}, without the end of an export: it was cut off")]
    CutOff {
        /// The last one, from 1 on; 0 in an empty file.
        row: u64,
        /// The last line; 0 before the first.
        number: u64,
    },
    /// Something follows the end.
    #[error("row {row} follows the end of the export: something was put behind it")]
    BehindTheEnd {
        /// From 1 on.
        row: u64,
    },
    /// The earlier export is of another chain.
    #[error(
        "the earlier export is of tenant {earlier_tenant} and key {earlier_key}, and this one of tenant {tenant} and key {key}: they are two chains"
    )]
    OtherChain {
        /// Of this one.
        tenant: u32,
        /// Of this one.
        key: PublicKey,
        /// Of the earlier one.
        earlier_tenant: u32,
        /// Of the earlier one.
        earlier_key: PublicKey,
    },
    /// The past is another than it was.
    #[error(
        "line {number}, in row {row}, is not what it was in the earlier export: it, or a line before it, was rewritten since"
    )]
    Rewritten {
        /// In the file, from 1 on.
        row: u64,
        /// Which.
        number: u64,
    },
    /// The earlier export is longer.
    #[error(
        "the export ends at line {number}, and the earlier one at line {earlier}: lines are missing at its end, or they were exchanged"
    )]
    Shorter {
        /// The last line of this one.
        number: u64,
        /// Of the earlier one.
        earlier: u64,
    },
}

/// Checks an export. It is read once, a row at a time.
///
/// # Errors
/// The first [`Flaw`].
pub fn verify(export: impl BufRead, expected: &Expected) -> Result<Summary, Flaw> {
    let mut rows = Rows { export, row: 0, text: Vec::new() };
    let header = match rows.next()? {
        Some(Item::Chain(header)) => header,
        Some(_) => return Err(rows.malformed("an export begins with its chain")),
        None => return Err(Flaw::CutOff { row: 0, number: 0 }),
    };
    let mut check = Check::new(header, expected)?;
    loop {
        match rows.next()? {
            Some(Item::Chain(_)) => return Err(rows.malformed("only the first row is of this kind")),
            Some(Item::Line(line)) => check.line(rows.row, &line)?,
            Some(Item::Checkpoint(signed)) => check.checkpoint(rows.row, &signed)?,
            Some(Item::End(Ended { checkpoints, signed })) => {
                check.end(rows.row, checkpoints, &signed)?;
                break;
            }
            None => return Err(Flaw::CutOff { row: rows.row, number: check.number }),
        }
    }
    match rows.next()? {
        Some(_) => Err(Flaw::BehindTheEnd { row: rows.row }),
        None => check.summary(),
    }
}

/// The rows of a file.
struct Rows<R> {
    export: R,
    row: u64,
    text: Vec<u8>,
}

impl<R: BufRead> Rows<R> {
    /// The next one; `None` at the end.
    fn next(&mut self) -> Result<Option<Item>, Flaw> {
        self.text.clear();
        let mut limited = self.export.by_ref().take(ROW_BYTES_MAX as u64 + 1);
        if limited.read_until(b'\n', &mut self.text)? == 0 {
            return Ok(None);
        }
        self.row += 1;
        let Some(text) = self.text.strip_suffix(b"\n") else {
            return Err(match self.text.len() > ROW_BYTES_MAX {
                true => Flaw::TooLong { row: self.row },
                false => self.malformed("it has no end"),
            });
        };
        let item: Item = serde_json::from_slice(text).map_err(|error| self.malformed(&error.to_string()))?;
        // What reads the same may be written in many ways, and an export writes one of them.
        let mut written = Vec::with_capacity(text.len());
        match serde_json::to_writer(&mut written, &item) {
            Ok(()) if written == text => Ok(Some(item)),
            _ => Err(self.malformed("it has the right meaning in another spelling")),
        }
    }

    fn malformed(&self, why: &str) -> Flaw {
        Flaw::Malformed { row: self.row, why: why[..why.floor_char_boundary(SHOWN_BYTES_MAX)].into() }
    }
}

/// A chain, as far as it was checked.
struct Check<'a> {
    header: Header,
    expected: &'a Expected,
    number: u64,
    head: Hash,
    summary: Summary,
}

impl<'a> Check<'a> {
    fn new(header: Header, expected: &'a Expected) -> Result<Self, Flaw> {
        let Header { version, tenant, key } = header;
        if version != FILE_VERSION {
            return Err(Flaw::Version { found: version });
        }
        if let Some(expected) = expected.key.filter(|expected| *expected != key) {
            return Err(Flaw::OtherKey { found: key, expected });
        }
        if let Some(earlier) = expected.earlier.filter(|earlier| (earlier.tenant, earlier.key) != (tenant, key)) {
            let (earlier_tenant, earlier_key) = (earlier.tenant.0, earlier.key);
            return Err(Flaw::OtherChain { tenant: tenant.0, key, earlier_tenant, earlier_key });
        }
        let head = beginning(tenant, &key);
        let summary = Summary::new(Checkpoint { tenant, key, number: 0, at_ns: 0, head });
        Ok(Self { header, expected, number: 0, head, summary })
    }

    fn line(&mut self, row: u64, line: &LineItem) -> Result<(), Flaw> {
        // No chain comes to the last number of all.
        let number = self.number.saturating_add(1);
        if line.number != number {
            return Err(Flaw::OutOfOrder { row, number, found: line.number });
        }
        if !self.is_of_chain(&line.says) || line.expected_link(&self.head).ok() != Some(line.link) {
            return Err(Flaw::Changed { row, number });
        }
        if let Says::Entry(EntryItem { digest: written, content: Some(content), .. }) = &line.says
            && (digest(&content.salt, &content.entry) != *written || !are_of(&content.entry, &content.remembered))
        {
            return Err(Flaw::OtherContent { row, number });
        }
        let latest_ns = self.summary.times_ns.map_or(0, |(_, latest)| latest);
        let back_ns = latest_ns.saturating_sub(line.at_ns);
        if back_ns > self.expected.clock_back_ns_max {
            return Err(Flaw::BackInTime { row, number, back_ns });
        }
        if let Some(earlier) = &self.expected.earlier
            && earlier.number == number
            && earlier.head != line.link
        {
            return Err(Flaw::Rewritten { row, number });
        }
        (self.number, self.head) = (number, line.link);
        self.summary.count(line);
        Ok(())
    }

    /// Whether it is of a process of this tenant, or of none. The link does not tell: it has no tenant, and is over an act as if that were of
    /// generation 0.
    fn is_of_chain(&self, says: &Says) -> bool {
        match says {
            Says::Act(_) => true,
            Says::Entry(EntryItem { process, .. }) => process.tenant == self.header.tenant && process.generation > 0,
        }
    }

    fn checkpoint(&mut self, row: u64, signed: &Signed) -> Result<(), Flaw> {
        self.signed(row, signed, Purpose::Checkpoint)?;
        // A second one over the same lines says nothing more, and no export has it.
        if signed.number == self.summary.checkpoint.number {
            return Err(Flaw::Checkpoints { row });
        }
        self.keep(signed);
        self.summary.checkpoints += 1;
        Ok(())
    }

    fn end(&mut self, row: u64, checkpoints: u64, signed: &Signed) -> Result<(), Flaw> {
        if checkpoints != self.summary.checkpoints {
            return Err(Flaw::Checkpoints { row });
        }
        self.signed(row, signed, Purpose::End { checkpoints })?;
        self.keep(signed);
        Ok(())
    }

    fn keep(&mut self, signed: &Signed) {
        let (Header { tenant, key, .. }, Signed { number, head, at_ns, .. }) = (self.header, *signed);
        self.summary.checkpoint = Checkpoint { tenant, key, number, at_ns, head };
    }

    fn signed(&self, row: u64, signed: &Signed, purpose: Purpose) -> Result<(), Flaw> {
        if (signed.number, signed.head) != (self.number, self.head) {
            return Err(Flaw::OtherHistory { row, number: self.number, signed: signed.number });
        }
        let Header { tenant, key, .. } = self.header;
        if !signed.statement(purpose, tenant).is_signed(&key, &signed.signature) {
            return Err(Flaw::Forged { row, number: signed.number });
        }
        Ok(())
    }

    fn summary(self) -> Result<Summary, Flaw> {
        match &self.expected.earlier {
            Some(earlier) if earlier.number > self.number => {
                Err(Flaw::Shorter { number: self.number, earlier: earlier.number })
            }
            _ => Ok(self.summary),
        }
    }
}
