//! Notes so many texts in the store at `notes` (kind `memory`), each with a vector of its own, as the numbers of its input say: how many, how
//! wide vectors are, and a seed. At its end it says how long each write took, in microseconds, all in one line. The bench `remembering` measures
//! with it.

use remit::{memory::Store, prelude::*, time::Instant};
use test_programs::{number, words};

/// Of a text.
const WORDS: u64 = 30;

/// Different ones of all texts.
const VOCABULARY: u64 = 20_000;

/// Vectors lie around so many centres, as texts of one topic do.
const CENTRES: u64 = 1_000;

#[remit::agent]
fn run(task: Task) -> Result<Outcome, Failure> {
    let numbers = words(&task)?;
    let (count, width, seed) = (number(&numbers, 0)?, number(&numbers, 1)?, number(&numbers, 2)?);
    let notes = Store::take("notes")?;
    let mut times = String::new();
    for place in 0..count {
        let own = mixed(seed << 32 | place);
        let said = (0..WORDS).map(|word| format!("word{}", mixed(own ^ word) % VOCABULARY));
        let (said, vector) = (said.collect::<Vec<_>>().join(" "), vector(own, width));
        let begun = Instant::now();
        notes.note(&*said).vector(&vector).put()?;
        times += &format!("{} ", begun.elapsed().as_micros());
    }
    emit_text(times + "\n")?;
    Ok(Outcome::complete())
}

/// Numbers that look random, and are the same each time (Steele, Lea and Flood 2014, SplitMix64).
fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn vector(own: u64, width: u64) -> Vec<f32> {
    let part = |seed: u64, place: u64| (mixed(seed ^ place) >> 40) as f32 / (1_u64 << 24) as f32 - 0.5;
    let centre = mixed(own % CENTRES);
    (0..width).map(|place| part(centre, place) + 0.7 * part(own, place)).collect()
}
