//! Talks in one context of the model at `chat` (kind `model`), whose pages lie in the store at `pages` (kind `memory`): it says enough that much
//! has to leave the window in each turn. The numbers of its input say the window in tokens, how many turns it has, how long it thinks before
//! each at most, in milliseconds, and its seed. For each turn but the first it says in a line how long that took, in microseconds, and how many
//! segments went out. The bench `remembering` measures with it.

use remit::{
    capability::Grant,
    context::{Context, Settings},
    prelude::*,
    time::{self, Instant},
};
use std::time::Duration;
use test_programs::{number, words};

/// Of a message: some forty tokens.
const WORDS: u64 = 30;

/// Messages of the first turn, which fill the window.
const FIRST: u64 = 60;

/// Messages of a turn: a fifth of a window of 2,048 tokens, and some.
const MESSAGES: u64 = 12;

const OUTPUT: u32 = 16;

/// Of the window, in parts.
const RECALL: u32 = 8;

const VOCABULARY: &[&str] = &[
    "river", "paper", "stone", "garden", "window", "letter", "market", "winter", "silver", "bridge", "candle",
    "forest", "kitchen", "harbour", "mirror", "ladder", "button", "pepper", "saddle", "violin",
];

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let numbers = words(&task)?;
    let [window, turns, think, seed] = [0, 1, 2, 3].map(|place| number(&numbers, place));
    let (window, turns, think, mut state) = (u32::try_from(window?)?, turns?, think?, seed?);
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below.max(1)
    };
    let (model, pages) = (Model::take("chat")?, Grant::take("pages")?);
    let settings = Settings::new().window(window).output_reserve(OUTPUT).store(&pages, window / RECALL);
    let context = Context::open(&model, &settings)?;
    for turn in 0..=turns {
        if turn > 0 {
            time::sleep(Duration::from_millis(random(think)));
        }
        let messages = if turn == 0 { FIRST } else { MESSAGES };
        for _ in 0..messages {
            let said = (0..WORDS).map(|_| VOCABULARY[random(VOCABULARY.len() as u64) as usize]);
            context.user(&*said.collect::<Vec<_>>().join(" "))?;
        }
        let begun = Instant::now();
        let report = context.chat().max_tokens(OUTPUT).send()?.report;
        let took = begun.elapsed().as_micros();
        if turn > 0 {
            emit_text(format!("{took} {}\n", report.paged_out))?;
        }
    }
    Ok(Outcome::complete())
}
