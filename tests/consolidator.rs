//! The consolidator of `agents/`, on a recorded model: what it merges, summarises and writes down, that all of it can be taken back, and that
//! it is never done twice.

use crate::stage::{Shown, Stage, made, tokens};
use remit_abi::{
    EntryFilter, EntryId, Field, GrantKind, Integrity, Label, Particulars, Remembered, Scalar, Scope, Status, TenantId,
    Tokens,
};
use remit_assembly::{Consolidating, ConsolidationError, Ended, EntryVersion, Remembering};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const TENANT: TenantId = TenantId(0);
const STORE: &str = "notes";

/// More than any of these takes.
const BUDGET: u64 = 100_000;

/// What it keeps back to write down how it ended.
const KEPT_BACK: u64 = 5;

/// Vectors of a few texts are there long before.
const EMBEDDED_MAX: Duration = Duration::from_secs(30);

/// What is noted in most tests: two are equal, one is so like them that the model is asked, and says yes; two that it says no of.
const NOTES: [(&str, &str); 5] = [
    ("Ada plays the cello in an orchestra.", "music"),
    ("The ferry to the island leaves at nine in the morning.", "travel"),
    ("The ferry to the island leaves at ten in the morning.", "travel"),
    ("Ada plays  the cello in an orchestra.", "family"),
    ("So Ada plays the cello in an orchestra.", "said"),
];

/// A node on whose data folder the agent is installed.
async fn stage(folder: &TempDir) -> Stage {
    let (from, to) = (made("REMIT_TEST_AGENTS").join("consolidator"), folder.path().join("agents/consolidator"));
    copy(&from, &to);
    Stage::remembering(folder.path(), "consolidator.json").await
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the test's folder is writable");
    for file in ["remit.toml", "consolidator.wasm"] {
        fs::copy(from.join(file), to.join(file)).expect("the set-up built it");
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

async fn note(stage: &Stage, text: &str, tag: &str, label: Label) -> EntryId {
    let particulars = Particulars { tags: vec![tag.into()], ..Particulars::default() };
    let content = Remembered { bytes: text.to_owned().into(), media_type: "text/plain".into() };
    let remembering = Remembering { tenant: TENANT, store: STORE.into(), label, content, particulars };
    stage.node.kernel().remember(remembering).await.expect("it is remembered")
}

async fn note_all(stage: &Stage) -> Vec<EntryId> {
    let mut entries = Vec::new();
    for (text, tag) in NOTES {
        entries.push(note(stage, text, tag, Label::UNTRUSTED).await);
    }
    entries
}

/// Waits until all texts have their vectors.
async fn embedded(stage: &Stage) {
    let deadline = Instant::now() + EMBEDDED_MAX;
    while stage.node.kernel().memory().store.figures(TENANT).await.expect("it answers").without_vector > 0 {
        assert!(Instant::now() < deadline, "vectors are missing");
        tokio::task::yield_now().await;
    }
}

/// Does it for each label that there is.
async fn consolidate(stage: &Stage, what: Consolidating, budget: u64) -> Vec<Shown> {
    embedded(stage).await;
    let mut all = Vec::new();
    for label in stage.node.labels_of_store(STORE).await.expect("it is a store") {
        all.push(do_one(stage, label, what, budget).await);
    }
    all
}

async fn do_one(stage: &Stage, label: Label, what: Consolidating, budget: u64) -> Shown {
    let running = stage.node.consolidate(STORE, label, what, Some(tokens(budget))).expect("it starts");
    stage.follow(running).await
}

/// The number of the run that it says it was.
fn run_of(shown: &Shown) -> EntryId {
    let text = shown.text();
    let run = text.rsplit("run ").next().and_then(|rest| rest.split([':', ' ']).next());
    run.and_then(|run| run.parse().ok()).unwrap_or_else(|| panic!("it names no run: {text}"))
}

/// All living entries of stores.
async fn living(stage: &Stage, stores: &str) -> Vec<EntryVersion> {
    let scope = Scope::parse(GrantKind::Memory, &[stores]).expect("it is a scope");
    let listed = stage.node.kernel().list_memory(TENANT, scope, EntryFilter::default(), None, 1000).await;
    listed.expect("it is listed")
}

/// What an entry says, without when and by whom it was written and which version that is.
type Said = (String, Label, Particulars);

async fn said(stage: &Stage) -> BTreeMap<EntryId, Said> {
    let said = |entry: EntryVersion| {
        let text = String::from_utf8_lossy(&entry.content.bytes).into_owned();
        (entry.id, (text, entry.label, entry.particulars))
    };
    living(stage, STORE).await.into_iter().map(said).collect()
}

fn field<'a>(particulars: &'a Particulars, name: &str) -> Option<&'a Scalar> {
    particulars.metadata.iter().find(|Field { name: found, .. }| &**found == name).map(|field| &field.value)
}

/// What the entries of a store say that have a tag, and from what that is.
fn tagged(said: &BTreeMap<EntryId, Said>, tag: &str) -> Vec<(String, Option<Scalar>)> {
    let tagged = said.values().filter(|(_, _, particulars)| particulars.tags.iter().any(|found| &**found == tag));
    tagged.map(|(text, _, particulars)| (text.clone(), field(particulars, "sources").cloned())).collect()
}

fn sources(text: &str) -> Option<Scalar> {
    Some(Scalar::Text(text.into()))
}

#[tokio::test]
async fn what_is_there_twice_is_merged_and_the_rest_is_told_with_its_sources() {
    let folder = folder();
    let stage = stage(&folder).await;
    note_all(&stage).await;
    let shown = &consolidate(&stage, Consolidating::New, BUDGET).await[0];
    assert!(shown.is_complete(), "{:?} {}", shown.finished.ended, shown.text());
    let said = said(&stage).await;
    let kept = &said[&EntryId(1)];
    // The latest words, under the oldest number.
    assert_eq!(kept.0, "So Ada plays the cello in an orchestra.");
    assert_eq!(kept.2.tags, ["family".into(), "music".into(), "said".into()] as [Box<str>; 3]);
    assert_eq!(field(&kept.2, "sources").cloned(), sources("m1@1 m4@1 m5@1"));
    assert!(said.contains_key(&EntryId(2)) && said.contains_key(&EntryId(3)), "they do not say the same");
    assert!(!said.contains_key(&EntryId(4)) && !said.contains_key(&EntryId(5)), "{said:?}");
    let all = "m1@1 m2@1 m3@1 m4@1 m5@1";
    let summary = "Ada plays the cello; the ferry leaves in the morning.".to_owned();
    assert_eq!(tagged(&said, "consolidation:summary"), [(summary, sources(all))]);
    assert_eq!(
        tagged(&said, "consolidation:fact"),
        [
            ("Ada is a cellist.".to_owned(), sources("m1@1 m4@1 m5@1")),
            ("There is a ferry to the island.".to_owned(), sources("m2@1 m3@1")),
        ]
    );
    assert!(said.values().all(|(_, label, _)| *label == Label::UNTRUSTED), "{said:?}");
}

#[tokio::test]
async fn a_second_run_finds_nothing_to_do_also_on_another_host() {
    let folder = folder();
    let before = {
        let stage = stage(&folder).await;
        note_all(&stage).await;
        consolidate(&stage, Consolidating::New, BUDGET).await;
        let before = (said(&stage).await, living(&stage, "consolidation/*").await);
        let shown = &consolidate(&stage, Consolidating::New, BUDGET).await[0];
        assert_eq!((shown.text().as_str(), shown.is_complete()), ("nothing to do\n", true));
        before
    };
    let stage = stage(&folder).await;
    let asked = stage.engine.prompts().len();
    let shown = &consolidate(&stage, Consolidating::New, BUDGET).await[0];
    assert_eq!((shown.text().as_str(), shown.is_complete()), ("nothing to do\n", true));
    assert_eq!(stage.engine.prompts().len(), asked, "it asked the model again");
    assert_eq!((said(&stage).await, living(&stage, "consolidation/*").await), before);
}

#[tokio::test]
async fn what_comes_later_is_compared_with_what_is_there() {
    let folder = folder();
    let stage = stage(&folder).await;
    note_all(&stage).await;
    consolidate(&stage, Consolidating::New, BUDGET).await;
    note(&stage, "So Ada plays the cello in an orchestra.", "again", Label::UNTRUSTED).await;
    let shown = &consolidate(&stage, Consolidating::New, BUDGET).await[0];
    assert!(shown.text().contains("1 duplicates merged into 1 entries"), "{}", shown.text());
    let said = said(&stage).await;
    assert_eq!(said[&EntryId(1)].2.tags.len(), 4);
    let sources = field(&said[&EntryId(1)].2, "sources").cloned();
    assert!(matches!(&sources, Some(Scalar::Text(text)) if text.starts_with("m1@1 m4@1 m5@1 m")), "{sources:?}");
}

#[tokio::test]
async fn an_undone_run_leaves_everything_as_it_was_and_is_not_repeated() {
    let folder = folder();
    let stage = stage(&folder).await;
    note_all(&stage).await;
    let before = said(&stage).await;
    let run = run_of(&consolidate(&stage, Consolidating::New, BUDGET).await[0]);
    assert_ne!(said(&stage).await, before);
    let (store, label) = stage.node.consolidated_by(run).await.expect("it is a run");
    assert_eq!((&*store, label), (STORE, Label::UNTRUSTED));
    for round in 0..2 {
        let shown = do_one(&stage, label, Consolidating::Undo(run), BUDGET).await;
        assert!(shown.is_complete(), "{round}: {:?}", shown.finished.ended);
        assert_eq!(said(&stage).await, before, "{round}");
    }
    let shown = &consolidate(&stage, Consolidating::New, BUDGET).await[0];
    assert_eq!(shown.text(), "nothing to do\n");
    assert_eq!(said(&stage).await, before);
}

#[tokio::test]
async fn what_was_changed_since_is_not_undone() {
    let folder = folder();
    let stage = stage(&folder).await;
    note_all(&stage).await;
    let run = run_of(&consolidate(&stage, Consolidating::New, BUDGET).await[0]);
    // An operator takes one of them back, and forgets another one for good.
    let kernel = stage.node.kernel();
    kernel.restore_entry(TENANT, EntryId(1), 1).await.expect("its version is kept");
    kernel.forget_entries(TENANT, &[EntryId(4)], true).await.expect("it is forgotten");
    let shown = do_one(&stage, Label::UNTRUSTED, Consolidating::Undo(run), BUDGET).await;
    assert!(shown.text().contains("2 are left as they are"), "{}", shown.text());
    let said = said(&stage).await;
    assert_eq!(said.keys().map(|entry| entry.0).collect::<Vec<_>>(), [1, 2, 3, 5]);
}

#[tokio::test]
async fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let folder = folder();
    let stage = stage(&folder).await;
    note_all(&stage).await;
    let before = living(&stage, "*").await;
    let shown = &consolidate(&stage, Consolidating::Plan, BUDGET).await[0];
    assert!(shown.is_complete(), "{:?}", shown.finished.ended);
    let text = shown.text();
    assert!(text.contains("merge m4, m5 into m1: So Ada plays the cello"), "{text}");
    assert!(text.contains("tell of 3 notes from m1 on"), "{text}");
    assert_eq!(living(&stage, "*").await, before);
}

/// Whatever a budget is enough for: run again until all is done, the same has come out as at once.
#[tokio::test]
async fn a_budget_that_ends_it_only_delays_it() {
    let (whole, paid) = {
        let folder = folder();
        let stage = stage(&folder).await;
        note_all(&stage).await;
        let shown = &consolidate(&stage, Consolidating::New, BUDGET).await[0];
        (comparable(&said(&stage).await), shown.finished.paid.micro() / 1_000_000)
    };
    let mut delayed = 0;
    for part in [8, 4, 2] {
        let folder = folder();
        let stage = stage(&folder).await;
        note_all(&stage).await;
        for round in 0.. {
            // One that is too small for any step at all would never come to an end.
            let budget = KEPT_BACK + paid / part + 3 * round;
            let shown = &consolidate(&stage, Consolidating::New, budget).await[0];
            match &shown.finished.ended {
                Ended::Done(Status::Complete, _) => break,
                Ended::Done(Status::Partial, _) => delayed += 1,
                other => panic!("a budget of {budget} does not end it politely: {other:?}"),
            }
        }
        assert_eq!(comparable(&said(&stage).await), whole, "with a {part}th of {paid}");
    }
    assert!(delayed > 3, "it was ended {delayed} times");
}

/// Texts, tags and sources, without the numbers of entries that runs make.
fn comparable(said: &BTreeMap<EntryId, Said>) -> Vec<(String, Vec<Box<str>>, Option<Scalar>)> {
    let mut all: Vec<_> = said
        .values()
        .map(|(text, _, particulars)| (text.clone(), particulars.tags.clone(), field(particulars, "sources").cloned()))
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

/// Killed at each thing that it shows, and run again: the same has come out, and nothing twice.
#[tokio::test]
async fn a_crash_anywhere_is_made_good_by_the_next_run() {
    let whole = {
        let folder = folder();
        let stage = stage(&folder).await;
        note_all(&stage).await;
        consolidate(&stage, Consolidating::New, BUDGET).await;
        comparable(&said(&stage).await)
    };
    for survived in 0..8 {
        let folder = folder();
        let stage = stage(&folder).await;
        note_all(&stage).await;
        embedded(&stage).await;
        let start = |budget| stage.node.consolidate(STORE, Label::UNTRUSTED, Consolidating::New, budget);
        let mut running = start(Some(Tokens::from_whole(BUDGET).expect("it is small"))).expect("it starts");
        for _ in 0..survived {
            running.events.recv().await;
        }
        stage.node.kill(running.pid);
        stage.follow(running).await;
        let shown = stage.follow(start(None).expect("it starts")).await;
        assert!(shown.is_complete(), "{survived}: {:?} {}", shown.finished.ended, shown.text());
        assert_eq!(comparable(&said(&stage).await), whole, "killed after {survived} events");
    }
}

#[tokio::test]
async fn labels_stay_apart_and_a_secret_is_in_nothing_that_is_none() {
    let folder = folder();
    let stage = stage(&folder).await;
    let tags = stage.node.kernel().tag(TENANT, "board").expect("there is room for a tag");
    let secret = Label { integrity: Integrity::Untrusted, tags };
    note_all(&stage).await;
    // The same words under three labels: none is merged with another one.
    let safe = "The safe opens with 4711.";
    let (open, closed) = (note(&stage, safe, "said", Label::TRUSTED).await, note(&stage, safe, "said", secret).await);
    let copy = note(&stage, safe, "copy", secret).await;
    let mut runs = BTreeMap::new();
    embedded(&stage).await;
    let labels = stage.node.labels_of_store(STORE).await.expect("it is a store");
    assert_eq!(labels.len(), 3, "{labels:?}");
    for label in labels {
        let asked = stage.engine.prompts().len();
        let shown = do_one(&stage, label, Consolidating::New, BUDGET).await;
        assert!(shown.is_complete(), "{label:?}: {:?}", shown.finished.ended);
        assert_eq!(shown.finished.label, label, "the process has read something else");
        let asked = stage.engine.prompts().split_off(asked).concat();
        assert_eq!(asked.contains("4711"), label != Label::UNTRUSTED, "{label:?}: {asked}");
        runs.insert(label.tags == tags, shown);
    }
    let said = said(&stage).await;
    assert_eq!((said[&open].1, said[&closed].1), (Label::TRUSTED, secret));
    assert!(!said.contains_key(&copy), "it was there twice under its own label");
    for (text, label, particulars) in said.values() {
        let is_secret = text.contains("secret") || particulars.tags.iter().any(|tag| &**tag == "copy");
        let from_secret = *label == secret;
        assert!(!is_secret || from_secret || *label == Label::TRUSTED, "{text:?} has the label {label:?}");
    }
    // What was written down of it has its label too.
    let records = living(&stage, "consolidation/*").await;
    let naming = |entry: EntryId| {
        let name = format!("{entry} ");
        records
            .iter()
            .filter(move |record| String::from_utf8_lossy(&record.content.bytes).contains(&name))
            .collect::<Vec<_>>()
    };
    assert!(!naming(closed).is_empty() && naming(closed).iter().all(|record| record.label == secret), "{records:?}");
}

#[tokio::test]
async fn what_is_no_store_or_no_run_is_refused_by_name() {
    let folder = folder();
    let stage = stage(&folder).await;
    for wrong in ["", "*", "notes*", "consolidation/notes", "no store"] {
        let error = stage.node.labels_of_store(wrong).await.expect_err("it is no store");
        assert!(matches!(error, ConsolidationError::NoStore(_)), "{wrong}: {error}");
        let refused = stage.node.consolidate(wrong, Label::TRUSTED, Consolidating::New, None).err();
        assert!(matches!(refused, Some(ConsolidationError::NoStore(_))), "{wrong}: {refused:?}");
    }
    let entry = note(&stage, "A word.", "said", Label::TRUSTED).await;
    assert!(matches!(stage.node.consolidated_by(entry).await, Err(ConsolidationError::NoRun(_))));
    let shown = do_one(&stage, Label::TRUSTED, Consolidating::Undo(entry), BUDGET).await;
    assert!(matches!(&shown.finished.ended, Ended::Failed(failure) if failure.message.contains("is no run")));
    assert_eq!(stage.node.labels_of_store("empty").await.expect("it is a name"), []);
}
