//! Answers of models that come in pieces: one text each, found when nothing more comes.

use super::{all_of, on, recall, said, stage, tell, texts};
use crate::{
    sample::{began, told},
    stage::Stage,
};
use remit_abi::{
    Delta, FinishReason, GenerationId, Label, LlmError, LlmReply, LlmRequest, Pid, Reply, Request, Summary, TagSet,
    TenantId, Tokens, Usage,
};
use remit_journal::RecallRules;
use remit_kernel::ports::{Asked, Change, Entry, HeardFrom, Told};
use std::{borrow::Cow, fs, path::Path};

const fn generation(index: u32, generation: u32) -> GenerationId {
    GenerationId { index, generation }
}

fn reply(of: GenerationId, reply: Result<LlmReply, LlmError>) -> Entry<'static> {
    match told(1) {
        Entry::Told(told) => Entry::Told(Told {
            asked: Asked::of(&Request::Llm(LlmRequest::Next { generation: of })),
            reply: Cow::Owned(Reply::Llm(reply)),
            ..told
        }),
        other => other,
    }
}

fn starts(of: GenerationId) -> Entry<'static> {
    reply(of, Ok(LlmReply::Started(of)))
}

fn piece(of: GenerationId, text: &str) -> Entry<'static> {
    reply(of, Ok(LlmReply::Next(Delta::Text(text.into()))))
}

fn ends(of: GenerationId) -> Entry<'static> {
    let summary = Summary { finish: FinishReason::Stop, usage: Usage::default(), paid: Tokens::ZERO, routed: None };
    reply(of, Ok(LlmReply::Next(Delta::End(summary))))
}

fn pieces(of: GenerationId, text: &[&str]) -> Vec<Entry<'static>> {
    let all = text.iter().map(|text| piece(of, text));
    [starts(of)].into_iter().chain(all).chain([ends(of)]).collect()
}

/// Tells a conversation in as many commits as are wanted, and looks at each moment where `looks` says so.
fn check(lines: &[Entry<'static>], question: &str, expect: &[&str]) {
    for commits in [1, 2, 1_000] {
        for looks in [false, true] {
            let (stage, [pid, _]) = stage();
            on(&stage, &[1]);
            for part in lines.chunks(lines.len().div_ceil(commits)) {
                let owned = |entry: &Entry<'static>| crate::model::Owned {
                    pid: Some(pid),
                    entry: Some(entry.clone()),
                    changes: Vec::new(),
                };
                let owned: Vec<_> = part.iter().map(owned).collect();
                let records: Vec<_> = owned.iter().map(crate::model::Owned::record).collect();
                remit_kernel::ports::Journal::append(stage.journal(), &records).expect("there is room");
                stage.settle();
                if looks {
                    recall(stage.journal(), 1, question);
                }
            }
            assert_eq!(texts(stage.journal(), 1, question), expect, "{commits} commits, {looks}");
        }
    }
}

#[test]
fn an_answer_in_pieces_is_one_text() {
    let one = generation(0, 1);
    check(&pieces(one, &["the ket", "tle ", "whist", "les"]), "kettle", &["the kettle whistles"]);
    check(&pieces(one, &["the ket", "tle ", "whist", "les"]), "ket tle whist les", &[]);
    check(&pieces(one, &[]), "kettle", &[]);
}

#[test]
fn an_answer_is_found_when_it_has_ended_and_not_before() {
    let one = generation(0, 1);
    let mut lines = pieces(one, &["the ket", "tle"]);
    lines.pop();
    check(&lines, "kettle", &[]);
    // A break, the end of the run, another answer in its place.
    let broken = reply(one, Err(LlmError::Invalid("it broke off".into())));
    for end in [ends(one), broken, began(1), starts(generation(0, 2))] {
        check(&[lines.clone(), vec![end]].concat(), "kettle", &["the kettle"]);
    }
    check(&[lines, vec![starts(generation(1, 1)), said("a kettle")]].concat(), "kettle", &["a kettle"]);
}

#[test]
fn answers_that_come_at_the_same_time_are_told_apart() {
    let [one, two] = [generation(0, 1), generation(1, 1)];
    let lines = vec![
        starts(one),
        piece(one, "red "),
        starts(two),
        piece(two, "blue "),
        said("a tool's kettle"),
        piece(one, "kettle"),
        piece(two, "kettle"),
        ends(two),
        piece(one, "s"),
        ends(one),
        // After the end the end again.
        ends(one),
    ];
    check(&lines, "kettle", &["a tool's kettle", "blue kettle", "red kettles"]);
}

#[test]
fn an_answer_has_the_labels_of_all_its_pieces() {
    let (stage, [pid, _]) = stage();
    let one = generation(0, 1);
    let changes = vec![Change::Tagged { tenant: TenantId(1), index: 5, name: "medical".into() }];
    stage.append(&[crate::model::Owned { pid: None, entry: None, changes }]);
    let mut lines = pieces(one, &["red ", "kettle", " sings"]);
    if let Entry::Told(told) = &mut lines[2] {
        told.label = Label { tags: TagSet::single(5).expect("it is in range"), ..Label::TRUSTED };
    }
    tell(&stage, pid, lines);
    on(&stage, &[1]);
    let found = recall(stage.journal(), 1, "kettle");
    assert_eq!((found.len(), found[0].from), (1, HeardFrom::Model));
    assert_eq!(found[0].label.tags.indices().collect::<Vec<_>>(), [5]);
    let mut rules = all_of(&[1]);
    rules.insert(TenantId(1), RecallRules { excluded: vec!["medical".into()], keep_ns: u64::MAX });
    stage.journal().set_recall(rules).expect("it is written");
    assert_eq!(recall(stage.journal(), 1, "kettle"), []);
}

/// Puts the files of a folder in the place of those of another.
fn put_back(from: &Path, to: &Path) {
    let _none = fs::remove_dir_all(to);
    fs::create_dir_all(to).expect("it is writable");
    for entry in fs::read_dir(from).expect("it is there") {
        let path = entry.expect("it can be listed").path();
        fs::copy(&path, to.join(path.file_name().expect("it is a file"))).expect("it is writable");
    }
}

#[test]
fn an_index_of_any_earlier_moment_goes_on_to_what_a_new_one_comes_to() {
    let (mut stage, [pid, other]) = stage();
    let [one, two] = [generation(0, 1), generation(1, 1)];
    let mut lines = pieces(one, &["the red ket", "tle"]);
    lines.extend([said("a kettle"), starts(two), piece(two, "blue ket")]);
    lines.extend(pieces(generation(0, 2), &["a third ", "kettle"]));
    lines.extend([piece(two, "tle"), began(2), said("a last kettle")]);
    let (kept, folder) =
        (tempfile::tempdir().expect("there is a folder for such things"), stage.folder().join("recall"));
    let mut moments = 0;
    for line in lines {
        on(&stage, &[1]);
        tell(&stage, pid, [line]);
        tell(&stage, other, [said("of another tenant")]);
        recall(stage.journal(), 1, "kettle");
        stage.close();
        put_back(&folder, &kept.path().join(moments.to_string()));
        moments += 1;
        stage.reopen();
    }
    let expect = ["a kettle", "a last kettle", "a third kettle", "blue kettle", "the red kettle"];
    let check = |stage: &Stage, what: &str| {
        on(stage, &[1]);
        assert_eq!(texts(stage.journal(), 1, "kettle"), expect, "{what}");
    };
    fs::remove_dir_all(&folder).expect("it is there");
    check(&stage, "a new one");
    for moment in 0..moments {
        stage.close();
        put_back(&kept.path().join(moment.to_string()), &folder);
        stage.reopen();
        check(&stage, &format!("that of moment {moment}"));
    }
}

#[test]
fn slices_of_a_long_log_come_to_all_of_it() {
    let (stage, [pid, other]) = stage();
    let of = Pid { ..pid };
    for round in 0..100 {
        tell(&stage, of, [said(&format!("kettle{round}"))]);
        tell(&stage, other, [said("of another tenant")]);
    }
    on(&stage, &[1]);
    assert!(stage.journal().follow_recall().expect("it follows"), "there is more than a slice");
    assert_eq!(texts(stage.journal(), 1, "kettle0 kettle99"), ["kettle0", "kettle99"]);
    assert!(!stage.journal().follow_recall().expect("it follows"));
}
