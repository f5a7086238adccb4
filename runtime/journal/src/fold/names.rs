//! Names of confidentiality tags, what is frozen, and what operators keep running.

use super::{Tools, plaintext};
use crate::{error::Damage, number::stored, seal::Place};
use remit_abi::TenantId;
use remit_kernel::Selection;
use rusqlite::params;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Names {
    tags: BTreeMap<(TenantId, u32), Box<str>>,
    /// Selections, encoded, in the order of their changes: whether each is frozen.
    freezes: Vec<(Vec<u8>, bool)>,
    /// By digests of names; nothing where it is kept no longer.
    deployments: BTreeMap<(TenantId, u64), Option<Deployment>>,
}

/// Name and text.
type Deployment = (Box<str>, Box<str>);

/// Of a name: the row that it has, which shall not tell it.
fn digest(name: &str) -> u64 {
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Names {
    pub(crate) fn tag(&mut self, tenant: TenantId, bit: u32, name: &str) {
        self.tags.insert((tenant, bit), name.into());
    }

    pub(crate) fn freeze(&mut self, selection: &Selection, frozen: bool) -> Result<(), Damage> {
        self.freezes.push((postcard::to_allocvec(selection)?, frozen));
        Ok(())
    }

    pub(crate) fn deploy(&mut self, tenant: TenantId, name: &str, state: Option<&str>) {
        let kept = state.map(|state| (name.into(), state.into()));
        self.deployments.insert((tenant, digest(name)), kept);
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
        for ((tenant, digest), kept) in &self.deployments {
            let Some(kept) = kept else {
                let delete = "DELETE FROM deployments WHERE tenant = ?1 AND digest = ?2";
                tools.db.prepare_cached(delete)?.execute(params![tenant.0, stored(*digest)])?;
                continue;
            };
            let key = tools.folder.tenant_or_new(*tenant, tools.sealer)?;
            let payload = tools.seal(&key, Place::deployment(*tenant, *digest), &plaintext(kept)?)?;
            let insert = "INSERT OR REPLACE INTO deployments(tenant, digest, payload) VALUES (?1, ?2, ?3)";
            tools.db.prepare_cached(insert)?.execute(params![tenant.0, stored(*digest), payload])?;
        }
        Ok(())
    }

    pub(crate) fn settle(&mut self) {
        self.tags.clear();
        self.freezes.clear();
        self.deployments.clear();
    }
}
