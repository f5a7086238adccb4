//! The one engine: deterministic, metered, preemptible.
//!
//! Principles:
//!
//! - What a guest computes and what fuel it uses follow from its component and from what it is told, never from the
//!   machine's speed: NaNs are canonical, relaxed SIMD is deterministic, the price of every operator is pinned, and what
//!   would differ from run to run (threads, a growth that fails in the system) is off or ends the guest.
//! - Fuel is the account, epochs are preemption and kill.
//! - The child process that compiles uses the same settings without the pool, so that its artifacts fit.

use crate::HostError;
use remit_abi::limits::{Limits, STACK_BYTES_MAX};
use sha2::{Digest, Sha256};
use std::{
    fs,
    hash::{Hash, Hasher},
    sync::mpsc,
    thread,
    time::Duration,
};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OperatorCost, OptLevel, PoolingAllocationConfig, Strategy,
    component::Component,
};

/// One tick: a guest that spins holds a thread for at most about this long while others wait.
pub(crate) const EPOCH: Duration = Duration::from_millis(1);

/// What host functions, and the door behind them, may use of a guest's stack beyond what the guest itself may use.
const HOST_STACK_BYTES: usize = 512 << 10;

/// Address space of one linear memory: all that a 32-bit index can reach, so that no access needs a bounds check.
const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;

/// Memory of a used slot that is cleaned in place instead of being given back: the whole life of a small guest then
/// costs no page fault. Measured: 4.6 µs a life with it and a page-map scan, 9 µs with neither and decommits in batches,
/// 33 µs with it and no scan, since then all of it is zeroed each time.
const MEMORY_RESIDENT_BYTES: usize = 1 << 20;

/// The same for one table: 8192 elements, what a large agent's functions take.
const TABLE_RESIDENT_BYTES: usize = 64 << 10;

/// Decommits a batch, where the page map cannot be scanned.
const DECOMMIT_BATCH: usize = 8;

/// Core instances in one component. A Rust agent has 3; a Python agent has some 20, one a shared library.
const CORE_INSTANCES_PER_COMPONENT_MAX: u32 = 64;

/// Linear memories in one component: its own, and one for each component that is composed into it.
const MEMORIES_PER_COMPONENT_MAX: u32 = 8;

/// Tables in one component: a Rust agent has 2.
const TABLES_PER_COMPONENT_MAX: u32 = 64;

/// Tables of one core module.
const TABLES_PER_MODULE_MAX: u32 = 4;

/// Bookkeeping of one core instance, or of one component instance: grows with its functions and globals.
const INSTANCE_BYTES_MAX: usize = 4 << 20;

/// Linear memories that the pool has for each place: what a Rust agent has.
const MEMORIES_PER_PLACE: u32 = 1;

/// Tables that the pool has for each place: one more than a Rust agent has.
const TABLES_PER_PLACE: u32 = 3;

/// Places that one component takes at most: a host with so many runs whatever a larger one does.
pub const PLACES_OF_ONE_MAX: u32 = {
    let (memories, tables) =
        (MEMORIES_PER_COMPONENT_MAX.div_ceil(MEMORIES_PER_PLACE), TABLES_PER_COMPONENT_MAX.div_ceil(TABLES_PER_PLACE));
    if memories > tables { memories } else { tables }
};

/// Memory maps of one place, once a guest was in it: 2 of its stack, 4 of its linear memory. Measured by the bench
/// `density`.
const MAPS_PER_PLACE: u64 = 6;

/// Memory maps for everything else: code, threads, models, and the allocator, which fails without them, and ends the host
/// with all its guests.
const MAPS_OF_THE_HOST: u64 = 2_048;

/// The engine that runs guests, `instances_max` of them at a time. Public so that a benchmark can hold the host against
/// raw wasmtime with the same settings.
///
/// # Errors
/// [`HostError::Engine`] where the address space cannot be had.
pub fn guest_engine(instances_max: u32) -> Result<Engine, HostError> {
    pooled(deterministic(), instances_max)
}

/// The same without fuel and epochs. It runs nobody's guests: a benchmark holds the other against it.
///
/// # Errors
/// [`HostError::Engine`] where the address space cannot be had.
pub fn unmetered_engine(instances_max: u32) -> Result<Engine, HostError> {
    let mut config = deterministic();
    config.consume_fuel(false).epoch_interruption(false);
    pooled(config, instances_max)
}

/// How many places the system has memory maps for; nothing where it does not say so.
fn places_max() -> Option<(u64, u64)> {
    let maps_max: u64 = fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()?;
    Some((maps_max, maps_max.saturating_sub(MAPS_OF_THE_HOST) / MAPS_PER_PLACE))
}

fn pooled(mut config: Config, instances_max: u32) -> Result<Engine, HostError> {
    if let Some((maps_max, places_max)) = places_max()
        && u64::from(instances_max) > places_max
    {
        return Err(HostError::Maps { instances_max, maps_max, places_max });
    }
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances_max)
        .total_memories(instances_max.saturating_mul(MEMORIES_PER_PLACE))
        .total_stacks(instances_max)
        // These are only counted, and take nothing of the pool.
        .total_core_instances(instances_max.saturating_mul(CORE_INSTANCES_PER_COMPONENT_MAX))
        .total_tables(instances_max.saturating_mul(TABLES_PER_PLACE))
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT_MAX)
        .max_memories_per_component(MEMORIES_PER_COMPONENT_MAX)
        .max_tables_per_component(TABLES_PER_COMPONENT_MAX)
        .max_tables_per_module(TABLES_PER_MODULE_MAX)
        .max_memories_per_module(1)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_memory_size(usize::try_from(Limits::default().memory_bytes_max).unwrap_or(usize::MAX))
        .table_elements(usize::try_from(Limits::default().table_elements_max).unwrap_or(usize::MAX));
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(MEMORY_RESIDENT_BYTES)
            .table_keep_resident(TABLE_RESIDENT_BYTES);
    } else {
        pool.decommit_batch_size(DECOMMIT_BATCH);
    }
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).map_err(|error| HostError::Engine { instances_max, reason: one_line(&error) })
}

/// How many places of the pool an instance takes: as many as have its memories and its tables.
pub(crate) fn places(component: &Component) -> u32 {
    let Some(needs) = component.resources_required() else { return 1 };
    needs.num_memories.div_ceil(MEMORIES_PER_PLACE).max(needs.num_tables.div_ceil(TABLES_PER_PLACE)).max(1)
}

/// The engine that only compiles.
pub(crate) fn compiling_engine() -> wasmtime::Result<Engine> {
    Engine::new(&deterministic())
}

fn deterministic() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .consume_fuel(true)
        // Wasmtime's own table, stated so that a new default is a change here and shows in the engine's digest.
        .operator_cost(OperatorCost::new())
        .epoch_interruption(true)
        .wasm_component_model(true)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .wasm_tail_call(true)
        // A fault is one line, and the agent logs its own panic: no frames are collected.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .native_unwind_info(false)
        .memory_reservation(MEMORY_RESERVATION_BYTES)
        .memory_may_move(false)
        .memory_init_cow(true)
        .max_wasm_stack(STACK_BYTES_MAX)
        .async_stack_size(STACK_BYTES_MAX + HOST_STACK_BYTES);
    config
}

/// Names the engine: equal digest, equal code and equal fuel. 128 bits in hexadecimal.
pub(crate) fn digest(engine: &Engine) -> String {
    struct Collect(Sha256);
    impl Hasher for Collect {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut collect = Collect(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut collect);
    hexadecimal(&collect.0.finalize()[..16])
}

/// Lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An error of wasmtime with its causes, as one line of bounded length: parts of it can come from a component.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    crate::imports::clean(&format!("{error:#}"), 512)
}

/// Raises the engine's epoch once a millisecond, and does what else is due then, until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine, each: impl Fn() + Send + 'static) -> Result<Self, HostError> {
        let (stop, stopped) = mpsc::channel();
        let engine = engine.clone();
        let thread = thread::Builder::new()
            .name("remit-epoch".into())
            .spawn(move || {
                while stopped.recv_timeout(EPOCH) == Err(mpsc::RecvTimeoutError::Timeout) {
                    engine.increment_epoch();
                    each();
                }
            })
            .map_err(HostError::Thread)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_places_than_the_system_has_maps_for_are_refused_at_once() {
        let Some((maps_max, _)) = places_max() else { return };
        let places = u32::try_from(maps_max / MAPS_PER_PLACE).unwrap_or(u32::MAX);
        let refused = guest_engine(places).map(drop);
        assert!(
            matches!(refused, Err(HostError::Maps { instances_max, .. }) if instances_max == places),
            "{refused:?}"
        );
    }

    #[test]
    fn the_compiling_engine_makes_what_the_guest_engine_takes() {
        let guests = guest_engine(2).expect("two slots fit any machine");
        let compiling = compiling_engine().expect("the settings are valid");
        assert_eq!(digest(&guests), digest(&compiling));
    }
}
