//! Which tokens may come next.

use llguidance::toktrie::SimpleVob;

/// Bits of a word.
const WORD_BITS: usize = u32::BITS as usize;

/// A set of tokens: a bit for each token of the vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    bits: SimpleVob,
}

impl Mask {
    pub(crate) fn new(bits: SimpleVob) -> Self {
        Self { bits }
    }

    /// Whether this token may come next.
    #[must_use]
    pub fn allows(&self, token: u32) -> bool {
        (token as usize) < self.bits.len() && self.bits.is_allowed(token)
    }

    /// How many tokens may come next.
    #[must_use]
    pub fn count(&self) -> usize {
        self.tokens().count()
    }

    /// The tokens that may come next, rising.
    pub fn tokens(&self) -> impl Iterator<Item = u32> {
        self.bits.iter().take_while(|token| (*token as usize) < self.bits.len())
    }

    /// The bits, the lowest token in the lowest bit of the first word, as a device takes them. What is beyond the vocabulary
    /// is 0.
    #[must_use]
    pub fn words(&self) -> &[u32] {
        self.bits.as_slice()
    }

    /// Forbids the other tokens: their logits become minus infinity, and so do those beyond the vocabulary.
    pub fn apply(&self, logits: &mut [f32]) {
        let (chunks, words) = (logits.chunks_mut(WORD_BITS), self.words().iter().copied());
        for (chunk, word) in chunks.zip(words.chain(std::iter::repeat(0))) {
            match word {
                u32::MAX => {}
                0 => chunk.fill(f32::NEG_INFINITY),
                _ => {
                    let forbidden = |(bit, _): &(usize, &mut f32)| word >> bit & 1 == 0;
                    chunk.iter_mut().enumerate().filter(forbidden).for_each(|(_, logit)| *logit = f32::NEG_INFINITY);
                }
            }
        }
    }
}
