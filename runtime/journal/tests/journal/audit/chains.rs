//! What chains say is what records said.

use super::{acts, bytes, compare_chains, export, link, rows, staged, whole};
use crate::{
    sample::{STEPS, Story, finished, pid, told},
    stage::Stage,
};
use proptest::prelude::*;
use remit_abi::TenantId;
use remit_journal::audit::Detail;
use remit_kernel::ports::{Change, Journal};
use sha2::{Digest, Sha256};

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn a_chain_has_each_entry_once_in_order_however_it_is_cut_into_commits(
        choices in prop::collection::vec((0..STEPS, any::<u16>(), 0..1_000_u16), 1..120),
        cuts in prop::collection::vec(0..150_usize, 0..4),
    ) {
        let story = Story::of(&choices);
        let mut stage = Stage::new();
        for (number, record) in story.records.iter().enumerate() {
            stage.append(std::slice::from_ref(record));
            if cuts.contains(&number) {
                stage.reopen();
            }
        }
        compare_chains(stage.journal(), &story.records);
        stage.reopen();
        compare_chains(stage.journal(), &story.records);
    }
}

/// A tenant's process with so many lines.
fn long(lines: u64) -> Story {
    let mut story = Story::default();
    let pid = story.start(1, None);
    (2..lines).for_each(|round| story.add(Some(pid), Some(told(round)), vec![]));
    story
}

#[test]
fn links_and_digests_are_as_the_format_says() {
    let stage = staged(&long(40).records);
    let file = export(stage.journal(), 1, Detail::Contents).expect("it has a chain");
    let rows = rows(&file);
    let key = bytes(&rows[0]["chain"]["key"]);
    assert_eq!(hex::encode(&key), stage.journal().audit_key().to_string());
    let mut head = Sha256::digest([&b"remit audit chain"[..], &1_u32.to_be_bytes(), &key].concat()).to_vec();
    for row in &rows[1..] {
        let Some(line) = row.get("line") else { continue };
        head = link(&head, line);
        assert_eq!(bytes(&line["link"]), head);
        let entry = &line["says"]["entry"];
        let [salt, plain] = ["salt", "entry"].map(|part| bytes(&entry["content"][part]));
        assert_eq!(bytes(&entry["digest"]), Sha256::digest([salt, plain].concat()).to_vec());
    }
    assert_eq!(hex::encode(head), whole(&file).checkpoint.head());
}

#[test]
fn checkpoints_come_every_1024_lines_and_at_the_end() {
    let mut stage = staged(&long(2_500).records);
    let signed = |stage: &Stage| {
        let rows = rows(&export(stage.journal(), 1, Detail::Digests).expect("it has a chain"));
        let numbers = rows.iter().filter_map(|row| row.get("checkpoint")?["number"].as_u64());
        (numbers.collect::<Vec<_>>(), rows[rows.len() - 1]["end"]["signed"]["number"].as_u64())
    };
    assert_eq!(signed(&stage), (vec![1_024, 2_048, 2_500], Some(2_500)));
    assert_eq!(signed(&stage), (vec![1_024, 2_048, 2_500], Some(2_500)), "one that is there is not made again");
    // A journal that is closed signs what nobody has signed.
    stage.append(&long(10).records[..3]);
    stage.reopen();
    stage.append(&long(10).records[..1]);
    assert_eq!(signed(&stage), (vec![1_024, 2_048, 2_500, 2_503, 2_504], Some(2_504)));
}

#[test]
fn tenants_have_chains_of_their_own() {
    let mut story = Story::default();
    let pids = [1, 2].map(|tenant| story.start(tenant, None));
    for pid in pids {
        story.add(Some(pid), None, vec![Change::Ended { pid, finished: finished() }]);
    }
    let stage = staged(&story.records);
    compare_chains(stage.journal(), &story.records);
    let heads = [1, 2].map(|tenant| {
        let file = export(stage.journal(), tenant, Detail::Digests).expect("it has a chain");
        let summary = whole(&file);
        assert_eq!((summary.processes, summary.entries, summary.revealed), (1, 2, 0));
        assert_eq!(summary.checkpoint.tenant, TenantId(tenant));
        assert_eq!(acts(&file), [] as [serde_json::Value; 0]);
        summary.checkpoint.head()
    });
    assert_ne!(heads[0], heads[1]);
    assert_eq!(export(stage.journal(), 3, Detail::Digests), None);
}

#[test]
fn a_digest_without_its_salt_does_not_tell_equal_entries() {
    let mut story = Story::default();
    let pids = [story.start(1, None), story.start(1, None)];
    for pid in pids.into_iter().chain(pids) {
        story.add(Some(pid), Some(told(7)), vec![]);
    }
    let stage = staged(&story.records);
    let file = export(stage.journal(), 1, Detail::Digests).expect("it has a chain");
    let digests: std::collections::BTreeSet<_> =
        rows(&file).iter().filter_map(|row| Some(bytes(&row.get("line")?["says"]["entry"]["digest"]))).collect();
    assert_eq!(digests.len(), story.records.len());
    assert_eq!(stage.journal().history(pid(1, 1), 1, 9).expect("it can be read").len(), 4);
}
