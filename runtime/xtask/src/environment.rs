//! What the commands share: the workspace, the data folder, and the programs built from them.

use crate::{
    agents::{self, Guests},
    build, command,
    data_folder::DataFolder,
    progress,
    protoc::Protoc,
    workspace::Workspace,
};
use anyhow::{Context as _, Result, bail};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A model, by the name that `remit models` knows, and the variable in which tests and benches look for its path.
#[derive(Clone, Copy)]
pub(crate) struct Model {
    name: &'static str,
    variable: &'static str,
}

/// What answers in the demo, the tests and the benches.
pub(crate) const LANGUAGE_MODEL: Model = Model { name: "smollm2", variable: "REMIT_TEST_MODEL" };

/// What embeds in the tests.
pub(crate) const EMBEDDER: Model = Model { name: "minilm", variable: "REMIT_TEST_EMBEDDER" };

/// `-D warnings`, in the form in which clippy's driver takes its arguments: each of them ends with the same word.
const CLIPPY_ARGS: &str = "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__";

/// The workspace and the data folder.
pub(crate) struct Environment {
    pub(crate) workspace: Workspace,
    pub(crate) data: DataFolder,
    /// Whether clippy compiles our own crates for the host: a warning is an error then.
    pub(crate) lints: bool,
    protoc: Option<PathBuf>,
}

/// Everything that a test or a bench stands on.
pub(crate) struct Prepared {
    pub(crate) cli: PathBuf,
    guests: Guests,
    models: Vec<(Model, PathBuf)>,
}

impl Environment {
    /// Reads the workspace.
    ///
    /// # Errors
    ///
    /// Cargo cannot read it, or there is no data folder.
    pub(crate) fn open() -> Result<Self> {
        Ok(Environment { workspace: Workspace::open()?, data: DataFolder::find()?, lints: false, protoc: None })
    }

    /// Gets what the host's build scripts call.
    ///
    /// # Errors
    ///
    /// It cannot be had.
    pub(crate) fn set_up_host_build(&mut self) -> Result<()> {
        if self.workspace.needs_protoc {
            self.protoc = Protoc::ensure(&self.data)?.exported;
        }
        Ok(())
    }

    /// Guests, then the host with these arguments of `cargo build`, then these models.
    ///
    /// # Errors
    ///
    /// One of them cannot be had.
    pub(crate) fn prepare(&mut self, host_build: &[&str], models: &[Model]) -> Result<Prepared> {
        self.set_up_host_build()?;
        let guests = agents::build(self)?;
        let cli = self.build_host(host_build)?;
        let pulled = |model: &Model| Ok((*model, self.pulled(&cli, model.name)?));
        let models = models.iter().map(pulled).collect::<Result<_>>()?;
        Ok(Prepared { cli, guests, models })
    }

    /// cargo in the workspace, with what its build scripts need.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = build::cargo_in(&self.workspace.root);
        if let Some(protoc) = &self.protoc {
            cargo.env("PROTOC", protoc);
        }
        if self.lints {
            // As `cargo clippy` calls it, which itself knows no build.
            cargo.env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver").env("CLIPPY_ARGS", CLIPPY_ARGS);
        }
        cargo
    }

    /// The `remit` command line on our data folder.
    pub(crate) fn remit(&self, cli: &Path) -> Command {
        let mut remit = command::new(cli);
        remit.current_dir(&self.workspace.root).env("REMIT_HOME", self.data.root());
        remit
    }

    fn build_host(&self, arguments: &[&str]) -> Result<PathBuf> {
        progress::already("host", "building it (the first time, this is the long part)");
        let started = std::time::Instant::now();
        let artifacts = build::artifacts(self.cargo().arg("build").args(arguments), "building the host")?;
        let cli = build::executable(&artifacts, "remit")?;
        progress::already("host", &format!("{} ({})", cli.display(), progress::duration(started.elapsed())));
        Ok(cli)
    }

    /// The command line fetches, checks and caches the model by itself.
    fn pulled(&self, cli: &Path, name: &str) -> Result<PathBuf> {
        command::run(self.remit(cli).args(["models", "pull", name]), &format!("getting the model {name}"))?;
        let path = command::output(self.remit(cli).args(["models", "path", name]), "asking where the model lies")?;
        let path = PathBuf::from(path.trim());
        if !path.exists() {
            bail!("the model {name} is not at {}: run `remit models rm {name}`, then this again", path.display());
        }
        progress::already("model", &path.display().to_string());
        Ok(path)
    }
}

impl Prepared {
    /// What the tests and benches look for.
    pub(crate) fn apply(&self, environment: &Environment, command: &mut Command) {
        command
            .env("REMIT_HOME", environment.data.root())
            .env("REMIT_TEST_AGENTS", &self.guests.agents)
            .env("REMIT_TEST_CLI", &self.cli)
            .env("REMIT_TEST_PROGRAMS", &self.guests.programs);
        for (Model { variable, .. }, path) in &self.models {
            command.env(variable, path);
        }
    }

    /// The component of a test program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.guests.programs.join(format!("{name}.wasm"))
    }

    /// The package folders of the agents, with their names.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub(crate) fn agent_folders(&self) -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(&self.guests.agents)
            .with_context(|| format!("cannot read {}", self.guests.agents.display()))?;
        Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
    }
}
