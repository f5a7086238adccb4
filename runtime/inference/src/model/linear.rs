//! Matrix products with a weight, by the number of rows: the one seam between `burn` and plain memory for weights.
//!
//! On the CPU a weight is held once, as shared bytes in the file's layout: `outputs` rows of `inputs` numbers. `burn` sees it as a
//! transposed view without a copy, and its product is used from more than [`ROWS_MAX`] rows on. Up to there the product
//! is bound by reading the weight, and `burn` runs it on one core: here every weight row is read once, by one of all
//! threads, and multiplied with each input row.
//!
//! The order of additions in a product is fixed, whatever the rows, chunks and threads: [`LANES`] partial sums, added
//! in order. So a row's result is the same bits in any step of at most [`ROWS_MAX`] rows. `burn`'s product (the crate
//! `gemm`) is as steady for weights of many outputs, in any step of more rows; for few outputs it chooses an order by the
//! number of rows. So weights of up to [`NARROW_MAX`] outputs, an adapter's, are always multiplied here.
//!
//! On any other device a weight is as narrow as its file has it, and [`ROWS_MAX`] says up to where a program of our own
//! reads it so (see `device`); for more rows it is unpacked to f32 first, and the product is `burn`'s.

use super::{
    ModelError,
    device::{Matrix, Packed, Packing, WeightForm},
};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use rayon::prelude::*;

/// Rows that are multiplied here rather than by `burn`: as measured, `burn` is at least as fast from 12 rows on.
pub const ROWS_MAX: usize = 8;
/// Outputs up to which `gemm` 0.19 may add up in an order that depends on the rows: products of at most 256 results go row
/// by column, and those of at most 64 rows and 64 outputs are cut at other lengths than larger ones.
pub const NARROW_MAX: usize = 64;
/// Partial sums of a dot product: enough to fill the vector units' pipelines.
pub const LANES: usize = 16;
/// Numbers of a weight that a task reads at least, so that handing it out costs little beside it.
const TASK_NUMBERS_MIN: usize = 32 * 1024;

/// A weight matrix, and a bias where there is one.
#[derive(Debug)]
pub struct Linear {
    inputs: usize,
    outputs: usize,
    weight: Weight,
    device: Device,
    bias: Option<Tensor<1>>,
}

/// Where the numbers are.
#[derive(Debug)]
enum Weight {
    Memory {
        data: TensorData,
        /// The same memory, `[inputs, outputs]`.
        transposed: Box<Tensor<2>>,
    },
    Device(Matrix),
}

/// Whether a device's tensors lie in plain memory: the CPU's.
pub(super) fn is_memory(device: &Device) -> bool {
    *device == Device::flex()
}

impl Linear {
    /// Takes `weights` of `inputs` numbers for each output.
    ///
    /// # Panics
    /// Where `weights` is not a whole number of outputs: shapes are checked before.
    #[must_use]
    pub fn new(weights: Vec<f32>, inputs: usize, device: &Device) -> Self {
        if !is_memory(device) {
            let packed = Packed::of_numbers(&weights, inputs, Packing::F32);
            return Self::packed(vec![packed.unwrap_or_else(|_| unreachable!("a file's numbers are checked"))], device);
        }
        let outputs = weights.len() / inputs;
        let (bytes, shape, _) = TensorData::new(weights, [outputs, inputs]).into_parts();
        let data = TensorData::from_bytes(bytes.shared(), shape, DType::F32);
        let transposed = Box::new(Tensor::<2>::from_data(data.clone(), device).transpose());
        let weight = Weight::Memory { data, transposed };
        Self { inputs, outputs, weight, device: device.clone(), bias: None }
    }

    /// Takes parts of a weight, one behind the other, onto a device other than the CPU.
    #[must_use]
    pub(super) fn packed(parts: Vec<Packed>, device: &Device) -> Self {
        let matrix = Matrix::new(parts, device);
        let (inputs, outputs) = (matrix.inputs(), matrix.outputs());
        Self { inputs, outputs, weight: Weight::Device(matrix), device: device.clone(), bias: None }
    }

    /// Random weights in a form, on a device other than the CPU.
    ///
    /// # Errors
    /// [`ModelError`], where the form does not fit so many inputs, or the device is the CPU.
    pub(super) fn random(form: WeightForm, outputs: usize, inputs: usize, device: &Device) -> Result<Self, ModelError> {
        let fits = inputs.is_multiple_of(form.columns());
        if !fits || is_memory(device) {
            return Err(ModelError::variant(format!("random weights as {form:?} of {inputs} numbers on {device:?}")));
        }
        let weight = Weight::Device(Matrix::random(form, outputs, inputs, device));
        Ok(Self { inputs, outputs, weight, device: device.clone(), bias: None })
    }

    /// The same with a number added to each output.
    #[must_use]
    pub fn with_bias(self, bias: Vec<f32>) -> Self {
        let bias = Tensor::from_data(TensorData::new(bias, [self.outputs]), &self.device);
        Self { bias: Some(bias), ..self }
    }

    /// How many numbers a row of a result has.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes that a product reads.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.weight {
            Weight::Memory { .. } => self.inputs * self.outputs * size_of::<f32>(),
            Weight::Device(matrix) => matrix.bytes(),
        }
    }

    /// Some rows of the weight, each times `scale`: embeddings of tokens.
    ///
    /// # Panics
    /// Where an index is not below [`outputs`](Self::outputs).
    #[must_use]
    pub fn rows(&self, indices: impl Iterator<Item = usize>, scale: f32) -> Tensor<2> {
        let data = match &self.weight {
            Weight::Memory { data, .. } => as_numbers(data),
            Weight::Device(matrix) => {
                return matrix.rows(indices.map(|index| index as u32).collect(), scale, &self.device);
            }
        };
        let mut numbers = Vec::new();
        for index in indices {
            numbers.extend(data[index * self.inputs..][..self.inputs].iter().map(|number| number * scale));
        }
        let rows = numbers.len() / self.inputs;
        Tensor::from_data(TensorData::new(numbers, [rows, self.inputs]), &self.device)
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    #[must_use]
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let [rows, _] = input.dims();
        let output = match &self.weight {
            Weight::Device(matrix) => return matrix.forward(input, self.bias.as_ref()),
            Weight::Memory { transposed, .. } if rows > ROWS_MAX && self.outputs > NARROW_MAX => {
                input.matmul(transposed.as_ref().clone())
            }
            Weight::Memory { data, .. } => {
                let input = input.into_data();
                let output = self.in_order(as_numbers(data), as_numbers(&input), rows);
                Tensor::from_data(TensorData::new(output, [rows, self.outputs]), &self.device)
            }
        };
        match &self.bias {
            Some(bias) => output + bias.clone().unsqueeze(),
            None => output,
        }
    }

    /// The same for rows in plain memory, in our own order of additions.
    fn in_order(&self, weight: &[f32], input: &[f32], rows: usize) -> Vec<f32> {
        let mut columns = vec![0.0; rows * self.outputs];
        // Twice as many tasks as threads: one that is held up does not hold up all.
        let share = self.outputs.div_ceil(2 * rayon::current_num_threads());
        let task = share.max(TASK_NUMBERS_MIN.div_ceil(self.inputs));
        let weights = weight.par_chunks(task * self.inputs);
        columns.par_chunks_mut(task * rows).zip(weights).for_each(|(columns, weights)| {
            for (column, weight) in columns.chunks_exact_mut(rows).zip(weights.chunks_exact(self.inputs)) {
                for (out, row) in column.iter_mut().zip(input.chunks_exact(self.inputs)) {
                    *out = dot(weight, row);
                }
            }
        });
        if rows == 1 {
            return columns;
        }
        let mut output = vec![0.0; columns.len()];
        for (index, column) in columns.chunks_exact(rows).enumerate() {
            for (row, value) in column.iter().enumerate() {
                output[row * self.outputs + index] = *value;
            }
        }
        output
    }
}

/// Indices of rows, on a device.
pub(super) fn indices(indices: Vec<i64>, device: &Device) -> Tensor<1, Int> {
    let count = indices.len();
    Tensor::from_data(TensorData::new(indices, [count]), device)
}

/// The numbers of a tensor that is f32 by construction.
///
/// # Panics
/// Where a device failed: what it did not compute is missed here, at the first look. The engine rebuilds itself then.
pub(super) fn as_numbers(data: &TensorData) -> &[f32] {
    data.as_slice::<f32>().unwrap_or_else(|error| panic!("the device gave no numbers: {error:?}"))
}

/// The scalar product, in a fixed order of additions.
#[must_use]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    for ((a, b), sum) in a_rest.iter().zip(b_rest).zip(&mut sums) {
        *sum += a * b;
    }
    sums.iter().sum()
}
