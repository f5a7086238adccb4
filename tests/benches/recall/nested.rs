//! Nested keys and values, through a store.

use super::{
    common::{self, Stage, program_asking, scratch, shown},
    models::Models,
    recall_data::keys::{Keys, NESTING_MAX},
};
use remit_abi::Tokens;
use remit_assembly::{Home, Task, TaskMessage};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const SEED: u64 = 140;

/// Nothing of it outlives the host.
const PATIENCE: Duration = Duration::from_secs(3600);

const MANIFEST: &str = "[[wants.memory]]\nlabel = \"notes\"\nstores = [\"notes\"]\naccess = \"read-write\"\n";

pub(crate) fn measure(models: &Arc<Models>) -> Value {
    let keys = Keys::new(SEED);
    let folder = scratch("recall-nested");
    let stage = Stage::durable(models.clone(), Home::at(folder.clone()), PATIENCE);
    let agent = stage.load(&program_asking("looks_up", MANIFEST));
    let lines = |lines: Vec<String>| TaskMessage { text: lines.join("\n"), trusted: true, ..TaskMessage::default() };
    let pairs = keys.pairs.iter().map(|pair| format!("{} {}", pair.key, pair.value));
    let asked = keys.questions.iter().map(|question| question.key.clone());
    let messages = vec![lines(pairs.collect()), lines(asked.collect())];
    let task = Task { budget: Tokens::from_whole(10_000_000), messages, ..Task::default() };
    let said = shown(stage.node.start(&agent, task).expect("it has a budget"));
    stage.node.stop();
    drop(stage);
    common::remove(&folder);
    let answers: Vec<_> = said.lines().collect();
    assert_eq!(answers.len(), keys.questions.len(), "each key has its answer");
    let found = |nesting: Option<usize>| {
        let asked =
            keys.questions.iter().zip(&answers).filter(|(question, _)| nesting.is_none_or(|n| question.nesting == n));
        let (mut right, mut all) = (0, 0);
        for (question, answer) in asked {
            right += usize::from(question.value == **answer);
            all += 1;
        }
        (right, all)
    };
    println!("\nnested keys and values, {} entries", keys.pairs.len());
    for nesting in 0..=NESTING_MAX {
        let (right, all) = found(Some(nesting));
        println!("  {nesting} times nested {right:6} of {all}");
    }
    let (right, all) = found(None);
    json!({ "nested_kv": right as f64 / all as f64 })
}
