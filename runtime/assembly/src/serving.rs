//! Opening the models that processes may use.

use crate::engines::{EngineLoadError, Engines};
use parking_lot::Mutex;
use remit_abi::{GrantKind, GrantSpec};
use remit_kernel::Kernel;
use std::{collections::BTreeSet, sync::Arc};

/// The models of a node.
#[derive(Clone)]
pub(crate) struct Models {
    pub(crate) kernel: Kernel,
    /// `None` where the caller brought an engine of their own.
    pub(crate) engines: Option<Arc<Engines>>,
    /// Routes that somebody was granted, whose models are open.
    pub(crate) served: Arc<Mutex<BTreeSet<Box<str>>>>,
}

impl Models {
    /// Opens the models that grants name, and those of routes that they name. Those that a pattern opens are opened by whoever
    /// is granted them by name. Blocks.
    pub(crate) fn serve(&self, grants: &[GrantSpec]) -> Result<(), EngineLoadError> {
        let Some(engines) = &self.engines else { return Ok(()) };
        // Without a memory it asks for nothing, and without the model words are enough.
        let remembers = grants.iter().any(|grant| grant.kind == GrantKind::Memory);
        if let Some(model) = self.kernel.memory().model.as_deref().filter(|_| remembers) {
            engines.open(model)?;
        }
        let mut names = names(grants).filter(|name| !name.ends_with('*'));
        names.try_for_each(|name| match self.kernel.models_of_route(name) {
            Some(models) => {
                self.served.lock().insert(name.clone());
                serve_one_of(engines, &models)
            }
            None => engines.open(name),
        })
    }
}

/// The models and routes that grants name.
pub(crate) fn names(grants: &[GrantSpec]) -> impl Iterator<Item = &Box<str>> {
    grants.iter().filter(|grant| grant.kind == GrantKind::Model).flat_map(|grant| grant.scope.entries())
}

/// Opens models of which a request needs one: an error only where none can be served, which is the first one's.
pub(crate) fn serve_one_of(engines: &Engines, models: &[Box<str>]) -> Result<(), EngineLoadError> {
    let (mut serves, mut trouble) = (false, None);
    for model in models {
        match engines.open(model) {
            Ok(()) => serves = true,
            Err(error) => {
                tracing::warn!(%model, %error, "a model of a route cannot be served");
                trouble = trouble.or(Some(error));
            }
        }
    }
    match trouble {
        Some(error) if !serves => Err(error),
        _ => Ok(()),
    }
}
