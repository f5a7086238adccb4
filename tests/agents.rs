//! The agents of this repository, on a recorded model.

use crate::stage::{Job, Shown, Stage, agent, document, task, tokens};
use remit_abi::{Event, Integrity, Status};
use remit_assembly::{Ended, GrantChoice, StartError, TaskMessage};

#[tokio::test]
async fn the_assistant_streams_its_answer_and_pays_for_it() {
    let stage = Stage::new("answers.json");
    let shown = stage.run(task(agent("assistant"), "Say two short lines, please")).await;
    assert_eq!(shown.text(), "The first line stands here.\nThe second one stands there.\n");
    assert_eq!(shown.finished.ended, Ended::Done(Status::Complete, None));
    let pieces = shown.events.iter().filter(|event| matches!(event, Event::Text { .. })).count();
    assert!(pieces > 5, "it came in {pieces} pieces");
    let ledger = &shown.finished.ledger;
    assert_eq!(ledger.usage.output, 9);
    let prompt = &stage.engine.prompts()[0];
    assert_eq!(ledger.usage.input as usize, prompt.split_inclusive(' ').count());
    assert!(prompt.contains("<User> Say two short lines, please"), "{prompt}");
    assert!(ledger.fuel.0 > 0 && ledger.paid > tokens(9));
}

#[tokio::test]
async fn the_assistant_ends_politely_at_its_budget() {
    let stage = Stage::new("answers.json");
    let shown = stage.run(Job { budget: Some(tokens(15)), ..task(agent("assistant"), "Count") }).await;
    assert_eq!(shown.finished.ended, Ended::Done(Status::Partial, None));
    let text = shown.text();
    assert!(text.starts_with("one two three"), "{text}");
    assert!(!text.contains("twenty"), "{text}");
    assert!(text.to_lowercase().contains("budget"), "{text}");
    let shown = stage.run(Job { budget: Some(tokens(2)), ..task(agent("assistant"), "Count") }).await;
    assert_eq!(shown.finished.ended, Ended::Done(Status::Partial, None), "{}", shown.text());
}

#[tokio::test]
async fn the_assistant_says_what_it_lacks() {
    let stage = Stage::new("answers.json");
    for messages in [Vec::new(), vec![TaskMessage { text: String::new(), trusted: true, ..TaskMessage::default() }]] {
        let shown = stage.run(Job { messages, ..task(agent("assistant"), "") }).await;
        match shown.finished.ended {
            Ended::Failed(failure) => assert!(failure.message.contains("input"), "{}", failure.message),
            other => panic!("{other:?}"),
        }
    }
    let shown = stage.run(task(agent("assistant"), "Try an engine that breaks")).await;
    match shown.finished.ended {
        Ended::Failed(failure) => assert!(failure.message.contains("breaks off"), "{}", failure.message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_agent_without_its_grant_is_refused_by_name() {
    let stage = Stage::new("answers.json");
    let refused = stage.start(Job { grants: GrantChoice::Only(Vec::new()), ..task(agent("assistant"), "Hello") });
    match refused {
        Err(error @ StartError::Load(_)) => {
            let sentence = error.to_string();
            assert!(sentence.contains("remit:kernel/llm") && sentence.contains("model"), "{sentence}");
        }
        other => panic!("it was let in: {:?}", other.map(|running| running.pid)),
    }
    assert!(stage.engine.prompts().is_empty());
}

fn summary_task(words: usize) -> Job {
    let messages = vec![TaskMessage { text: document(words), trusted: false, ..TaskMessage::default() }];
    Job { messages, budget: Some(tokens(20_000)), ..task(agent("summarizer"), "") }
}

/// Which of the document's words stand in a prompt, by their numbers.
fn words_in(prompt: &str) -> Vec<usize> {
    let words = prompt.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter_map(|word| word.strip_prefix("word")?.parse().ok()).collect()
}

fn parts_of(stage: &Stage) -> Vec<Vec<usize>> {
    stage.engine.prompts().iter().map(|prompt| words_in(prompt)).filter(|words| !words.is_empty()).collect()
}

#[tokio::test]
async fn the_summarizer_reads_every_word_once_and_joins_what_it_read() {
    let stage = Stage::new("summaries.json");
    let shown = stage.run(summary_task(3000)).await;
    assert_eq!(shown.finished.ended, Ended::Done(Status::Complete, None), "{}", shown.text());
    let parts = parts_of(&stage);
    assert!(parts.len() > 3, "{} parts", parts.len());
    let read: Vec<usize> = parts.into_iter().flatten().collect();
    assert_eq!(read, (0..3000).collect::<Vec<_>>(), "every word once, in order");
    let text = shown.text();
    assert!(text.contains("The opening part counts words."), "{text}");
    assert!(text.contains("The whole document counts words in order."), "{text}");
    let steps = shown.events.iter().filter(|event| matches!(event, Event::Progress { .. })).count();
    assert!(steps > 3, "{steps} steps were shown");
    let untrusted =
        |event: &Event| !matches!(event, Event::Text { label, .. } if label.integrity == Integrity::Trusted);
    assert!(shown.events.iter().all(untrusted), "what comes out of a stranger's document is labelled so");
    assert!(shown.finished.checkpoint.is_some());
}

#[tokio::test]
async fn the_summarizer_goes_on_where_it_broke_off() {
    let broken = Stage::new("breaks_off.json");
    let shown = broken.run(summary_task(3000)).await;
    assert!(matches!(shown.finished.ended, Ended::Failed(_)), "{:?}", shown.finished.ended);
    let checkpoint = shown.finished.checkpoint.expect("the first part was committed");
    let done_before = parts_of(&broken);
    let stage = Stage::new("summaries.json");
    let shown = stage.run(Job { resumed: Some(checkpoint), ..summary_task(3000) }).await;
    assert_eq!(shown.finished.ended, Ended::Done(Status::Complete, None), "{}", shown.text());
    let resumed_at = done_before[0].last().expect("a part has words") + 1;
    let read: Vec<usize> = parts_of(&stage).into_iter().flatten().collect();
    assert_eq!(read, (resumed_at..3000).collect::<Vec<_>>(), "nothing twice, nothing left out");
    let joined = stage.engine.prompts();
    let joined = joined.iter().find(|prompt| words_in(prompt).is_empty()).expect("the summaries are joined");
    assert!(joined.contains("The opening part counts words."), "the first part's summary came with the checkpoint");
}

#[tokio::test]
async fn the_summarizer_keeps_what_it_has_when_the_budget_ends() {
    let stage = Stage::new("summaries.json");
    let shown = stage.run(Job { budget: Some(tokens(700)), ..summary_task(3000) }).await;
    assert_eq!(shown.finished.ended, Ended::Done(Status::Partial, None), "{}", shown.text());
    assert!(shown.text().contains("The opening part counts words."), "{}", shown.text());
    let rest = shown.finished.refunded.saturating_add(shown.finished.ledger.paid);
    assert_eq!(rest, tokens(700));
}

#[tokio::test]
async fn an_empty_document_is_refused_with_a_sentence() {
    let stage = Stage::new("summaries.json");
    for text in ["", " \n\n\t "] {
        let Shown { finished, .. } = stage.run(task(agent("summarizer"), text)).await;
        match finished.ended {
            Ended::Failed(failure) => assert!(failure.message.contains("empty"), "{}", failure.message),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_agents_share_a_node_and_the_sum_holds() {
    let stage = std::sync::Arc::new(Stage::new("answers.json"));
    let runs = (0..24).map(|number| {
        let stage = stage.clone();
        tokio::spawn(async move {
            let budget = Some(tokens(12 + number));
            stage.run(Job { budget, ..task(agent("assistant"), "Count") }).await.finished
        })
    });
    for (number, run) in runs.collect::<Vec<_>>().into_iter().enumerate() {
        let finished = run.await.expect("it ran");
        let sum = finished.refunded.saturating_add(finished.ledger.paid);
        assert_eq!(sum, tokens(12 + number as u64));
    }
    assert!(stage.node.is_conserved());
}
