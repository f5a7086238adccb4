//! What is linked: the base set for every agent, and on top of it only what was granted.

use crate::{
    bindings::{remit::kernel, wasi},
    guest::Guest,
};
use wasmtime::{
    Engine, Result,
    component::{HasSelf, Linker},
};

/// The kind of grant that links `remit:kernel/llm`.
pub(crate) const MODEL: &str = "model";

/// One linker for each set of granted kinds that makes a difference, built once.
pub(crate) struct Linkers {
    base: Linker<Guest>,
    with_models: Linker<Guest>,
}

impl Linkers {
    pub(crate) fn new(engine: &Engine) -> Result<Self> {
        let base = base(engine)?;
        let mut with_models = base.clone();
        kernel::llm::add_to_linker::<_, HasSelf<_>>(&mut with_models, |guest| guest)?;
        Ok(Self { base, with_models })
    }

    /// The one with what these kinds of grants allow, and no more.
    pub(crate) fn for_grants(&self, granted_kinds: &[&str]) -> &Linker<Guest> {
        if granted_kinds.contains(&MODEL) { &self.with_models } else { &self.base }
    }
}

fn base(engine: &Engine) -> Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    kernel::types::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    kernel::value::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    kernel::capability::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    kernel::budget::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
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
