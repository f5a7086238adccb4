//! The librarian of `agents/`, on a recorded model: what it finds in a folder, and whether what it quotes stands there.
//!
//! Ten tasks are a data file: a document, a question, and the words of the document that the recorded model quotes.

use crate::stage::{Shown, Stage, agent, data, task};
use remit_abi::Status;
use remit_assembly::{Declarations, Ended};
use serde::Deserialize;
use std::{fs, path::Path};
use tempfile::TempDir;

#[derive(Deserialize)]
struct Tasks {
    tasks: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    path: String,
    text: String,
    asked: String,
    quoted: String,
}

fn tasks() -> Vec<Asked> {
    let text = fs::read_to_string(data("librarian-tasks.json")).expect("the tasks are beside the tests");
    serde_json::from_str::<Tasks>(&text).expect("they are in their form").tasks
}

/// A folder with all documents.
fn documents(tasks: &[Asked]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder for the test");
    for Asked { path, text, .. } in tasks {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("the test's folder is writable");
        fs::write(path, text).expect("the test's folder is writable");
    }
    folder
}

async fn stage(home: &Path, documents: &Path) -> Stage {
    let declared = format!("[folder.documents]\npath = {documents:?}\n");
    let declared = Declarations::parse(&declared, Path::new("/")).expect("it is a folder");
    Stage::remembering_with(home, "librarian.json", &declared).await
}

async fn ask(stage: &Stage, text: &str) -> Shown {
    stage.run(task(agent("librarian"), text)).await
}

#[tokio::test]
async fn each_answer_cites_the_document_that_it_stands_in_also_on_another_host() {
    let (home, tasks) = (tempfile::tempdir().expect("a folder for the test"), tasks());
    let folder = documents(&tasks);
    for half in tasks.chunks(5) {
        let stage = stage(home.path(), folder.path()).await;
        for Asked { path, asked, quoted, .. } in half {
            let shown = ask(&stage, asked).await;
            let expected = format!("It says so [documents/{path}: \"{quoted}\"].\n[1 of 1 citations are supported.]\n");
            assert_eq!(shown.text(), expected, "{:?}", shown.finished.ended);
            assert_eq!(shown.finished.ended, Ended::Done(Status::Complete, None));
        }
    }
}

#[tokio::test]
async fn what_is_made_up_is_marked_and_the_answer_is_partial() {
    let (home, tasks) = (tempfile::tempdir().expect("a folder for the test"), tasks());
    let folder = documents(&tasks);
    let stage = stage(home.path(), folder.path()).await;
    let shown = ask(&stage, "Who painted the gate?").await;
    let expected = "Ada did [unsupported: \"painted by Ada\"], and nobody else [unsupported: \"nobody\"].\n\
                    [0 of 2 citations are supported.]\n";
    assert_eq!((shown.text().as_str(), &shown.finished.ended), (expected, &Ended::Done(Status::Partial, None)));
}

#[tokio::test]
async fn what_changed_is_indexed_anew_and_what_is_gone_is_not_cited() {
    let (home, tasks) = (tempfile::tempdir().expect("a folder for the test"), tasks());
    let folder = documents(&tasks);
    let stage = stage(home.path(), folder.path()).await;
    let Asked { path, asked, .. } = &tasks[0];
    ask(&stage, asked).await;
    fs::write(folder.path().join(path), "A borrowed novel may be kept for a month.").expect("it is writable");
    let shown = ask(&stage, asked).await;
    assert!(shown.text().contains("[unsupported: \"three weeks\"]"), "{}", shown.text());
    let prompt = stage.engine.prompts().pop().expect("it asked the model");
    assert!(prompt.contains("kept for a month") && !prompt.contains("three weeks"), "{prompt}");
    fs::remove_file(folder.path().join(path)).expect("it is writable");
    ask(&stage, asked).await;
    let prompt = stage.engine.prompts().pop().expect("it asked the model");
    assert!(!prompt.contains("kept for a month"), "{prompt}");
}

#[tokio::test]
async fn without_a_declared_folder_it_says_so() {
    let home = tempfile::tempdir().expect("a folder for the test");
    let stage = Stage::remembering(home.path(), "librarian.json").await;
    let error = stage.start(task(agent("librarian"), "What?")).err().expect("there is no such folder");
    assert!(error.to_string().contains("the folder documents"), "{error}");
}
