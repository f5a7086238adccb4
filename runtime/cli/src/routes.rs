//! `remit routes`: names that send each request to a model, and which version of each is in effect.
//!
//! What is decided is kept in the data folder, whether a host runs or not. A host that runs is told at once; counts are its own.

use crate::{
    eval::{Computed, Gate},
    exit::CommandError,
    node::runtime,
    table::{Column, Table},
};
use clap::{Args, Subcommand, ValueEnum};
use remit_abi::{Arm, Pid, Priority, TenantId, Tokens};
use remit_assembly::{
    Home,
    routes::{RouteBook, RouteSummary},
    routing::{
        arm::Subject,
        policy::{RequestClass, name_of},
    },
};
use remit_server::{
    Client, ClientError,
    protocol::{Breaker, ExplainRequest, Explanation, MissedRule, RankedModel, Route, RouteArm},
};
use std::process::ExitCode;

/// See routes, try new versions of them, and go back.
#[derive(Subcommand)]
pub(crate) enum Routes {
    /// List routes: versions, shares, and what they came to on the running host
    Ls,
    /// Show a route: its versions, and what one of them says
    Show {
        /// Its name
        name: String,
        /// Which version; the stable one without this
        #[arg(long, value_name = "N")]
        version: Option<u32>,
    },
    /// Try what routes.toml says of a route on a share of its requests
    SetCanary(SetCanary),
    /// Give everybody the version that is tried; without one, what routes.toml says
    Promote(Promote),
    /// Try no version any more; where none is tried, bring back the one that everybody got before
    Rollback {
        /// Its name
        name: String,
    },
    /// Say which rule and which models a request would get, and why
    Explain(Explain),
}

/// What keeps its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// Each process
    Process,
    /// Each tenant
    Tenant,
}

#[derive(Args)]
pub(crate) struct SetCanary {
    /// Its name
    name: String,
    /// On how many of a thousand
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    share: u16,
    /// Of what
    #[arg(long, value_enum, default_value = "process")]
    by: By,
}

#[derive(Args)]
pub(crate) struct Promote {
    /// Its name
    name: String,
    #[command(flatten)]
    gate: Gate,
    #[command(flatten)]
    computed: Computed,
}

#[derive(Args)]
pub(crate) struct Explain {
    /// Its name
    name: String,
    /// The label of the grant that it is asked under
    #[arg(long, value_name = "LABEL", default_value = "chat")]
    task: String,
    /// Tokens of the prompt
    #[arg(long, value_name = "N", default_value_t = 100)]
    prompt_tokens: u32,
    /// Tokens of output that are asked for
    #[arg(long, value_name = "N", default_value_t = 256)]
    output_tokens: u32,
    /// Of the process: background, low, normal or high
    #[arg(long, value_name = "NAME", default_value = "normal", value_parser = priority)]
    priority: Priority,
    /// Of the process
    #[arg(long, value_name = "N", default_value_t = 0)]
    tenant: u32,
    /// What the process can still spend, in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 1_000_000)]
    budget: u64,
    /// The version that this process gets, as `remit ps` shows it; all that are in effect without this
    #[arg(long, value_name = "PID")]
    process: Option<Pid>,
}

fn priority(text: &str) -> Result<Priority, String> {
    let all = [Priority::Background, Priority::Low, Priority::Normal, Priority::High];
    let found = all.into_iter().find(|priority| name_of(*priority) == text);
    found.ok_or_else(|| format!("that is no priority: these are {}", all.map(name_of).join(", ")))
}

impl Routes {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let home = Home::find()?;
        match self {
            Self::Ls => print!("{}", listed(&RouteBook::open(&home)?.list(), &of_host(&home)?)),
            Self::Show { name, version } => show(&home, &name, version)?,
            Self::SetCanary(SetCanary { name, share, by }) => {
                let by = match by {
                    By::Process => Subject::Process,
                    By::Tenant => Subject::Tenant,
                };
                println!("{name}: {}", RouteBook::set_canary(&home, &name, share, by)?);
                tell_host(&home)?;
            }
            Self::Promote(Promote { name, gate, computed }) => {
                if !gate.allows(&home, &name, &computed)? {
                    return Ok(ExitCode::FAILURE);
                }
                println!("{name}: {}", RouteBook::promote(&home, &name)?);
                tell_host(&home)?;
            }
            Self::Rollback { name } => {
                println!("{name}: {}", RouteBook::rollback(&home, &name)?);
                tell_host(&home)?;
            }
            Self::Explain(explain) => explain.run(&home)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Asks the running host, where there is one.
fn if_running<T>(
    home: &Home,
    what: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
) -> Result<Option<T>, CommandError> {
    runtime(1)?.block_on(async {
        match Client::find(home).await? {
            Some(host) => Ok(Some(what(&host).await?)),
            None => Ok(None),
        }
    })
}

fn of_host(home: &Home) -> Result<Vec<Route>, CommandError> {
    let routes = if_running(home, async |host| host.routes().await)?;
    Ok(routes.map(|routes| routes.routes).unwrap_or_default())
}

/// A running host takes over what was decided.
fn tell_host(home: &Home) -> Result<(), CommandError> {
    if_running(home, async |host| host.reload_routes().await).map(drop)
}

fn listed(routes: &[RouteSummary], of_host: &[Route]) -> String {
    let mut table = Table::new([
        Column::Words("ROUTE"),
        Column::Words("VERSION"),
        Column::Numbers("SHARE"),
        Column::Numbers("REQUESTS"),
        Column::Numbers("FAILED"),
        Column::Numbers("FELL BACK"),
        Column::Numbers("OUT"),
        Column::Numbers("P50"),
        Column::Numbers("P99"),
        Column::Words("NOTE"),
    ]);
    for RouteSummary { name, stable, candidate, has_changed, .. } in routes {
        let share = candidate.map_or(0, |(_, share)| share);
        let note =
            if *has_changed { "routes.toml says something else: `remit routes set-canary`, or `promote`" } else { "" };
        let arms = [
            Some((*stable, 1000_u16.saturating_sub(share), note)),
            candidate.map(|(tried, share)| (tried, share, "tried")),
        ];
        for (version, share, note) in arms.into_iter().flatten() {
            let route = of_host.iter().find(|route| route.name == *name);
            let arm = route.and_then(|route| route.arms.iter().find(|arm| arm.version == version));
            let count = |of: fn(&RouteArm) -> u64| arm.map_or_else(|| "-".to_owned(), |arm| of(arm).to_string());
            let time = |of: fn(&RouteArm) -> Option<u64>| arm.and_then(of).map_or_else(|| "-".to_owned(), milliseconds);
            table.row([
                name.clone(),
                version.to_string(),
                share.to_string(),
                count(|arm| arm.requests),
                count(|arm| arm.failed),
                count(|arm| arm.fell_back),
                count(|arm| arm.output_tokens),
                time(|arm| arm.p50_us),
                time(|arm| arm.p99_us),
                note.to_owned(),
            ]);
        }
    }
    table.to_string()
}

fn milliseconds(micros: u64) -> String {
    format!("{} ms", micros.div_ceil(1000))
}

fn show(home: &Home, name: &str, version: Option<u32>) -> Result<(), CommandError> {
    let book = RouteBook::open(home)?;
    let RouteSummary { stable, candidate, before, .. } = book.summary(name)?;
    let numbers: Vec<_> = book.numbers(name)?.iter().map(ToString::to_string).collect();
    println!("stable       {stable}");
    if let Some((tried, share)) = candidate {
        println!("tried        {tried}, on {share} of a thousand");
    }
    if let Some(before) = before {
        println!("before       {before}");
    }
    println!("kept         {}", numbers.join(", "));
    for tier in of_host(home)?.iter().filter(|route| route.name == name).flat_map(|route| &route.tiers) {
        let state = match tier.breaker {
            Breaker::Closed => "answers",
            Breaker::Open => "failed too often, and rests",
            Breaker::HalfOpen => "is asked once, to find out whether it is well",
        };
        println!("{:12} {state}", tier.model);
    }
    print!("\n{}", book.text(name, version.unwrap_or(stable))?);
    Ok(())
}

impl Explain {
    fn run(self, home: &Home) -> Result<(), CommandError> {
        let request = ExplainRequest {
            route: self.name.clone(),
            task: self.task.clone(),
            prompt_tokens: self.prompt_tokens,
            output_tokens: self.output_tokens,
            priority: self.priority,
            tenant: self.tenant,
            budget_micro_tokens: self.budget.saturating_mul(Tokens::MICRO),
            pid: self.process,
        };
        let told = if_running(home, async |host| host.explain_route(&request).await)?;
        let arms = match told {
            Some(told) => told.arms,
            None => self.by_itself(home)?,
        };
        arms.iter().for_each(|arm| print!("{}", explanation(arm)));
        Ok(())
    }

    /// Where no host runs: with every model open and well.
    fn by_itself(&self, home: &Home) -> Result<Vec<Explanation>, CommandError> {
        let class = RequestClass {
            task: self.task.as_str().into(),
            prompt_tokens: self.prompt_tokens,
            output_tokens: self.output_tokens,
            priority: self.priority,
            tenant: TenantId(self.tenant),
            budget: Tokens::from_whole(self.budget).unwrap_or(Tokens::MAX),
        };
        let book = RouteBook::open(home)?;
        let explained = book.explain(&self.name, &class, self.process)?;
        let explanation = |(arm, version, told): (Arm, u32, remit_assembly::routing::policy::Explained)| Explanation {
            arm,
            version,
            missed: told.missed.into_iter().map(|(rule, why)| MissedRule { rule: rule.into(), why }).collect(),
            rule: told.rule.into(),
            models: told
                .models
                .into_iter()
                .map(|ranked| RankedModel { model: ranked.model.into(), skipped: None })
                .collect(),
        };
        Ok(explained.into_iter().map(explanation).collect())
    }
}

fn explanation(told: &Explanation) -> String {
    let whose = match told.arm {
        Arm::Stable => "stable",
        Arm::Candidate => "tried",
    };
    let mut text = format!("version {} ({whose})\n", told.version);
    for MissedRule { rule, why } in &told.missed {
        text += &format!("  not {rule:12}  {why}\n");
    }
    text += &format!("  rule {}\n", told.rule);
    for (place, RankedModel { model, skipped }) in told.models.iter().enumerate() {
        let note = skipped.as_ref().map(|why| format!("  passed over: it {why}")).unwrap_or_default();
        text += &format!("    {}. {model}{note}\n", place + 1);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_row_for_each_version_in_effect() {
        let summary = RouteSummary {
            name: "assist".to_owned(),
            stable: 1,
            candidate: Some((2, 50)),
            before: None,
            has_changed: false,
        };
        let list = listed(&[summary], &[]);
        let rows: Vec<Vec<&str>> = list.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["assist", "1", "950", "-", "-", "-", "-", "-", "-"]);
        assert_eq!(rows[1], ["assist", "2", "50", "-", "-", "-", "-", "-", "-", "tried"]);
    }

    #[test]
    fn an_explanation_says_what_missed_and_what_is_tried() {
        let told = Explanation {
            arm: Arm::Stable,
            version: 3,
            missed: vec![MissedRule { rule: "long".to_owned(), why: "the prompt is short".to_owned() }],
            rule: "default".to_owned(),
            models: vec![
                RankedModel { model: "small".to_owned(), skipped: Some("is not open".to_owned()) },
                RankedModel { model: "large".to_owned(), skipped: None },
            ],
        };
        let expect = "version 3 (stable)\n  not long          the prompt is short\n  rule default\n    \
            1. small  passed over: it is not open\n    2. large\n";
        assert_eq!(explanation(&told), expect);
    }
}
