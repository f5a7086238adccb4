//! Files of declared folders: who may read which, with which label, and that nobody reads them again for a process that is told again.

use crate::{
    fakes::{Given, Guest, TENANT, TestNode, done, grant, tokens},
    guest::same,
    recovery::emit,
    stage::{Stage, stranger},
};
use remit_abi::{
    Access, Attenuate, Denial, Exit, FileAsked, FileEntry, FileError, FileRange, FileReply, FileRequest, FolderAsked,
    FolderListing, GrantKind, GrantSpec, Integrity, Label, Reply, Request, ValueId, limits,
};
use remit_kernel::{
    Finished,
    ports::{DenialKind, Entry, Fact, Position, ReadError},
};
use std::sync::atomic::Ordering;

fn folder(label: &str, paths: &[&str]) -> GrantSpec {
    GrantSpec { access: Access::ReadOnly, ..grant(label, GrantKind::File, paths) }
}

/// May read the handbook, and the old part of it by a right of its own.
fn reader() -> Given {
    let grants = vec![folder("books", &["handbook"]), folder("old", &["handbook/old"]), folder("law", &["law"])];
    Given { grants, ..stranger() }
}

const WHOLE: FileRange = FileRange::Whole;

impl Guest {
    async fn ask_files(&self, request: FileRequest) -> Result<FileReply, FileError> {
        match self.call(Request::File(request)).await {
            Reply::File(result) => result,
            other => panic!("not a reply to files: {other:?}"),
        }
    }

    async fn list_files(
        &self,
        label: &str,
        path: &str,
        after: Option<&str>,
        count: u32,
    ) -> Result<FolderListing, FileError> {
        let grant = self.take(label).await;
        let asked = FolderAsked { grant, path: path.into(), after: after.map(Into::into), count };
        match self.ask_files(FileRequest::List(Box::new(asked))).await? {
            FileReply::Listed(listing) => Ok(listing),
            other => panic!("not a listing: {other:?}"),
        }
    }

    async fn look_at(&self, label: &str, path: &str) -> Result<FileEntry, FileError> {
        let grant = self.take(label).await;
        match self.ask_files(FileRequest::Describe { grant, path: path.into() }).await? {
            FileReply::Described(entry) => Ok(entry),
            other => panic!("not an entry: {other:?}"),
        }
    }

    async fn open_file(&self, label: &str, path: &str, range: FileRange) -> Result<(ValueId, u64, u64), FileError> {
        let grant = self.take(label).await;
        match self.ask_files(FileRequest::Read(Box::new(FileAsked { grant, path: path.into(), range }))).await? {
            FileReply::Read { content, size, revision } => Ok((content, size, revision)),
            other => panic!("nothing of a file: {other:?}"),
        }
    }

    /// A whole file's text, which taints.
    async fn file_text(&self, label: &str, path: &str) -> String {
        let (content, ..) = self.open_file(label, path, WHOLE).await.expect("it may, and it is there");
        String::from_utf8(self.read(content).await.to_vec()).expect("it is text")
    }
}

fn names(listing: &FolderListing) -> Vec<&str> {
    listing.entries.iter().map(|entry| &*entry.name).collect()
}

fn out_of_scope<T>(grant: &str) -> Result<T, FileError> {
    Err(FileError::Denied(Denial::OutOfScope { grant: grant.into() }))
}

#[tokio::test]
async fn what_lies_in_a_folder_is_listed_in_parts_and_read() {
    let stage = Stage::new();
    let alice = stage.start(reader()).await;
    let first = alice.list_files("books", "handbook", None, 2).await.expect("it may");
    assert_eq!((names(&first), first.more), (vec!["attic.txt", "cellar.txt"], true));
    let rest = alice.list_files("books", "handbook", Some("cellar.txt"), 2).await.expect("it may");
    assert_eq!((names(&rest), rest.more), (vec!["old"], false));
    assert_eq!(alice.look_at("books", "handbook/attic.txt").await.map(|entry| entry.size), Ok(23));
    assert_eq!(alice.file_text("books", "handbook/attic.txt").await, "The attic has no light.");
    let part = FileRange::Part { offset: 4, length: 5, expected: None };
    let (content, size, revision) = alice.open_file("books", "handbook/attic.txt", part).await.expect("it may");
    assert_eq!((&*alice.read(content).await, size), (&b"attic"[..], 23));
    stage.node.folders.write("handbook/attic.txt", "The attic has a lamp.");
    let next = FileRange::Part { offset: 9, length: 5, expected: Some(revision) };
    assert_eq!(alice.open_file("books", "handbook/attic.txt", next).await, Err(FileError::Changed));
    stage.end(alice, done()).await;
    stage.assert_empty();
}

#[tokio::test]
async fn a_path_that_the_grant_does_not_open_is_denied_and_nobody_looks_there() {
    let stage = Stage::new();
    let alice = stage.start(reader()).await;
    let dots = "handbook/old/../attic.txt";
    for path in ["handbook/attic.txt", "handbook", "law/paragraph.txt", ".", "/etc/passwd", dots, "handbook/oldest", ""]
    {
        assert_eq!(alice.look_at("old", path).await, out_of_scope("old"), "{path}");
        assert_eq!(alice.open_file("old", path, WHOLE).await, out_of_scope("old"), "{path}");
        assert_eq!(alice.list_files("old", path, None, 1).await, out_of_scope("old"), "{path}");
    }
    let long = format!("handbook/old/{}", "x".repeat(limits::PATH_BYTES_MAX));
    for path in ["handbook/old/a\\b", "handbook/old//x", "handbook/old/\u{0}", &long] {
        assert_eq!(alice.look_at("old", path).await, out_of_scope("old"), "{path}");
    }
    assert_eq!(stage.node.folders.asked.load(Ordering::SeqCst), 0);
    assert_eq!(alice.file_text("old", "handbook/old/attic.txt").await, "It had a lamp.");
    assert_eq!(alice.own_label().await.integrity, Integrity::Untrusted);
}

#[tokio::test]
async fn a_right_that_was_narrowed_or_revoked_opens_no_more_than_that() {
    let stage = Stage::new();
    let alice = stage.start(Given { grants: vec![folder("all", &["."])], ..stranger() }).await;
    assert_eq!(alice.file_text("all", "law/paragraph.txt").await, "It is forbidden.");
    let all = alice.take("all").await;
    let part = Attenuate { scope: Some(["handbook/old".into()].into()), ..same(all, "part") };
    alice.attenuate(part).await.expect("it only shrinks");
    assert_eq!(alice.file_text("part", "handbook/old/attic.txt").await, "It had a lamp.");
    assert_eq!(alice.open_file("part", "handbook/attic.txt", WHOLE).await, out_of_scope("part"));
    let grant = alice.take("part").await;
    stage.node.kernel.revoke(all).expect("it is live");
    let asked = FileAsked { grant, path: "handbook/old/attic.txt".into(), range: WHOLE };
    let denied = alice.ask_files(FileRequest::Read(Box::new(asked))).await;
    assert!(matches!(denied, Err(FileError::Denied(Denial::Revoked(_)))), "{denied:?}");
}

#[tokio::test]
async fn what_is_read_has_its_folders_label_and_names_taint() {
    let stage = Stage::new();
    let secret = Label { tags: stage.node.kernel.tag(TENANT, "secret").expect("there is room"), ..Label::TRUSTED };
    let alice = stage.start(reader()).await;
    let (content, ..) = alice.open_file("books", "handbook/attic.txt", WHOLE).await.expect("it may");
    // It may pass it on unread.
    assert_eq!((alice.label_of(content).await, alice.own_label().await), (Label::UNTRUSTED, Label::TRUSTED));
    alice.list_files("books", "handbook", None, 9).await.expect("it may");
    assert_eq!(alice.own_label().await, Label::UNTRUSTED);
    let bob = stage.start(reader()).await;
    let (content, ..) = bob.open_file("law", "law/paragraph.txt", WHOLE).await.expect("it may");
    assert_eq!((bob.label_of(content).await, bob.own_label().await), (secret, secret));
    // That nothing lies there is told as well.
    let carol = stage.start(reader()).await;
    assert_eq!(carol.look_at("law", "law/missing.txt").await, Err(FileError::NoSuchFile));
    assert_eq!(carol.own_label().await, secret);
}

#[tokio::test]
async fn what_cannot_be_is_an_error() {
    let stage = Stage::new();
    let alice = stage.start(Given { grants: vec![folder("other", &["nowhere"])], ..reader() }).await;
    assert_eq!(alice.look_at("other", "nowhere/x").await, Err(FileError::NoSuchFile));
    let bob = stage.start(reader()).await;
    for count in [0, limits::FILES_LISTED_MAX + 1] {
        let listed = bob.list_files("books", "handbook", None, count).await;
        assert!(matches!(listed, Err(FileError::Invalid(_))), "{listed:?}");
    }
    let part = |length| FileRange::Part { offset: u64::MAX, length, expected: None };
    let none = bob.open_file("books", "handbook/attic.txt", part(0)).await;
    assert!(matches!(none, Err(FileError::Invalid(_))), "{none:?}");
    let large = Err(FileError::TooLarge { limit: limits::FILE_BYTES_MAX as u64 });
    assert_eq!(bob.open_file("books", "handbook/attic.txt", part(u32::MAX)).await, large);
    stage.node.folders.write("handbook/huge.txt", &"x".repeat(limits::FILE_BYTES_MAX + 1));
    assert_eq!(bob.open_file("books", "handbook/huge.txt", WHOLE).await, large);
    for (fails, told) in [
        (ReadError::NotAFile, FileError::NotAFile),
        (ReadError::NotAFolder, FileError::NotAFolder),
        (ReadError::Changed, FileError::Changed),
        (ReadError::Failed("the disk is gone".into()), FileError::Unavailable("the disk is gone".into())),
    ] {
        *stage.node.folders.fails.lock() = Some(fails);
        assert_eq!(bob.open_file("books", "handbook/attic.txt", WHOLE).await, Err(told));
    }
}

#[tokio::test]
async fn what_finds_no_room_is_not_taken() {
    let node = TestNode::new();
    let limits = limits::Limits { value_bytes_max: 30, ..limits::Limits::default() };
    node.run(Given { limits, ..reader() }, |guest: Guest| async move {
        guest.open_file("books", "handbook/attic.txt", WHOLE).await.expect("there is room");
        assert_eq!(guest.open_file("books", "handbook/attic.txt", WHOLE).await, Err(FileError::NoRoom));
        let part = FileRange::Part { offset: 0, length: 7, expected: None };
        guest.open_file("books", "handbook/attic.txt", part).await.expect("there is room for that");
        done()
    })
    .await;
}

/// Lists, looks and reads, and shows what it finds.
async fn reads(guest: Guest) -> Exit {
    let listing = guest.list_files("books", "handbook", None, 9).await.expect("it may");
    emit(&guest, &names(&listing).join(", ")).await;
    emit(&guest, &guest.file_text("books", "handbook/attic.txt").await).await;
    let refused = guest.look_at("old", "handbook/attic.txt").await;
    assert_eq!(refused, out_of_scope("old"));
    assert_eq!(guest.look_at("old", "handbook/old/none").await, Err(FileError::NoSuchFile));
    emit(&guest, &guest.file_text("old", "handbook/old/attic.txt").await).await;
    done()
}

#[tokio::test]
async fn wherever_the_host_ends_a_process_is_told_again_what_it_read_and_no_folder_is_asked_for_it() {
    let node = TestNode::new();
    let given = || Given { package: "reads", budget: tokens(100), ..reader() };
    let (Finished { ended, label, .. }, shown) = node.run(given(), reads).await;
    let asked = node.folders.asked.load(Ordering::SeqCst);
    assert_eq!((shown.len(), asked), (3, 4));
    let denial = Fact::Denied { interface: "files".into(), denial: DenialKind::OutOfScope };
    let mut facts = node.journal.memory.records().into_iter().filter_map(|record| record.entry?.fact());
    assert!(facts.any(|fact| fact == denial));
    for end in 1..=node.journal.memory.end().0 {
        let after = TestNode::after(node.journal.memory.up_to(Position(end)));
        after.install("reads", reads);
        let told = told(&node, end);
        let recovery = after.kernel.recover().expect("it can be read");
        let Some(resumed) = recovery.go_on().await.pop() else { continue };
        let finished = resumed.finished.await;
        assert_eq!((finished.ended, finished.label), (ended.clone(), label), "from {end}");
        assert_eq!(after.folders.asked.load(Ordering::SeqCst), asked - told, "from {end}");
    }
}

/// How often folders had been asked by what the first records say.
fn told(node: &TestNode, end: u64) -> usize {
    let memory = node.journal.memory.up_to(Position(end));
    let is_asked = |entry: &Entry<'_>| match entry {
        Entry::Told(told) => {
            matches!(&*told.reply, Reply::File(reply) if !matches!(reply, Err(FileError::Denied(_))))
        }
        _ => false,
    };
    memory.records().iter().filter(|record| record.entry.as_ref().is_some_and(is_asked)).count()
}
