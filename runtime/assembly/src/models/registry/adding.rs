//! Who adds a model when: one at a time of each name, which may take as long as its download, and one at a time that
//! writes the list. Locks are the system's, on files, so that they hold between processes and end with them.

use super::{KnownModel, Registry, RegistryError, TAKEN, is_name, no_name};
use crate::home::Home;
use std::{
    fs::{self, File},
    path::Path,
};

/// Where the locks of names that are being added lie, in the folder of models. A model's name never begins with a dot.
const ADDING: &str = ".adding";

/// Waits until nobody else holds a file.
fn lock(path: &Path, waits: &mut dyn FnMut()) -> Result<File, RegistryError> {
    let failed = |error| RegistryError::Io { path: path.to_owned(), error };
    let file = File::create(path).map_err(failed)?;
    if file.try_lock().is_err() {
        waits();
        file.lock().map_err(failed)?;
    }
    Ok(file)
}

/// Nobody else changes the operator's list until this is dropped, which is soon.
pub(super) fn lock_list(path: &Path) -> Result<File, RegistryError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| RegistryError::Io { path: folder.to_owned(), error })?;
    lock(&path.with_extension("lock"), &mut || ())
}

/// The right to add a model of a name, which nobody else has while this lives.
#[derive(Debug)]
pub struct Adding {
    home: Home,
    name: String,
    /// Released when it is closed, however this process ends.
    _lock: File,
}

impl Adding {
    /// Which name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a model of that name to the operator's own list.
    ///
    /// # Errors
    /// [`RegistryError`]; the list is as it was then.
    pub fn keep(self, model: KnownModel) -> Result<(), RegistryError> {
        debug_assert_eq!(model.name, self.name);
        Registry::keep(&self.home, model)
    }
}

impl Registry {
    /// Makes sure that nobody else adds a model of this name meanwhile: waits, and says so first, where somebody does. Whoever
    /// waited finds the name taken, or free where the other gave up.
    ///
    /// # Errors
    /// [`RegistryError`], where the name is none, or is taken.
    pub fn adding(home: &Home, name: &str, waits: &mut dyn FnMut()) -> Result<Adding, RegistryError> {
        let (path, name) = (home.model_list(), name.to_owned());
        if !is_name(&name) {
            return Err(RegistryError::Model { path, name, why: no_name() });
        }
        let folder = home.models().join(ADDING);
        fs::create_dir_all(&folder).map_err(|error| RegistryError::Io { path: folder.clone(), error })?;
        let lock = lock(&folder.join(&name), waits)?;
        match Self::of(home)?.find(&name) {
            Err(_) => Ok(Adding { home: home.clone(), name, _lock: lock }),
            Ok(_) => Err(RegistryError::Model { path, name, why: TAKEN.to_owned() }),
        }
    }
}
