//! `remit models`: model files of this machine.

use crate::exit::CommandError;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use remit_abi::Tokens;
use remit_assembly::{
    Home, ModelPrices,
    models::{HubRepository, KnownModel, ModelStore, PullProgress, Registry, Source, describe, family},
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// Get, list, add and delete models.
#[derive(Subcommand)]
pub(crate) enum Models {
    /// Get a model, unless it is here
    Pull {
        /// Its name, as `remit models ls` shows it
        name: String,
        /// Take it from a file of this machine instead, or from a folder where it has several
        #[arg(long, value_name = "PATH")]
        from: Option<PathBuf>,
    },
    /// List known models: which are here, their size, family, licence, and price of a token of input and of output
    Ls,
    /// Show what is known of a model, its files and their digests
    Show {
        /// Its name
        name: String,
    },
    /// Name a model of your own: files of this machine, which are used where they lie, or files of a model hub
    Add(Add),
    /// Delete a model's files; one that was added is also forgotten, and files that lie elsewhere are left alone
    Rm {
        /// Its name
        name: String,
    },
    /// Print the path of a model's file, or of the folder where it has several
    Path {
        /// Its name
        name: String,
    },
    /// Read a model's files and compare their digests
    Verify {
        /// Its name
        name: String,
    },
}

#[derive(Args)]
pub(crate) struct Add {
    /// What to call it: a-z, 0-9, '-', '.', '_'
    name: String,
    /// A GGUF file, or a folder with safetensors, config.json and tokenizer.json
    #[arg(required_unless_present = "hub", conflicts_with = "hub")]
    path: Option<PathBuf>,
    /// A repository of a model hub, OWNER/NAME: its files are pulled now, and their digests kept
    #[arg(long, value_name = "REPOSITORY", requires = "file")]
    hub: Option<String>,
    /// A file of the repository; give it once for each
    #[arg(long, value_name = "FILE")]
    file: Vec<String>,
    /// A branch, tag or commit of the repository
    #[arg(long, default_value = "main", requires = "hub")]
    revision: String,
}

impl Models {
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let home = Home::find()?;
        let (registry, store) = (Registry::of(&home)?, ModelStore::of(&home));
        match self {
            Self::Pull { name, from } => {
                let model = registry.find(&name)?;
                let bar = Progress::new();
                let pulled = store.pull(model, from.as_deref(), &mut |step| bar.show(step));
                bar.0.finish_and_clear();
                eprintln!("{name} is here: {}", pulled?.path.display());
            }
            Self::Ls => registry.iter().for_each(|model| list(model, &store)),
            Self::Show { name } => show(registry.find(&name)?, &store),
            Self::Add(add) => add.run(&home, &store)?,
            Self::Rm { name } => {
                let deleted = store.remove(registry.find(&name)?)?;
                let forgotten = Registry::forget(&home, &name)?;
                eprintln!("{name} {}", if deleted || forgotten { "is deleted" } else { "was not here" });
            }
            Self::Path { name } => println!("{}", store.find(registry.find(&name)?)?.path.display()),
            Self::Verify { name } => {
                let bar = Progress::new();
                let verified = store.verify(registry.find(&name)?, &mut |step| bar.show(step));
                bar.0.finish_and_clear();
                let stored = verified?;
                println!("{}  {}", stored.sha256, stored.path.display());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Add {
    fn run(self, home: &Home, store: &ModelStore) -> Result<(), CommandError> {
        let bar = Progress::new();
        let adding = Registry::adding(home, &self.name, &mut || bar.show(PullProgress::Waiting))?;
        let mut model = match (self.path, self.hub) {
            (Some(path), _) => local(self.name, &path, &bar)?,
            (None, Some(repository)) => {
                let hub = HubRepository { repository, revision: self.revision };
                store.pull_new(home, &adding, &hub, &self.file, &mut |step| bar.show(step))?
            }
            (None, None) => unreachable!("clap asks for one of them"),
        };
        bar.0.finish_and_clear();
        match store.find(&model).map(|stored| family(&model.name, &stored)) {
            Ok(Ok(family)) => model.family = family,
            Ok(Err(error)) => eprintln!("{} is added, and cannot be served: {error}", model.name),
            Err(error) => return Err(error.into()),
        }
        adding.keep(model.clone())?;
        show(&model, store);
        Ok(())
    }
}

/// What a model of a folder is made of: of several files in a folder those that an engine reads.
fn local(name: String, path: &Path, bar: &Progress) -> Result<KnownModel, CommandError> {
    let read = |error: std::io::Error| CommandError::Machine(format!("{}: {error}", path.display()));
    let path = path.canonicalize().map_err(read)?;
    let (folder, paths) = match path.is_dir() {
        true => {
            let entries = std::fs::read_dir(&path).map_err(read)?;
            let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
            paths.retain(|path| {
                path.is_file()
                    && path
                        .extension()
                        .is_some_and(|end| ["safetensors", "json", "jinja"].map(Some).contains(&end.to_str()))
            });
            paths.sort();
            (path, paths)
        }
        false => (path.parent().unwrap_or(&path).to_owned(), vec![path]),
    };
    let files = paths.iter().map(|path| describe(path, &mut |step| bar.show(step))).collect::<Result<_, _>>()?;
    Ok(KnownModel::in_folder(name, folder, files))
}

fn list(model: &KnownModel, store: &ModelStore) {
    let here = match store.find(model) {
        Ok(_) => "here",
        Err(_) => "not here",
    };
    let price = match model.price() {
        None => "-".to_owned(),
        Some(ModelPrices::FREE) => "free".to_owned(),
        Some(price) => format!("{}/{}", Tokens::from_micro(price.input), Tokens::from_micro(price.output)),
    };
    println!(
        "{:12} {:9} {:5} MB  {:8} {:10} {:9} {}",
        model.name,
        here,
        model.bytes() / 1_000_000,
        model.family,
        model.licence,
        price,
        model.description
    );
}

/// What a model's tokens cost, in tokens.
fn price(model: &KnownModel) -> String {
    match model.price() {
        None => "as the price list says".to_owned(),
        Some(ModelPrices::FREE) => "free, unless the price list says otherwise".to_owned(),
        Some(price) => {
            let named = price.named().map(|(name, price)| format!("{name} {price}")).join(", ");
            format!("{named} tokens each, unless the price list says otherwise")
        }
    }
}

fn show(model: &KnownModel, store: &ModelStore) {
    let source = match model.source() {
        Source::Package(package) => format!("package {} {}", package.name, package.version),
        Source::Hub(hub) => format!("hub {} at {}", hub.repository, hub.revision),
        Source::Folder(folder) => format!("folder {}", folder.display()),
    };
    let here = match store.find(model) {
        Ok(stored) => stored.path.display().to_string(),
        Err(error) => error.to_string(),
    };
    for (what, said) in [
        ("name", &model.name),
        ("description", &model.description),
        ("family", &model.family),
        ("licence", &model.licence),
        ("price", &price(model)),
        ("source", &source),
        ("here", &here),
    ] {
        if !said.is_empty() {
            println!("{what:12} {said}");
        }
    }
    for file in &model.files {
        println!("{:12} {}  {:11} bytes  {}", "file", file.sha256, file.bytes, file.name);
    }
}

/// How far it is, on standard error: a bar on a terminal, silence elsewhere.
struct Progress(ProgressBar);

impl Progress {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        let template = "{spinner} {msg} {bytes}/{total_bytes} {wide_bar}";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is fixed"));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    fn show(&self, step: PullProgress) {
        let (message, done, total) = match step {
            PullProgress::Waiting => ("waiting for another pull", 0, 0),
            PullProgress::Downloading { done, total } => ("downloading", done, total),
            PullProgress::Checking { done, total } => ("checking", done, total),
        };
        self.0.set_message(message);
        self.0.set_length(total);
        self.0.set_position(done);
    }
}
