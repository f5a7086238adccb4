//! The team of `agents/`: one that splits its task, and workers that are its children, on a recorded model.

use crate::stage::{Job, Shown, Stage, agent, install_agent, task, tokens};
use remit_abi::{Role, Status};
use remit_assembly::{Ended, Package, TaskMessage};

/// Four parts, each answered in a few words.
const QUESTIONS: &str = "What is one?\nWhat is two?\nWhat is ten?\nWhat is one?\n";

/// Enough for four parts.
const BUDGET: u64 = 1000;

fn stage() -> Stage {
    install_agent("worker");
    Stage::new("team.json")
}

/// Runs a team; in the end no worker is left, and what was not spent is back.
async fn run(stage: &Stage, package: Package, budget: u64, text: &str) -> Shown {
    let shown = stage.run(Job { budget: Some(tokens(budget)), ..task(package, text) }).await;
    assert_eq!(shown.finished.paid.saturating_add(shown.finished.refunded), tokens(budget));
    assert!(stage.alive().is_empty(), "{:?}", stage.alive());
    shown
}

/// The team with a limit on its right to the model.
fn limited(limit: &str) -> Package {
    let mut team = agent("team");
    let chat = team.manifest.wants.iter_mut().find(|want| want.label == "chat").expect("it asks for a model");
    match limit {
        "uses" => chat.limits.uses = Some(2),
        _ => chat.limits.max_tokens_per_call = Some(2),
    }
    team
}

fn assert_partial(shown: &Shown) {
    assert_eq!(shown.finished.ended, Ended::Done(Status::Partial, None), "{}", shown.text());
}

#[tokio::test]
async fn the_team_splits_its_task_and_gathers_the_answers_in_order() {
    let stage = stage();
    let shown = run(&stage, agent("team"), BUDGET, QUESTIONS).await;
    assert_eq!(shown.finished.ended, Ended::Done(Status::Complete, None), "{}", shown.text());
    let answers = ["One is the first number.", "Two is a pair.", "Ten has two digits.", "One is the first number."];
    let parts = (1..).zip(answers).map(|(number, answer)| format!("Part {number} of 4\n{answer}\n\n"));
    assert_eq!(shown.text(), parts.collect::<String>());
    assert_eq!(stage.engine.prompts().len(), 4);
}

#[tokio::test]
async fn each_worker_sees_its_own_part_and_the_wish_before_it() {
    let stage = stage();
    let said = |text: &str| TaskMessage { text: text.to_owned(), trusted: true, ..TaskMessage::default() };
    let messages = vec![said("Answer like a poet."), said(QUESTIONS)];
    stage.run(Job { messages, budget: Some(tokens(BUDGET)), ..task(agent("team"), "") }).await;
    let prompts = stage.engine.prompts();
    assert_eq!(prompts.len(), 4);
    for prompt in prompts {
        assert_eq!(prompt.matches("What is").count(), 1, "{prompt}");
        assert!(prompt.contains(&format!("<{:?}> Answer like a poet.", Role::User)), "{prompt}");
    }
}

#[tokio::test]
async fn the_workers_spend_the_teams_budget_and_give_back_the_rest() {
    let shown = run(&stage(), agent("team"), BUDGET, QUESTIONS).await;
    let finished = &shown.finished;
    assert!(finished.paid > finished.ledger.paid, "the workers paid for the model: {finished:?}");
    assert_eq!(finished.ledger.usage.output, 0, "the team opens no model itself");
    assert!(finished.refunded > tokens(BUDGET / 2), "{finished:?}");
}

#[tokio::test]
async fn a_worker_that_runs_dry_is_reported_and_the_others_are_kept() {
    let questions = "What is one?\nWhat is two?\nWhat is six?\nWhat is ten?\n";
    let shown = run(&stage(), agent("team"), 140, questions).await;
    assert_partial(&shown);
    let text = shown.text();
    assert!(text.contains("Part 1 of 4\nOne is the first number.\n"), "{text}");
    assert!(text.contains("Part 3 of 4\nSix is one and") && text.contains("[cut short]"), "{text}");
    assert!(text.contains("Part 4 of 4\nTen has two digits.\n"), "{text}");
    assert!(text.ends_with("[part 3 is cut short.]\n"), "{text}");
}

#[tokio::test]
async fn a_worker_whose_model_breaks_is_reported_and_the_others_are_kept() {
    let questions = "What is one?\nWhat breaks?\nWhat is ten?\nWhat is two?\n";
    let shown = run(&stage(), agent("team"), BUDGET, questions).await;
    assert_partial(&shown);
    let text = shown.text();
    assert!(
        text.contains("Part 1 of 4\n") && text.contains("Part 3 of 4\n") && text.contains("Part 4 of 4\n"),
        "{text}"
    );
    assert!(text.contains("[part 2 is missing: ") && text.contains("breaks off"), "{text}");
}

#[tokio::test]
async fn a_budget_that_is_too_small_for_any_part_is_said_to_be_so() {
    let shown = run(&stage(), agent("team"), 24, QUESTIONS).await;
    assert_partial(&shown);
    assert!(shown.text().starts_with("[part 1 is missing: its worker's budget was too small"), "{}", shown.text());
}

#[tokio::test]
async fn no_worker_gets_more_tokens_a_call_than_the_team_has() {
    let shown = run(&stage(), limited("tokens"), BUDGET, QUESTIONS).await;
    assert_partial(&shown);
    assert!(shown.text().contains("Part 1 of 4\nOne is [cut short]"), "{}", shown.text());
}

#[tokio::test]
async fn the_workers_share_the_uses_of_the_teams_right() {
    let stage = stage();
    let shown = run(&stage, limited("uses"), BUDGET, QUESTIONS).await;
    assert_partial(&shown);
    assert_eq!(stage.engine.prompts().len(), 2);
    assert_eq!(shown.text().matches("is used up").count(), 2, "{}", shown.text());
}

#[tokio::test]
async fn an_empty_task_is_refused_with_a_sentence() {
    let shown = run(&stage(), agent("team"), BUDGET, " \n ").await;
    match &shown.finished.ended {
        Ended::Failed(failure) => assert!(failure.message.contains("the task is empty"), "{}", failure.message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_team_without_its_worker_says_which_agent_is_missing() {
    let mut team = agent("team");
    let workers = team.manifest.wants.iter_mut().find(|want| want.label == "workers").expect("it starts workers");
    workers.scope = Some(remit_abi::Scope::parse(remit_abi::GrantKind::Process, &["another"]).expect("a name"));
    let shown = run(&stage(), team, BUDGET, QUESTIONS).await;
    match &shown.finished.ended {
        Ended::Failed(failure) => assert!(failure.message.contains("does not open that"), "{}", failure.message),
        other => panic!("{other:?}"),
    }
}
