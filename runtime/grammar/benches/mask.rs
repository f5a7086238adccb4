//! What grammars cost: compiling them, a mask for each token of answers, and beginning a generation.
//!
//! Over the vocabulary of the GGUF file that `REMIT_TEST_MODEL` names, where its tokenizer is a byte-level BPE; otherwise over
//! one of as many tokens (49,152) that is made of the bytes and of frequent parts of words. Answers are drawn at random among the
//! masks, with a leaning to what closes, so that values of all kinds come.
//!
//! A mask is timed together with taking its token: both stand between two steps of a model.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use remit_grammar::{
    Constraint, Format, Limits, Next, Token, Vocabulary,
    tools::{FAMILIES, FORCED, Tool, ToolChoice, Toolbox},
};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

/// Of SmolLM2.
const TOKENS: usize = 49_152;
const COMPILATIONS: usize = 9;
const ANSWERS: usize = 20;
const ANSWER_TOKENS_MAX: usize = 400;

fn main() {
    let model = std::env::var_os("REMIT_TEST_MODEL");
    let words = model.as_ref().map_or_else(made_up_words, |path| gguf_words(&std::fs::read(path).expect("a file")));
    let tokens = words.iter().map(|word| match word {
        Word::Text(bytes) => Token::Text(bytes),
        Word::Control(name) => Token::Control(name),
    });
    let begun = Instant::now();
    let end = words.iter().rposition(|word| *word == Word::Control("<|im_end|>".into())).expect("an end token");
    let vocabulary = Vocabulary::new(tokens, &[end as u32]).expect("a vocabulary");
    println!(
        "{} tokens{}, arranged in {:.1?}",
        words.len(),
        if model.is_some() { " of the model" } else { "" },
        begun.elapsed()
    );
    println!(
        "{:22} {:>12} {:>12} {:>10} {:>10} {:>10} {:>7}",
        "format", "compile", "begin", "p50", "p99", "max", "tokens"
    );
    let limits = Limits::default();
    for (name, format) in formats() {
        bench(name, &vocabulary, || Constraint::compile(&vocabulary, &format, &limits).expect("a constraint"));
    }
    for family in FAMILIES.iter().chain([&FORCED]) {
        let toolbox = Toolbox::new(tools(), family, &limits).expect("a toolbox");
        for (word, choice) in [("auto", ToolChoice::Auto), ("required", ToolChoice::Required)] {
            let name = format!("{} {word}", family.name);
            bench(&name, &vocabulary, || toolbox.constraint(&vocabulary, &choice, &limits).expect("a constraint"));
        }
    }
}

fn bench(name: &str, vocabulary: &Vocabulary, compile: impl Fn() -> Constraint) {
    let compiling = median((0..COMPILATIONS).map(|_| timed(&compile).1).collect());
    let constraint = compile();
    let beginning = median((0..ANSWERS).map(|_| timed(|| constraint.begin()).1).collect());
    let mut steps = Vec::new();
    for seed in 0..ANSWERS {
        answer(&constraint, vocabulary, seed as u64 + 1, &mut steps);
    }
    steps.sort_unstable();
    let at = |share: f64| micros(steps[((steps.len() - 1) as f64 * share) as usize]);
    println!(
        "{name:22} {:>9.0} us {:>9.0} us {:>7.1} us {:>7.1} us {:>7.1} us {:>7}",
        micros(compiling),
        micros(beginning),
        at(0.5),
        at(0.99),
        at(1.0),
        steps.len()
    );
}

/// Draws an answer, and adds what each of its tokens took.
fn answer(constraint: &Constraint, vocabulary: &Vocabulary, seed: u64, steps: &mut Vec<Duration>) {
    let (mut state, mut random) = (constraint.begin(), seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for drawn in 0..ANSWER_TOKENS_MAX {
        let (allowed, masking) = timed(|| match state.allowed() {
            Next::Among(mask) => Some(mask.clone()),
            Next::End => None,
        });
        let Some(mask) = allowed else { break };
        let closes = |token: &u32| {
            matches!(vocabulary.written(*token), [b'"' | b'}' | b']', ..]) || vocabulary.ends().contains(token)
        };
        let closing: Vec<u32> = if drawn % 4 == 3 { mask.tokens().filter(closes).collect() } else { Vec::new() };
        let among = if closing.is_empty() { mask.tokens().collect() } else { closing };
        // xorshift64 (Marsaglia 2003).
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let token = among[random as usize % among.len()];
        let (accepted, accepting) = timed(|| state.accept(token));
        accepted.expect("a token of the mask");
        steps.push(masking + accepting);
    }
}

fn timed<T>(action: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let outcome = action();
    (outcome, begun.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn person() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "maxLength": 80 },
            "age": { "type": "integer", "minimum": 0, "maximum": 150 },
            "mail": { "type": "string", "format": "email" },
            "tags": { "type": "array", "items": { "enum": ["red", "green", "blue"] }, "maxItems": 5 },
            "address": {
                "type": "object",
                "properties": { "city": { "type": "string" }, "zip": { "type": "string", "pattern": "^[0-9]{5}$" } },
                "required": ["city"],
            },
        },
        "required": ["name", "age", "address"],
    })
}

fn formats() -> Vec<(&'static str, Format)> {
    let wide: serde_json::Map<_, _> =
        (0..100).map(|index| (format!("property_{index}"), json!({ "type": ["string", "number", "null"] }))).collect();
    let choices = (0..200).map(|index| format!("choice number {index}"));
    vec![
        ("json", Format::Json),
        ("schema: person", Format::JsonSchema(person())),
        ("schema: 100 optional", Format::JsonSchema(json!({ "type": "object", "properties": wide }))),
        ("regex: date", Format::Regex("[0-9]{4}-[01][0-9]-[0-3][0-9]".into())),
        ("regex: any text", Format::Regex("(?s:.*)".into())),
        ("choice of 200", Format::Choice(choices.collect())),
        ("grammar: sums", Format::Grammar("start: term (/[+-]/ term)*\nterm: /[0-9]+/ | \"(\" start \")\"".into())),
    ]
}

fn tools() -> Vec<Tool> {
    let tool = |index: usize| Tool {
        name: format!("tool_{index}"),
        description: "Does something.".to_owned(),
        parameters: person(),
    };
    (0..8).map(tool).collect()
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Word {
    Text(Vec<u8>),
    Control(String),
}

fn made_up_words() -> Vec<Word> {
    let syllables: Vec<&str> =
        "a e i o u an en in on er re th he at st nd is or to it ar te se hi of ed le sa ve ng ti al as ha de et ou ea ne co".split(' ').collect();
    let parts = [
        "\"", "\":", "\": ", "\",", "\", \"", "{\"", "\"}", "},", "[", "]", "\n", "  ", "    ", ", ", ". ", "</",
        ">\n", "1", "20", "00",
    ];
    let mut known = HashSet::new();
    let mut words = vec![
        Word::Control("<tool_call>".into()),
        Word::Control("</tool_call>".into()),
        Word::Control("[TOOL_CALLS]".into()),
    ];
    let texts = (0..=255).map(|byte: u8| vec![byte]).chain(parts.iter().map(|part| part.as_bytes().to_vec()));
    let made = (0..).map(|index: usize| {
        let (mut rest, mut word) = (index / 2, String::from(if index.is_multiple_of(2) { "" } else { " " }));
        loop {
            word.push_str(syllables[rest % syllables.len()]);
            rest /= syllables.len();
            if rest == 0 {
                break word.into_bytes();
            }
            rest -= 1;
        }
    });
    words.extend(
        texts.chain(made).filter(|text| known.insert(text.clone())).map(Word::Text).take(TOKENS - words.len() - 1),
    );
    words.push(Word::Control("<|im_end|>".into()));
    words
}

/// The tokens of a GGUF file (version 2 or 3, `ggml/docs/gguf.md`) with a byte-level BPE.
fn gguf_words(file: &[u8]) -> Vec<Word> {
    let mut reader = Reader { file, at: 4 };
    assert_eq!(&file[..4], b"GGUF", "a GGUF file");
    reader.u32();
    reader.u64();
    let pairs = reader.u64();
    let (mut texts, mut kinds) = (Vec::new(), Vec::new());
    for _ in 0..pairs {
        let key = reader.string();
        let kind = reader.u32();
        match key.as_str() {
            "tokenizer.ggml.tokens" => {
                let (_, count) = (reader.u32(), reader.u64());
                texts = (0..count).map(|_| reader.string()).collect();
            }
            "tokenizer.ggml.token_type" => {
                let (_, count) = (reader.u32(), reader.u64());
                kinds = (0..count).map(|_| reader.u32()).collect();
            }
            _ => reader.skip(kind),
        }
    }
    let bytes = bytes_of_characters();
    let is_text = |kind: Option<&u32>| kind == Some(&1);
    let word =
        |(id, text): (usize, &String)| match text.chars().map(|character| bytes.get(&character).copied()).collect() {
            Some(bytes) if is_text(kinds.get(id)) => Word::Text(bytes),
            _ => Word::Control(text.clone()),
        };
    texts.iter().enumerate().map(word).collect()
}

struct Reader<'a> {
    file: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        self.at += N;
        self.file[self.at - N..self.at].try_into().expect("so many bytes")
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    fn string(&mut self) -> String {
        let length = self.u64() as usize;
        self.at += length;
        String::from_utf8_lossy(&self.file[self.at - length..self.at]).into_owned()
    }

    fn skip(&mut self, kind: u32) {
        match kind {
            0 | 1 | 7 => self.at += 1,
            2 | 3 => self.at += 2,
            4..=6 => self.at += 4,
            8 => drop(self.string()),
            9 => {
                let (kind, count) = (self.u32(), self.u64());
                (0..count).for_each(|_| self.skip(kind));
            }
            10..=12 => self.at += 8,
            other => panic!("no type of a value: {other}"),
        }
    }
}

/// Which character stands for which byte (GPT-2's `encoder.py`): itself where it can be printed, otherwise one from 256 on.
fn bytes_of_characters() -> HashMap<char, u8> {
    let is_printed = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let hidden = (0..=255).filter(|byte| !is_printed(byte)).enumerate();
    let hidden = hidden.map(|(index, byte)| (char::from_u32(256 + index as u32).expect("a character"), byte));
    (0..=255).filter(is_printed).map(|byte| (char::from(byte), byte)).chain(hidden).collect()
}
