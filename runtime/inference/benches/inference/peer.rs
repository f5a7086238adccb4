//! llama.cpp, one process for each type of file, which measures what it is told to.

use super::{DECODE_TOKENS, Figure, PREFILL_TOKENS};
use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// Types that the peer has fast kernels for, and their numbers in its `llama.h`.
const TYPES: [(&str, u32); 2] = [("Q4_0", 2), ("Q8_0", 7)];

/// Tokens a second that it is known to reach with this model on two cores like those of the README, by [`Figure`].
const KNOWN: [f64; Figure::ALL.len()] = [645.0, 100.0, 231.0, 275.0];
/// With less than this share of them nothing is to be compared.
const KNOWN_SHARE: f64 = 0.7;

/// All its processes, and the files that it made of the model's.
pub(super) struct Peers {
    all: Vec<Peer>,
    folder: PathBuf,
}

struct Peer {
    name: &'static str,
    version: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The best of each figure so far, by [`Figure`].
    best: [f64; Figure::ALL.len()],
}

impl Peers {
    pub(super) fn new(python: &Path, model: &Path, threads: usize) -> Self {
        let folder = std::env::temp_dir().join(format!("remit-peer-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files = vec![("its own file", model.to_owned())];
        for (name, ftype) in TYPES {
            let target = folder.join(format!("{name}.gguf"));
            let arguments: [OsString; 4] =
                ["requantize".into(), model.into(), target.clone().into(), ftype.to_string().into()];
            let output = script(python).args(arguments).output();
            let output = output.unwrap_or_else(|error| panic!("{}: {error}", python.display()));
            assert!(output.status.success(), "the peer failed: {}", String::from_utf8_lossy(&output.stderr));
            files.push((name, target));
        }
        let all = files.iter().map(|(name, file)| Peer::start(python, name, file, threads)).collect();
        Self { all, folder }
    }

    /// Lets each measure a figure once.
    pub(super) fn measure(&mut self, figure: Figure) {
        self.all.iter_mut().for_each(|peer| peer.measure(figure));
    }

    /// The best of all.
    pub(super) fn best(&self, figure: Figure) -> f64 {
        self.all.iter().map(|peer| peer.best[figure as usize]).fold(0.0, f64::max)
    }

    /// That no ratio flatters us because the peer was held back.
    ///
    /// # Panics
    /// Where it comes out far below [`KNOWN`].
    pub(super) fn check(&self) {
        for figure in Figure::ALL {
            let (best, known) = (self.best(figure), KNOWN[figure as usize]);
            assert!(
                best >= KNOWN_SHARE * known,
                "llama.cpp reached {best:.0} tokens/s in {}, of {known} that are known: it was held back, or this machine is a slower \
                 one; run it again with nothing beside it",
                figure.name()
            );
        }
    }

    #[allow(clippy::print_stdout, reason = "a bench prints its table")]
    pub(super) fn print(&self) {
        for Peer { name, version, best, .. } in &self.all {
            println!("llama.cpp {version} with {name}: {best:.0?}");
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        for peer in &mut self.all {
            // It may have ended by itself.
            let _ = peer.child.kill();
            let _ = peer.child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn script(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/measure_llama_cpp.py"));
    command
}

impl Peer {
    fn start(python: &Path, name: &'static str, file: &Path, threads: usize) -> Self {
        let numbers = [threads, PREFILL_TOKENS, DECODE_TOKENS].map(|number| number.to_string());
        let mut command = script(python);
        command.arg(file).args(numbers).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", python.display()));
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            panic!("the peer has no pipes");
        };
        let best = [0.0; Figure::ALL.len()];
        let mut peer = Self { name, version: String::new(), child, input, output: BufReader::new(output), best };
        peer.version = peer.line();
        peer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read =
            self.output.read_line(&mut line).unwrap_or_else(|error| panic!("the peer with {}: {error}", self.name));
        assert!(read > 0, "the peer with {} ended", self.name);
        line.trim().to_owned()
    }

    fn measure(&mut self, figure: Figure) {
        let command = match figure.streams() {
            None => "prefill".to_owned(),
            Some(streams) => format!("decode {streams}"),
        };
        writeln!(self.input, "{command}").unwrap_or_else(|error| panic!("the peer with {}: {error}", self.name));
        let line = self.line();
        let speed: f64 = line.parse().unwrap_or_else(|error| panic!("the peer says {line:?}: {error}"));
        self.best[figure as usize] = self.best[figure as usize].max(speed);
    }
}
