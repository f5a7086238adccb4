//! The companion of `agents/`, on a recorded model: what a model is given of what was said before.
//!
//! Ten tasks are a data file: something is said among chatter, the host is started anew, and later something is asked that needs it.

use crate::stage::{Job, Stage, agent, data, task, tokens};
use remit_abi::Status;
use remit_assembly::Ended;
use serde::Deserialize;

#[derive(Deserialize)]
struct Tasks {
    chatter: Vec<String>,
    tasks: Vec<Needed>,
}

#[derive(Deserialize)]
struct Needed {
    said: String,
    asked: String,
    needs: String,
}

fn tasks() -> Tasks {
    let text = std::fs::read_to_string(data("companion-tasks.json")).expect("the tasks are beside the tests");
    serde_json::from_str(&text).expect("they are in their form")
}

async fn says(stage: &Stage, text: &str) {
    let shown = stage.run(task(agent("companion"), text)).await;
    assert_eq!(
        (shown.finished.ended.clone(), shown.text().as_str()),
        (Ended::Done(Status::Complete, None), "I see.\n")
    );
}

#[tokio::test]
async fn what_was_said_is_there_when_it_is_needed_also_for_another_host() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let Tasks { chatter, tasks } = tasks();
    {
        let stage = Stage::remembering(folder.path(), "companion.json").await;
        for text in tasks.iter().map(|task| &task.said).chain(&chatter) {
            says(&stage, text).await;
        }
    }
    let stage = Stage::remembering(folder.path(), "companion.json").await;
    for Needed { asked, needs, .. } in &tasks {
        says(&stage, asked).await;
        let prompt = stage.engine.prompts().pop().expect("it asked the model");
        assert!(prompt.contains(needs), "{asked:?} needs {needs:?}: {prompt}");
        assert!(prompt.matches("\n- ").count() <= 6, "{prompt}");
        assert!(prompt.trim_end().ends_with(asked.as_str()), "{prompt}");
    }
}

#[tokio::test]
async fn what_was_said_is_noted_also_where_there_is_no_answer() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let stage = Stage::remembering(folder.path(), "companion.json").await;
    let shown = stage.run(Job { budget: Some(tokens(6)), ..task(agent("companion"), "The attic has no light.") }).await;
    assert_eq!(shown.finished.ended, Ended::Done(Status::Partial, None), "{}", shown.text());
    assert!(shown.text().contains("The budget is too small"), "{}", shown.text());
    says(&stage, "What about the light of the attic?").await;
    let prompt = stage.engine.prompts().pop().expect("it asked the model");
    assert!(prompt.contains("The attic has no light."), "{prompt}");
}

#[tokio::test]
async fn without_its_memory_or_a_word_it_says_so() {
    let stage = Stage::new("companion.json");
    let error = stage.start(task(agent("companion"), "Hello")).err().expect("there is no memory");
    assert!(error.to_string().contains("remit up"), "{error}");
    let folder = tempfile::tempdir().expect("a folder for the test");
    let stage = Stage::remembering(folder.path(), "companion.json").await;
    let shown = stage.run(task(agent("companion"), "")).await;
    assert!(matches!(&shown.finished.ended, Ended::Failed(failure) if failure.message.contains("nothing to answer")));
}
