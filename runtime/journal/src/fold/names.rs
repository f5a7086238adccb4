//! Names of confidentiality tags, and what is frozen.

use super::{Tools, plaintext};
use crate::{error::Damage, seal::Place};
use remit_abi::TenantId;
use remit_kernel::Selection;
use rusqlite::params;
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Names {
    tags: BTreeMap<(TenantId, u32), Box<str>>,
    /// Selections, encoded, in the order of their changes: whether each is frozen.
    freezes: Vec<(Vec<u8>, bool)>,
}

impl Names {
    pub(crate) fn tag(&mut self, tenant: TenantId, bit: u32, name: &str) {
        self.tags.insert((tenant, bit), name.into());
    }

    pub(crate) fn freeze(&mut self, selection: &Selection, frozen: bool) -> Result<(), Damage> {
        self.freezes.push((postcard::to_allocvec(selection)?, frozen));
        Ok(())
    }

    pub(crate) fn flush(&mut self, tools: &mut Tools<'_>) -> Result<(), Damage> {
        for ((tenant, bit), name) in &self.tags {
            let key = tools.folder.tenant_or_new(*tenant, tools.sealer)?;
            let payload = tools.seal(&key, Place::tag(*tenant, *bit), &plaintext(name)?)?;
            tools
                .db
                .prepare_cached("INSERT OR REPLACE INTO tags(tenant, bit, payload) VALUES (?1, ?2, ?3)")?
                .execute(params![tenant.0, bit, payload])?;
        }
        for (selection, frozen) in &self.freezes {
            let change = match frozen {
                true => "INSERT OR IGNORE INTO frozen(selection) VALUES (?1)",
                false => "DELETE FROM frozen WHERE selection = ?1",
            };
            tools.db.prepare_cached(change)?.execute([selection])?;
        }
        Ok(())
    }

    pub(crate) fn settle(&mut self) {
        self.tags.clear();
        self.freezes.clear();
    }
}
