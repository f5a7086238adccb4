//! What agents remember, on LanceDB: tables of a tenant, searched by vector, by words, or both.
//!
//! | part | does |
//! | --- | --- |
//! | `store` | the kernel's port, and the threads behind it |
//! | `tenant` | one tenant: its pending writes, its tables, and the task that brings the first into the second |
//! | `memtable` | writes that the tables do not have yet |
//! | `apply` | what a batch of writes comes to in the tables |
//! | `site` | the LanceDB database of a tenant: tables opened, made, dropped |
//! | `tables`, `rows` | the tables: read, changed by one commit at a time; versions of entries as rows |
//! | `durable` | commits that a loss of power does not undo |
//! | `filter` | which entries may be found |
//! | `search` | candidates of memory and tables, their order, and the words of a text |
//! | `embed` | vectors of texts, computed beside |
//! | `indexes` | of ids, stores, words and vectors |
//! | `maintain` | when indexes are brought up, compaction, expiry, purging, vectors of another model |
//! | `figures` | what a memory comes to |
//! | `error` | what of a library's failure the port says |
//!
//! Principles:
//!
//! - The files are laid out in `FORMAT.md`. The journal keeps each write until it is on the disk here, so nothing here is written twice: there
//!   is no log, and what is in memory may be lost.
//! - A write is seen by whoever looks after it, though a commit of Lance takes some 10 ms, and longer with each version and fragment: rows in
//!   memory are looked at first, and come into the tables in batches, by one task for each tenant.
//! - A commit says up to which write it goes. So a batch may be applied any number of times, and counts once.
//! - Every search covers everything: what is in memory, what an index covers, and what none covers yet.
//! - What a guest wrote is a value, never a part of a query's text.
//! - One tenant's damage is that tenant's. A panic in a library ends one task.
//!
//! # LanceDB, and Lance below it
//!
//! Each tenant is a LanceDB database: its tables are opened, made, listed and dropped by LanceDB, with a session whose caches are bounded
//! and with our own way to commit. What is done to rows goes to the data set that LanceDB's handle holds, since that crate's own
//! operations do not show what is needed:
//!
//! | needed | why |
//! | --- | --- |
//! | properties in the transaction of a commit | the watermark, which is in the same commit as the rows |
//! | rows that go and come in one commit, those that go by a condition of their own | a batch of puts and forgets; a merge knows one key and one condition |
//! | a state that stays as it is while it is looked at | a look sees memory and tables of one moment |
//! | filters that are functions | a guest's text is never part of a query |
//!
//! # Why not Lance's own log
//!
//! Lance has a write-ahead log with a memtable (`mem_wal`, in LanceDB `enable_rte`); what follows is from its documentation and sources at
//! 14.0.2, not from a measurement. It is made for writers that have no log of their own; here the journal is one, and:
//!
//! | | Lance's | this |
//! | --- | --- | --- |
//! | writes of a row before it is in its table | two: its log, and a table for each memtable that is flushed, besides the journal | none besides the journal |
//! | a write that comes again after a crash | is another write of the same key | is dropped, by the watermark that its own commit set |
//! | search over flushed tables by vector or words | by their indexes alone: what was flushed before an index was made is found when it is compacted | always over everything |
//! | compaction into the table | the caller's | the batch itself |
//! | purge | has more files to clean: log entries and flushed tables, kept for readers of shards | rewrites fragments and indexes of two tables |
//!
//! So it would be a second log behind the first. What it has and this has not is an index of vectors over the rows in memory; those are few.
//!
//! Limits: `memtable::PENDING_ROWS_MAX` and `PENDING_BYTES_MAX`, `apply::BATCH_ROWS_MAX` and `BATCH_BYTES_MAX`.

mod apply;
mod durable;
mod embed;
mod error;
mod figures;
mod filter;
mod indexes;
mod maintain;
mod memtable;
mod rows;
mod search;
mod site;
mod store;
mod tables;
mod tenant;

#[doc(hidden)]
pub use durable::{AtCommit, CommitPoint, CommitPoints, StoreWrapper};
pub use store::{LanceMemory, OpenError, Options};
