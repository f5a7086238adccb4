//! Reads a long document and summarises it, part by part and then as a whole.
//!
//! The document is the last message; messages of the user before it say what to look at. It is split by the model's real
//! token counts (`split`), each part's summary is shown sentence by sentence as it comes (`sentences`), and after each one
//! the state is committed (`state`), so that a restart goes on with the next. When the budget ends, what is there stays.

mod sentences;
mod split;
mod state;

use remit::{Stop, prelude::*};
use sentences::Sentences;
use state::{State, Step};

/// What it takes its model by.
const GRANT: &str = "chat";

/// Small models summarise short texts better than long ones, and time to read grows with length: a page or two.
const PART_TOKENS_MAX: u32 = 800;

/// A summary: three sentences, with room for long ones.
const SUMMARY_TOKENS_MAX: u32 = 120;

/// Sentences of a summary.
const SENTENCES_MAX: usize = 3;

/// Tokens that may come on top where pieces were counted apart and are read together.
const SEAM_TOKENS: u32 = 16;

/// What a user says before the document is a wish, not another document.
const WISH_BYTES_MAX: u64 = 1024;

/// The wording that models are commonly trained to summarise with.
const SYSTEM: &str = "Provide a concise, objective summary of the input text in up to three sentences, focusing on key \
                      actions and intentions without using second or third person pronouns.";

/// Comes behind the text, since a small model heeds best what it read last.
const QUESTION: &str = "What is this text about? Answer in two sentences.";

#[remit::agent]
fn run(task: Task, resumed: Option<State>) -> Result<Outcome, Failure> {
    let mut state = State::default();
    match summarize(&task, resumed, &mut state) {
        Ok(()) => Ok(Outcome::complete()),
        Err(Stop::Failed(failure)) => Err(failure),
        Err(Stop::Budget) => {
            let (done, parts) = (state.summaries.len(), state.ends.len());
            emit_text(match (done, parts) {
                (_, 0) => "[The budget ended before the document was measured.]\n".to_owned(),
                (done, parts) if done < parts => {
                    format!("[The budget ended here: {done} of {parts} parts are summarised.]\n")
                }
                _ => "[The budget ended here: every part is summarised, the whole is not.]\n".to_owned(),
            })?;
            Ok(Outcome::partial())
        }
    }
}

fn summarize(task: &Task, resumed: Option<State>, state: &mut State) -> Result<(), Stop> {
    let document =
        task.conversation.last().ok_or_else(|| Failure::new("there is no document: give a text as input"))?;
    let document = document.content.text()?;
    if document.trim().is_empty() {
        return Err(Failure::new("the document is empty: give a text as input").into());
    }
    let summarizer = Summarizer::new(&wish(task)?)?;
    remit::debug!("{} bytes, parts of {} tokens, budget {}", document.len(), summarizer.room, budget::remaining());
    *state = match resumed {
        Some(state) if state.is_of(document.len()) => state,
        Some(_) => return Err(Failure::new("the saved state is of another document: start the task anew").into()),
        None => {
            progress(0, None, "measuring the document")?;
            let count = |text: &str| summarizer.model.count_tokens(text);
            let state = State::new(split::split(&document, summarizer.room, count)?);
            checkpoint::commit(&state)?;
            state
        }
    };
    loop {
        match state.step(summarizer.room, |text| summarizer.model.count_tokens(text))? {
            Step::Part { index, begin, end } => {
                let parts = state.ends.len();
                progress(index as u64, parts as u64, &format!("summarising part {} of {parts}", index + 1))?;
                let heading = if parts > 1 { format!("Part {} of {parts}\n", index + 1) } else { String::new() };
                let summary = summarizer.say(&document[begin..end], Some(&heading))?;
                state.part_done(summary);
            }
            Step::Join { texts, is_last } => {
                let parts = state.ends.len() as u64;
                progress(parts, parts, "joining the summaries")?;
                let summary = summarizer.say(&texts.join("\n\n"), is_last.then_some("The whole\n"))?;
                state.join_done(texts.len(), summary);
            }
            Step::Done => break,
        }
        checkpoint::commit(&*state)?;
    }
    let parts = state.ends.len() as u64;
    Ok(progress(parts, parts, "done")?)
}

/// What the user said before the document.
fn wish(task: &Task) -> Result<String, Stop> {
    let mut wish = String::new();
    let before = task.conversation.split_last().map_or(&[][..], |(_, before)| before);
    for input in before.iter().filter(|input| input.role == Role::User) {
        if input.content.len() > WISH_BYTES_MAX {
            remit::warn!("a message before the document is too long for a wish, and is left out");
            continue;
        }
        wish.push_str(input.content.text()?.trim());
        wish.push(' ');
    }
    Ok(wish)
}

/// The model, and how it is asked.
struct Summarizer {
    model: Model,
    question: String,
    /// Tokens that a part may have.
    room: u32,
    max_tokens: u32,
}

impl Summarizer {
    fn new(wish: &str) -> Result<Self, Stop> {
        let model = Model::take(GRANT)?;
        let question = format!("{wish}{QUESTION}");
        let max_tokens = SUMMARY_TOKENS_MAX.min(model.max_tokens_per_call().unwrap_or(u32::MAX));
        let context = model.info()?.context_length;
        let around = model.count_tokens(&messages("", &question))?;
        let taken = around.saturating_add(max_tokens).saturating_add(SEAM_TOKENS);
        match context.saturating_sub(taken).min(PART_TOKENS_MAX) {
            0 => Err(Failure::new(format!(
                "the model's context of {context} tokens leaves no room for a part of the document: choose another model"
            ))
            .into()),
            room => Ok(Self { model, question, room, max_tokens }),
        }
    }

    /// Summarises a text, and shows it under a heading as it comes, or not at all.
    fn say(&self, text: &str, heading: Option<&str>) -> Result<String, Stop> {
        let show = |text: &str| if heading.is_some() { emit_text(text) } else { Ok(()) };
        let messages = messages(text, &self.question);
        let mut generation = self.model.chat(&messages).max_tokens(self.max_tokens).stream()?;
        show(heading.unwrap_or_default())?;
        let mut sentences = Sentences::new(SENTENCES_MAX);
        for piece in &mut generation {
            for sentence in sentences.push(&piece?) {
                show(&format!("{sentence} "))?;
            }
            if sentences.is_enough() {
                break;
            }
        }
        // Where it has said enough, the rest is neither waited nor paid for.
        let finish = generation.summary().map(|summary| summary.finish);
        drop(generation);
        if let Some(sentence) = sentences.finish(finish == Some(FinishReason::Stop)) {
            show(&sentence)?;
        }
        show("\n\n")?;
        match finish {
            Some(FinishReason::Budget) => Err(Stop::Budget),
            _ => Ok(sentences.text()),
        }
    }
}

fn messages(text: &str, question: &str) -> [Message<'static>; 2] {
    [Message::system(SYSTEM), Message::user(format!("Text:\n{}\n\n{question}", text.trim()))]
}
