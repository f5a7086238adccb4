//! Recall over what agents were told: which tenants, by the operator's word, and indexes that follow the journal.
//!
//! It is off until the data folder has a `recall.toml`, which is read when a node starts:
//!
//! ```toml
//! [tenant.0]
//! keep_days = 90          # what is older is not found, and goes from the index
//! exclude = ["medical"]   # nor is what has one of these confidentiality tags
//! ```
//!
//! The journal does the rest: see [`SqliteJournal::recall`].

use crate::{home::Home, node::Node, past::PastError};
use remit_abi::TenantId;
use remit_journal::{RecallError, RecallRules, Recalled, Recalling, SqliteJournal};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};
use thiserror::Error;
use tokio::{runtime::Handle, time};

/// How long the index may be behind the journal where nobody looks. Whoever does looks through all.
const FOLLOW_EVERY: Duration = Duration::from_secs(5);
/// A hundred years: a mistyped number is told, and no sum overflows.
const KEEP_DAYS_MAX: u32 = 36_525;
const DAY_NS: u64 = 86_400_000_000_000;

/// A `recall.toml` that cannot be used.
#[derive(Debug, Error)]
pub enum RecallRulesError {
    /// The disk's error.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It does not say what such a file can.
    #[error("{}: {why}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// In one sentence.
        why: String,
    },
    /// What is not wanted any more cannot be deleted.
    #[error(transparent)]
    Index(#[from] RecallError),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    #[serde(default)]
    tenant: BTreeMap<String, TenantForm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantForm {
    keep_days: u32,
    #[serde(default)]
    exclude: Vec<Box<str>>,
}

/// What a file says.
fn read(text: &str) -> Result<BTreeMap<TenantId, RecallRules>, String> {
    let form: FileForm = toml::from_str(text).map_err(|error| error.to_string().trim_end().replace('\n', " "))?;
    let rules = |(name, tenant): (String, TenantForm)| {
        let id = name.parse().map_err(|_| format!("{name:?} is no tenant: it is a number, such as [tenant.0]"))?;
        let TenantForm { keep_days, exclude: excluded } = tenant;
        if !(1..=KEEP_DAYS_MAX).contains(&keep_days) {
            return Err(format!("keep_days of tenant {name} is {keep_days}: it is from 1 to {KEEP_DAYS_MAX}"));
        }
        Ok((TenantId(id), RecallRules { excluded, keep_ns: u64::from(keep_days) * DAY_NS }))
    };
    form.tenant.into_iter().map(rules).collect()
}

/// Has a journal be as the data folder says, and followed as long as it is there.
pub(crate) fn begin(home: &Home, journal: &Arc<SqliteJournal>, runtime: &Handle) -> Result<(), RecallRulesError> {
    let path = home.recall_rules();
    let rules = match fs::read_to_string(&path) {
        Ok(text) => read(&text).map_err(|why| RecallRulesError::Form { path, why })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(RecallRulesError::Read { path, error }),
    };
    let is_on = !rules.is_empty();
    journal.set_recall(rules)?;
    if is_on {
        runtime.spawn(follow(Arc::downgrade(journal)));
    }
    Ok(())
}

/// Follows a journal until it is closed.
async fn follow(journal: Weak<SqliteJournal>) {
    loop {
        let followed = journal.clone();
        let ended = tokio::task::spawn_blocking(move || {
            // It is let go between two slices, so that whoever closes it does not wait for all of them.
            while let Some(journal) = followed.upgrade() {
                match journal.follow_recall() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, "what was told lately cannot be recalled for now");
                        break;
                    }
                }
            }
        });
        if ended.await.is_err() || journal.strong_count() == 0 {
            return;
        }
        time::sleep(FOLLOW_EVERY).await;
    }
}

impl Node {
    /// Looks through what a tenant's processes were told, the likest first. That somebody did is in the tenant's audit when this returns.
    /// Blocks, for long where there is no index yet.
    ///
    /// # Errors
    /// [`PastError`].
    pub fn recall(&self, wanted: &Recalling<'_>) -> Result<Vec<Recalled>, PastError> {
        Ok(self.kept()?.recall(wanted)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_is_read_and_what_is_wrong_is_told() {
        let rules = |excluded: &[&str], keep_ns| RecallRules {
            excluded: excluded.iter().map(|name| (*name).into()).collect(),
            keep_ns,
        };
        assert_eq!(read(""), Ok(BTreeMap::new()));
        let text = "[tenant.0]\nkeep_days = 90\nexclude = [\"medical\"]\n[tenant.7]\nkeep_days = 1\n";
        let expect = [(TenantId(0), rules(&["medical"], 90 * DAY_NS)), (TenantId(7), rules(&[], DAY_NS))];
        assert_eq!(read(text), Ok(BTreeMap::from(expect)));
        for (wrong, why) in [
            ("[tenant.0]\n", "keep_days"),
            ("[tenant.0]\nkeep_days = 0\n", "from 1 to"),
            ("[tenant.0]\nkeep_days = 4000000000\n", "from 1 to"),
            ("[tenant.0]\nkeep_days = -1\n", "keep_days"),
            ("[tenant.home]\nkeep_days = 1\n", "is no tenant"),
            ("[tenant.0]\nkeep_days = 1\nexcludes = []\n", "excludes"),
            ("tenant = 3\n", "tenant"),
            ("[", "TOML"),
        ] {
            let told = read(wrong).expect_err(wrong);
            assert!(told.contains(why) && !told.contains('\n'), "{wrong:?}: {told}");
        }
    }
}
