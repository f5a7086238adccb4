//! Grants: uses of a commit are counted in memory, up to the root of each.

use super::{
    Tools, plaintext,
    rows::{Rows, Write},
};
use crate::{
    error::Damage,
    number::{self, stored},
    seal::Place,
};
use remit_abi::TenantId;
use remit_kernel::ports::GrantImage;
use rusqlite::{Connection, OptionalExtension, params};

/// How far a use is counted up. Far more than grants are ever derived: a damaged chain that leads into itself ends here.
const DEPTH_MAX: usize = 65_536;

struct Grant {
    parent: Option<u64>,
    tenant: Option<TenantId>,
    uses: u64,
    revoked: bool,
    released: bool,
    /// What is sealed, where it is to be written.
    plain: Option<Vec<u8>>,
}

#[derive(Default)]
pub(crate) struct Grants {
    rows: Rows<u64, Grant>,
}

impl Grants {
    /// A grant is new, or became another: its uses are as they were counted then.
    pub(crate) fn put(&mut self, db: &Connection, image: &GrantImage, tenant: Option<TenantId>) -> Result<(), Damage> {
        let grant = number::grant(image.grant);
        let parent = image.parent.map(number::grant);
        let inherited = match (tenant, parent) {
            (None, Some(parent)) => self.rows.look(parent, || load(db, parent))?.and_then(|parent| parent.tenant),
            _ => None,
        };
        let plain = plaintext(&(&image.spec, &image.derived_as))?;
        let row = self.rows.edit(grant, || load(db, grant))?;
        let (uses, owner) = row.as_ref().map_or((image.uses, None), |before| (before.uses, before.tenant));
        *row = Some(Grant {
            parent,
            tenant: owner.or(tenant).or(inherited),
            uses,
            revoked: image.revoked,
            released: image.released,
            plain: Some(plain),
        });
        Ok(())
    }

    pub(crate) fn remove(&mut self, db: &Connection, grant: u64) -> Result<(), Damage> {
        *self.rows.edit(grant, || load(db, grant))? = None;
        Ok(())
    }

    /// A grant was used, and with it all that it derives from.
    pub(crate) fn count_use(&mut self, db: &Connection, grant: u64) -> Result<(), Damage> {
        let mut next = Some(grant);
        for _ in 0..DEPTH_MAX {
            let Some(grant) = next else { break };
            if self.rows.look(grant, || load(db, grant))?.is_none() {
                break;
            }
            let row = self.rows.edit(grant, || load(db, grant))?;
            next = row.as_mut().and_then(|row| {
                row.uses = row.uses.wrapping_add(1);
                row.parent
            });
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self, tools: &mut Tools<'_>) -> Result<(), Damage> {
        let db = tools.db;
        let mut put = db.prepare_cached(
            "INSERT INTO grants(grant_, parent, tenant, uses, revoked, released, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT(grant_) DO UPDATE SET parent = ?2, tenant = ?3, uses = ?4, revoked = ?5, released = ?6, payload = ?7",
        )?;
        let mut uses = db.prepare_cached("UPDATE grants SET uses = ?2 WHERE grant_ = ?1")?;
        let mut delete = db.prepare_cached("DELETE FROM grants WHERE grant_ = ?1")?;
        self.rows.writes(|grant, write| {
            let key = stored(grant);
            match write {
                Write::Delete => drop(delete.execute([key])?),
                Write::Insert(row) | Write::Update(row) => match &row.plain {
                    None => drop(uses.execute([key, stored(row.uses)])?),
                    Some(plain) => {
                        let under = match row.tenant {
                            None => tools.folder.node().clone(),
                            Some(tenant) => tools.folder.tenant_or_new(tenant, tools.sealer)?,
                        };
                        let payload = tools.seal(&under, Place::grant(grant), plain)?;
                        put.execute(params![
                            key,
                            row.parent.map(stored),
                            row.tenant.map(|tenant| tenant.0),
                            stored(row.uses),
                            row.revoked,
                            row.released,
                            payload
                        ])?;
                    }
                },
            }
            Ok(())
        })
    }

    pub(crate) fn settle(&mut self) {
        self.rows.settle(|row| row.plain = None);
    }
}

fn load(db: &Connection, grant: u64) -> Result<Option<Grant>, Damage> {
    let mut select =
        db.prepare_cached("SELECT parent, tenant, uses, revoked, released FROM grants WHERE grant_ = ?1")?;
    let grant = select.query_row([stored(grant)], |row| {
        Ok(Grant {
            parent: row.get::<_, Option<i64>>(0)?.map(i64::cast_unsigned),
            tenant: row.get::<_, Option<u32>>(1)?.map(TenantId),
            uses: row.get::<_, i64>(2)?.cast_unsigned(),
            revoked: row.get(3)?,
            released: row.get(4)?,
            plain: None,
        })
    });
    Ok(grant.optional()?)
}
