//! Recorded tasks, asked again: whether what answers now is as good as what answered before.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `task` | the file of tasks |
//! | `property` | what an answer is expected to be |
//! | `statistics` | how sure a share is, and whether two differ |
//! | `bench` | the models of this machine, asked without a process |
//! | here | asking all tasks, and comparing two runs of them |
//!
//! A file of tasks is TOML:
//!
//! ```toml
//! [[task]]
//! name = "capital"                        # each another
//! label = "chat"                          # of the grant that a route would be asked under; this without it
//! messages = [                            # or prompt = "…", a text to go on from
//!     { role = "system", text = "Answer in one word." },
//!     { role = "user", text = "What is the capital of France?" },
//! ]
//! params = { max_tokens = 16 }            # and temperature, top_k, top_p, min_p, seed, stop; greedy without them
//!
//! [[task.expect]]                         # one of these each; with `not = true` it must not hold
//! contains = "Paris"                      # a piece of the text
//! [[task.expect]]
//! equals = "Paris"                        # the text, without white space around it
//! [[task.expect]]
//! matches = '^\w+\.?$'                    # a regular expression, somewhere in the text
//! [[task.expect]]
//! json = { pointer = "/city", equals = "Paris" }   # the text is JSON, and has this there (RFC 6901); without `equals` anything
//! [[task.expect]]
//! tokens_max = 8                          # tokens of output
//! [[task.expect]]
//! finish = "stop"                         # or "length"
//! ```
//!
//! Principles:
//!
//! - A task passes where all that is expected of it holds; one that cannot be answered fails, and says why.
//! - Whoever is compared is asked the same tasks in the same order, each by itself.
//! - Nothing here knows a model: whoever answers is a function.

mod bench;
mod property;
mod statistics;
mod task;

pub use bench::{Answerer, AnswererError, Answers};
pub use property::{Expectation, Property};
pub use statistics::{Interval, mcnemar, wilson};
pub(crate) use task::WrittenExpectation;
pub use task::{EvalTask, Question, TaskFileError, read_tasks};

use remit_abi::FinishReason;
use serde::Serialize;
use std::fmt;

/// What was answered to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was written.
    pub text: String,
    /// In how many tokens.
    pub tokens: u32,
    /// Why it ended there.
    pub finish: FinishReason,
    /// By which model.
    pub model: String,
}

/// Whether one thing that was expected holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PropertyResult {
    /// What was expected, in words.
    pub expected: String,
    /// Whether it holds.
    pub holds: bool,
}

/// What one task came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskResult {
    /// Its name.
    pub task: String,
    /// Whether it was answered and all that is expected holds.
    pub passed: bool,
    /// All that is expected; empty where it was not answered.
    pub properties: Vec<PropertyResult>,
    /// What was written, where it was answered.
    pub text: Option<String>,
    /// Who answered.
    pub model: Option<String>,
    /// Tokens of output.
    pub tokens: u32,
    /// Why it was not answered.
    pub error: Option<String>,
}

/// What all tasks came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Who was asked.
    pub subject: String,
    /// Each task, in the order of the file.
    pub tasks: Vec<TaskResult>,
    /// How many passed.
    pub passed: usize,
    /// The share of tasks like these that would pass, with 95 % confidence.
    pub interval: Interval,
    /// How many properties hold, of how many.
    pub properties: (usize, usize),
    /// Tokens of output together.
    pub tokens: u64,
}

/// Puts every task to whoever answers.
pub fn evaluate(subject: &str, tasks: &[EvalTask], mut ask: impl FnMut(&Question) -> Result<Answer, String>) -> Report {
    let tasks: Vec<_> = tasks.iter().map(|task| result(task, ask(&task.question))).collect();
    let passed = tasks.iter().filter(|task| task.passed).count();
    let properties = || tasks.iter().flat_map(|task| &task.properties);
    Report {
        subject: subject.to_owned(),
        passed,
        interval: wilson(passed as u64, tasks.len() as u64),
        properties: (properties().filter(|property| property.holds).count(), properties().count()),
        tokens: tasks.iter().map(|task| u64::from(task.tokens)).sum(),
        tasks,
    }
}

fn result(task: &EvalTask, answer: Result<Answer, String>) -> TaskResult {
    let name = task.name.clone();
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let (properties, text, model) = Default::default();
            return TaskResult { task: name, passed: false, properties, text, model, tokens: 0, error: Some(error) };
        }
    };
    let check =
        |expected: &Expectation| PropertyResult { expected: expected.to_string(), holds: expected.holds(&answer) };
    let properties: Vec<_> = task.expect.iter().map(check).collect();
    TaskResult {
        task: name,
        passed: properties.iter().all(|property| property.holds),
        properties,
        tokens: answer.tokens,
        text: Some(answer.text),
        model: Some(answer.model),
        error: None,
    }
}

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The second passes more of the tasks.
    Better,
    /// Both pass as many.
    AsGood,
    /// The second passes fewer.
    Worse,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Better => "better",
            Self::AsGood => "as good",
            Self::Worse => "worse",
        })
    }
}

/// Two runs of the same tasks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Tasks that only the first passes.
    pub lost: Vec<String>,
    /// Tasks that only the second passes.
    pub won: Vec<String>,
    /// How likely a difference at least as large is, both ways, if both were equally good.
    pub p: f64,
    /// Which of them passes more.
    pub verdict: Verdict,
}

impl Comparison {
    /// Of a second run with a first one of the same tasks.
    #[must_use]
    pub fn of(first: &Report, second: &Report) -> Self {
        let pairs = || first.tasks.iter().zip(&second.tasks);
        let only = |passes: bool| -> Vec<String> {
            let differs = pairs().filter(|(one, other)| one.passed == passes && other.passed != passes);
            differs.map(|(one, _)| one.task.clone()).collect()
        };
        let (lost, won) = (only(true), only(false));
        let verdict = match won.len().cmp(&lost.len()) {
            std::cmp::Ordering::Greater => Verdict::Better,
            std::cmp::Ordering::Equal => Verdict::AsGood,
            std::cmp::Ordering::Less => Verdict::Worse,
        };
        Self { p: mcnemar(lost.len() as u64, won.len() as u64), lost, won, verdict }
    }

    /// Whether the second may take the first one's place. With a level of significance a worse one may, as long as chance is
    /// as good an explanation.
    #[must_use]
    pub fn allows(&self, significance: Option<f64>) -> bool {
        self.verdict != Verdict::Worse || significance.is_some_and(|level| self.p >= level)
    }
}

#[cfg(test)]
mod tests;
