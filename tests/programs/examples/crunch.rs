//! Works on integers and memory, for as many rounds as its state names; calls nobody.

use remit::prelude::*;
use std::hint::black_box;

/// Half a MiB: more than a core's first cache holds, less than its second.
const WORDS: usize = 1 << 17;

/// Steps of a round.
const STEPS: u32 = 1 << 20;

#[remit::agent]
fn run(_task: Task, resumed: Option<[u8; 4]>) -> Result<Outcome, Failure> {
    let rounds = resumed.map_or(1, u32::from_le_bytes);
    let mut table = vec![1_u32; WORDS];
    let mut state = 0x9e37_79b9_u32;
    for _ in 0..rounds {
        for _ in 0..STEPS {
            // Marsaglia, "Xorshift RNGs", 2003.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let word = &mut table[state as usize % WORDS];
            *word = word.wrapping_mul(31).wrapping_add(state);
        }
    }
    black_box(table);
    Ok(Outcome::complete())
}
