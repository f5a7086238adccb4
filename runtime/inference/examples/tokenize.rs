//! Prints the ids of each line of a file, one JSON list a line: `tokenize MODEL.gguf|FOLDER LINES`.
//!
//! `tests/goldens/tokenizers/compare.py` runs it, to compare tokenizers that are too large to be committed.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use anyhow::{Context, Result};
use remit_inference::{gguf::Gguf, tokenizer::Tokenizer};
use std::path::PathBuf;

fn main() -> Result<()> {
    let mut paths = std::env::args_os().skip(1).map(PathBuf::from);
    let (model, lines) =
        (paths.next().context("no model is named")?, paths.next().context("no file of lines is named")?);
    let tokenizer =
        if model.is_dir() { Tokenizer::from_folder(&model)? } else { Tokenizer::from_gguf(&Gguf::open(&model)?)? };
    for line in std::fs::read_to_string(lines)?.split('\n') {
        println!("{:?}", tokenizer.encode(line));
    }
    Ok(())
}
