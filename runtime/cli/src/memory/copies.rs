//! Entries by the page: all that are meant, to a file and back.

use super::Selected;
use crate::exit::CommandError;
use remit_abi::EntryId;
use remit_server::{
    Client,
    protocol::{About, Entry, ListEntries, Meant, PutEntry},
};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::Path,
};

/// Entries of one request.
pub(super) const PAGE: u32 = 200;

/// All entries that are meant, some at a time.
pub(super) struct Pages {
    meant: Meant,
    after: Option<EntryId>,
}

impl Pages {
    pub(super) const fn of(meant: Meant) -> Self {
        Self { meant, after: None }
    }

    pub(super) async fn next(&mut self, host: &Client) -> Result<Option<Vec<Entry>>, CommandError> {
        let request = ListEntries { meant: self.meant.clone(), after: self.after, count: Some(PAGE) };
        let listed = host.list_entries(&request).await?;
        self.after = listed.entries.last().map(|entry| entry.id);
        Ok(self.after.map(|_| listed.entries))
    }
}

pub(super) async fn export(host: &Client, file: Option<&Path>, meant: Selected) -> Result<(), CommandError> {
    let failed = |error: io::Error| CommandError::Machine(format!("the entries cannot be written: {error}"));
    let out: Box<dyn Write> = match file {
        Some(path) => Box::new(File::create_new(path).map_err(|error| named(path, &error))?),
        None => Box::new(io::stdout()),
    };
    let (mut out, mut pages, mut count) = (BufWriter::new(out), Pages::of(meant.meant()), 0_u64);
    while let Some(page) = pages.next(host).await? {
        for entry in page {
            serde_json::to_writer(&mut out, &entry).map_err(|error| failed(error.into()))?;
            out.write_all(b"\n").map_err(failed)?;
            count += 1;
        }
    }
    out.flush().map_err(failed)?;
    if let Some(path) = file {
        println!("{count} entries are in {}", path.display());
    }
    Ok(())
}

pub(super) async fn import(host: &Client, file: Option<&Path>, store: Option<&str>) -> Result<(), CommandError> {
    let lines: Box<dyn BufRead> = match file {
        Some(path) => Box::new(BufReader::new(File::open(path).map_err(|error| named(path, &error))?)),
        None => Box::new(BufReader::new(io::stdin())),
    };
    let mut count = 0_u64;
    for (place, line) in lines.lines().enumerate() {
        let wrong = |why: &dyn std::fmt::Display| {
            let before = if count == 0 { String::new() } else { format!(" ({count} entries before it are written)") };
            CommandError::Usage(format!("line {} is no entry{before}: {why}", place + 1))
        };
        let line = line.map_err(|error| wrong(&error))?;
        let entry: Entry = serde_json::from_str(&line).map_err(|error| wrong(&error))?;
        host.put_entry(&again(entry, store)).await?;
        count += 1;
    }
    println!("{count} entries are written");
    Ok(())
}

/// What is written anew: by an operator, now.
fn again(entry: Entry, store: Option<&str>) -> PutEntry {
    let About { tags, fields, importance, expires_ns } = entry.particulars;
    PutEntry {
        store: store.map_or(entry.store, ToOwned::to_owned),
        content: entry.content,
        media_type: Some(entry.media_type),
        label: Some(entry.label),
        tags,
        fields,
        importance,
        expires_ns,
    }
}

fn named(path: &Path, error: &io::Error) -> CommandError {
    CommandError::Machine(format!("{}: {error}", path.display()))
}
