//! What operators keep running, beside the kernel's own journal in memory.

use crate::stage::Stage;
use remit_abi::TenantId;
use remit_kernel::{
    MemoryJournal,
    ports::{Change, Journal, Record},
};
use std::fs;

/// Nobody says that elsewhere.
const SECRET: &str = "the gannets are to be counted";

fn deployed(tenant: u32, name: &str, state: Option<&str>) -> Change {
    Change::Deployed { tenant: TenantId(tenant), name: name.into(), state: state.map(Into::into) }
}

/// All that can happen to a deployment.
pub(crate) fn changes() -> Vec<Change> {
    vec![
        deployed(1, "support", Some("one")),
        deployed(1, "counter", Some(SECRET)),
        deployed(2, "support", Some("two")),
        deployed(1, "support", Some("three")),
        deployed(2, "reports", Some(SECRET)),
        deployed(2, "support", None),
        deployed(2, "nobody", None),
        deployed(1, "again", Some("four")),
        deployed(1, "again", None),
        deployed(1, "again", Some("five")),
    ]
}

/// Tenant, name and text of each.
pub(crate) fn kept(journal: &dyn Journal) -> Vec<(TenantId, Box<str>, Box<str>)> {
    journal.node().expect("it can be read").deployments
}

#[test]
fn deployments_are_kept_as_the_kernel_says_it() {
    let (mut stage, model) = (Stage::new(), MemoryJournal::default());
    for change in changes() {
        let record = [Record { pid: None, entry: None, changes: &[change] }];
        stage.journal().append(&record).expect("there is room");
        model.append(&record).expect("it takes everything");
        // Each in a commit of its own.
        stage.settle();
        assert_eq!(kept(stage.journal()), kept(&model));
    }
    // And all in one.
    let at_once = Stage::new();
    let all = changes();
    at_once.journal().append(&[Record { pid: None, entry: None, changes: &all }]).expect("there is room");
    stage.reopen();
    let names: Vec<_> = kept(&model).into_iter().map(|(tenant, name, _)| (tenant.0, name)).collect();
    assert_eq!(names, [(1, "again"), (1, "counter"), (1, "support"), (2, "reports")].map(|(t, n)| (t, n.into())));
    assert_eq!(kept(stage.journal()), kept(&model));
    assert_eq!(kept(at_once.journal()), kept(&model));
}

#[test]
fn the_deployments_of_a_tenant_that_is_erased_are_gone_and_nobody_reads_them() {
    let mut stage = Stage::new();
    stage.journal().append(&[Record { pid: None, entry: None, changes: &changes() }]).expect("there is room");
    stage.settle();
    stage.journal().forget_tenant(TenantId(1)).expect("it can be erased");
    assert_eq!(kept(stage.journal()), [(TenantId(2), "reports".into(), SECRET.into())]);
    stage.close();
    for file in fs::read_dir(stage.folder()).expect("it is there").flatten().filter(|file| file.path().is_file()) {
        let bytes = fs::read(file.path()).expect("it can be read");
        let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "{} has it in plain", file.path().display());
    }
}
