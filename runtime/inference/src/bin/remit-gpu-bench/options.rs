//! The command line.

use crate::shapes::{SHAPES, Shape};
use remit_inference::{DeviceChoice, model::WeightForm};
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: remit-gpu-bench [OPTIONS]

  --device NAME    wgpu, auto, and what was compiled in (cuda, rocm); wgpu where nothing is said
  --shape LIST     of tiny, 135m, 1b, 8b, with commas; all but the first on a GPU, the first on a software adapter
  --packing LIST   of f32, f16, bf16, 8bit, 4bit; bf16,4bit where nothing is said
  --seconds N      begins no model after so many seconds; 300 where nothing is said
  --out PATH       writes the figures there, as JSON; to the terminal where nothing is said";

/// The names of packings.
const FORMS: [(&str, WeightForm); 5] = [
    ("f32", WeightForm::F32),
    ("f16", WeightForm::F16),
    ("bf16", WeightForm::Bf16),
    ("8bit", WeightForm::Bits8),
    ("4bit", WeightForm::Bits4),
];

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) device: DeviceChoice,
    /// Empty where the device decides.
    shapes: Vec<&'static Shape>,
    pub(crate) forms: Vec<(&'static str, WeightForm)>,
    pub(crate) seconds: u64,
    pub(crate) out: Option<PathBuf>,
}

impl Options {
    /// Of the program's arguments; none where help is asked for.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            device: DeviceChoice::Wgpu,
            shapes: Vec::new(),
            forms: named("bf16,4bit", &FORMS, |form| form.0)?,
            seconds: 300,
            out: None,
        };
        while let Some(option) = arguments.next() {
            if option == "--help" || option == "-h" {
                return Ok(None);
            }
            let mut value = || arguments.next().ok_or_else(|| format!("{option} wants a value"));
            match option.as_str() {
                "--device" => options.device = value()?.parse::<DeviceChoice>().map_err(|error| error.to_string())?,
                "--shape" => options.shapes = named(&value()?, SHAPES.each_ref().as_slice(), |shape| shape.name)?,
                "--packing" => options.forms = named(&value()?, &FORMS, |form| form.0)?,
                "--seconds" => {
                    let value = value()?;
                    options.seconds =
                        value.parse::<u64>().map_err(|_| format!("{value} is no whole number of seconds"))?;
                }
                "--out" => options.out = Some(PathBuf::from(value()?)),
                unknown => return Err(format!("there is no option {unknown}")),
            }
        }
        Ok(Some(options))
    }

    /// The models to run: those asked for, or what suits the device.
    pub(crate) fn shapes(&self, is_software: bool) -> Vec<&'static Shape> {
        match (self.shapes.is_empty(), is_software) {
            (false, _) => self.shapes.clone(),
            (true, true) => SHAPES[..1].iter().collect(),
            (true, false) => SHAPES[1..].iter().collect(),
        }
    }
}

/// The entries of a list of names.
fn named<T: Copy>(list: &str, known: &[T], name: impl Fn(&T) -> &'static str) -> Result<Vec<T>, String> {
    let find = |wanted: &str| known.iter().find(|entry| name(entry) == wanted).copied();
    let names = || known.iter().map(&name).collect::<Vec<_>>().join(", ");
    list.split(',')
        .map(|wanted| find(wanted).ok_or_else(|| format!("there is no {wanted}; choose of {}", names())))
        .collect()
}
