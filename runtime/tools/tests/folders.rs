//! Declared folders on a real disk: what is told of what lies there, and what is told of nothing.

use remit_abi::{FileEntry, FileKind, FileRange, FolderListing, Integrity, TenantId, limits};
use remit_kernel::ports::{Folders, FoundFile, ReadError};
use remit_tools::{Declarations, DiskFolders, ToolsError};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
};
use tempfile::TempDir;
use tokio::runtime::Handle;

const TENANT: TenantId = TenantId(1);

/// A folder `docs` with a few things in it, and a secret beside it.
struct Disk {
    folder: TempDir,
    folders: DiskFolders,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let docs = folder.path().join("docs");
        fs::create_dir_all(docs.join("old")).expect("it is writable");
        for (path, text) in [("docs/a.md", "# A"), ("docs/old/b.txt", "old"), ("secret.txt", "a secret")] {
            fs::write(folder.path().join(path), text).expect("it is writable");
        }
        let declared = "[folder.docs]\npath = 'docs'\nintegrity = 'trusted'\ntags = ['house']\n";
        let declared = Declarations::parse(declared, folder.path()).expect("it is whole");
        Self { folders: DiskFolders::new(&declared, Handle::current()), folder }
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path)
    }

    async fn list(&self, path: &str) -> Result<FolderListing, ReadError> {
        self.folders.list(TENANT, path.into(), None, 9).await
    }

    async fn describe(&self, path: &str) -> Result<FileEntry, ReadError> {
        self.folders.describe(TENANT, path.into()).await
    }

    async fn read(&self, path: &str, range: FileRange) -> Result<FoundFile, ReadError> {
        self.folders.read(TENANT, path.into(), range).await
    }

    async fn whole(&self, path: &str) -> Result<FoundFile, ReadError> {
        self.read(path, FileRange::Whole).await
    }

    /// Nothing of what lies at a path is read.
    async fn check_shut(&self, path: &str, expect: ReadError) {
        assert_eq!(self.whole(path).await, Err(expect.clone()), "{path}");
        let part = FileRange::Part { offset: 0, length: 1, expected: None };
        assert_eq!(self.read(path, part).await, Err(expect), "{path}");
    }
}

fn names(listing: &FolderListing) -> Vec<(&str, FileKind)> {
    listing.entries.iter().map(|entry| (&*entry.name, entry.kind)).collect()
}

#[tokio::test]
async fn what_lies_there_is_listed_described_and_read() {
    let disk = Disk::new();
    let facts = disk.folders.facts(TENANT, "docs").expect("it is declared");
    assert_eq!((facts.integrity, &*facts.tags), (Integrity::Trusted, &[Box::<str>::from("house")][..]));
    assert_eq!(disk.folders.names(TENANT), [Box::<str>::from("docs")]);
    let declared = disk.list(".").await.expect("it can be listed");
    assert_eq!(names(&declared), [("docs", FileKind::Folder)]);
    let listing = disk.list("docs").await.expect("it can be listed");
    assert_eq!(names(&listing), [("a.md", FileKind::File), ("old", FileKind::Folder)]);
    assert_eq!((listing.more, listing.unnamed), (false, 0));
    let entry = disk.describe("docs/a.md").await.expect("it is there");
    assert_eq!(entry, listing.entries[0]);
    assert_eq!(disk.describe("docs").await.map(|entry| entry.kind), Ok(FileKind::Folder));
    let found = disk.whole("docs/a.md").await.expect("it can be read");
    assert_eq!((&*found.bytes, &*found.media_type, found.size), (&b"# A"[..], "text/markdown", 3));
    assert_eq!(found.revision, entry.revision);
    assert_eq!(disk.whole("docs/old/b.txt").await.map(|found| found.bytes), Ok("old".into()));
}

#[tokio::test]
async fn a_folder_of_thousands_is_listed_in_parts() {
    let disk = Disk::new();
    for number in 0..1000 {
        File::create(disk.path(&format!("docs/old/{number:04}"))).expect("it is writable");
    }
    let (mut after, mut all) = (None, Vec::new());
    loop {
        let listing = disk.folders.list(TENANT, "docs/old".into(), after, 300).await.expect("it can be listed");
        assert!(listing.entries.len() <= 300);
        all.extend(listing.entries.iter().map(|entry| entry.name.to_string()));
        after = listing.entries.last().map(|entry| entry.name.clone());
        if !listing.more {
            break;
        }
    }
    assert_eq!((all.len(), all.is_sorted()), (1001, true));
}

#[tokio::test]
async fn no_link_is_followed_in_whichever_part_of_a_path() {
    let disk = Disk::new();
    let outside = disk.path("secret.txt");
    for (link, target) in [("out", outside.as_path()), ("up", Path::new("..")), ("in", Path::new("old"))] {
        symlink(target, disk.path("docs").join(link)).expect("it is writable");
    }
    symlink("b.txt", disk.path("docs/old/link.txt")).expect("it is writable");
    let listing = disk.list("docs").await.expect("it can be listed");
    let links = listing.entries.iter().filter(|entry| entry.kind == FileKind::Other && entry.size == 0);
    assert_eq!(links.map(|entry| &*entry.name).collect::<Vec<_>>(), ["in", "out", "up"]);
    for path in ["docs/out", "docs/up", "docs/in", "docs/old/link.txt"] {
        disk.check_shut(path, ReadError::NotAFile).await;
        assert_eq!(disk.list(path).await, Err(ReadError::NotAFolder), "{path}");
    }
    for path in ["docs/up/secret.txt", "docs/in/b.txt"] {
        disk.check_shut(path, ReadError::NotAFolder).await;
    }
}

#[tokio::test]
async fn what_is_no_file_is_never_waited_for() {
    let disk = Disk::new();
    mknodat(CWD, disk.path("docs/pipe"), FileType::Fifo, Mode::RUSR, 0).expect("anybody may make a pipe");
    let _socket = std::os::unix::net::UnixListener::bind(disk.path("docs/socket")).expect("it is writable");
    disk.check_shut("docs/pipe", ReadError::NotAFile).await;
    disk.check_shut("docs/socket", ReadError::NotAFile).await;
    disk.check_shut("docs/old", ReadError::NotAFile).await;
    disk.check_shut("docs", ReadError::NotAFile).await;
    disk.check_shut(".", ReadError::NotAFile).await;
    disk.check_shut("docs/a.md/b", ReadError::NotAFolder).await;
    disk.check_shut("docs/none", ReadError::Nothing).await;
    disk.check_shut("other/a.md", ReadError::Nothing).await;
    let declared = Declarations::parse("[folder.dev]\npath = '/dev'\n", Path::new("/")).expect("it is a folder");
    let devices = DiskFolders::new(&declared, Handle::current());
    assert_eq!(devices.read(TENANT, "dev/zero".into(), FileRange::Whole).await, Err(ReadError::NotAFile));
}

#[tokio::test]
async fn what_was_written_to_is_another_revision() {
    let disk = Disk::new();
    let before = disk.whole("docs/a.md").await.expect("it can be read").revision;
    let part = |expected| FileRange::Part { offset: 0, length: 9, expected: Some(expected) };
    assert!(disk.read("docs/a.md", part(before)).await.is_ok());
    fs::write(disk.path("docs/a.md"), "# Another").expect("it is writable");
    assert_eq!(disk.read("docs/a.md", part(before)).await, Err(ReadError::Changed));
    // Another file in its place is another revision, however alike.
    let now = disk.whole("docs/a.md").await.expect("it can be read").revision;
    fs::write(disk.path("docs/new"), "# Another").expect("it is writable");
    fs::rename(disk.path("docs/new"), disk.path("docs/a.md")).expect("it is writable");
    assert_eq!(disk.read("docs/a.md", part(now)).await, Err(ReadError::Changed));
    fs::remove_file(disk.path("docs/a.md")).expect("it is writable");
    assert_eq!(disk.read("docs/a.md", part(now)).await, Err(ReadError::Nothing));
    fs::remove_dir_all(disk.path("docs")).expect("it is writable");
    assert_eq!(disk.list("docs").await, Err(ReadError::Nothing));
}

#[tokio::test]
async fn a_huge_file_is_read_in_parts_alone() {
    let disk = Disk::new();
    let size = 1_u64 << 40;
    let mut file = File::create(disk.path("docs/huge")).expect("it is writable");
    file.write_all(b"begin").expect("there is room");
    file.set_len(size).expect("holes take no room");
    assert_eq!(disk.whole("docs/huge").await, Err(ReadError::TooLarge));
    let part = |offset, length| FileRange::Part { offset, length, expected: None };
    let found = disk.read("docs/huge", part(0, 5)).await.expect("it can be read");
    assert_eq!((&*found.bytes, found.size), (&b"begin"[..], size));
    let end = disk.read("docs/huge", part(size - 2, 100)).await.expect("it can be read");
    assert_eq!(&*end.bytes, [0, 0]);
    assert_eq!(disk.read("docs/huge", part(u64::MAX, 1)).await.map(|found| found.bytes.len()), Ok(0));
    let most = disk.read("docs/huge", part(0, u32::MAX)).await.expect("it can be read");
    assert_eq!((most.bytes.len(), &*most.media_type), (limits::FILE_BYTES_MAX, "application/octet-stream"));
}

#[tokio::test]
async fn names_that_no_path_can_have_are_counted() {
    let disk = Disk::new();
    for name in [&b"\xff\xfe"[..], b"new\nline", b"back\\slash", b"C:"] {
        File::create(disk.path("docs/old").join(OsStr::from_bytes(name))).expect("Linux takes any name");
    }
    let listing = disk.list("docs/old").await.expect("it can be listed");
    assert_eq!((names(&listing), listing.unnamed), (vec![("b.txt", FileKind::File)], 4));
}

#[tokio::test]
async fn a_part_that_cuts_a_character_is_text_all_the_same() {
    let disk = Disk::new();
    fs::write(disk.path("docs/old/b.txt"), "zürich").expect("it is writable");
    for (offset, length, expect) in [(0, 2, "text/plain"), (2, 9, "text/plain"), (0, 9, "text/plain")] {
        let found = disk.read("docs/old/b.txt", FileRange::Part { offset, length, expected: None }).await;
        assert_eq!(&*found.expect("it can be read").media_type, expect, "{offset}");
    }
    fs::write(disk.path("docs/old/b.txt"), b"\x80\x81\x82\x83text").expect("it is writable");
    let found = disk.whole("docs/old/b.txt").await.expect("it can be read");
    assert_eq!(&*found.media_type, "application/octet-stream");
}

#[test]
fn what_cannot_be_a_folder_is_refused_when_it_is_declared() {
    let check = |lines: &str, says: &str| match Declarations::parse(lines, Path::new("/")) {
        Err(error @ (ToolsError::Folder { .. } | ToolsError::Form { .. })) => {
            assert!(error.to_string().contains(says), "{lines}: {error}");
        }
        other => panic!("{lines}: {other:?}"),
    };
    check("[folder.x]\npath = 'no/such'\n", "/no/such cannot be found");
    check("[folder.x]\npath = '/dev/null'\n", "/dev/null is no folder");
    check("[folder.x]\n", "missing field `path`");
    check("[folder.x]\npath = '/'\naccess = 'read-write'\n", "unknown field `access`");
    check("[folder.x]\npath = '/'\ntags = ['']\n", "no tag");
    for name in ["a/b", "", "..", "a b"] {
        check(&format!("[folder.\"{name}\"]\npath = '/'\n"), "its name must");
    }
}
