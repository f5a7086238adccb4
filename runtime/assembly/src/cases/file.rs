//! The file of cases, and everything that can be wrong with it.

use crate::{
    eval::{Expectation, Property, WrittenExpectation},
    recorded::{Replies, Turn},
};
use remit_abi::Tokens;
use serde::Deserialize;
use std::{collections::HashSet, fmt};
use thiserror::Error;

/// Bytes of a file of cases, at most: it is read whole.
const FILE_BYTES_MAX: usize = 4 << 20;

/// Cases of one file, at most: each takes milliseconds.
const CASES_MAX: usize = 1_000;

/// Tokens of a model's context where a file does not say it: words, of which a small model takes as many.
const CONTEXT_LENGTH: u32 = 2048;

/// A file of cases that cannot be used.
#[derive(Debug, Error)]
pub enum CaseFileError {
    /// No TOML of that form.
    #[error("this is no file of cases: {0}")]
    Form(String),
    /// Larger than a file may be.
    #[error("the file has {bytes} bytes, and {FILE_BYTES_MAX} are the most: split it")]
    TooLarge {
        /// Of the file.
        bytes: usize,
    },
    /// Too many, or none.
    #[error("the file has {count} cases, and must have 1 to {CASES_MAX}")]
    Count {
        /// How many.
        count: usize,
    },
    /// One case is wrong.
    #[error("the case {case:?} {why}")]
    Case {
        /// Its name.
        case: String,
        /// What is wrong with it.
        why: String,
    },
}

/// How an agent ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// With all of its work done.
    #[default]
    Complete,
    /// With a usable part of it done.
    Partial,
    /// It says that it cannot.
    Failed,
    /// It was ended: it crashed, ran out of its budget, or went over a limit.
    Stopped,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        })
    }
}

/// What an agent is to do.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it goes by.
    pub name: String,
    /// What a person says.
    pub say: Vec<String>,
    /// What others say, behind that.
    pub given: Vec<String>,
    /// For how much; what the manifest says without this.
    pub budget: Option<Tokens>,
    /// How it is to end.
    pub ends: End,
    /// What stands in the prompts that the model is given.
    pub asked: Vec<String>,
    /// What its text is to be.
    pub expect: Vec<Expectation>,
}

/// What a model says, and what an agent is to do then.
#[derive(Clone, Debug)]
pub struct CaseFile {
    /// What the model says.
    pub replies: Replies,
    /// At least one.
    pub cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    #[serde(default = "usual_context")]
    context_length: u32,
    #[serde(rename = "turn", default)]
    turns: Vec<Turn>,
    #[serde(rename = "case", default)]
    cases: Vec<WrittenCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCase {
    name: String,
    #[serde(default)]
    say: Vec<String>,
    #[serde(default)]
    given: Vec<String>,
    budget: Option<u64>,
    #[serde(default)]
    ends: End,
    #[serde(default)]
    asked: Vec<String>,
    #[serde(default)]
    expect: Vec<WrittenExpectation>,
}

const fn usual_context() -> u32 {
    CONTEXT_LENGTH
}

/// Reads a file of cases.
///
/// # Errors
/// [`CaseFileError`].
pub fn read_cases(text: &str) -> Result<CaseFile, CaseFileError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(CaseFileError::TooLarge { bytes: text.len() });
    }
    let file: WrittenFile = toml::from_str(text).map_err(|error| CaseFileError::Form(error.to_string()))?;
    if file.cases.is_empty() || file.cases.len() > CASES_MAX {
        return Err(CaseFileError::Count { count: file.cases.len() });
    }
    let mut names = HashSet::new();
    let read = |case: WrittenCase| {
        let name = case.name.clone();
        let is_new = names.insert(name.clone());
        let read = if is_new { case.read() } else { Err("is there twice: rename one".to_owned()) };
        read.map_err(|why| CaseFileError::Case { case: name, why })
    };
    let cases = file.cases.into_iter().map(read).collect::<Result<_, _>>()?;
    Ok(CaseFile { replies: Replies { context_length: file.context_length, turns: file.turns }, cases })
}

impl WrittenCase {
    fn read(self) -> Result<Case, String> {
        let amount =
            |whole| Tokens::from_whole(whole).ok_or_else(|| format!("has a budget of {whole}, which is too large"));
        let expect = self.expect.into_iter().map(WrittenExpectation::read).collect::<Result<Vec<_>, _>>()?;
        if expect.iter().any(|expectation| matches!(expectation.property, Property::Finish(_))) {
            return Err("expects a `finish`, which is a model's and not an agent's: say how it `ends`".to_owned());
        }
        Ok(Case {
            name: self.name,
            say: self.say,
            given: self.given,
            budget: self.budget.map(amount).transpose()?,
            ends: self.ends,
            asked: self.asked,
            expect,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_says_what_it_does_not_leave_open() {
        let text = "[[turn]]\nreply = 'yes'\n[[case]]\nname = 'a'\n\
                    [[case]]\nname = 'b'\nsay = ['x']\ngiven = ['y']\nbudget = 5\nends = 'stopped'\nasked = ['x']\n\
                    expect = [{ contains = 'z', not = true }, { matches = '^a' }]\n";
        let file = read_cases(text).expect("it is whole");
        assert_eq!((file.replies.context_length, file.replies.turns.len()), (CONTEXT_LENGTH, 1));
        let [open, said] = file.cases.as_slice() else { panic!("{:?}", file.cases) };
        assert!(open.say.is_empty() && open.budget.is_none() && open.ends == End::Complete && open.expect.is_empty());
        assert_eq!((said.ends, said.budget, said.expect.len()), (End::Stopped, Tokens::from_whole(5), 2));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let check = |text: &str, words: &str| {
            let error = read_cases(text).expect_err(text).to_string();
            assert!(error.contains(words), "{text:?}: {error}");
        };
        check("", "0 cases");
        check("[[case]]\nnmae = 'a'\n", "nmae");
        check("[[turn]]\nsays = 'a'\n", "says");
        check("[[case]]\nname = 'a'\nends = 'well'\n", "well");
        check("[[case]]\nname = 'a'\n[[case]]\nname = 'a'\n", "\"a\" is there twice");
        check("[[case]]\nname = 'a'\nexpect = [{ finish = 'stop' }]\n", "how it `ends`");
        check("[[case]]\nname = 'a'\nexpect = [{ matches = '(' }]\n", "no pattern");
        check("[[case]]\nname = 'a'\nbudget = 9223372036854775807\n", "too large");
        check(&" ".repeat(FILE_BYTES_MAX + 1), "split it");
    }
}
