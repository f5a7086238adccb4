//! `remit-gpu-bench`: how much of a GPU's memory bandwidth and compute the decoder of this crate gets.
//!
//! It needs no files: it makes weights of known models' sizes on the device. The roofs are the device's own, measured in
//! the same run: what plain programs read and copy, and what `burn`'s product of two large matrices computes. Every figure
//! has the host's part in it, the wait for each step's tokens too.
//!
//! A software adapter's figures are no GPU's: they are called `software_…`, and only the smallest model is run by
//! default. They show that the program works.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people to read")]

mod measure;
mod options;
mod roofs;
mod shapes;

use measure::{Figures, Measured};
use options::{Options, USAGE};
use remit_inference::{OpenDevice, model::Decoder};
use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("remit-gpu-bench: {why}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("remit-gpu-bench: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let device = options.device.open().map_err(|error| error.to_string())?;
    if *device.tensors() == burn::tensor::Device::flex() {
        return Err(
            "the CPU is no GPU; choose another device, or run `cargo xtask bench decode` for the CPU".to_owned()
        );
    }
    println!("device: {}", device.name());
    if device.is_software() {
        println!("This is a software adapter, which computes on the CPU: its figures are not a GPU's.");
    }
    let figures = measure_all(options, &device)?;
    let json = serde_json::to_string_pretty(&figures).map_err(|error| error.to_string())?;
    match &options.out {
        Some(path) => std::fs::write(path, json).map_err(|error| format!("cannot write {}: {error}", path.display())),
        None => {
            println!("{json}");
            Ok(())
        }
    }
}

fn measure_all(options: &Options, device: &OpenDevice) -> Result<BTreeMap<String, f64>, String> {
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let roofs = roofs::measure(device);
    println!("memory: {:.1} GB/s, of {} MiB at a time", roofs.bandwidth / 1e9, roofs.bytes >> 20);
    for (name, rate) in &roofs.compute {
        println!("product of {name} matrices: {:.2} TFLOP/s", rate / 1e12);
    }
    let mut figures = Figures::new(device.is_software());
    figures.add("bandwidth_bytes_per_s", roofs.bandwidth);
    figures.add("compute_flop_per_s", roofs.best_compute());
    println!(
        "\n{:5} {:5} {:>9} {:>12} {:>6} {:>12} {:>12} {:>6}",
        "model", "as", "bytes", "tokens/s", "roof", "8 streams", "prefill", "roof"
    );
    for shape in options.shapes(device.is_software()) {
        for (form_name, form) in &options.forms {
            if Instant::now() >= end {
                println!("{:5} {form_name:5} not measured: {} seconds are over", shape.name, options.seconds);
                continue;
            }
            let decoder = Decoder::random(&shape.architecture(), *form, device.tensors())
                .map_err(|error| format!("the model {}: {error}", shape.name))?;
            let measured =
                Measured::of(&decoder, shape, end).map_err(|error| format!("the model {}: {error}", shape.name))?;
            println!("{}", measured.line(shape.name, form_name, &roofs));
            figures.add_model(shape.name, form_name, &measured, &roofs);
            drop(decoder);
            device.tensors().memory_cleanup();
        }
    }
    Ok(figures.finish())
}
