//! The operator of `agents/`, on a recorded model, with tools that are small shell scripts.

use crate::stage::{Stage, agent, task};
use remit_abi::Status;
use remit_assembly::{Declarations, Ended};
use std::{fs, path::Path};

/// A stock to look at, orders that are written down beside it, and a bank that is closed.
const TOOLS: &str = "
    [tool.stock]
    description = 'How many boxes of an article there are.'
    parameters = { properties = { article = { type = 'string' } }, required = ['article'] }
    command = ['/bin/sh', '-c', 'echo \"{\\\"boxes\\\": 3}\"']
    effect = 'none'

    [tool.order]
    description = 'Orders boxes of paper.'
    command = ['/bin/sh', '-c', 'cat >> FOLDER/orders; echo ordered']
    effect = 'once'

    [tool.pay]
    description = 'Pays a bill.'
    command = ['/bin/sh', '-c', 'echo closed >&2; exit 4']
    effect = 'keyed'
";

fn stage(folder: &Path) -> Stage {
    let text = TOOLS.replace("FOLDER", &folder.display().to_string());
    Stage::with_tools("operator.json", Declarations::parse(&text, folder).expect("they are whole"))
}

#[tokio::test]
async fn it_has_tools_act_as_the_model_asks_and_tells_it_what_came_of_that() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let stage = stage(folder.path());
    let shown = stage.run(task(agent("operator"), "Order paper where there is too little.")).await;
    assert_eq!(shown.finished.ended, Ended::Done(Status::Complete, None), "{}", shown.text());
    assert_eq!(shown.text(), "Two boxes are ordered, and the bill is not paid.");
    assert_eq!(fs::read_to_string(folder.path().join("orders")).expect("it was ordered"), "{\"boxes\":2}");
    let prompts = stage.engine.prompts();
    let last = prompts.last().expect("it asked the model");
    assert!(last.contains("[1-0 order] ordered") && last.contains("There are three."), "{last}");
    assert!(last.contains("[1-1 pay] The tool failed: exit status 4\nclosed"), "{last}");
}

#[tokio::test]
async fn it_answers_without_a_tool_and_fails_where_there_is_none() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let shown = stage(folder.path()).run(task(agent("operator"), "Say hello")).await;
    assert!(shown.is_complete() && shown.text() == "Hello.", "{}", shown.text());
    let shown = Stage::new("operator.json").run(task(agent("operator"), "Say hello")).await;
    assert!(format!("{:?}", shown.finished.ended).contains("no tool that this host has declared"));
}
