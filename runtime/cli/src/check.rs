//! `remit check`: what could this agent do?

use crate::exit::CommandError;
use clap::Args;
use remit_assembly::{Home, StartError, admission, check, explain, open_package};
use std::process::ExitCode;

/// Say what an agent could do, without running it.
#[derive(Args)]
pub(crate) struct Check {
    /// A package's folder, a component's file, or the name of an installed agent
    agent: String,
}

impl Check {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let home = Home::find()?;
        let package = open_package(&home, &self.agent)?;
        let report = check(&package)?;
        let manifest = &package.manifest;
        println!("{} {}", manifest.name, manifest.version);
        if !manifest.description.is_empty() {
            println!("{}", manifest.description);
        }
        println!("\ncomponent  {} ({} bytes)", package.component.display(), report.bytes);
        println!("sha256     {}", report.sha256);
        println!("budget     {} tokens, unless --budget says otherwise", manifest.budget.tokens);
        println!("\nasks for");
        for sentence in explain(manifest) {
            println!("  {sentence}");
        }
        println!("\nimports");
        for import in &report.imports {
            println!("  {}\n      {}", import.name, import.meaning);
        }
        match &report.refused {
            None => {
                admission(&home, &package).map_err(StartError::from).map_err(CommandError::Start)?;
                println!("\nit would be let in");
                Ok(ExitCode::SUCCESS)
            }
            Some(refusal) => Err(CommandError::Start(refusal.clone().into())),
        }
    }
}
