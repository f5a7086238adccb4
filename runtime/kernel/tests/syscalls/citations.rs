//! Citations: whether a quotation stands in what is cited, for whoever may read that, and the audit's fact of each.

use crate::{
    fakes::{Given, Guest, TENANT, TestNode, done, grant, tokens},
    recovery::emit,
    stage::{Stage, stranger},
};
use remit_abi::{
    Access, Cited, Citing, Content, EntryId, Exit, GrantKind, GrantSpec, Label, MemoryError, MemoryReply,
    MemoryRequest, Particulars, Reply, Request, Rewriting, Writing, limits,
};
use remit_kernel::{
    Citations, Finished,
    ports::{Entry, Fact, Position},
};

/// May write notes and a diary, and look into the notes by a right of its own.
fn keeper() -> Given {
    let store = |label, name| grant(label, GrantKind::Memory, &[name]);
    let look = GrantSpec { access: Access::ReadOnly, ..store("look", "notes") };
    Given { grants: vec![store("notes", "notes"), store("diary", "diary"), look], ..stranger() }
}

fn writing(grant: remit_abi::GrantId, content: Content) -> Writing {
    Writing { grant, content, particulars: Particulars::default(), vector: None }
}

impl Guest {
    async fn ask_memory(&self, request: MemoryRequest) -> Result<MemoryReply, MemoryError> {
        match self.call(Request::Memory(request)).await {
            Reply::Memory(result) => result,
            other => panic!("not a reply to memory: {other:?}"),
        }
    }

    async fn put_note(&self, content: Content) -> EntryId {
        let grant = self.take("notes").await;
        match self.ask_memory(MemoryRequest::Put(Box::new(writing(grant, content)))).await {
            Ok(MemoryReply::Put(entry)) => entry,
            other => panic!("it may: {other:?}"),
        }
    }

    async fn rewrite_note(&self, entry: EntryId, said: &str) {
        let writing = writing(self.take("notes").await, Content::Text(said.into()));
        let rewriting = Rewriting { entry, expected: None, writing };
        self.ask_memory(MemoryRequest::Update(Box::new(rewriting))).await.expect("it may");
    }

    async fn cite(&self, store: &str, entry: EntryId, version: Option<u32>, said: &str) -> Result<Cited, MemoryError> {
        let grant = self.take(store).await;
        let citing = Citing { grant, entry, version, quotation: Content::Text(said.into()) };
        match self.ask_memory(MemoryRequest::Cite(Box::new(citing))).await? {
            MemoryReply::Cited(cited) => Ok(cited),
            other => panic!("not a citation: {other:?}"),
        }
    }
}

const fn at(version: u32, offset: u64) -> Result<Cited, MemoryError> {
    Ok(Cited { version, offset: Some(offset) })
}

const fn nowhere(version: u32) -> Result<Cited, MemoryError> {
    Ok(Cited { version, offset: None })
}

#[tokio::test]
async fn a_quotation_stands_in_the_version_that_is_cited_or_it_does_not() {
    let stage = Stage::new();
    let alice = stage.start(keeper()).await;
    let entry = alice.put_note(Content::Text("The attic has no light.".into())).await;
    assert_eq!(alice.cite("look", entry, None, "has no light").await, at(1, 10));
    assert_eq!(alice.cite("look", entry, None, "has a light").await, nowhere(1));
    assert_eq!(alice.cite("look", entry, None, "HAS NO LIGHT").await, nowhere(1));
    alice.rewrite_note(entry, "The attic has a lamp.").await;
    assert_eq!(alice.cite("look", entry, None, "has no light").await, nowhere(2));
    assert_eq!(alice.cite("look", entry, Some(1), "has no light").await, at(1, 10));
    let counted = stage.node.kernel.process(alice.pid).expect("it lives").ledger.citations;
    assert_eq!(counted, Citations { supported: 2, unsupported: 3 });
    let missing = alice.cite("look", entry, Some(3), "has no light").await;
    assert_eq!(missing, Err(MemoryError::NoSuchVersion { version: 3 }));
}

#[tokio::test]
async fn nobody_cites_what_they_may_not_read() {
    let stage = Stage::new();
    let alice = stage.start(keeper()).await;
    let entry = alice.put_note(Content::Text("A secret.".into())).await;
    // In another store, and for another tenant, it is not there.
    assert_eq!(alice.cite("diary", entry, None, "A secret.").await, Err(MemoryError::NoSuchEntry(entry)));
    let mallory = stage.start(Given { tenant: remit_abi::TenantId(TENANT.0 + 1), ..keeper() }).await;
    assert_eq!(mallory.cite("look", entry, None, "A secret.").await, Err(MemoryError::NoSuchEntry(entry)));
    for bad in ["", " \n", &"x".repeat(limits::QUOTATION_BYTES_MAX + 1)] {
        let cited = alice.cite("look", entry, None, bad).await;
        assert!(matches!(cited, Err(MemoryError::Invalid(_))), "{cited:?}");
    }
}

#[tokio::test]
async fn whoever_cites_learns_of_what_is_cited() {
    let stage = Stage::new();
    let secret = Label { tags: stage.node.kernel.tag(TENANT, "secret").expect("there is room"), ..Label::TRUSTED };
    let writer = stage.start(Given { input: vec![("It is forbidden.", secret)], ..keeper() }).await;
    let entry = writer.put_note(Content::Value(writer.start.conversation[0].content)).await;
    assert_eq!(writer.own_label().await, Label::TRUSTED);
    let guesser = stage.start(keeper()).await;
    assert_eq!(guesser.cite("look", entry, None, "It is allowed.").await, nowhere(1));
    assert_eq!(guesser.own_label().await, secret);
}

/// Writes, and cites what is there and what is not.
async fn cites(guest: Guest) -> Exit {
    let entry = guest.put_note(Content::Text("one fish, two fish".into())).await;
    for said in ["two", "three"] {
        let cited = guest.cite("look", entry, None, said).await.expect("it may");
        emit(&guest, &format!("{said}: {:?}", cited.offset)).await;
    }
    done()
}

#[tokio::test]
async fn citations_are_facts_and_the_same_wherever_the_host_ends() {
    let node = TestNode::new();
    let given = Given { package: "cites", budget: tokens(100), ..keeper() };
    let (Finished { ended, ledger, .. }, shown) = node.run(given, cites).await;
    assert_eq!(shown.len(), 2);
    let one_of_each = Citations { supported: 1, unsupported: 1 };
    assert_eq!((ledger.citations, node.kernel.citations()), (one_of_each, one_of_each));
    let entries = || node.journal.memory.records().into_iter().filter_map(|record| record.entry);
    let facts = entries().filter_map(|entry| entry.fact()).filter(|fact| matches!(fact, Fact::Cited { .. }));
    let expected = [Fact::Cited { supported: true }, Fact::Cited { supported: false }];
    assert_eq!(facts.collect::<Vec<_>>(), expected);
    // What is quoted may have to be destroyed: no request of the log has it.
    let asked = entries().filter_map(|entry| match entry {
        Entry::Told(told) if matches!(*told.reply, Reply::Memory(_)) => told.asked.request(),
        _ => None,
    });
    assert_eq!(asked.collect::<Vec<_>>(), []);
    for end in 1..=node.journal.memory.end().0 {
        let after = TestNode::after(node.journal.memory.up_to(Position(end)));
        after.install("cites", cites);
        let recovery = after.kernel.recover().expect("it can be read");
        let Some(resumed) = recovery.go_on().await.pop() else { continue };
        let finished = resumed.finished.await;
        // What was told before the end is counted again, and what comes after it once.
        assert_eq!((finished.ended, finished.ledger.citations), (ended.clone(), one_of_each), "from {end}");
    }
}
