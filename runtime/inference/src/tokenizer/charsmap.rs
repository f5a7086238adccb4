//! SentencePiece's normalisation rules in the compiled form in which model files carry them.
//!
//! Layout, little-endian: the size of the trie in bytes (u32), the trie (a double array of u32 units as `darts-clone`
//! writes it), the replacements (UTF-8, each ended by a zero byte). The value of a key of the trie is where its
//! replacement begins. Sources: SentencePiece's `normalizer.cc` and `darts.h`; Yata et al. 2007, "A compact static
//! double-array keeping character codes".
//!
//! Every index into the trie is an allegation: one that leads outside ends the search.

use super::TokenizerError;

/// Bytes of a replacement: the longest of Unicode's compatibility mappings has 33.
const REPLACEMENT_BYTES_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Charsmap {
    units: Vec<u32>,
    replacements: String,
}

impl Charsmap {
    pub(super) fn new(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let damaged = |why: &str| TokenizerError::Damaged(format!("precompiled_charsmap {why}"));
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| damaged("is too short"))?;
        let size = u32::from_le_bytes(*size) as usize;
        let (units, replacements) = rest.split_at_checked(size).ok_or_else(|| damaged("is cut off"))?;
        let replacements = std::str::from_utf8(replacements).map_err(|_| damaged("is not UTF-8"))?;
        if replacements.split('\0').any(|replacement| replacement.len() > REPLACEMENT_BYTES_MAX) {
            return Err(damaged("has a replacement without an end"));
        }
        let units = units.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
        Ok(Self { units, replacements: replacements.to_owned() })
    }

    /// What the longest key that the text begins with is replaced by, and the length of that key.
    pub(super) fn longest(&self, text: &str) -> Option<(&str, usize)> {
        let (value, length) = self.find(text.as_bytes())?;
        let replacement = self.replacements.get(value..)?.split('\0').next()?;
        // A key that ends inside a character is damage.
        text.is_char_boundary(length).then_some((replacement, length))
    }

    fn find(&self, text: &[u8]) -> Option<(usize, usize)> {
        let mut longest = None;
        let mut index = base(*self.units.first()?);
        for (position, byte) in text.iter().enumerate() {
            index ^= usize::from(*byte);
            let Some(unit) = self.units.get(index).copied().filter(|unit| label(*unit) == u32::from(*byte)) else {
                break;
            };
            index ^= base(unit);
            if unit >> 8 & 1 == 1 {
                let Some(leaf) = self.units.get(index) else { break };
                longest = Some(((leaf & 0x7fff_ffff) as usize, position + 1));
            }
        }
        longest
    }
}

fn base(unit: u32) -> usize {
    ((unit >> 10) as usize) << ((unit & 0x200) >> 6)
}

/// The byte that leads to a unit; a leaf's has bit 31 set and is none.
fn label(unit: u32) -> u32 {
    unit & 0x8000_00ff
}
