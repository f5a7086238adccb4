//! `remit memory`: what agents remember.

mod consolidate;
mod copies;
mod show;

use crate::{
    exit::CommandError,
    node::ask,
    text::{long_ago, moment},
};
use clap::{Args, Subcommand, ValueEnum};
use consolidate::Consolidate;
use copies::{PAGE, Pages, export, import};
use remit_abi::{EntryId, Integrity};
use remit_server::{
    Client,
    protocol::{Content, ForgetEntries, Marking, Meant, PutEntry, RestoreEntry},
};
use serde_json::Value;
use show::{list, search, show, stats};
use std::{
    io::{self, Read},
    path::PathBuf,
    process::ExitCode,
};

/// See, search and change what agents remember.
#[derive(Args)]
pub(crate) struct Memory {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List entries, oldest first
    Ls {
        #[command(flatten)]
        meant: Selected,
        /// At most so many
        #[arg(long, value_name = "COUNT", default_value_t = 50)]
        limit: u32,
        /// From the first behind this one
        #[arg(long, value_name = "ENTRY")]
        after: Option<EntryId>,
        /// Write one JSON object instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Look for the likest entries
    Search {
        /// What to look for
        text: String,
        /// With what entries are compared
        #[arg(long, value_enum, default_value = "both")]
        by: By,
        #[command(flatten)]
        meant: Selected,
        /// At most so many
        #[arg(long, value_name = "COUNT", default_value_t = 10)]
        limit: u32,
        /// Write one JSON object instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show all versions of an entry, the newest in full
    Show {
        /// Which, as `remit memory ls` shows it
        entry: EntryId,
        /// Write one JSON object instead
        #[arg(long)]
        json: bool,
    },
    /// Write a new entry
    Put(Put),
    /// Forget entries: they are found no more, and can be restored
    Forget(Forget),
    /// Make an older version of an entry its newest, also of one that is forgotten
    Restore {
        /// Which, as `remit memory ls` shows it
        entry: EntryId,
        /// Which of its versions
        version: u32,
    },
    /// Write entries to a file: one JSON object a line, or as Parquet where its name ends with `.parquet`
    Export {
        /// The file; standard output without
        file: Option<PathBuf>,
        #[command(flatten)]
        meant: Selected,
    },
    /// Write the entries of a file that `remit memory export` made as new ones
    Import {
        /// The file, of either form; lines on standard input without
        file: Option<PathBuf>,
        /// Into this store instead of that of each entry
        #[arg(long, value_name = "NAME")]
        store: Option<String>,
    },
    /// Say how much is remembered
    Stats {
        /// Write one JSON object instead
        #[arg(long)]
        json: bool,
    },
    /// Compact and index now, instead of when it is worth it
    Optimize,
    /// Merge what is there twice, summarise episodes, and write down facts with their sources; or take that back
    Consolidate(Consolidate),
}

/// With what entries are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// Their words
    Words,
    /// What they mean
    Meaning,
    /// Both, their ranks added up
    Both,
}

/// Which entries are meant: all that is said has to hold.
#[derive(Args, Clone)]
struct Selected {
    /// Only of this store, or of those whose names begin so where it ends with `*`; may be repeated
    #[arg(long, value_name = "NAME")]
    store: Vec<String>,
    /// Only with this tag; may be repeated, and all have to be there
    #[arg(long, value_name = "NAME")]
    tag: Vec<String>,
    /// Only with this field, as NAME=VALUE; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = field)]
    field: Vec<(String, Value)>,
}

impl Selected {
    fn meant(self) -> Meant {
        Meant { stores: self.store, tags: self.tag, fields: self.field.into_iter().collect(), ..Meant::default() }
    }
}

/// A value that is JSON is that value: a number, true, a text in quotation marks; anything else is a text.
fn field(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("a field is NAME=VALUE")?;
    let read = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    match read {
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err("a field is a text, a number, true or false".to_owned())
        }
        value => Ok((name.to_owned(), value)),
    }
}

#[derive(Args)]
struct Put {
    /// In which store
    store: String,
    /// What; `-` reads it from standard input
    text: String,
    /// With this tag; may be repeated
    #[arg(long, value_name = "NAME")]
    tag: Vec<String>,
    /// With this field, as NAME=VALUE; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = field)]
    field: Vec<(String, Value)>,
    /// From 0 to 1
    #[arg(long, default_value_t = 0.0)]
    importance: f32,
    /// From when on nobody finds it: 2030-01-01T00:00:00Z, or a time from now such as 30d
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    expires: Option<u64>,
    /// It is the operator's own word, and not that of a document or a stranger
    #[arg(long)]
    trusted: bool,
    /// With this confidentiality tag; may be repeated
    #[arg(long, value_name = "NAME")]
    secret: Vec<String>,
}

/// By what entries are chosen that are not named.
const CHOSEN: [&str; 4] = ["older_than", "store", "tag", "field"];

#[derive(Args)]
struct Forget {
    /// Which, as `remit memory ls` shows them
    #[arg(required_unless_present_any = CHOSEN, conflicts_with_all = CHOSEN)]
    entries: Vec<EntryId>,
    #[command(flatten)]
    meant: Selected,
    /// Only what was written longer ago than this, such as 90d
    #[arg(long, value_name = "TIME", value_parser = long_ago)]
    older_than: Option<u64>,
    /// Destroy all their versions, in every file: they can not be restored
    #[arg(long)]
    purge: bool,
}

impl Memory {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        ask(async |host| {
            match self.command {
                Command::Ls { meant, limit, after, json } => list(host, meant, limit, after, json).await?,
                Command::Search { text, by, meant, limit, json } => search(host, text, by, meant, limit, json).await?,
                Command::Show { entry, json } => show(host, entry, json).await?,
                Command::Put(put) => println!("{}", host.put_entry(&put.request()?).await?.id),
                Command::Forget(forget) => forget.run(host).await?,
                Command::Restore { entry, version } => {
                    let restored = host.restore_entry(entry, RestoreEntry { version }).await?;
                    println!("{entry} is as its version {version} was: that is version {}", restored.version);
                }
                Command::Export { file, meant } => export(host, file.as_deref(), meant).await?,
                Command::Import { file, store } => import(host, file.as_deref(), store.as_deref()).await?,
                Command::Stats { json } => stats(host, json).await?,
                Command::Optimize => host.optimize_memory().await?,
                Command::Consolidate(consolidate) => return consolidate.run(host).await,
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl Put {
    fn request(self) -> Result<PutEntry, CommandError> {
        let text = match self.text.as_str() {
            "-" => {
                let mut text = String::new();
                let read = io::stdin().lock().read_to_string(&mut text);
                read.map_err(|error| CommandError::Machine(format!("standard input cannot be read: {error}")))?;
                text
            }
            _ => self.text,
        };
        let integrity = if self.trusted { Integrity::Trusted } else { Integrity::Untrusted };
        Ok(PutEntry {
            store: self.store,
            content: Content::Text(text),
            media_type: None,
            label: Some(Marking { integrity, tags: self.secret.into_iter().map(Into::into).collect() }),
            tags: self.tag,
            fields: self.field.into_iter().collect(),
            importance: self.importance,
            expires_ns: self.expires,
        })
    }
}

impl Forget {
    async fn run(self, host: &Client) -> Result<(), CommandError> {
        let mut forgotten = 0;
        for entries in self.entries.chunks(PAGE as usize) {
            forgotten += forget(host, entries, self.purge).await?;
        }
        if self.entries.is_empty() {
            let meant = Meant { before_ns: self.older_than, ..self.meant.meant() };
            let mut pages = Pages::of(meant);
            while let Some(page) = pages.next(host).await? {
                let entries: Vec<_> = page.iter().map(|entry| entry.id).collect();
                forgotten += forget(host, &entries, self.purge).await?;
            }
        }
        let done = if self.purge { "destroyed" } else { "forgotten" };
        println!("{forgotten} entries are {done}");
        Ok(())
    }
}

async fn forget(host: &Client, entries: &[EntryId], purge: bool) -> Result<u64, CommandError> {
    let entries = entries.iter().map(ToString::to_string).collect();
    Ok(host.forget_entries(&ForgetEntries { entries, purge }).await?.entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_fields_value_is_json_where_it_can_be() {
        let check = |text: &str, expect: Value| assert_eq!(field(text), Ok(("a".to_owned(), expect)), "{text}");
        check("a=1", json!(1));
        check("a=1.5", json!(1.5));
        check("a=true", json!(true));
        check("a=\"1\"", json!("1"));
        check("a=blue", json!("blue"));
        check("a=b=c", json!("b=c"));
        for wrong in ["a", "a=null", "a=[1]", "a={}"] {
            assert!(field(wrong).is_err(), "{wrong}");
        }
    }
}
