//! `remit eval`: recorded tasks, asked again.

use crate::{
    exit::CommandError,
    json,
    node::Computing,
    table::{Column, Table},
    text::plain,
};
use clap::Args;
use remit_assembly::{
    Home,
    eval::{Answerer, Answers, Comparison, EvalTask, Interval, Report, evaluate, read_tasks},
    models::Registry,
    routes::RouteBook,
};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Ask recorded tasks again, and say whether the answers are as expected; with --against whether another's are as good. Exits
/// with 0 where all tasks pass, or the other one is not worse, else with 1.
#[derive(Args)]
pub(crate) struct Eval {
    /// The file of tasks, in TOML
    file: PathBuf,
    /// Who answers: a model, a route, or a version of a route as NAME@N
    #[arg(long, value_name = "NAME")]
    on: String,
    /// Standing instructions instead of those of the tasks, from a file
    #[arg(long, value_name = "FILE")]
    system: Option<PathBuf>,
    /// Who answers too, and is compared with the first: a model, a route, or a version
    #[arg(long, value_name = "NAME")]
    against: Option<String>,
    /// Standing instructions for whoever is compared, from a file; with this alone the same one answers twice
    #[arg(long, value_name = "FILE")]
    against_system: Option<PathBuf>,
    /// Let one that passes fewer tasks through as long as chance explains it: the p of McNemar's test, for example 0.05
    #[arg(long, value_name = "P", value_parser = level)]
    significance: Option<f64>,
    /// Print all as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    computed: Computed,
}

/// Where models are computed.
#[derive(Args)]
pub(crate) struct Computed {
    #[command(flatten)]
    computing: Computing,
}

/// What has to hold before a version is everybody's.
#[derive(Args)]
pub(crate) struct Gate {
    /// Ask these tasks first of the stable version and of the one to come, and refuse where that is worse
    #[arg(long = "eval", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Let one that passes fewer tasks through as long as chance explains it
    #[arg(long, value_name = "P", value_parser = level, requires = "file")]
    significance: Option<f64>,
}

fn level(text: &str) -> Result<f64, String> {
    let read = text.parse().ok().filter(|level: &f64| (0.0..=1.0).contains(level));
    read.ok_or_else(|| "that is no level of significance: it is between 0 and 1".to_owned())
}

/// Whoever answers, under which instructions.
struct Subject {
    name: String,
    answers: Answers,
    system: Option<String>,
}

/// All that is printed as JSON.
#[derive(Serialize)]
struct Printed<'a> {
    first: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    second: Option<&'a Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<&'a Comparison>,
}

impl Eval {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let home = Home::find()?;
        let tasks = tasks(&self.file)?;
        let first = subject(&home, &self.on, self.system.as_deref())?;
        let second = match (&self.against, &self.against_system) {
            (None, None) => None,
            (name, system) => Some(subject(&home, name.as_ref().unwrap_or(&self.on), system.as_deref())?),
        };
        let answerer = self.computed.open(&home)?;
        let first = ask(&answerer, &first, &tasks)?;
        let second = second.map(|second| ask(&answerer, &second, &tasks)).transpose()?;
        let comparison = second.as_ref().map(|second| Comparison::of(&first, second));
        if self.json {
            json::print(&Printed { first: &first, second: second.as_ref(), comparison: comparison.as_ref() })?;
        } else {
            [Some(&first), second.as_ref()].into_iter().flatten().for_each(|report| print!("{}", told(report)));
            comparison.iter().for_each(|comparison| print!("{}", compared(comparison)));
        }
        let is_good = match &comparison {
            Some(comparison) => comparison.allows(self.significance),
            None => first.passed == first.tasks.len(),
        };
        Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Computed {
    fn open(&self, home: &Home) -> Result<Answerer, CommandError> {
        let Computing { weights_max, device, .. } = self.computing;
        Ok(Answerer::open(home, weights_max, device, self.computing.swapping())?)
    }
}

impl Gate {
    /// Whether a route's next version may be everybody's, which is told on standard error where it may not.
    pub(crate) fn allows(&self, home: &Home, route: &str, computed: &Computed) -> Result<bool, CommandError> {
        let Some(file) = &self.file else { return Ok(true) };
        let tasks = tasks(file)?;
        let book = RouteBook::open(home)?;
        let (stable, next) = (book.summary(route)?.stable, book.next(route)?);
        let system = None;
        let stable = Subject {
            name: format!("{route}@{stable}"),
            answers: Answers::Route(book.version(route, stable)?),
            system: system.clone(),
        };
        let next = Subject { name: format!("{route}, to come"), answers: Answers::Route(next), system };
        let answerer = computed.open(home)?;
        let (stable, next) = (ask(&answerer, &stable, &tasks)?, ask(&answerer, &next, &tasks)?);
        let comparison = Comparison::of(&stable, &next);
        eprint!("{}{}{}", told(&stable), told(&next), compared(&comparison));
        let allows = comparison.allows(self.significance);
        if !allows {
            eprintln!("{route}: everything stays as it is, since the version to come is worse");
        }
        Ok(allows)
    }
}

fn read(path: &Path) -> Result<String, CommandError> {
    std::fs::read_to_string(path).map_err(|error| CommandError::Machine(format!("{}: {error}", path.display())))
}

fn tasks(path: &Path) -> Result<Vec<EvalTask>, CommandError> {
    read_tasks(&read(path)?).map_err(|error| CommandError::Usage(format!("{}: {error}", path.display())))
}

/// A model, a route's stable version, or `NAME@N`.
fn subject(home: &Home, name: &str, system: Option<&Path>) -> Result<Subject, CommandError> {
    let system = system.map(read).transpose()?;
    let of = |answers| Subject { name: name.to_owned(), answers, system };
    if Registry::of(home)?.find(name).is_ok() {
        return Ok(of(Answers::Model(name.to_owned())));
    }
    let book = RouteBook::open(home)?;
    let version = name.rsplit_once('@').and_then(|(route, number)| Some((route, number.parse().ok()?)));
    let (route, number) = match version {
        Some((route, number)) => (route, number),
        None => (name, book.summary(name)?.stable),
    };
    Ok(of(Answers::Route(book.version(route, number)?)))
}

fn ask(answerer: &Answerer, subject: &Subject, tasks: &[EvalTask]) -> Result<Report, CommandError> {
    answerer.serve(&subject.answers)?;
    Ok(evaluate(&subject.name, tasks, |question| match &subject.system {
        Some(system) => answerer.ask(&subject.answers, &question.with_system(system)),
        None => answerer.ask(&subject.answers, question),
    }))
}

fn told(report: &Report) -> String {
    let mut table = Table::new([
        Column::Words("TASK"),
        Column::Words("PASSED"),
        Column::Numbers("TOKENS"),
        Column::Words("MODEL"),
        Column::Words("WHAT DOES NOT HOLD"),
    ]);
    for task in &report.tasks {
        let failing =
            task.properties.iter().filter(|property| !property.holds).map(|property| property.expected.as_str());
        let why: Vec<&str> = task.error.as_deref().into_iter().chain(failing).collect();
        table.row([
            task.task.clone(),
            if task.passed { "yes" } else { "no" }.to_owned(),
            task.tokens.to_string(),
            task.model.clone().unwrap_or_else(|| "-".to_owned()),
            why.join("; "),
        ]);
    }
    let Interval { low, high } = report.interval;
    let ((holding, properties), of) = (report.properties, report.tasks.len());
    format!(
        "{}\n{table}{} of {of} tasks pass, {:.0} % to {:.0} % of such tasks would; {holding} of {properties} properties hold; \
         {} tokens of output\n\n",
        plain(&report.subject),
        report.passed,
        low * 100.0,
        high * 100.0,
        report.tokens
    )
}

fn compared(comparison: &Comparison) -> String {
    let names = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => plain(&names.join(", ")),
    };
    format!(
        "the second is {}: it loses {} and wins {} (p = {:.3}, McNemar's exact test)\nlost  {}\nwon   {}\n",
        comparison.verdict,
        comparison.lost.len(),
        comparison.won.len(),
        comparison.p,
        names(&comparison.lost),
        names(&comparison.won)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_assembly::eval::Answer;

    const TASKS: &str = "[[task]]\nname = 'a'\nprompt = 'q'\nexpect = [{ contains = 'x' }, { tokens_max = 5 }]\n\
        [[task]]\nname = 'b'\nprompt = 'q'\nexpect = [{ contains = 'x' }]\n";

    fn report(text: &str) -> Report {
        let tasks = read_tasks(TASKS).expect("it is well-formed");
        evaluate("small", &tasks, |_| {
            let (text, model, finish) = (text.to_owned(), "small".to_owned(), remit_abi::FinishReason::Stop);
            Ok(Answer { text, tokens: 2, finish, model })
        })
    }

    #[test]
    fn a_report_names_what_does_not_hold() {
        let told = told(&report("y"));
        assert!(told.contains("a     no           2  small  contains \"x\"\n"), "{told}");
        let totals = "0 of 2 tasks pass, 0 % to 66 % of such tasks would; 1 of 3 properties hold; 4 tokens of output\n";
        assert!(told.contains(totals), "{told}");
    }

    #[test]
    fn a_comparison_names_what_was_lost() {
        let told = compared(&Comparison::of(&report("x"), &report("y")));
        let expect =
            "the second is worse: it loses 2 and wins 0 (p = 0.500, McNemar's exact test)\nlost  a, b\nwon   none\n";
        assert_eq!(told, expect);
    }

    #[test]
    fn a_level_is_a_probability() {
        assert_eq!(level("0.05"), Ok(0.05));
        for wrong in ["5", "-0.1", "NaN", "x"] {
            assert!(level(wrong).is_err(), "{wrong}");
        }
    }
}
