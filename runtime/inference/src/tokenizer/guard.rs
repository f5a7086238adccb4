//! Control tokens in text, and what keeps contents from holding them. The module above says why and how.

use super::{
    prefixes::Prefixes,
    vocabulary::{Special, Trim},
};
use crate::template::TemplateError;
use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

/// Which texts are control tokens.
#[derive(Debug)]
pub(super) struct Control {
    texts: Prefixes,
    firsts: HashSet<char>,
    lasts: HashSet<char>,
    trims: HashMap<u32, Trim>,
}

/// A character that occurs in no message, for one conversation.
pub(super) struct Guard<'a> {
    control: &'a Control,
    marker: char,
}

/// Where markers are chosen from: supplementary private use area B, which means nothing to anybody.
const MARKERS: std::ops::RangeInclusive<char> = '\u{100000}'..='\u{10fffd}';

impl Control {
    pub(super) fn new(special: &Special) -> Self {
        let findable = special.control.iter().filter_map(|(token, text)| {
            let (first, last) = (text.chars().next()?, text.chars().next_back()?);
            let alone = first.len_utf8() == text.len() || first.is_whitespace() || last.is_whitespace();
            (!alone).then_some((&**text, *token, first, last))
        });
        // By id, so that of two tokens with one text the first counts.
        let mut findable: Vec<_> = findable.collect();
        findable.sort_by_key(|(_, token, _, _)| *token);
        Self {
            texts: Prefixes::new(findable.iter().map(|(text, token, _, _)| (*text, *token))),
            firsts: findable.iter().map(|(_, _, first, _)| *first).collect(),
            lasts: findable.iter().map(|(_, _, _, last)| *last).collect(),
            trims: special.trims.clone(),
        }
    }

    fn trim(&self, token: u32) -> Trim {
        self.trims.get(&token).copied().unwrap_or_default()
    }

    /// The text before a control token, without the blanks that it takes along.
    pub(super) fn trim_before<'t>(&self, token: u32, text: &'t str) -> &'t str {
        if self.trim(token).before { text.trim_end() } else { text }
    }

    /// The text behind it, likewise.
    pub(super) fn trim_behind<'t>(&self, token: u32, text: &'t str) -> &'t str {
        if self.trim(token).behind { text.trim_start() } else { text }
    }

    /// The first control token in a text; where several begin, the longest.
    pub(super) fn find(&self, text: &str) -> Option<(Range<usize>, u32)> {
        text.char_indices().find_map(|(start, _)| {
            let (length, token) = self.texts.longest(&text.as_bytes()[start..])?;
            Some((start..start + length, token))
        })
    }
}

impl<'a> Guard<'a> {
    /// `visit` hands every text of the conversation to what it is given.
    pub(super) fn new(control: &'a Control, visit: impl FnOnce(&mut dyn FnMut(&str))) -> Result<Self, TemplateError> {
        let mut used = HashSet::new();
        visit(&mut |text| used.extend(text.chars().filter(|character| MARKERS.contains(character))));
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
