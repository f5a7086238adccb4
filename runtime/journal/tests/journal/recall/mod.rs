//! What tenants were told, found by its words: as far as it is kept, by whom it may be, and by nobody else.

mod gone;
mod stream;

use crate::{
    audit::{export, rows, whole},
    memory::found as remembered,
    sample::{SECRET, Story, finished, told, value},
    stage::{Stage, options},
};
use remit_abi::{
    FileReply, Incoming, Integrity, Label, MailboxReply, Pid, Reply, TagSet, TenantId, ToolReply, ValueId,
};
use remit_journal::{
    Options, QUESTION_BYTES_MAX, RECALLED_MAX, RecallError, RecallRules, Recalled, Recalling, SqliteJournal,
    audit::Detail,
};
use remit_kernel::ports::{Change, Entry, HeardFrom, Note, Told, ValueImage};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

const CONTENT: ValueId = ValueId { index: 1, generation: 1 };

/// Everything of these tenants, for ever.
pub(crate) fn all_of(tenants: &[u32]) -> BTreeMap<TenantId, RecallRules> {
    let rules = RecallRules { excluded: Vec::new(), keep_ns: u64::MAX };
    tenants.iter().map(|tenant| (TenantId(*tenant), rules.clone())).collect()
}

pub(crate) fn on(stage: &Stage, tenants: &[u32]) {
    stage.journal().set_recall(all_of(tenants)).expect("it is written");
}

/// A reply that brings something, by an interface that tells from whom it is.
pub(crate) fn heard(reply: Reply, image: ValueImage) -> Entry<'static> {
    match told(1) {
        Entry::Told(told) => {
            Entry::Told(Told { reply: Cow::Owned(reply), notes: vec![Note::Value(CONTENT, image)], ..told })
        }
        other => other,
    }
}

/// A tool says something.
pub(crate) fn said(text: &str) -> Entry<'static> {
    heard(Reply::Tool(Ok(ToolReply::Returned(CONTENT))), value(text))
}

pub(crate) fn asking(tenant: u32, text: &str) -> Recalling<'_> {
    Recalling { tenant: TenantId(tenant), text, since_ns: 0, pid: None, count: 10, by: "ann (uid 1)" }
}

pub(crate) fn recall(journal: &SqliteJournal, tenant: u32, text: &str) -> Vec<Recalled> {
    journal.recall(&asking(tenant, text)).expect("it is looked through")
}

/// The texts that are found, sorted.
pub(crate) fn texts(journal: &SqliteJournal, tenant: u32, text: &str) -> Vec<String> {
    let mut texts: Vec<String> =
        recall(journal, tenant, text).into_iter().map(|found| found.excerpt.into_string()).collect();
    texts.sort();
    texts
}

/// Each in a commit of its own.
pub(crate) fn tell(stage: &Stage, pid: Pid, entries: impl IntoIterator<Item = Entry<'static>>) {
    for entry in entries {
        stage.append(&[crate::model::Owned { pid: Some(pid), entry: Some(entry), changes: Vec::new() }]);
        stage.settle();
    }
}

/// A journal with a process of each of two tenants.
pub(crate) fn stage() -> (Stage, [Pid; 2]) {
    let mut story = Story::default();
    let pids = [1, 2].map(|tenant| story.start(tenant, None));
    let stage = Stage::new();
    stage.append(&story.records);
    (stage, pids)
}

#[test]
fn whoever_says_something_is_found_with_when_and_to_whom() {
    let (stage, [pid, _]) = stage();
    on(&stage, &[1]);
    let incoming = Incoming { sender: pid, topic: "t".into(), body: CONTENT, grants: Vec::new(), answer: None };
    let by = [
        (HeardFrom::Message, Reply::Mailbox(Ok(MailboxReply::Received(Box::new(incoming))))),
        (HeardFrom::Tool, Reply::Tool(Ok(ToolReply::Failed(CONTENT)))),
        (HeardFrom::File, Reply::File(Ok(FileReply::Read { content: CONTENT, size: 1, revision: 1 }))),
    ];
    for (at, (_, reply)) in by.iter().enumerate() {
        tell(&stage, pid, [heard(reply.clone(), value(&format!("the kettle number{at} whistles")))]);
    }
    for (at, (from, _)) in by.into_iter().enumerate() {
        let found = recall(stage.journal(), 1, &format!("NUMBER{at}"));
        let [one] = &found[..] else { panic!("{found:?}") };
        assert_eq!((one.pid, one.from, one.sequence), (pid, from, at as u64 + 3));
        assert_eq!((&*one.excerpt, one.bytes), (&*format!("the kettle number{at} whistles"), 27));
        assert_eq!(one.label, Label::UNTRUSTED);
        let line =
            &remit_kernel::ports::Journal::history(stage.journal(), pid, one.sequence, 1).expect("it is there")[0];
        assert_eq!(one.at_ns, line.at_ns);
    }
    // The task of the process is the first that it hears; endings do not matter, and neither does the case.
    let found = recall(stage.journal(), 1, "HERONS");
    assert_eq!((found.len(), found[0].from, &*found[0].excerpt), (1, HeardFrom::Task, SECRET));
    let all = recall(stage.journal(), 1, "whistling kettle number2");
    assert_eq!((all.len(), &*all[0].excerpt), (3, "the kettle number2 whistles"), "the likest first");
    assert_eq!(recall(stage.journal(), 1, "nothing"), []);
}

#[test]
fn what_is_asked_for_can_be_narrowed() {
    let (stage, [pid, _]) = stage();
    on(&stage, &[1]);
    let mut story = Story::default();
    let other = {
        for _ in 0..5 {
            story.start(1, None);
        }
        *story.model.processes.keys().last().expect("there are some")
    };
    stage.append(&story.records[story.records.len() - 2..]);
    tell(&stage, pid, (0..9).map(|number| said(&format!("kettle {number}"))));
    tell(&stage, other, [said("the kettle of the other")]);
    let journal = stage.journal();
    let of_other = journal.recall(&Recalling { pid: Some(other), ..asking(1, "kettle") }).expect("it is on");
    assert_eq!(of_other.iter().map(|found| found.pid).collect::<Vec<_>>(), [other]);
    let all = recall(journal, 1, "kettle");
    assert_eq!(all.len(), 10);
    let since_ns = all.iter().map(|found| found.at_ns).max().expect("there are some");
    let late = journal.recall(&Recalling { since_ns, ..asking(1, "kettle") }).expect("it is on");
    assert_eq!(late.iter().map(|found| found.at_ns).collect::<Vec<_>>(), [since_ns]);
    let none = journal.recall(&Recalling { since_ns: u64::MAX, ..asking(1, "kettle") }).expect("it is on");
    assert_eq!(none, []);
    for count in [0, 3, usize::MAX] {
        let some = journal.recall(&Recalling { count, ..asking(1, "kettle") }).expect("it is on");
        assert_eq!(some.len(), count.min(10));
    }
    tell(&stage, pid, (0..RECALLED_MAX + 9).map(|_| said("teapot")));
    let most = journal.recall(&Recalling { count: usize::MAX, ..asking(1, "teapot") }).expect("it is on");
    assert_eq!(most.len(), RECALLED_MAX);
}

#[test]
fn nobody_is_looked_through_whose_operator_did_not_say_so() {
    let (mut stage, [mine, others]) = stage();
    tell(&stage, mine, [said("mine")]);
    tell(&stage, others, [said("theirs")]);
    let off = |stage: &Stage, tenant| stage.journal().recall(&asking(tenant, "mine theirs"));
    assert!(matches!(off(&stage, 1), Err(RecallError::Off(TenantId(1)))));
    let folder = stage.folder().join("recall");
    assert!(!folder.exists());
    on(&stage, &[1]);
    assert_eq!(texts(stage.journal(), 1, "mine theirs"), ["mine"]);
    assert!(matches!(off(&stage, 2), Err(RecallError::Off(TenantId(2)))));
    on(&stage, &[2]);
    assert_eq!(texts(stage.journal(), 2, "mine theirs"), ["theirs"]);
    assert!(!folder.join("1.sqlite").exists() && folder.join("2.sqlite").exists());
    stage.reopen();
    assert!(matches!(off(&stage, 2), Err(RecallError::Off(TenantId(2)))), "it is on by what is said each time");
    on(&stage, &[]);
    assert_eq!(std::fs::read_dir(&folder).expect("it is there").count(), 0);
}

#[test]
fn what_is_looked_for_is_words_and_nothing_else() {
    let (stage, [pid, _]) = stage();
    on(&stage, &[1]);
    tell(&stage, pid, [said("the \"quick\" brown fox; DROP TABLE texts")]);
    for question in
        ["quick\" OR \"a", "terms:quick*", "-quick", "NEAR(quick, 2)", "^quick", "'quick'); DROP TABLE texts;--"]
    {
        assert_eq!(texts(stage.journal(), 1, question).len(), 1, "{question}");
    }
    for wordless in ["", " \n", "\"*\" ^ -:()", "\0", "🦀"] {
        let refused = stage.journal().recall(&asking(1, wordless));
        assert!(matches!(refused, Err(RecallError::Wordless)), "{wordless:?}: {refused:?}");
    }
    let long = "a ".repeat(QUESTION_BYTES_MAX);
    assert!(matches!(stage.journal().recall(&asking(1, &long)), Err(RecallError::TooLong)));
    let many: String = (0..1_000).map(|number| format!("{number} ")).collect();
    assert_eq!(recall(stage.journal(), 1, &many), []);
}

#[test]
fn what_memories_told_is_not_looked_through() {
    let (stage, [pid, _]) = stage();
    on(&stage, &[1]);
    tell(&stage, pid, [remembered(&[(1, "the marmot sleeps")]), said("the marmot is awake")]);
    assert_eq!(texts(stage.journal(), 1, "marmot"), ["the marmot is awake"]);
}

#[test]
fn a_text_with_an_excluded_tag_is_not_found_and_is_where_it_is_no_more() {
    let (mut stage, [pid, _]) = stage();
    let tag = |index| TagSet::single(index).expect("it is in range");
    for (index, name) in [(3, "medical"), (4, "home")] {
        let changes = vec![Change::Tagged { tenant: TenantId(1), index, name: name.into() }];
        stage.append(&[crate::model::Owned { pid: None, entry: None, changes }]);
    }
    let labelled = |text: &str, tags: TagSet| {
        let label = Label { integrity: Integrity::Trusted, tags };
        heard(Reply::Tool(Ok(ToolReply::Returned(CONTENT))), ValueImage { label, ..value(text) })
    };
    let medical = [labelled("kettle one", tag(3)), labelled("kettle two", tag(3).union(tag(4)))];
    tell(&stage, pid, medical.into_iter().chain([labelled("kettle three", tag(4)), said("kettle four")]));
    let excluding = |names: &[&str]| {
        let excluded = names.iter().map(|name| (*name).into()).collect();
        BTreeMap::from([(TenantId(1), RecallRules { excluded, keep_ns: u64::MAX })])
    };
    let check = |stage: &Stage, excluded: &[&str], expect: &[&str]| {
        stage.journal().set_recall(excluding(excluded)).expect("it is written");
        let mut expect: Vec<_> = expect.iter().map(|number| format!("kettle {number}")).collect();
        expect.sort();
        assert_eq!(texts(stage.journal(), 1, "kettle"), expect, "{excluded:?}");
    };
    check(&stage, &["medical"], &["three", "four"]);
    check(&stage, &["medical", "home"], &["four"]);
    check(&stage, &["medical", "home"], &["four"]);
    stage.reopen();
    check(&stage, &["home"], &["one", "four"]);
    check(&stage, &["none of these"], &["one", "two", "three", "four"]);
    check(&stage, &[], &["one", "two", "three", "four"]);
}

#[test]
fn what_is_too_old_goes() {
    static NOW: AtomicU64 = AtomicU64::new(1_000_000);
    fn now() -> u64 {
        NOW.load(Ordering::Relaxed)
    }
    let folder = tempfile::tempdir().expect("there is a folder for such things");
    let journal = SqliteJournal::open_with(folder.path(), Options { clock: now, ..options(None) }).expect("it opens");
    let rules = |keep_ns| BTreeMap::from([(TenantId(1), RecallRules { excluded: Vec::new(), keep_ns })]);
    journal.set_recall(rules(100)).expect("it is written");
    let mut story = Story::default();
    let pid = story.start(1, None);
    let append = |record: &crate::model::Owned| {
        remit_kernel::ports::Journal::append(&journal, &[record.record()]).expect("there is room");
    };
    story.records.iter().for_each(append);
    for text in ["one kettle", "two kettles", "three kettles"] {
        append(&crate::model::Owned { pid: Some(pid), entry: Some(said(text)), changes: Vec::new() });
        while journal.follow_recall().expect("it follows") {}
        recall(&journal, 1, "kettle");
        NOW.fetch_add(40, Ordering::Relaxed);
    }
    // At 120 after the first, 80 after the second.
    assert_eq!(texts(&journal, 1, "kettle"), ["three kettles", "two kettles"]);
    assert_eq!(count(folder.path(), 1), 2);
    NOW.fetch_add(30, Ordering::Relaxed);
    while journal.follow_recall().expect("it follows") {}
    assert_eq!(count(folder.path(), 1), 1, "it goes though nobody looks");
    assert_eq!(texts(&journal, 1, "kettle"), ["three kettles"]);
    // Rules that keep more find again what the journal still has.
    journal.set_recall(rules(1_000)).expect("it is written");
    assert_eq!(texts(&journal, 1, "kettle").len(), 3);
}

/// Texts in a tenant's index, as its file says.
pub(crate) fn count(folder: &Path, tenant: u32) -> i64 {
    let db = rusqlite::Connection::open(folder.join(format!("recall/{tenant}.sqlite"))).expect("it is a database");
    db.query_row("SELECT count(*) FROM texts", [], |row| row.get(0)).expect("the table is there")
}

#[test]
fn each_look_is_in_the_audit_without_its_words() {
    let (stage, [pid, _]) = stage();
    on(&stage, &[1, 2]);
    tell(&stage, pid, [said("one kettle"), said("two kettles")]);
    let before = export(stage.journal(), 1, Detail::Digests).expect("it has a chain");
    assert!(whole(&before).recalls.is_empty());
    for question in ["kettle", "marmot", "kettle"] {
        recall(stage.journal(), 1, question);
    }
    let by = Recalling { by: "bob (uid 2)", ..asking(1, "two") };
    stage.journal().recall(&by).expect("it is on");
    let _refused = stage.journal().recall(&asking(1, "")).expect_err("there is no word in it");
    let file = export(stage.journal(), 1, Detail::Contents).expect("it has a chain");
    let totals: Vec<_> =
        whole(&file).recalls.into_iter().map(|(by, total)| (by, total.questions, total.hits)).collect();
    assert_eq!(totals, [("ann (uid 1)".into(), 3, 4), ("bob (uid 2)".into(), 1, 1)]);
    let said: Vec<_> = rows(&file)
        .into_iter()
        .filter_map(|row| row["line"]["says"]["act"].get("recalled").cloned())
        .map(|act| (act["question"].as_str().expect("a digest").to_owned(), act["hits"].as_u64()))
        .collect();
    assert_eq!((said.len(), said[0].1, said[1].1), (4, Some(2), Some(0)));
    assert_eq!(said[0].0, said[2].0);
    assert!(said[0].0 != said[1].0 && said[0].0.len() == 64);
    let text = String::from_utf8(file).expect("it is text");
    assert!(!text.contains("kettle\"") && !text.contains("marmot"));
    let of_other = export(stage.journal(), 2, Detail::Digests).expect("it has a chain");
    assert!(whole(&of_other).recalls.is_empty());
}

#[test]
fn no_question_of_a_tenant_finds_what_another_was_told() {
    let (stage, pids) = stage();
    on(&stage, &[1, 2]);
    for (tenant, pid) in (1..).zip(pids) {
        tell(&stage, pid, (0..5).map(|number| said(&format!("kettle {number} of tenant{tenant}"))));
    }
    for (tenant, other) in [(1, 2), (2, 1)] {
        let question = format!("kettle 0 1 2 3 4 of tenant{other} heron");
        for pid in [None, Some(pids[0]), Some(pids[1])] {
            let wanted = Recalling { pid, count: RECALLED_MAX, ..asking(tenant, &question) };
            let found = stage.journal().recall(&wanted).expect("it is on");
            assert!(found.iter().all(|found| found.pid.tenant == TenantId(tenant)), "{found:?}");
        }
    }
}

#[test]
fn a_process_that_ended_is_found_as_long_as_its_history_is_kept() {
    let (stage, [pid, _]) = stage();
    on(&stage, &[1]);
    tell(&stage, pid, [said("kettle")]);
    let changes = vec![Change::Ended { pid, finished: finished() }];
    stage.append(&[crate::model::Owned { pid: Some(pid), entry: None, changes }]);
    assert_eq!(texts(stage.journal(), 1, "kettle"), ["kettle"]);
}
