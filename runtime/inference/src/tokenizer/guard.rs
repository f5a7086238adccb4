//! Control tokens in text, and what keeps contents from holding them. The module above says why and how.

use crate::template::TemplateError;
use remit_kernel::ports::ChatMessage;
use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

/// Which texts are control tokens.
#[derive(Debug)]
pub(super) struct Control {
    /// By first byte; the longest first.
    by_first: HashMap<u8, Vec<(Box<str>, u32)>>,
    firsts: HashSet<char>,
    lasts: HashSet<char>,
}

/// A character that occurs in no message, for one conversation.
pub(super) struct Guard<'a> {
    control: &'a Control,
    marker: char,
}

/// Where markers are chosen from: supplementary private use area B, which means nothing to anybody.
const MARKERS: std::ops::RangeInclusive<char> = '\u{100000}'..='\u{10fffd}';

impl Control {
    pub(super) fn new<'t>(texts: impl Iterator<Item = (&'t str, u32)>) -> Self {
        let mut control = Self { by_first: HashMap::new(), firsts: HashSet::new(), lasts: HashSet::new() };
        for (text, token) in texts {
            let (Some(first), Some(last)) = (text.chars().next(), text.chars().next_back()) else { continue };
            if first.len_utf8() == text.len() || first.is_whitespace() || last.is_whitespace() {
                continue;
            }
            control.firsts.insert(first);
            control.lasts.insert(last);
            control.by_first.entry(text.as_bytes()[0]).or_default().push((text.into(), token));
        }
        for texts in control.by_first.values_mut() {
            texts.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        }
        control
    }

    /// The first control token in a text; where several begin, the longest.
    pub(super) fn find(&self, text: &str) -> Option<(Range<usize>, u32)> {
        text.bytes().enumerate().find_map(|(start, byte)| {
            let candidates = self.by_first.get(&byte)?;
            let rest = &text.as_bytes()[start..];
            let (found, token) = candidates.iter().find(|(text, _)| rest.starts_with(text.as_bytes()))?;
            Some((start..start + found.len(), *token))
        })
    }
}

impl<'a> Guard<'a> {
    pub(super) fn new(control: &'a Control, messages: &[ChatMessage]) -> Result<Self, TemplateError> {
        let used: HashSet<char> = messages
            .iter()
            .flat_map(|message| message.content.chars())
            .filter(|character| MARKERS.contains(character))
            .collect();
        let marker = MARKERS.into_iter().find(|marker| !used.contains(marker));
        marker.map(|marker| Self { control, marker }).ok_or(TemplateError::Markers)
    }

    /// The content, with every control token in it spoilt.
    pub(super) fn spoil(&self, content: &str) -> String {
        let mut out = String::with_capacity(content.len());
        for character in content.chars() {
            if self.control.lasts.contains(&character) {
                out.push(self.marker);
            }
            out.push(character);
            if self.control.firsts.contains(&character) {
                out.push(self.marker);
            }
        }
        out
    }

    /// Plain text as it was.
    pub(super) fn restore(&self, text: &str) -> String {
        text.replace(self.marker, "")
    }
}
