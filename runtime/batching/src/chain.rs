//! Names of blocks by what is in them: a hash over all tokens up to a block's end, block by block.
//!
//! Keys and values of a block follow from those tokens and from what computed them. So a hash of both names them, wherever they are and
//! whoever wrote them: SHA-256 (FIPS 180-4), since tokens are other people's, and nobody may find two prompts of one name.

use crate::Namespace;
use sha2::{Digest, Sha256};

/// The name of a run of whole blocks. The default is that of none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chain([u8; 32]);

impl Chain {
    /// Of what computes them: no two lists of these texts have the same.
    #[must_use]
    pub fn of(texts: &[&str]) -> Self {
        let hash = |hash: Sha256, text: &&str| hash.chain_update((text.len() as u64).to_le_bytes()).chain_update(text);
        Self(texts.iter().fold(Sha256::new(), hash).finalize().into())
    }

    /// With the tokens of one more block.
    #[must_use]
    pub fn then(self, tokens: &[u32]) -> Self {
        let hash = |hash: Sha256, token: &u32| hash.chain_update(token.to_le_bytes());
        Self(tokens.iter().fold(Sha256::new().chain_update(self.0), hash).finalize().into())
    }

    /// As computed by something.
    #[must_use]
    pub fn by(self, computer: &Self) -> Self {
        Self(Sha256::new().chain_update(computer.0).chain_update(self.0).finalize().into())
    }

    /// The hash.
    #[must_use]
    pub const fn bytes(self) -> [u8; 32] {
        self.0
    }
}

/// A whole block by its tokens and all before it, and whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// Whose, and of what.
    pub namespace: Namespace,
    /// Of all tokens up to its end.
    pub chain: Chain,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_all_tokens_in_their_order_and_what_computed_them() {
        let none = Chain::default();
        let names = [
            none,
            none.then(&[1, 2]),
            none.then(&[2, 1]),
            none.then(&[1]).then(&[2]),
            none.then(&[1, 2]).then(&[1, 2]),
            none.then(&[1, 2]).by(&Chain::of(&["a", "bc"])),
            none.then(&[1, 2]).by(&Chain::of(&["ab", "c"])),
        ];
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        assert_eq!(none.then(&[1, 2]), none.then(&[1, 2]));
    }
}
