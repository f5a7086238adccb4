//! Numbers that tokens are drawn with: SplitMix64 (Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number
//! Generators").

/// SplitMix64: 64 bits of state, one addition and one mix a number. Not fit for keys.
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMix64 {
    /// The generator of that seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The generator of that seed after so many numbers: its state is a counter.
    #[must_use]
    pub fn after(seed: u64, numbers: u64) -> Self {
        Self { state: seed.wrapping_add(GOLDEN_GAMMA.wrapping_mul(numbers)) }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_GAMMA);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number in [0, 1), of 53 random bits.
    pub fn next_unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_matches_its_reference() {
        // The first numbers of the reference implementation for the seed 1234567.
        let mut random = SplitMix64::new(1_234_567);
        let expect = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(expect.map(|_| random.next_u64()), expect);
        assert_eq!([0, 1, 2].map(|before| SplitMix64::after(1_234_567, before).next_u64()), expect);
    }
}
