//! What is linked: the base set for every agent, and on top of it only what was granted.

use crate::{
    bindings::{remit::kernel, wasi},
    guest::Guest,
    stream_bindings, unarmed,
};
use remit_abi::GrantKind;
use wasmtime::{
    Engine, Result,
    component::{HasSelf, Linker},
};

/// Links the interface that a kind of grant opens.
type Add = fn(&mut Linker<Guest>) -> Result<()>;

/// The kinds of grants that make a difference.
const GRANTED: [(GrantKind, Add); 6] = [
    (GrantKind::Model, add_models),
    (GrantKind::Process, add_processes),
    (GrantKind::Person, add_people),
    (GrantKind::Tool, add_tools),
    (GrantKind::Memory, add_memories),
    (GrantKind::File, add_files),
];

/// One linker for each set of such kinds, built once. Of the place of a set in the list, each kind that is in it is a bit.
pub(crate) struct Linkers(Vec<Linker<Guest>>);

impl Linkers {
    pub(crate) fn new(engine: &Engine) -> Result<Self> {
        let mut linkers = vec![base(engine)?];
        for (_, add) in GRANTED {
            for without in 0..linkers.len() {
                let mut with = linkers[without].clone();
                add(&mut with)?;
                linkers.push(with);
            }
        }
        Ok(Self(linkers))
    }

    /// The one with what these kinds of grants allow, and no more.
    pub(crate) fn for_grants(&self, granted_kinds: &[&str]) -> &Linker<Guest> {
        let bits = (0..).zip(GRANTED).filter(|(_, (kind, _))| granted_kinds.contains(&kind.name()));
        &self.0[bits.fold(0_usize, |set, (bit, _)| set | 1 << bit)]
    }
}

fn add_models(linker: &mut Linker<Guest>) -> Result<()> {
    kernel::llm::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    kernel::context::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)
}

fn add_processes(linker: &mut Linker<Guest>) -> Result<()> {
    kernel::children::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)
}

fn add_people(linker: &mut Linker<Guest>) -> Result<()> {
    kernel::human::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)
}

fn add_tools(linker: &mut Linker<Guest>) -> Result<()> {
    kernel::tool::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)
}

fn add_memories(linker: &mut Linker<Guest>) -> Result<()> {
    kernel::memory::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)
}

fn add_files(linker: &mut Linker<Guest>) -> Result<()> {
    kernel::files::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)
}

fn base(engine: &Engine) -> Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    kernel::types::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    kernel::value::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    kernel::capability::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    kernel::budget::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    kernel::process::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    kernel::mailbox::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    kernel::alarm::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    kernel::task::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    kernel::checkpoint::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    kernel::trace::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    wasi::io::poll::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    wasi::clocks::monotonic_clock::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    wasi::clocks::wall_clock::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    wasi::random::random::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    wasi::random::insecure::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    wasi::random::insecure_seed::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    stream_bindings::wasi::io::error::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    stream_bindings::wasi::io::streams::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    unarmed::add(&mut linker)?;
    Ok(linker)
}

impl kernel::types::Host for Guest {}
