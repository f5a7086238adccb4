//! Where weights come from, whatever the file's format.

use super::ModelError;
use crate::{
    gguf::{Gguf, GgufError},
    safetensors::{Safetensors, SafetensorsError},
    to_f32::Stored,
};

/// Named tensors of a model file.
pub trait Tensors {
    /// The names of all of them, in no order.
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_>;

    /// The sizes of one, slowest-varying first: a matrix that maps `a` numbers to `b` has `[b, a]`.
    ///
    /// # Errors
    /// [`ModelError`], where there is none of that name.
    fn shape(&self, name: &str) -> Result<Vec<usize>, ModelError>;

    /// Its numbers as f32, appended to `out`. A number that is not finite is an error.
    ///
    /// # Errors
    /// [`ModelError`], where there is none of that name or it cannot be read.
    fn read(&self, name: &str, out: &mut Vec<f32>) -> Result<(), ModelError>;

    /// Its numbers as the file stores them: not looked at.
    ///
    /// # Errors
    /// [`ModelError`], where there is none of that name or its type cannot be read.
    fn stored(&self, name: &str) -> Result<Stored<'_>, ModelError>;

    /// The sizes of one that a file may leave out.
    ///
    /// # Errors
    /// None yet; a format whose directory is read on demand may fail.
    fn shape_if(&self, name: &str) -> Result<Option<Vec<usize>>, ModelError>;
}

impl Tensors for Gguf {
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.tensor_names())
    }

    fn shape(&self, name: &str) -> Result<Vec<usize>, ModelError> {
        Ok(self.tensor(name)?.dimensions.iter().rev().copied().collect())
    }

    fn read(&self, name: &str, out: &mut Vec<f32>) -> Result<(), ModelError> {
        Ok(self.dequantize(name, out)?)
    }

    fn stored(&self, name: &str) -> Result<Stored<'_>, ModelError> {
        Ok(Gguf::stored(self, name)?)
    }

    fn shape_if(&self, name: &str) -> Result<Option<Vec<usize>>, ModelError> {
        match self.tensor(name) {
            Ok(info) => Ok(Some(info.dimensions.iter().rev().copied().collect())),
            Err(GgufError::NoTensor { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Tensors for Safetensors {
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.tensor_names())
    }

    fn shape(&self, name: &str) -> Result<Vec<usize>, ModelError> {
        Ok(self.tensor(name)?.shape.clone())
    }

    fn shape_if(&self, name: &str) -> Result<Option<Vec<usize>>, ModelError> {
        match self.tensor(name) {
            Ok(info) => Ok(Some(info.shape.clone())),
            Err(SafetensorsError::NoTensor { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn read(&self, name: &str, out: &mut Vec<f32>) -> Result<(), ModelError> {
        Ok(self.read_f32(name, out)?)
    }

    fn stored(&self, name: &str) -> Result<Stored<'_>, ModelError> {
        Ok(Safetensors::stored(self, name)?)
    }
}
