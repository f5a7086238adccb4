//! `remit models`: model files of this machine.

use crate::exit::CommandError;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use remit_abi::Tokens;
use remit_assembly::{
    Home, ModelPrices,
    models::{
        ADAPTER_FILES_READ, HubRepository, KnownModel, ModelStore, NewModel, PullProgress, Registry, Source,
        adapter_bytes, describe, family,
    },
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// Get, list, add and delete models.
#[derive(Subcommand)]
pub(crate) enum Models {
    /// Get a model, unless it is here; with an adapter comes its base
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
    /// Name a model of your own: files of this machine, which are used where they lie, or files of a model hub; with
    /// --base a LoRA adapter
    Add(Add),
    /// Delete a model's files; one that was added is also forgotten, and files that lie elsewhere are left alone. A base
    /// goes after its adapters
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
    /// A GGUF file, or a folder with safetensors, config.json and tokenizer.json; with --base a folder as `peft` writes it,
    /// with adapter_config.json and adapter_model.safetensors
    #[arg(required_unless_present = "hub", conflicts_with = "hub")]
    path: Option<PathBuf>,
    /// A repository of a model hub, OWNER/NAME: its files are pulled now, and their digests kept
    #[arg(long, value_name = "REPOSITORY", requires = "file")]
    hub: Option<String>,
    /// A file of the repository; give it once for each
    #[arg(long, value_name = "FILE")]
    file: Vec<String>,
    /// The model that it changes: what is added is a LoRA adapter, served under its own name with the base's weights,
    /// tokenizer and, where it has none of its own, chat template
    #[arg(long, value_name = "MODEL")]
    base: Option<String>,
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
                // Whoever brings an adapter's files has its base, or gets it by its own name.
                if let Some(base) = registry.base_of(model).filter(|_| from.is_none()) {
                    pull(base, None, &store)?;
                }
                pull(model, from.as_deref(), &store)?;
            }
            Self::Ls => registry.iter().for_each(|model| list(model, &registry, &store)),
            Self::Show { name } => show(registry.find(&name)?, &registry, &store),
            Self::Add(add) => add.run(&home, &store)?,
            Self::Rm { name } => {
                registry.check_unneeded(&name)?;
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

fn pull(model: &KnownModel, from: Option<&Path>, store: &ModelStore) -> Result<(), CommandError> {
    let bar = Progress::new();
    let pulled = store.pull(model, from, &mut |step| bar.show(step));
    bar.0.finish_and_clear();
    eprintln!("{} is here: {}", model.name, pulled?.path.display());
    Ok(())
}

impl Add {
    fn run(self, home: &Home, store: &ModelStore) -> Result<(), CommandError> {
        let bar = Progress::new();
        let Self { name, path, hub, file, base, revision } = self;
        let adding = Registry::adding(home, &name, &mut || bar.show(PullProgress::Waiting))?;
        let mut model = match (path, hub) {
            (Some(path), _) => local(name, base, &path, &bar)?,
            (None, Some(repository)) => {
                let new = NewModel { hub: HubRepository { repository, revision }, files: file, base };
                store.pull_new(home, &adding, new, &mut |step| bar.show(step))?
            }
            (None, None) => unreachable!("clap asks for one of them"),
        };
        bar.0.finish_and_clear();
        Registry::check(home, &model)?;
        if let Some(why) = look_at(&mut model, home, store)? {
            eprintln!("{} is added, and cannot be served: {why}", model.name);
        }
        adding.keep(model.clone())?;
        show(&model, &Registry::of(home)?, store);
        Ok(())
    }
}

/// What a new model's files say of it: its family, and why it could not be served.
fn look_at(model: &mut KnownModel, home: &Home, store: &ModelStore) -> Result<Option<String>, CommandError> {
    let (stored, registry) = (store.find(model)?, Registry::of(home)?);
    let seen = match registry.base_of(model).map(|base| (base, store.find(base))) {
        None => family(&model.name, &stored).map(|family| model.family = family),
        Some((base, Ok(of_base))) => adapter_bytes((model, &stored), (base, &of_base)).map(drop),
        // The base's files come later.
        Some((_, Err(_))) => Ok(()),
    };
    Ok(seen.err().map(|error| error.to_string()))
}

/// What a model of a folder is made of: of several files in a folder those that an engine reads.
fn local(name: String, base: Option<String>, path: &Path, bar: &Progress) -> Result<KnownModel, CommandError> {
    let path = path.canonicalize().map_err(unreadable(path))?;
    let (folder, paths) = match (path.is_dir(), &base) {
        (true, None) => (path.clone(), model_files(&path)?),
        (true, Some(_)) => (path.clone(), adapter_files(&path)),
        (false, _) => (path.parent().unwrap_or(&path).to_owned(), vec![path]),
    };
    let files = paths.iter().map(|path| describe(path, &mut |step| bar.show(step))).collect::<Result<_, _>>()?;
    Ok(KnownModel::in_folder(name, folder, files).adapting(base))
}

/// The files of a model in a folder.
fn model_files(folder: &Path) -> Result<Vec<PathBuf>, CommandError> {
    if folder.join(ADAPTER_FILES_READ[0]).exists() && !folder.join("config.json").exists() {
        let why = format!("{} holds an adapter: say of which model, with --base", folder.display());
        return Err(CommandError::Usage(why));
    }
    let entries = std::fs::read_dir(folder).map_err(unreadable(folder))?;
    let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.retain(|path| {
        let end = path.extension().and_then(|end| end.to_str());
        path.is_file() && end.is_some_and(|end| ["safetensors", "json", "jinja"].contains(&end))
    });
    paths.sort();
    Ok(paths)
}

/// The files of an adapter in a folder.
fn adapter_files(folder: &Path) -> Vec<PathBuf> {
    ADAPTER_FILES_READ.iter().map(|name| folder.join(name)).filter(|path| path.is_file()).collect()
}

fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> CommandError {
    move |error| CommandError::Machine(format!("{}: {error}", path.display()))
}

fn list(model: &KnownModel, registry: &Registry, store: &ModelStore) {
    let is_here = |model: &KnownModel| store.find(model).is_ok();
    let base = registry.base_of(model);
    let here = match base {
        _ if !is_here(model) => "not here",
        Some(base) if !is_here(base) => "no base",
        _ => "here",
    };
    let family = base.map_or_else(|| model.family.clone(), |base| format!("on {}", base.name));
    let price = match registry.price_of(model) {
        None => "-".to_owned(),
        Some(ModelPrices::FREE) => "free".to_owned(),
        Some(price) => format!("{}/{}", Tokens::from_micro(price.input), Tokens::from_micro(price.output)),
    };
    println!(
        "{:12} {:9} {:5} MB  {:10} {:10} {:9} {}",
        model.name,
        here,
        model.bytes() / 1_000_000,
        family,
        model.licence,
        price,
        model.description
    );
}

/// What a model's tokens cost, in tokens.
fn price(price: Option<ModelPrices>) -> String {
    match price {
        None => "as the price list says".to_owned(),
        Some(ModelPrices::FREE) => "free, unless the price list says otherwise".to_owned(),
        Some(price) => {
            let named = price.named().map(|(name, price)| format!("{name} {price}")).join(", ");
            format!("{named} tokens each, unless the price list says otherwise")
        }
    }
}

fn show(model: &KnownModel, registry: &Registry, store: &ModelStore) {
    let source = match model.source() {
        Source::Package(package) => format!("package {} {}", package.name, package.version),
        Source::Hub(hub) => format!("hub {} at {}", hub.repository, hub.revision),
        Source::Folder(folder) => format!("folder {}", folder.display()),
    };
    let here = match store.find(model) {
        Ok(stored) => stored.path.display().to_string(),
        Err(error) => error.to_string(),
    };
    let base = registry.base_of(model).map(|base| match store.find(base) {
        Ok(_) => base.name.clone(),
        Err(error) => format!("{}: {error}", base.name),
    });
    for (what, said) in [
        ("name", &model.name),
        ("description", &model.description),
        ("family", &model.family),
        ("base", &base.unwrap_or_default()),
        ("licence", &model.licence),
        ("price", &price(registry.price_of(model))),
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
