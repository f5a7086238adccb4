//! `remit tools`: the tools and the folders that an operator declares.

use crate::{
    exit::CommandError,
    table::{Column, Table},
    text::label,
};
use clap::Args;
use remit_assembly::{Declarations, Effect, Home, Uncertain};
use remit_server::protocol::Marking;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// List the tools and the folders that agents can be granted
#[derive(Args)]
pub(crate) struct Tools {
    /// The file in which they are declared, in TOML; the data folder's tools.toml without this
    #[arg(long, value_name = "FILE")]
    tools: Option<PathBuf>,
}

/// What a file declares, or of the data folder's, where there is one.
pub(crate) fn declared(home: &Home, path: Option<&Path>) -> Result<Declarations, CommandError> {
    let in_home = home.tool_list();
    match path {
        Some(path) => Ok(Declarations::read(path)?),
        None if in_home.exists() => Ok(Declarations::read(&in_home)?),
        None => Ok(Declarations::default()),
    }
}

impl Tools {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let declared = declared(&Home::find()?, self.tools.as_deref())?;
        if declared.folders().next().is_none() || declared.iter().next().is_some() {
            print!("{}", tools(&declared));
        }
        if declared.folders().next().is_some() {
            print!("{}", folders(&declared));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn tools(declared: &Declarations) -> Table<4> {
    let mut table = Table::new(["TOOL", "EFFECT", "WHERE UNCERTAIN", "DOES"].map(Column::Words));
    for tool in declared.iter() {
        let facts = tool.facts();
        let (effect, uncertain) = (effect(facts.effect), uncertain(facts.effect, &facts.uncertain));
        table.row([tool.name().to_owned(), effect.to_owned(), uncertain, facts.tool.description.to_string()]);
    }
    table
}

fn folders(declared: &Declarations) -> Table<3> {
    let mut table = Table::new(["FOLDER", "LABEL", "PATH"].map(Column::Words));
    for (name, folder) in declared.folders() {
        let facts = folder.facts();
        let marking = Marking { integrity: facts.integrity, tags: facts.tags.clone() };
        table.row([name.to_owned(), label(&marking), folder.path().display().to_string()]);
    }
    table
}

const fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::None => "none",
        Effect::Idempotent => "idempotent",
        Effect::Keyed => "keyed",
        Effect::Once => "once",
    }
}

/// What becomes of a call that the host's end cut.
fn uncertain(effect: Effect, uncertain: &Uncertain) -> String {
    match (effect, uncertain) {
        (Effect::None | Effect::Idempotent | Effect::Keyed, _) => "done again".to_owned(),
        (Effect::Once, Uncertain::Fail) => "told to the agent".to_owned(),
        (Effect::Once, Uncertain::Retry) => "done again, perhaps twice".to_owned(),
        (Effect::Once, Uncertain::Ask { desk }) => format!("asked at {desk}"),
    }
}
