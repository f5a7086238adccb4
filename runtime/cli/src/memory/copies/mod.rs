//! Entries by the page: all that are meant, to a file and back.

mod columns;

use super::Selected;
use crate::exit::CommandError;
use columns::Table;
use remit_abi::EntryId;
use remit_server::{
    Client,
    protocol::{About, Entry, ListEntries, Meant, PutEntry},
};
use std::{
    fmt::Display,
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

/// Where entries go, by the name of the file.
enum Copy {
    /// One JSON object a line.
    Lines(Box<dyn Write>),
    Table(Box<Table>),
}

impl Copy {
    fn new(file: Option<&Path>) -> Result<Self, CommandError> {
        let Some(path) = file else { return Ok(Self::Lines(Box::new(BufWriter::new(io::stdout())))) };
        let created = File::create_new(path).map_err(|error| named(path, &error))?;
        if is_table(path) {
            return Ok(Self::Table(Box::new(Table::new(created).map_err(unwritten)?)));
        }
        Ok(Self::Lines(Box::new(BufWriter::new(created))))
    }

    fn put(&mut self, entries: &[Entry]) -> Result<(), CommandError> {
        match self {
            Self::Table(table) => table.put(entries).map_err(unwritten),
            Self::Lines(out) => {
                for entry in entries {
                    serde_json::to_writer(&mut *out, entry).map_err(unwritten)?;
                    out.write_all(b"\n").map_err(unwritten)?;
                }
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<(), CommandError> {
        match self {
            Self::Table(table) => table.finish().map_err(unwritten),
            Self::Lines(mut out) => out.flush().map_err(unwritten),
        }
    }
}

fn unwritten(error: impl Display) -> CommandError {
    CommandError::Machine(format!("the entries cannot be written: {error}"))
}

/// Whether a file of that name has columns, and not lines.
fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
}

pub(super) async fn export(host: &Client, file: Option<&Path>, meant: Selected) -> Result<(), CommandError> {
    let (mut copy, mut pages, mut count) = (Copy::new(file)?, Pages::of(meant.meant()), 0);
    while let Some(page) = pages.next(host).await? {
        copy.put(&page)?;
        count += page.len();
    }
    copy.finish()?;
    if let Some(path) = file {
        println!("{count} entries are in {}", path.display());
    }
    Ok(())
}

pub(super) async fn import(host: &Client, file: Option<&Path>, store: Option<&str>) -> Result<(), CommandError> {
    match file {
        None => import_all(host, "line", lines(io::stdin().lock()), store).await,
        Some(path) => {
            let opened = File::open(path).map_err(|error| named(path, &error))?;
            if !is_table(path) {
                return import_all(host, "line", lines(BufReader::new(opened)), store).await;
            }
            let no_table = |error| CommandError::Usage(format!("{} is no table: {error}", path.display()));
            import_all(host, "row", columns::entries(opened).map_err(no_table)?, store).await
        }
    }
}

/// The entries of a text that has one in each line.
fn lines(text: impl BufRead) -> impl Iterator<Item = io::Result<Entry>> {
    text.lines().map(|line| Ok(serde_json::from_str(&line?)?))
}

/// Writes entries, up to the first that is none.
async fn import_all<E: Display>(
    host: &Client,
    place: &str,
    entries: impl Iterator<Item = Result<Entry, E>>,
    store: Option<&str>,
) -> Result<(), CommandError> {
    let mut count = 0_u64;
    for entry in entries {
        let entry = entry.map_err(|why| {
            let before = if count == 0 { String::new() } else { format!(" ({count} entries before it are written)") };
            CommandError::Usage(format!("{place} {} is no entry{before}: {why}", count + 1))
        })?;
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
