//! How likely a model held the tokens that it drew.
//!
//! A whole generation hands them over as a [`Value`], since they tell the text: whoever reads them has read it. The value
//! can be passed on, and is read by [`read`] wherever it comes to.

use crate::{Value, ValueError};

pub use crate::bindings::remit::kernel::llm::{DrawnToken, ScoredToken};

/// Of a value that [`read`] reads.
pub const MEDIA_TYPE: &str = "application/vnd.remit.logprobs";

/// Reads the tokens of a completion's `logprobs`, and raises the process's label. The layout is that of `completion` in the
/// kernel's `llm.wit`.
///
/// # Errors
/// [`ValueError::NotLogprobs`] where it is something else.
pub fn read(value: &Value) -> Result<Vec<DrawnToken>, ValueError> {
    let bytes = value.bytes()?;
    let mut rest = bytes.as_slice();
    let mut tokens = Vec::new();
    while !rest.is_empty() {
        let offset = (bytes.len() - rest.len()) as u64;
        tokens.push(drawn(&mut rest).ok_or(ValueError::NotLogprobs { offset })?);
    }
    Ok(tokens)
}

fn drawn(rest: &mut &[u8]) -> Option<DrawnToken> {
    let [count] = take(rest)?;
    let token = scored(rest)?;
    let likeliest = (1..count).map(|_| scored(rest)).collect::<Option<_>>()?;
    (count > 0).then_some(DrawnToken { token, likeliest })
}

fn scored(rest: &mut &[u8]) -> Option<ScoredToken> {
    let (id, logprob) = (u32::from_le_bytes(take(rest)?), f32::from_le_bytes(take(rest)?));
    let length = u32::from_le_bytes(take(rest)?);
    let (bytes, after) = rest.split_at_checked(length as usize)?;
    *rest = after;
    Some(ScoredToken { id, logprob, bytes: bytes.to_vec() })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`drawn`] makes of these bytes, and how many it leaves.
    fn check(mut bytes: &[u8], expect: Option<&[(u32, f32, &[u8])]>, left: usize) {
        let drawn = drawn(&mut bytes);
        let tokens = drawn.map(|drawn| [vec![drawn.token], drawn.likeliest].concat());
        let plain = tokens.iter().flatten().map(|token| (token.id, token.logprob, token.bytes.as_slice()));
        assert_eq!(tokens.is_some().then(|| plain.collect::<Vec<_>>()).as_deref(), expect);
        if expect.is_some() {
            assert_eq!(bytes.len(), left);
        }
    }

    #[test]
    fn the_layout_is_as_documented() {
        let one = b"\x01\x09\0\0\0\0\0\0\0\x01\0\0\0\xffnext";
        check(one, Some(&[(9, 0.0, b"\xff")]), 4);
        let two = b"\x02\x01\0\0\0\0\0\x80\xbf\x02\0\0\0hi\x00\x01\0\0\0\0\x80\xff\0\0\0\0";
        check(two, Some(&[(1, -1.0, b"hi"), (256, f32::NEG_INFINITY, b"")]), 0);
        for cut in 0..two.len() {
            check(&two[..cut], None, 0);
        }
        check(b"\0\x09\0\0\0\0\0\0\0\0\0\0\0", None, 0);
        check(b"\x01\x09\0\0\0\0\0\0\0\xff\xff\xff\xff", None, 0);
    }
}
