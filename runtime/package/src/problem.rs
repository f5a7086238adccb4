//! What is wrong with a manifest: one sentence for each problem, with its line.

use std::{fmt, fmt::Write};
use thiserror::Error;

/// Problems that are told at a time: a screen of them. Whoever mends these sees the rest.
const PROBLEMS_MAX: usize = 16;

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In which line, counted from 1.
    pub line: usize,
    /// What, and what would be right: one sentence without a full stop, free of control characters.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

/// A manifest that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// It does not say what a manifest says.
    #[error("{}", listed(problems, *more))]
    Wrong {
        /// At least one, by line, and at most 16.
        problems: Vec<Problem>,
        /// How many there are besides.
        more: usize,
    },
    /// An amount that does not come from a text.
    #[error("a budget of {0} tokens is too large to count: name less than 18 million million")]
    Budget(u64),
}

fn listed(problems: &[Problem], more: usize) -> String {
    if let [problem] = problems {
        return problem.to_string();
    }
    let mut list = format!("{} problems", problems.len() + more);
    for problem in problems {
        list.push_str("\n  ");
        // A string takes whatever is written into it.
        let _ = write!(list, "{problem}");
    }
    if more > 0 {
        let _ = write!(list, "\n  and {more} more");
    }
    list
}

/// What was found so far, by place.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    /// Byte offsets into the text, and sentences.
    found: Vec<(usize, String)>,
}

impl Problems {
    pub(crate) fn add(&mut self, offset: usize, text: String) {
        self.found.push((offset, text));
    }

    /// The error that they make; `None` where there are none.
    pub(crate) fn into_error(mut self, text: &str) -> Option<ManifestError> {
        if self.found.is_empty() {
            return None;
        }
        self.found.sort();
        self.found.dedup();
        let more = self.found.len().saturating_sub(PROBLEMS_MAX);
        self.found.truncate(PROBLEMS_MAX);
        let line = |offset| 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        let problems = self.found.into_iter().map(|(offset, text)| Problem { line: line(offset), text });
        Some(ManifestError::Wrong { problems: problems.collect(), more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_by_line_and_not_without_end() {
        assert_eq!(Problems::default().into_error(""), None);
        let mut problems = Problems::default();
        problems.add(2, "second".to_owned());
        assert_eq!(problems.into_error("a\nb").map(|error| error.to_string()).as_deref(), Some("line 2: second"));
        let mut problems = Problems::default();
        for index in (0..20).rev() {
            problems.add(index, format!("number {index}"));
        }
        let error = problems.into_error(&"\n".repeat(20)).map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with("20 problems\n  line 1: number 0\n  line 2: number 1\n"), "{error}");
        assert!(error.ends_with("\n  line 16: number 15\n  and 4 more"), "{error}");
    }
}
