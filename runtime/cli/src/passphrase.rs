//! Passphrases: from a file, the environment, or a terminal that does not show them; never from the command line, which every
//! other user of the machine can read.

use crate::exit::CommandError;
use clap::Args;
use console::Term;
use std::{
    env,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The environment's passphrase.
const VARIABLE: &str = "REMIT_PASSPHRASE";

/// A sentence or two.
const BYTES_MAX: u64 = 4096;

/// Where a passphrase comes from.
#[derive(Args)]
pub(crate) struct Passphrase {
    /// Read the passphrase from the first line of this file; without it from REMIT_PASSPHRASE, or from the terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// What somebody is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The passphrase of a key that there is.
    Known,
    /// A new one, twice, since nobody sees what they type.
    New,
}

impl Passphrase {
    /// The passphrase of a key.
    pub(crate) fn get(&self, key: &str, asked: Asked) -> Result<Zeroizing<String>, CommandError> {
        if let Some(path) = &self.passphrase_file {
            return read(path);
        }
        match env::var(VARIABLE) {
            Ok(passphrase) => Ok(Zeroizing::new(passphrase)),
            Err(env::VarError::NotUnicode(_)) => Err(CommandError::Usage(format!("{VARIABLE} is not UTF-8 text"))),
            Err(env::VarError::NotPresent) => from_terminal(key, asked),
        }
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, CommandError> {
    let failed = |error| CommandError::Machine(format!("{}: {error}", path.display()));
    let mut text = Zeroizing::new(String::new());
    File::open(path).map_err(failed)?.take(BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

fn from_terminal(key: &str, asked: Asked) -> Result<Zeroizing<String>, CommandError> {
    let terminal = Term::stderr();
    if !terminal.is_term() {
        let sentence = format!("there is no terminal to ask for the passphrase of the key {key}");
        return Err(CommandError::Usage(format!("{sentence}: set {VARIABLE}, or give --passphrase-file")));
    }
    let ask = |what: &str| {
        let asking = terminal.write_str(what).and_then(|()| terminal.read_secure_line());
        let failed = |error| CommandError::Machine(format!("the terminal cannot be read: {error}"));
        asking.map(Zeroizing::new).map_err(failed)
    };
    let passphrase = ask(&format!("Passphrase of the key {key}: "))?;
    if asked == Asked::New && *ask("The same again: ")? != *passphrase {
        return Err(CommandError::Usage("the two passphrases differ: nothing was made".to_owned()));
    }
    Ok(passphrase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_its_first_line() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("passphrase");
        for (text, expect) in [("correct horse\n", "correct horse"), ("a b \r\nmore", "a b "), ("", "")] {
            std::fs::write(&path, text).expect("it is ours");
            let passphrase = Passphrase { passphrase_file: Some(path.clone()) };
            assert_eq!(passphrase.get("work", Asked::New).ok().as_deref().map(String::as_str), Some(expect));
        }
    }
}
