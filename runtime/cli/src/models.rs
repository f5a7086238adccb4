//! `remit models`: model files of this machine.

use crate::exit::CommandError;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use remit_assembly::{
    Home,
    models::{KnownModel, ModelStore, PullProgress, Registry},
};
use std::{path::PathBuf, process::ExitCode, time::Duration};

/// Get, list and delete models.
#[derive(Subcommand)]
pub(crate) enum Models {
    /// Get a model, unless it is here
    Pull {
        /// Its name, as `remit models ls` shows it
        name: String,
        /// Take it from a file of this machine instead
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// List known models, and which are here
    Ls,
    /// Delete a model's file
    Rm {
        /// Its name
        name: String,
    },
    /// Print the path of a model's file
    Path {
        /// Its name
        name: String,
    },
    /// Read a model's whole file and compare its digest
    Verify {
        /// Its name
        name: String,
    },
}

impl Models {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let (registry, store) = (Registry::built_in(), ModelStore::of(&Home::find()?));
        match self {
            Self::Pull { name, from } => {
                let model = registry.find(&name)?;
                let progress = Progress::new(model);
                let pulled = store.pull(model, from.as_deref(), &mut |step| progress.show(step));
                progress.bar.finish_and_clear();
                eprintln!("{name} is here: {}", pulled?.path.display());
            }
            Self::Ls => registry.iter().for_each(|model| list(model, &store)),
            Self::Rm { name } => match store.remove(registry.find(&name)?)? {
                true => eprintln!("{name} is deleted"),
                false => eprintln!("{name} was not here"),
            },
            Self::Path { name } => println!("{}", store.find(registry.find(&name)?)?.path.display()),
            Self::Verify { name } => {
                let stored = store.verify(registry.find(&name)?)?;
                println!("{}  {}", stored.sha256, stored.path.display());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn list(model: &KnownModel, store: &ModelStore) {
    let here = match store.find(model) {
        Ok(_) => "here",
        Err(_) => "not here",
    };
    println!(
        "{:12} {:9} {:5} MB  {:10}  {}",
        model.name,
        here,
        model.bytes / 1_000_000,
        model.licence,
        model.description
    );
}

/// A pull on standard error: a bar on a terminal, silence elsewhere.
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new(model: &KnownModel) -> Self {
        let bar = ProgressBar::new(model.bytes);
        let template = "{spinner} {msg} {bytes}/{total_bytes} {wide_bar}";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is fixed"));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar }
    }

    fn show(&self, step: PullProgress) {
        match step {
            PullProgress::Waiting => self.bar.set_message("waiting for another pull"),
            PullProgress::Downloading => self.bar.set_message("downloading"),
            PullProgress::Unpacking { done, .. } => {
                self.bar.set_message("unpacking and checking");
                self.bar.set_position(done);
            }
        }
    }
}
