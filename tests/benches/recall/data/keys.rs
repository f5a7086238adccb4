//! Nested keys and values (Packer and others 2023, "MemGPT: Towards LLMs as Operating Systems"): pairs of UUIDs of which some values are keys
//! themselves. Who is asked for a key has to look up again whatever it finds, until that is no key.

use super::random::Random;

/// Pairs that lead somewhere.
pub(crate) const PAIRS: usize = 140;

/// How often a value is a key at most, one after the other.
pub(crate) const NESTING_MAX: usize = 4;

/// Pairs beside each of these whose keys differ from its own in one group of digits: for each of a UUID's five groups one.
pub(crate) const NEAR_MISSES: usize = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// A key to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) key: String,
    /// What it comes to in the end.
    pub(crate) value: String,
    /// How many values on the way are keys.
    pub(crate) nesting: usize,
}

/// All that is written down, in an order of the seed, and what is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) pairs: Vec<Pair>,
    pub(crate) questions: Vec<Question>,
}

impl Keys {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let (mut pairs, mut questions) = (Vec::new(), Vec::new());
        while pairs.len() < PAIRS {
            let nesting = questions.len() % (NESTING_MAX + 1);
            // The last ones are as short as they have to be.
            let nesting = nesting.min(PAIRS - pairs.len() - 1);
            let chain: Vec<_> = (0..nesting + 2).map(|_| uuid(&mut random)).collect();
            let (key, value) = (chain[0].clone(), chain[nesting + 1].clone());
            questions.push(Question { key, value, nesting });
            pairs.extend(chain.windows(2).map(|two| Pair { key: two[0].clone(), value: two[1].clone() }));
        }
        let like: Vec<_> = pairs.iter().flat_map(|pair| near_misses(&mut random, &pair.key)).collect();
        // What a chain ends in is no key, and looks like one.
        let ends = questions.iter().flat_map(|question| near_misses(&mut random, &question.value)).collect::<Vec<_>>();
        pairs.extend(like.into_iter().chain(ends));
        random.shuffle(&mut pairs);
        Self { pairs, questions }
    }
}

/// Pairs with keys like this one.
fn near_misses(random: &mut Random, key: &str) -> Vec<Pair> {
    let groups: Vec<_> = key.split('-').collect();
    let changed = |place: usize, other: &str| {
        let group = |(at, group): (usize, &&str)| if at == place { other.to_owned() } else { (*group).to_owned() };
        groups.iter().enumerate().map(group).collect::<Vec<_>>().join("-")
    };
    let mut pairs = Vec::with_capacity(NEAR_MISSES);
    for (place, group) in groups.iter().enumerate().take(NEAR_MISSES) {
        let other = loop {
            let drawn = uuid(random);
            let other = drawn.split('-').nth(place).unwrap_or_default().to_owned();
            if other != **group {
                break other;
            }
        };
        pairs.push(Pair { key: changed(place, &other), value: uuid(random) });
    }
    pairs
}

/// A random one (RFC 9562, version 4).
fn uuid(random: &mut Random) -> String {
    let (high, low) = (random.next(), random.next());
    let (version, variant) = (high & 0x0fff | 0x4000, low >> 48 & 0x3fff | 0x8000);
    format!(
        "{:08x}-{:04x}-{version:04x}-{variant:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        low & 0xffff_ffff_ffff
    )
}
