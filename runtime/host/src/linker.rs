//! What is linked: the base set for every agent, and on top of it only what was granted.

use crate::{
    bindings::{remit::kernel, wasi},
    guest::Guest,
};
use remit_abi::GrantKind;
use wasmtime::{
    Engine, Result,
    component::{HasSelf, Linker},
};

/// One linker for each set of granted kinds that makes a difference, built once.
pub(crate) struct Linkers {
    base: Linker<Guest>,
    with_models: Linker<Guest>,
    with_processes: Linker<Guest>,
    with_both: Linker<Guest>,
}

impl Linkers {
    pub(crate) fn new(engine: &Engine) -> Result<Self> {
        let base = base(engine)?;
        let with_models = add_models(base.clone())?;
        let with_processes = add_processes(base.clone())?;
        let with_both = add_processes(with_models.clone())?;
        Ok(Self { base, with_models, with_processes, with_both })
    }

    /// The one with what these kinds of grants allow, and no more.
    pub(crate) fn for_grants(&self, granted_kinds: &[&str]) -> &Linker<Guest> {
        let granted = |kind: GrantKind| granted_kinds.contains(&kind.name());
        match (granted(GrantKind::Model), granted(GrantKind::Process)) {
            (false, false) => &self.base,
            (true, false) => &self.with_models,
            (false, true) => &self.with_processes,
            (true, true) => &self.with_both,
        }
    }
}

fn add_models(mut linker: Linker<Guest>) -> Result<Linker<Guest>> {
    kernel::llm::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    Ok(linker)
}

fn add_processes(mut linker: Linker<Guest>) -> Result<Linker<Guest>> {
    kernel::children::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    Ok(linker)
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
    Ok(linker)
}

impl kernel::types::Host for Guest {}
