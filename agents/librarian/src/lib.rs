//! Answers from a folder of documents, and says where in them each answer stands.
//!
//! It keeps the documents' passages in a memory, finds those that are like the question, and has the model quote what its answer rests on.
//! Whether a quotation stands in its passage is the kernel's to say: what a model made up is shown as unsupported, and counted.

mod citations;
mod index;
mod split;

use citations::{Piece, pieces};
use remit::{
    MemoryError, Part, Stop,
    files::Folders,
    memory::{Hit, Store},
    prelude::*,
};

/// What it takes its model by.
const CHAT: &str = "chat";

/// What it takes its documents by.
const DOCUMENTS: &str = "documents";

/// What it takes its memory by.
const LIBRARY: &str = "library";

/// A small model loses its way among more.
const PASSAGES_MAX: u32 = 6;

/// How much a passage loses that says the same as another one.
const DIVERSITY: f32 = 0.2;

const ANSWER_TOKENS_MAX: u32 = 400;

const SYSTEM: &str = "Answer the question from the passages below, and from nothing else. Behind each statement quote the words that it \
                      rests on, exactly, with the number of their passage, like this: [1: \"the words\"]. If the passages do not answer \
                      the question, say so.\n";

/// A passage, and the document that it is of.
struct Passage {
    hit: Hit,
    path: String,
}

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let Some(question) = task.request().filter(|asked| !asked.is_empty()) else {
        return Err(Failure::new("there is nothing to answer: ask something as input"));
    };
    let (model, documents, library) = (Model::take(CHAT)?, Folders::take(DOCUMENTS)?, Store::take(LIBRARY)?);
    match answer(&model, &documents, &library, &task, question) {
        Ok(true) => Ok(Outcome::complete()),
        Ok(false) => Ok(Outcome::partial()),
        Err(Stop::Budget) => {
            emit_text(format!("[The budget is too small: {} tokens are left.]\n", budget::remaining()))?;
            Ok(Outcome::partial())
        }
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// Answers, and says whether all of the answer is there and rests on what it cites.
fn answer(model: &Model, documents: &Folders, library: &Store, task: &Task, question: &Value) -> Result<bool, Stop> {
    let paths = index::index(documents, library)?;
    let mut passages = Vec::new();
    for hit in find(library, question)? {
        if let Some(path) = index::path_of(library, &paths, &hit)? {
            passages.push(Passage { hit, path });
        }
    }
    let granted = model.max_tokens_per_call().unwrap_or(u32::MAX).min(ANSWER_TOKENS_MAX);
    let capacity = model.info()?.context_length.saturating_sub(granted);
    while !passages.is_empty() && model.count_tokens(&messages(&passages, task))? > capacity {
        passages.pop();
    }
    let messages = messages(&passages, task);
    let mut answer = model.chat(&messages).max_tokens(granted).stream()?;
    let mut text = String::new();
    for piece in &mut answer {
        text.push_str(&piece?);
    }
    let is_whole = answer.finish()?.finish == FinishReason::Stop;
    Ok(show(library, &passages, &text)? && is_whole)
}

/// What is like the question, the likest first.
fn find(library: &Store, question: &Value) -> Result<Vec<Hit>, MemoryError> {
    match library.search(question).only(index::all()).count(PASSAGES_MAX).diversity(DIVERSITY).find() {
        // Who asks pages at once asks for nothing in particular.
        Err(MemoryError::Invalid(_)) => Ok(Vec::new()),
        found => found,
    }
}

fn messages<'a>(passages: &'a [Passage], task: &'a Task) -> Vec<Message<'a>> {
    let mut system = Message::system(SYSTEM);
    for (number, passage) in (1..).zip(passages) {
        system =
            system.with(Part::Text(format!("\n[{number}] ").into())).with(Part::Text((&passage.hit.content).into()));
    }
    std::iter::once(system).chain(task.messages()).collect()
}

/// Shows an answer with its citations checked; whether there is one, and all of them are supported.
fn show(library: &Store, passages: &[Passage], text: &str) -> Result<bool, Stop> {
    let (mut supported, mut cited) = (0, 0);
    for piece in pieces(text.trim()) {
        match piece {
            Piece::Plain(words) => emit_text(words)?,
            Piece::Quoted { passage, words } => {
                cited += 1;
                let passage = passage.checked_sub(1).and_then(|place| passages.get(place));
                match passage.filter(|passage| stands_in(library, passage, words)) {
                    Some(Passage { path, .. }) => {
                        supported += 1;
                        emit_text(format!("[{path}: \"{words}\"]"))?;
                    }
                    None => emit_text(format!("[unsupported: \"{words}\"]"))?,
                }
            }
        }
    }
    emit_text(format!("\n[{supported} of {cited} citations are supported.]\n"))?;
    Ok(cited > 0 && supported == cited)
}

/// What cannot be looked for does not stand there.
fn stands_in(library: &Store, passage: &Passage, words: &str) -> bool {
    let cited = library.cite(passage.hit.entry, Some(passage.hit.version), words);
    cited.is_ok_and(|citation| citation.offset.is_some())
}
