//! Facts that were said long ago, through contexts of processes.

use super::{
    common::{self, Stage, block_on, percentile, program_asking, scratch},
    models::{Heard, Models},
    recall_data::{
        facts::{self, Fact},
        talk::{Length, Line, Speaker, Talk},
    },
};
use remit_abi::{EntryFilter, GrantKind, Scope, TenantId, Tokens, Weighting};
use remit_assembly::{Home, Running, Task, TaskMessage};
use remit_kernel::{Looking, LookingBy, ports::Response};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

const SEED: u64 = 2_000;

/// Prompt and answer together.
const WINDOW: u32 = 2_048;

/// Of that, for the answer.
const OUTPUT: u32 = 64;

/// Of that, for what is recalled.
const RECALLED: u32 = 640;

/// After so many lines the model is asked: some 300 tokens.
const LINES: u32 = 16;

/// Who runs agents on their own machine.
const TENANT: TenantId = TenantId(0);

/// As many as the kernel looks for.
const FOUND_MAX: u32 = 32;

/// How long texts may take to get their vectors, and a conversation to be said.
const PATIENCE: Duration = Duration::from_secs(900);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// How long conversations are, and how many facts of each are asked for.
struct Size {
    name: &'static str,
    tokens: usize,
    facts: usize,
}

const SIZES: [Size; 3] = [
    Size { name: "8k", tokens: 8_000, facts: 10 },
    Size { name: "32k", tokens: 32_000, facts: 40 },
    Size { name: "128k", tokens: 128_000, facts: 200 },
];

/// Of all questions so far.
#[derive(Default)]
struct Tally {
    /// Facts that were in the prompt, among the likest by vectors, and among the likest by words.
    found: [usize; 3],
    asked: usize,
    prompt_tokens: Vec<f64>,
    conversation_tokens: usize,
    conversations: usize,
}

pub(crate) fn measure(models: &Arc<Models>, name: &str) -> Value {
    let size = SIZES.iter().find(|size| size.name == name).expect("each part has a size");
    let facts = facts::all(SEED);
    assert_eq!(facts::first_leak(&facts), None, "no question has a word with meaning of its fact");
    let folder = scratch("recall-needle");
    let stage = Stage::durable(models.clone(), Home::at(folder.clone()), PATIENCE);
    let (mut tally, begun) = (Tally::default(), Instant::now());
    for (number, facts) in (0..).zip(facts.chunks(size.facts)) {
        let length = Length { whole: size.tokens, after: WINDOW as usize };
        let talk = Talk::of(SEED + number, facts, length, |text| models.count(text));
        tally.conversation_tokens += talk.tokens;
        tally.conversations += 1;
        Conversation { stage: &stage, models, facts, store: format!("talk-{number}") }.measure(&talk, &mut tally);
    }
    stage.node.stop();
    drop(stage);
    common::remove(&folder);
    report(size, &mut tally, begun.elapsed())
}

fn report(size: &Size, tally: &mut Tally, took: Duration) -> Value {
    let share = |found: usize| found as f64 / tally.asked as f64;
    let [prompt, vector, text] = tally.found.map(share);
    let mean = tally.prompt_tokens.iter().sum::<f64>() / tally.asked as f64;
    let p95 = percentile(&mut tally.prompt_tokens, 0.95);
    println!(
        "\n{} questions about {} conversations of {} tokens each, in {:.0} s",
        tally.asked,
        tally.conversations,
        tally.conversation_tokens / tally.conversations,
        took.as_secs_f64()
    );
    println!("  in the prompt            {:6.1} %", prompt * 100.0);
    println!("  by vectors alone         {:6.1} %", vector * 100.0);
    println!("  by words alone           {:6.1} %", text * 100.0);
    println!("  tokens of the prompt     {mean:6.0}, p95 {p95:.0}, of {} at most", WINDOW - OUTPUT);
    let key = |what: &str| format!("needle_{}{what}", size.name);
    json!({
        key(""): prompt,
        key("_vector"): vector,
        key("_text"): text,
        key("_prompt_tokens"): mean,
        key("_prompt_tokens_p95"): p95,
    })
}

/// A conversation, and what is asked of it.
struct Conversation<'a> {
    stage: &'a Stage,
    models: &'a Models,
    facts: &'a [Fact],
    store: String,
}

impl Conversation<'_> {
    fn measure(&self, talk: &Talk, tally: &mut Tally) {
        let Running { pid, events, finished } = self.start(talk);
        events.leave();
        let number = self.all_is_said(pid);
        self.all_have_vectors();
        let mut prompts = self.models.heard();
        self.stage.node.kernel().answer(number, "bench", Response::Choice(0)).expect("it waits for that");
        let ended = block_on(finished).ended;
        assert!(matches!(ended, remit_assembly::Ended::Done(..)), "{ended:?}");
        let asked = self.models.heard();
        assert_eq!(asked.len(), self.facts.len(), "each question is asked once");
        prompts.extend(asked.iter().cloned());
        let most = (WINDOW - OUTPUT) as usize;
        assert!(prompts.iter().all(|heard| heard.tokens <= most), "a prompt is longer than the window has room for");
        for ((fact, place), Heard { tokens, text }) in self.facts.iter().zip(&talk.places).zip(asked) {
            assert!(text.contains(&fact.asked), "it asks {:?}: {text}", fact.asked);
            let line = &talk.lines[*place].text;
            let by = |by| self.is_among(line, &fact.asked, by);
            let found = [text.contains(line.as_str()), by(LookingBy::Meaning), by(LookingBy::Words)];
            for (count, found) in tally.found.iter_mut().zip(found) {
                *count += usize::from(found);
            }
            tally.asked += 1;
            tally.prompt_tokens.push(tokens as f64);
        }
    }

    fn start(&self, talk: &Talk) -> Running {
        let manifest = format!(
            "[[wants.models]]\nlabel = \"chat\"\n[[wants.memory]]\nlabel = \"pages\"\nstores = [\"{}\"]\naccess = \"read-write\"\n\
             [[wants.people]]\nlabel = \"boss\"\npeople = [\"boss\"]\naccess = \"read-write\"\n",
            self.store
        );
        let agent = self.stage.load(&program_asking("converses", &manifest));
        let numbers = format!("{WINDOW} {OUTPUT} {RECALLED} {LINES}");
        let said: Vec<_> = talk.lines.iter().map(line).collect();
        let asked: Vec<_> = self.facts.iter().map(|fact| fact.asked.as_str()).collect();
        let message = |text| TaskMessage { text, trusted: true, ..TaskMessage::default() };
        let messages = [numbers, said.join("\n"), asked.join("\n")].map(message).into();
        let task = Task { budget: Tokens::from_whole(100_000_000), messages, ..Task::default() };
        self.stage.node.start(&agent, task).expect("it has a budget")
    }

    /// Waits until all but the questions is said; the number of what the process asks then.
    fn all_is_said(&self, pid: remit_abi::Pid) -> u64 {
        let (kernel, begun) = (self.stage.node.kernel(), Instant::now());
        loop {
            if let Some(posted) = kernel.inbox(None).into_iter().find(|posted| posted.asker == pid) {
                return posted.number;
            }
            assert!(kernel.process(pid).is_some(), "it ended before all was said");
            assert!(begun.elapsed() < PATIENCE, "it takes too long to say all");
            thread::sleep(LOOK);
        }
    }

    /// Waits until each page is found by what it means.
    fn all_have_vectors(&self) {
        let (store, begun) = (&self.stage.node.kernel().memory().store, Instant::now());
        loop {
            let figures = block_on(store.figures(TENANT)).expect("its files are whole");
            if figures.without_vector == 0 {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{} texts have no vector yet", figures.without_vector);
            thread::sleep(LOOK);
        }
    }

    /// Whether a line is among the likest of its conversation, as many as there is room for where things are recalled. What does not fit is
    /// passed over, as there.
    fn is_among(&self, line: &str, question: &str, by: LookingBy) -> bool {
        let stores = Scope::parse(GrantKind::Memory, &[&self.store]).expect("it is a store's name");
        let (text, filter, weighting) = (question.into(), EntryFilter::default(), Weighting::default());
        let looking = Looking { tenant: TENANT, stores, text, by, filter, weighting, count: FOUND_MAX };
        let found = block_on(self.stage.node.kernel().search_memory(looking)).expect("it can be searched");
        let mut room = RECALLED as usize;
        found.iter().any(|hit| {
            let text = hit.entry.content.text().unwrap_or_default();
            let Some(left) = room.checked_sub(self.models.count(text)) else { return false };
            room = left;
            text == line
        })
    }
}

fn line(Line { speaker, text }: &Line) -> String {
    let speaker = match speaker {
        Speaker::User => "u",
        Speaker::Assistant => "a",
    };
    format!("{speaker} {text}")
}
