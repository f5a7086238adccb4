//! Bytes to text as they come: characters are given out whole.

/// Puts the bytes of tokens together to characters. What can never become one is U+FFFD, once for each maximal part, as
/// `String::from_utf8_lossy` does (Unicode standard, section 3.9, "U+FFFD Substitution of Maximal Subparts").
#[derive(Debug, Default)]
pub struct Utf8Stream {
    /// The beginning of a character: at most three bytes between calls.
    held: Vec<u8>,
}

impl Utf8Stream {
    /// Adds bytes and returns the characters that are whole.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let mut out = String::new();
        let mut begin = 0;
        for chunk in self.held.utf8_chunks() {
            let end = begin + chunk.valid().len() + chunk.invalid().len();
            out.push_str(chunk.valid());
            begin += chunk.valid().len();
            let open = end == self.held.len() && may_become_character(chunk.invalid());
            if !chunk.invalid().is_empty() && !open {
                out.push(char::REPLACEMENT_CHARACTER);
                begin = end;
            }
        }
        self.held.drain(..begin);
        out
    }

    /// What is left once no more can come: U+FFFD for the beginning of a character.
    pub fn finish(&mut self) -> String {
        let rest = String::from_utf8_lossy(&self.held).into_owned();
        self.held.clear();
        rest
    }
}

/// Whether bytes that are not UTF-8 are the beginning of a character.
fn may_become_character(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(pieces: &[&[u8]], expect: &[&str]) {
        let mut stream = Utf8Stream::default();
        let mut got: Vec<String> = pieces.iter().map(|piece| stream.push(piece)).collect();
        got.push(stream.finish());
        assert_eq!(got, expect);
    }

    #[test]
    fn holds_back_what_is_not_whole() {
        check(&[b"a\xf0\x9f", b"\xa6", b"\x80b"], &["a", "", "🦀b", ""]);
        check(&[b"\xc3", b"a"], &["", "\u{fffd}a", ""]);
        check(&[b"\xf0\x9f"], &["", "\u{fffd}"]);
        check(&[b"\xff\xc3"], &["\u{fffd}", "\u{fffd}"]);
    }

    /// Bytes that are often parts of characters.
    fn byte() -> impl Strategy<Value = u8> {
        prop_oneof![any::<u8>(), 0x80..0xc0u8, 0xe0..0xf5u8, Just(b'a')]
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(pieces in prop::collection::vec(prop::collection::vec(byte(), 0..5), 0..20)) {
            let mut stream = Utf8Stream::default();
            let mut streamed: String = pieces.iter().map(|piece| stream.push(piece)).collect();
            streamed += &stream.finish();
            let whole = pieces.concat();
            prop_assert_eq!(streamed, String::from_utf8_lossy(&whole));
        }
    }
}
