//! `remit new`: a project of one's own.

use crate::exit::CommandError;
use clap::{Args, ValueEnum};
use remit_kit::{Project, Template};
use std::{path::PathBuf, process::ExitCode};

/// Begin an agent of your own: a folder with its source, its manifest, cases that it is tried on, and the SDK of this version.
#[derive(Args)]
pub(crate) struct New {
    /// What the agent is called
    name: String,
    /// What it does before you change it
    #[arg(long, value_name = "NAME", value_enum, default_value = "chat")]
    template: Choice,
    /// Where; a folder of the agent's name without this. It must be empty, or not there yet
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// A template by its name.
#[derive(Clone, Copy, Debug)]
struct Choice(Template);

impl ValueEnum for Choice {
    fn value_variants<'a>() -> &'a [Self] {
        const { &[Self(Template::Chat), Self(Template::Memory), Self(Template::Tools)] }
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.name()).help(self.0.about()))
    }
}

impl New {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let folder = self.folder.unwrap_or_else(|| PathBuf::from(&self.name));
        Project::create(&folder, &self.name, self.template.0)?;
        let shown = folder.display();
        println!("{} is in {shown}: it {}", self.name, self.template.0.about());
        println!("next:  cd {shown}\n       remit test\n       remit chat .");
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_can_be_chosen() {
        let chosen: Vec<Template> = Choice::value_variants().iter().map(|choice| choice.0).collect();
        assert_eq!(chosen, Template::ALL);
    }
}
