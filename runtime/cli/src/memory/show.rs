//! Entries as a person reads them.

use super::{By, Selected};
use crate::{
    exit::CommandError,
    json,
    table::{Column, Table},
    text::{label, moment_in_words, plain},
};
use remit_abi::EntryId;
use remit_server::{
    Client,
    protocol::{About, Content, Entry, ListEntries, SearchBy, SearchEntries},
};

/// How much of a text stands in a table, in characters.
const SHOWN_CHARS_MAX: usize = 60;

pub(super) async fn list(
    host: &Client,
    meant: Selected,
    limit: u32,
    after: Option<EntryId>,
    as_json: bool,
) -> Result<(), CommandError> {
    let listed = host.list_entries(&ListEntries { meant: meant.meant(), after, count: Some(limit) }).await?;
    if as_json {
        return json::print(&listed);
    }
    if listed.entries.is_empty() {
        println!("nothing is remembered that is meant");
        return Ok(());
    }
    let mut table = Table::new([
        Column::Words("ENTRY"),
        Column::Numbers("VERSION"),
        Column::Words("STORE"),
        Column::Words("WRITTEN"),
        Column::Words("BY"),
        Column::Words("LABEL"),
        Column::Words("TEXT"),
    ]);
    for entry in &listed.entries {
        table.row([
            entry.id.to_string(),
            entry.version.to_string(),
            entry.store.clone(),
            moment_in_words(entry.written_ns),
            writer(entry),
            label(&entry.label),
            cut(&entry.content),
        ]);
    }
    print!("{table}");
    Ok(())
}

pub(super) async fn search(
    host: &Client,
    text: String,
    by: By,
    meant: Selected,
    limit: u32,
    as_json: bool,
) -> Result<(), CommandError> {
    let by = match by {
        By::Words => SearchBy::Words,
        By::Meaning => SearchBy::Meaning,
        By::Both => SearchBy::Both,
    };
    let found = host.search_entries(&SearchEntries { text, by, meant: meant.meant(), count: Some(limit) }).await?;
    if as_json {
        return json::print(&found);
    }
    if found.hits.is_empty() {
        println!("nothing is found");
        return Ok(());
    }
    let mut table = Table::new([
        Column::Words("ENTRY"),
        Column::Numbers("SCORE"),
        Column::Numbers("MEANING"),
        Column::Numbers("WORDS"),
        Column::Words("STORE"),
        Column::Words("TEXT"),
    ]);
    let known = |number: Option<f32>| number.map_or_else(|| "-".to_owned(), |number| format!("{number:.2}"));
    for hit in &found.hits {
        table.row([
            hit.entry.id.to_string(),
            format!("{:.3}", hit.score),
            known(hit.similarity),
            known(hit.relevance),
            hit.entry.store.clone(),
            cut(&hit.entry.content),
        ]);
    }
    print!("{table}");
    Ok(())
}

pub(super) async fn show(host: &Client, entry: EntryId, as_json: bool) -> Result<(), CommandError> {
    let versions = host.entry(entry).await?;
    if as_json {
        return json::print(&versions);
    }
    let [older @ .., newest] = versions.entries.as_slice() else { return Ok(()) };
    for version in older {
        println!(
            "version {}, {}, by {}: {}",
            version.version,
            moment_in_words(version.written_ns),
            writer(version),
            plain(&cut(&version.content))
        );
    }
    print!("{}", whole(newest));
    Ok(())
}

/// All of the newest version.
fn whole(entry: &Entry) -> String {
    let About { tags, fields, importance, expires_ns } = &entry.particulars;
    let mut lines = vec![
        format!("entry      {}, version {}, in the store {}", entry.id, entry.version, plain(&entry.store)),
        format!("written    {}, by {}", moment_in_words(entry.written_ns), writer(entry)),
        format!("label      {}", label(&entry.label)),
        format!("type       {}, {} bytes", plain(&entry.media_type), entry.content.bytes().len()),
    ];
    if !tags.is_empty() {
        lines.push(format!("tags       {}", plain(&tags.join(", "))));
    }
    for (name, value) in fields {
        lines.push(format!("field      {} = {}", plain(name), plain(&value.to_string())));
    }
    if *importance > 0.0 {
        lines.push(format!("importance {importance}"));
    }
    if let Some(moment) = expires_ns {
        lines.push(format!("expires    {}", moment_in_words(*moment)));
    }
    let content = match &entry.content {
        Content::Text(text) => text.lines().map(plain).collect::<Vec<_>>().join("\n"),
        Content::Hex(bytes) => format!("{} bytes that are no text", bytes.len()),
    };
    format!("{}\n\n{content}\n", lines.join("\n"))
}

fn writer(entry: &Entry) -> String {
    entry.source.map_or_else(|| "an operator".to_owned(), |pid| pid.to_string())
}

fn cut(content: &Content) -> String {
    let Content::Text(text) = content else { return format!("{} bytes", content.bytes().len()) };
    let mut chars = text.lines().next().unwrap_or_default().chars();
    let shown: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    let is_whole = chars.next().is_none() && text.lines().nth(1).is_none();
    if is_whole { shown } else { shown + "…" }
}

pub(super) async fn stats(host: &Client, as_json: bool) -> Result<(), CommandError> {
    let stats = host.memory_stats().await?;
    if as_json {
        return json::print(&stats);
    }
    println!("entries         {}, in {} versions", stats.entries, stats.versions);
    println!("not applied yet {}", stats.pending);
    println!("without vector  {}", stats.without_vector);
    println!("without index   {}", stats.unindexed);
    println!("on the disk     {} bytes", stats.disk_bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_server::protocol::Marking;

    #[test]
    fn what_an_agent_wrote_cannot_move_the_cursor() {
        let entry = Entry {
            id: EntryId(1),
            version: 1,
            store: "notes".to_owned(),
            source: None,
            written_ns: 0,
            label: Marking::default(),
            content: Content::Text("one\n\u{1b}[2Jtwo".to_owned()),
            media_type: "text/plain".to_owned(),
            particulars: About::default(),
        };
        assert!(!whole(&entry).contains('\u{1b}'));
        assert_eq!(cut(&entry.content), "one…");
    }
}
