//! What processes remember: who may write and read which store, what is found and with which label, and that nothing of it is lost or
//! done twice.

use crate::{
    fakes::{Given, Guest, TENANT, TestNode, done, grant, tokens},
    recovery::emit,
    stage::{Stage, stranger},
};
use remit_abi::{
    Access, Condition, Content, Denial, EntryFilter, EntryId, Exit, Forgetting, GrantKind, GrantLimits, GrantSpec, Hit,
    Integrity, Label, Likeness, Listing, MemoryError, MemoryReply, MemoryRequest, Particulars, Reply, Request,
    Rewriting, Seeking, TenantId, ValueId, Weighting, Writing, limits,
};
use remit_authority::PriceList;
use remit_kernel::{
    Finished,
    ports::{Change, Entry, Journal, MemoryAct, Position},
};
use std::sync::{Arc, atomic::Ordering};

fn store(label: &str, stores: &[&str]) -> GrantSpec {
    grant(label, GrantKind::Memory, stores)
}

/// May write two stores and read both together, and spend 100.
fn keeper() -> Given {
    let both = GrantSpec { access: Access::ReadOnly, ..store("both", &["notes", "diary"]) };
    Given { grants: vec![store("notes", &["notes"]), store("diary", &["diary"]), both], ..stranger() }
}

fn text(text: &str) -> Content {
    Content::Text(text.into())
}

fn only(condition: Condition) -> EntryFilter {
    EntryFilter(vec![vec![condition]])
}

fn tagged(tag: &str) -> Particulars {
    Particulars { tags: vec![tag.into()], ..Particulars::default() }
}

impl Guest {
    async fn memory(&self, request: MemoryRequest) -> Result<MemoryReply, MemoryError> {
        match self.call(Request::Memory(request)).await {
            Reply::Memory(result) => result,
            other => panic!("not a reply to memory: {other:?}"),
        }
    }

    async fn writing(&self, store: &str, content: Content) -> Writing {
        let grant = self.take(store).await;
        Writing { grant, content, particulars: Particulars::default(), vector: None }
    }

    async fn write(&self, writing: Writing) -> Result<EntryId, MemoryError> {
        match self.memory(MemoryRequest::Put(Box::new(writing))).await? {
            MemoryReply::Put(entry) => Ok(entry),
            other => panic!("not an entry: {other:?}"),
        }
    }

    async fn remember(&self, store: &str, said: &str) -> EntryId {
        let writing = self.writing(store, text(said)).await;
        self.write(writing).await.expect("it may, and can pay")
    }

    async fn update(&self, entry: EntryId, expected: Option<u32>, said: &str) -> Result<u32, MemoryError> {
        let writing = self.writing("notes", text(said)).await;
        match self.memory(MemoryRequest::Update(Box::new(Rewriting { entry, expected, writing }))).await? {
            MemoryReply::Updated(version) => Ok(version),
            other => panic!("not a version: {other:?}"),
        }
    }

    async fn get(&self, store: &str, entry: EntryId) -> Result<Hit, MemoryError> {
        let grant = self.take(store).await;
        match self.memory(MemoryRequest::Get { grant, entry }).await? {
            MemoryReply::Got(hit) => Ok(hit),
            other => panic!("not an entry: {other:?}"),
        }
    }

    async fn seeking(&self, store: &str, likeness: Likeness) -> Seeking {
        let grant = self.take(store).await;
        let (filter, weighting) = (EntryFilter::default(), Weighting::default());
        Seeking { grant, likeness, filter, within: None, weighting, count: 10 }
    }

    async fn seek(&self, seeking: Seeking) -> Result<Box<[Hit]>, MemoryError> {
        match self.memory(MemoryRequest::Search(Box::new(seeking))).await? {
            MemoryReply::Found(hits) => Ok(hits),
            other => panic!("not hits: {other:?}"),
        }
    }

    /// The texts of what has a word, the best first.
    async fn find(&self, store: &str, word: &str) -> Vec<String> {
        let seeking = self.seeking(store, Likeness::Words(text(word))).await;
        let mut found = Vec::new();
        for hit in self.seek(seeking).await.expect("it may look") {
            found.push(String::from_utf8(self.read(hit.content).await.to_vec()).expect("it is text"));
        }
        found
    }

    async fn forget(&self, entries: Option<Vec<EntryId>>, filter: EntryFilter, purge: bool) -> u64 {
        let grant = self.take("notes").await;
        match self.memory(MemoryRequest::Forget(Box::new(Forgetting { grant, entries, filter, purge }))).await {
            Ok(MemoryReply::Forgotten(count)) => count,
            other => panic!("it may: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_put_is_found_at_once_by_whoever_may_look_and_is_paid_for() {
    let stage = Stage::new();
    let (alice, bob) = (stage.start(keeper()).await, stage.start(keeper()).await);
    let before = alice.remaining().await;
    let entry = alice.remember("notes", "the key is under the mat").await;
    assert_eq!(before.saturating_sub(alice.remaining().await), PriceList::built_in().memory_write());
    assert_eq!(bob.find("notes", "mat").await, ["the key is under the mat"]);
    assert_eq!(bob.find("both", "mat").await, ["the key is under the mat"]);
    assert_eq!(bob.find("diary", "mat").await, [""; 0]);
    let hit = bob.get("notes", entry).await.expect("it is there");
    assert_eq!((hit.entry, hit.version), (entry, 1));
    assert_eq!(bob.get("diary", entry).await, Err(MemoryError::NoSuchEntry(entry)));
    stage.end(alice, done()).await;
    stage.end(bob, done()).await;
    stage.assert_empty();
}

#[tokio::test]
async fn another_tenant_finds_nothing_and_its_ids_open_nothing() {
    let stage = Stage::new();
    let alice = stage.start(keeper()).await;
    let mallory = stage.start(Given { tenant: TenantId(TENANT.0 + 1), ..keeper() }).await;
    let entry = alice.remember("notes", "a secret").await;
    assert_eq!(mallory.find("both", "secret").await, [""; 0]);
    assert_eq!(mallory.get("notes", entry).await, Err(MemoryError::NoSuchEntry(entry)));
    assert_eq!(mallory.update(entry, None, "mine").await, Err(MemoryError::NoSuchEntry(entry)));
    assert_eq!(mallory.forget(Some(vec![entry]), EntryFilter::default(), true).await, 0);
    assert_eq!(alice.find("notes", "secret").await, ["a secret"]);
}

#[tokio::test]
async fn a_store_that_is_for_reading_is_not_written_and_several_are_not_written_at_once() {
    let stage = Stage::new();
    let read_only = GrantSpec { access: Access::ReadOnly, ..store("notes", &["notes"]) };
    let reader = stage.start(Given { grants: vec![read_only, store("all", &["*"])], ..stranger() }).await;
    let writing = reader.writing("notes", text("mine")).await;
    let denied = Err(MemoryError::Denied(Denial::OutOfScope { grant: "notes".into() }));
    assert_eq!(reader.write(writing).await, denied);
    let writing = reader.writing("all", text("mine")).await;
    assert!(matches!(reader.write(writing).await, Err(MemoryError::Invalid(why)) if why.contains("attenuate")));
    let once = GrantLimits { uses: Some(1), ..GrantLimits::default() };
    let once =
        stage.start(Given { grants: vec![GrantSpec { limits: once, ..store("notes", &["notes"]) }], ..stranger() });
    let once = once.await;
    once.remember("notes", "one").await;
    let writing = once.writing("notes", text("two")).await;
    assert_eq!(once.write(writing).await, Err(MemoryError::Denied(Denial::Exhausted("notes".into()))));
    assert_eq!(stage.node.memory.living(TENANT).len(), 1);
}

/// A process that was given a text of a label.
async fn given_text(stage: &Stage, grants: Vec<GrantSpec>, label: Label) -> (crate::stage::Played, ValueId) {
    let played = stage.start(Given { input: vec![("what somebody said", label)], grants, ..stranger() }).await;
    let value = played.start.conversation[0].content;
    (played, value)
}

#[tokio::test]
async fn what_is_remembered_keeps_its_label_and_reading_it_taints() {
    let stage = Stage::new();
    let tag = stage.node.kernel.tag(TENANT, "medical").expect("there is room");
    let label = Label { integrity: Integrity::Untrusted, tags: tag };
    let (writer, value) = given_text(&stage, keeper().grants, label).await;
    let writing = writer.writing("notes", Content::Value(value)).await;
    let entry = writer.write(writing).await.expect("nothing forbids it");
    // It passed it on unread.
    assert_eq!(writer.own_label().await, Label::TRUSTED);

    let reader = stage.start(keeper()).await;
    let hit = reader.get("notes", entry).await.expect("it is there");
    assert_eq!((reader.label_of(hit.content).await, reader.own_label().await), (label, Label::TRUSTED));
    // That it is found tells of what it says.
    let seeking = reader.seeking("notes", Likeness::Words(text("somebody"))).await;
    let hits = reader.seek(seeking).await.expect("it may look");
    assert_eq!((hits.len(), reader.own_label().await), (1, Label { tags: tag, ..Label::TRUSTED }));
    reader.read(hits[0].content).await;
    assert_eq!(reader.own_label().await, label);

    let careful = stage.start(keeper()).await;
    let within = Some((Integrity::Untrusted, Box::default()));
    let seeking = careful.seeking("notes", Likeness::Words(text("somebody"))).await;
    let hits = careful.seek(Seeking { within, ..seeking }).await.expect("it may look");
    assert_eq!((hits.len(), careful.own_label().await), (0, Label::TRUSTED));
}

#[tokio::test]
async fn what_a_process_has_read_does_not_flow_into_a_store_that_must_not_have_it() {
    let stage = Stage::new();
    let trusted_only = GrantLimits { ceiling: Some(Label::TRUSTED), ..GrantLimits::default() };
    let grants = vec![GrantSpec { limits: trusted_only, ..store("notes", &["notes"]) }];
    let (writer, value) = given_text(&stage, grants, Label::UNTRUSTED).await;
    let tainted = || Err(MemoryError::Denied(Denial::Tainted { grant: "notes".into() }));
    let writing = writer.writing("notes", Content::Value(value)).await;
    assert_eq!(writer.write(writing).await, tainted());
    let entry = writer.remember("notes", "before it has read anything").await;
    writer.read(value).await;
    let writing = writer.writing("notes", text("what it made of it")).await;
    assert_eq!(writer.write(writing).await, tainted());
    let grant = writer.take("notes").await;
    let forgetting = Forgetting { grant, entries: Some(vec![entry]), filter: EntryFilter::default(), purge: false };
    let forgot = writer.memory(MemoryRequest::Forget(Box::new(forgetting))).await;
    assert_eq!(forgot, Err(MemoryError::Denied(Denial::Tainted { grant: "notes".into() })));
}

#[tokio::test]
async fn of_two_who_expect_the_same_version_one_is_told_of_the_other() {
    let stage = Stage::new();
    let alice = stage.start(keeper()).await;
    let entry = alice.remember("notes", "one").await;
    for round in 1..=20_u32 {
        let racers = [stage.start(keeper()).await, stage.start(keeper()).await];
        let [first, second] = &racers;
        let (first, second) =
            tokio::join!(first.update(entry, Some(round), "first"), second.update(entry, Some(round), "second"));
        let conflict = Err(MemoryError::Conflict { newest: round + 1 });
        assert!([first.clone(), second.clone()].contains(&Ok(round + 1)), "{first:?} {second:?}");
        assert!([first.clone(), second.clone()].contains(&conflict), "{first:?} {second:?}");
        for racer in racers {
            stage.end(racer, done()).await;
        }
    }
    assert_eq!(alice.update(entry, None, "whatever was there").await, Ok(22));
    assert_eq!(alice.update(EntryId(99), None, "nothing").await, Err(MemoryError::NoSuchEntry(EntryId(99))));
}

#[tokio::test]
async fn what_is_forgotten_comes_back_unless_it_is_destroyed() {
    let stage = Stage::new();
    let alice = stage.start(keeper()).await;
    let entry = alice.remember("notes", "one").await;
    assert_eq!(alice.update(entry, Some(1), "two").await, Ok(2));
    let other = alice.remember("diary", "one of the diary").await;
    assert_eq!(alice.forget(Some(vec![entry, entry, other]), EntryFilter::default(), false).await, 1);
    assert_eq!(alice.find("both", "one").await, ["one of the diary"]);
    let grant = alice.take("notes").await;
    let Ok(MemoryReply::Versions(versions)) = alice.memory(MemoryRequest::Versions { grant, entry }).await else {
        panic!("they are kept");
    };
    assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [1, 2]);
    let restored = alice.memory(MemoryRequest::Restore { grant, entry, version: 1 }).await;
    assert_eq!((restored, alice.find("notes", "one").await), (Ok(MemoryReply::Updated(3)), vec!["one".to_owned()]));
    let missing = alice.memory(MemoryRequest::Restore { grant, entry, version: 9 }).await;
    assert_eq!(missing, Err(MemoryError::NoSuchVersion { version: 9 }));
    assert_eq!(alice.forget(Some(vec![entry]), EntryFilter::default(), true).await, 1);
    let gone = alice.memory(MemoryRequest::Restore { grant, entry, version: 1 }).await;
    assert_eq!(gone, Err(MemoryError::NoSuchEntry(entry)));
}

#[tokio::test]
async fn a_filter_says_which_are_listed_and_forgotten() {
    let stage = Stage::new();
    let alice = stage.start(keeper()).await;
    for number in 0..300_u32 {
        let writing = alice.writing("notes", text(&format!("note {number}"))).await;
        let particulars = tagged(if number % 3 == 0 { "third" } else { "other" });
        alice.write(Writing { particulars, ..writing }).await.expect("it may");
    }
    let grant = alice.take("notes").await;
    let filter = only(Condition::Tagged("third".into()));
    let listing = Listing { grant, filter: filter.clone(), within: None, after: Some(EntryId(30)), count: 5 };
    let Ok(MemoryReply::Found(found)) = alice.memory(MemoryRequest::List(Box::new(listing))).await else {
        panic!("it may look");
    };
    assert_eq!(found.iter().map(|hit| hit.entry.0).collect::<Vec<_>>(), [31, 34, 37, 40, 43]);
    assert_eq!(alice.forget(None, filter.clone(), false).await, 100);
    assert_eq!(alice.forget(None, filter, false).await, 0);
    assert_eq!(stage.node.memory.living(TENANT).len(), 200);
}

#[tokio::test]
async fn bad_input_is_an_error_and_writes_nothing() {
    let stage = Stage::new();
    let alice = stage.start(keeper()).await;
    let long = "x".repeat(limits::MEMORY_BYTES_MAX + 1);
    let plain = alice.writing("notes", text("fine")).await;
    let with = |particulars: Particulars| Writing { particulars, ..plain.clone() };
    let vector = |numbers: &[f32]| Writing { vector: Some(Arc::from(numbers)), ..plain.clone() };
    let bad = [
        Writing { content: text(""), ..plain.clone() },
        with(Particulars { tags: vec!["ok".into(); limits::MEMORY_TAGS_MAX + 1], ..Particulars::default() }),
        with(tagged("' OR 1=1 --")),
        with(Particulars { importance: f32::NAN, ..Particulars::default() }),
        with(Particulars { importance: 1.5, ..Particulars::default() }),
        vector(&[f32::NAN, 0.0, 1.0]),
        vector(&[0.0, 0.0, 0.0]),
        vector(&[1.0, 0.0]),
    ];
    for writing in bad {
        let wrote = alice.write(writing.clone()).await;
        assert!(matches!(&wrote, Err(MemoryError::Invalid(why)) if !why.is_empty()), "{writing:?}: {wrote:?}");
    }
    let wrote = alice.write(Writing { content: text(&long), ..plain }).await;
    assert_eq!(wrote, Err(MemoryError::TooLarge { limit: limits::MEMORY_BYTES_MAX as u64 }));
    let seeking = alice.seeking("notes", Likeness::Words(text(" \n"))).await;
    assert!(matches!(alice.seek(seeking.clone()).await, Err(MemoryError::Invalid(_))));
    for count in [0, limits::MEMORY_HITS_MAX + 1] {
        let likeness = Likeness::Words(text("fine"));
        let seeking = Seeking { count, likeness, ..seeking.clone() };
        assert!(matches!(alice.seek(seeking).await, Err(MemoryError::Invalid(_))));
    }
    let meaning = Seeking { likeness: Likeness::Meaning(text("fine")), ..seeking };
    assert!(matches!(alice.seek(meaning).await, Err(MemoryError::Unavailable(why)) if why.contains("no model")));
    assert_eq!(stage.node.memory.writes(TENANT), []);
}

#[tokio::test]
async fn a_memory_that_fails_says_why_and_nothing_is_paid() {
    let stage = Stage::new();
    let alice = stage.start(keeper()).await;
    alice.remember("notes", "fine").await;
    let before = alice.remaining().await;
    stage.node.memory.fails.store(true, Ordering::SeqCst);
    let writing = alice.writing("notes", text("more")).await;
    let wrote = alice.write(writing).await;
    assert!(matches!(wrote, Err(MemoryError::Unavailable(why)) if why.contains("the disk is full")));
    assert_eq!(alice.remaining().await, before);
    stage.node.memory.fails.store(false, Ordering::SeqCst);
    assert_eq!(alice.find("notes", "fine").await, ["fine"]);
    assert_eq!(stage.node.memory.writes(TENANT).len(), 1);
}

/// Writes, looks, changes and forgets, and shows what it finds.
async fn remembers(guest: Guest) -> Exit {
    let first = guest.remember("notes", "one fish").await;
    guest.remember("diary", "two fish").await;
    emit(&guest, &guest.find("both", "fish").await.join(", ")).await;
    guest.update(first, Some(1), "red fish").await.expect("nobody else writes");
    emit(&guest, &guest.find("notes", "red").await.join(", ")).await;
    let filter = only(Condition::WrittenBy(guest.pid));
    assert_eq!(guest.forget(None, filter, false).await, 1);
    let grant = guest.take("notes").await;
    let restored = guest.memory(MemoryRequest::Restore { grant, entry: first, version: 1 }).await;
    assert_eq!(restored, Ok(MemoryReply::Updated(3)));
    emit(&guest, &guest.find("both", "fish").await.join(", ")).await;
    done()
}

fn rememberer() -> Given {
    Given { package: "remembers", budget: tokens(100), ..keeper() }
}

/// What a store has that is given what the journal has, from whichever place on.
#[tokio::test]
async fn whenever_the_host_ends_nothing_is_lost_and_nothing_is_written_twice() {
    let node = TestNode::new();
    let (Finished { ended, .. }, shown) = node.run(rememberer(), remembers).await;
    let (whole, living) = (node.memory.writes(TENANT), node.memory.living(TENANT));
    assert_eq!((whole.len(), living.len()), (5, 2));
    for end in 1..=node.journal.memory.end().0 {
        let memory = node.journal.memory.up_to(Position(end));
        let in_log = memory.node().expect("it can be read").memory;
        let expected: Vec<_> = whole.iter().take(in_log.len()).cloned().map(|write| (TENANT, write)).collect();
        assert_eq!(in_log, expected, "of the first {end} records");
        let after = TestNode::after(memory);
        after.install("remembers", remembers);
        let recovery = after.kernel.recover().expect("it can be read");
        let Some(resumed) = recovery.go_on().await.pop() else { continue };
        let finished = resumed.finished.await;
        assert_eq!(finished.ended, ended, "from {end}: {shown:?}");
        let mut now = after.memory.living(TENANT);
        let mut then = living.clone();
        // Moments are those of then or of now; all else is the same.
        now.sort_unstable_by_key(|entry| entry.0);
        then.sort_unstable_by_key(|entry| entry.0);
        assert_eq!(now, then, "from {end}");
        assert_eq!(after.memory.writes(TENANT).len(), whole.len(), "from {end}");
    }
}

#[tokio::test]
async fn what_the_stores_files_have_is_not_handed_over_again() {
    let node = TestNode::new();
    node.run(rememberer(), remembers).await;
    node.kernel.memory_journal().applied(TENANT, 3);
    let memory = node.journal.memory.up_to(node.journal.memory.end());
    let image = memory.node().expect("it can be read");
    assert_eq!(image.memory.iter().map(|(_, write)| write.number).collect::<Vec<_>>(), [4, 5]);
    assert_eq!((image.next.memory_write, image.next.memory_entry), (6, 3));
    let after = TestNode::after(memory);
    after.kernel.recover().expect("it can be read");
    assert_eq!(after.memory.writes(TENANT).len(), 2);
    // Numbers go on where they were.
    let (_, _) = after
        .run(rememberer(), |guest: Guest| async move {
            assert_eq!(guest.remember("notes", "new").await, EntryId(3));
            done()
        })
        .await;
    assert_eq!(after.memory.writes(TENANT).last().map(|write| write.number), Some(6));
}

#[tokio::test]
async fn nothing_that_may_have_to_be_destroyed_is_in_a_request_of_the_log() {
    let node = TestNode::new();
    node.run(rememberer(), remembers).await;
    let told = node.journal.memory.records().into_iter().filter_map(|record| record.entry);
    let asked: String = told
        .filter_map(|entry| match entry {
            Entry::Told(told) if matches!(*told.reply, Reply::Memory(_)) => Some(format!("{:?}", told.asked.request())),
            _ => None,
        })
        .collect();
    assert!(asked.contains("Forget") && !asked.contains("fish"), "{asked}");
    let writes = node.journal.memory.records().into_iter().flat_map(|record| record.changes);
    let puts = writes
        .filter(|change| matches!(change, Change::Remembered { write, .. } if matches!(write.act, MemoryAct::Put(_))));
    assert_eq!(puts.count(), 4);
}
