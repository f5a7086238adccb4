//! Texts where they lie: in the chunks of a process's log, a whole one in one line, an answer that came in pieces in several.

use crate::audit::Hash;
use crate::{
    error::Damage,
    fold::processes::Stored,
    read::Reader,
    recall::{Recalled, words::TEXT_BYTES_MAX},
};
use remit_abi::{GenerationId, Label, Pid};
use remit_kernel::ports::{Heard, HeardFrom, Line};

/// Where a text lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pid: Pid,
    /// Of its first line in the log of the process.
    pub(super) sequence: u64,
    /// Of its last line.
    pub(super) last: u64,
    /// Of a whole text: which of those that its line has, from 0 on.
    pub(super) ordinal: u32,
    /// Of an answer in pieces: which.
    pub(super) generation: Option<GenerationId>,
    /// Of the chunk with its first line.
    pub(super) position: u64,
    /// Of the chunk with its last line.
    pub(super) end: u64,
}

/// A text as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeardThere {
    /// Of its first line.
    pub(super) at_ns: u64,
    pub(super) from: HeardFrom,
    pub(super) label: Label,
    pub(super) text: String,
}

/// What somebody is shown, and of what they looked for the digest; none where nothing could be read.
#[derive(Default)]
pub(super) struct Found {
    pub(super) texts: Vec<Recalled>,
    pub(super) question: Option<Hash>,
}

impl Reader {
    /// The text that lies there; `None` where it is not kept any more.
    pub(super) fn heard_at(&self, place: &Place) -> Result<Option<HeardThere>, Damage> {
        let Some(row) = Stored::find(&self.db, place.pid)? else { return Ok(None) };
        let key = self.key(place.pid, &row)?;
        let mut chunks = Vec::new();
        let mut next = place.end;
        loop {
            let Some(header) = self.header(next)? else { return Ok(None) };
            chunks.push(next);
            if next <= place.position {
                break;
            }
            next = header.previous;
        }
        let mut heard = None;
        for position in chunks.into_iter().rev() {
            let Some(lines) = self.lines(place.pid, &key, position)? else { return Ok(None) };
            for line in lines.iter().filter(|line| (place.sequence..=place.last).contains(&line.sequence)) {
                place.hear(line, &mut heard);
            }
        }
        Ok(heard.filter(|heard| !heard.text.is_empty()))
    }
}

impl Place {
    /// Adds what a line has of it.
    fn hear(&self, line: &Line, heard: &mut Option<HeardThere>) {
        let entry = line.entry.heard();
        let Some(generation) = self.generation else {
            let mut whole = entry.iter().filter_map(|heard| match heard {
                Heard::Text(text) => Some(*text),
                _ => None,
            });
            if let Some(text) = whole.nth(self.ordinal as usize) {
                *heard = Some(HeardThere {
                    at_ns: line.at_ns,
                    from: text.from,
                    label: text.label,
                    text: text.text.to_owned(),
                });
            }
            return;
        };
        for piece in entry {
            let (at_ns, from) = (line.at_ns, HeardFrom::Model);
            if let Heard::Piece { of, text, label } = piece
                && of == generation
            {
                let all = heard.get_or_insert_with(|| HeardThere { at_ns, from, label, text: String::new() });
                all.label = all.label.join(label);
                // What comes behind is not looked through either.
                if all.text.len() < TEXT_BYTES_MAX {
                    all.text.push_str(text);
                }
            }
        }
    }
}
