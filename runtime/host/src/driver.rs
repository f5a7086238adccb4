//! One guest's life: take a place, buy fuel, instantiate, call `run`, say how it ended.
//!
//! How a pause of the guest is told apart, by what is polled from outside:
//!
//! | the guest's future is pending and | then |
//! | --- | --- |
//! | a host call waits | the door will wake it |
//! | the epoch callback made it give way | its turn is over |
//! | neither | it used up its slice of fuel: buy the next one, or end it |
//!
//! A guest that has bought its next slice goes on in the same turn: the tick ends it, and a few slices do where ticks are late.
//! A suspended guest is not polled at all: whatever wakes it in the meantime is found when it is resumed, since its future
//! is polled again then.
//!
//! A guest stands in line for its place before anything of it is paid or made. One that is suspended when it has its turn there lets
//! the next one go, and comes back when it is resumed.
//!
//! Slices are bought at deterministic points, and fuel is neither read nor set while the guest runs: its store is filled
//! once, and what is left at a normal end says exactly what it used. One instruction can use more than a slice (bulk
//! memory costs a unit a byte): it makes one pause and so one purchase, and what it used beyond that is in [`Exit::fuel`].

use crate::{
    Image,
    bindings::Agent,
    engine::one_line,
    executor::panic_text,
    guest::{Control, Guest, Halt, handles_max, handles_text},
    places::{Ask, Place, Places},
};
use remit_abi::{
    Exit, Failure, Fault, Fuel, Outcome, Start,
    limits::{FUEL_SLICE, HOSTCALL_BYTES_MAX, Limits, STACK_BYTES_MAX},
};
use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};
use wasmtime::{Engine, PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};

/// What the store is filled with: more than any guest lives to use.
const TANK: u64 = i64::MAX as u64;

/// Ticks that a guest runs before it gives way.
const TICKS_PER_TURN: u64 = 1;

/// Slices of fuel that a guest uses up in one turn: some two ticks' worth, so that on a machine whose clock thread comes late
/// nobody has a turn for much longer, and that few turns end before their tick.
const SLICES_PER_TURN: u32 = 16;

/// What wasmtime says where a call brings in more than [`HOSTCALL_BYTES_MAX`]; its error has no public type.
const TOO_MANY_BYTES: &str = "fuel allocated for hostcalls has been exhausted";

/// What wasmtime says where a component holds too many handles; its error has no public type.
const TOO_MANY_HANDLES: &str = "store handle limit exceeded";

/// Runs one guest to its end, under its control block.
pub(crate) async fn drive(
    image: Arc<Image>,
    control: Arc<Control>,
    places: Arc<Places>,
    limits: Limits,
    start: Start,
) -> Exit {
    let mut ask = places.ask(image.places());
    let entered = poll_fn(|context| enter(&control, &mut ask, context)).await;
    // Given up when the store is gone.
    let _place = match entered.and_then(|place| control.buy_slice().map(|()| place)) {
        Ok(place) => place,
        Err(fault) => {
            control.forget_waker();
            return Exit { end: Err(fault), fuel: Some(Fuel(0)) };
        }
    };
    let mut life = pin!(live(&image, &control, limits, start));
    let exit = poll_fn(|context| turn(&control, life.as_mut(), context)).await;
    control.forget_waker();
    exit
}

/// What stands before the first turn of a guest.
fn enter(control: &Control, ask: &mut Ask, context: &Context<'_>) -> Poll<Result<Place, Fault>> {
    match control.admit(context.waker()) {
        Poll::Ready(Ok(())) => ask.poll(context.waker()),
        Poll::Ready(Err(fault)) => Poll::Ready(Err(fault)),
        Poll::Pending => {
            ask.go_away();
            Poll::Pending
        }
    }
}

/// One turn of a guest.
fn turn(control: &Control, mut life: Pin<&mut impl Future<Output = Exit>>, context: &mut Context<'_>) -> Poll<Exit> {
    for _ in 0..SLICES_PER_TURN {
        match control.admit(context.waker()) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(fault)) => return Poll::Ready(ended(fault)),
            Poll::Pending => return Poll::Pending,
        }
        match catch_unwind(AssertUnwindSafe(|| life.as_mut().poll(context))) {
            Ok(Poll::Ready(exit)) => return Poll::Ready(exit),
            Ok(Poll::Pending) if control.used_its_slice() => {
                if let Err(fault) = control.buy_slice() {
                    return Poll::Ready(ended(fault));
                }
            }
            Ok(Poll::Pending) => return Poll::Pending,
            Err(panic) => return Poll::Ready(ended(Fault::Host(panic_text(&*panic).into()))),
        }
    }
    // The guest has asked for its next turn itself, when its slice was used up.
    Poll::Pending
}

/// An end in the middle, where the count of fuel is lost.
fn ended(fault: Fault) -> Exit {
    Exit { end: Err(fault), fuel: None }
}

async fn live(image: &Image, control: &Arc<Control>, limits: Limits, start: Start) -> Exit {
    let mut store = match store(image.engine(), control, limits) {
        Ok(store) => store,
        Err(error) => return ended(Fault::Host(one_line(&error).into())),
    };
    let agent = match image.agent().instantiate_async(&mut store).await {
        Ok(agent) => agent,
        // Nothing of the guest's own but its start function runs here, and that can only trap.
        Err(error) => return ended(fault(&error, store.data(), limits, Fault::Host)),
    };
    match call_run(&agent, &mut store, start).await {
        Ok(end) => {
            let fuel = store.get_fuel().ok().map(|left| Fuel(TANK.saturating_sub(left)));
            Exit { end: Ok(end), fuel }
        }
        // What the canonical ABI refuses: text that is not UTF-8, a pointer out of bounds, a dead handle.
        Err(error) => ended(fault(&error, store.data(), limits, Fault::Protocol)),
    }
}

/// A fresh store: nothing in it, nothing allowed beyond the process's limits.
fn store(engine: &Engine, control: &Arc<Control>, limits: Limits) -> wasmtime::Result<Store<Guest>> {
    let mut store = Store::try_new(engine, Guest::new(Arc::clone(control), limits))?;
    store.limiter(|guest| &mut guest.limiter);
    store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
    store.set_max_component_handles(handles_max(limits));
    store.set_fuel(TANK)?;
    store.fuel_async_yield_interval(Some(FUEL_SLICE.0))?;
    store.epoch_deadline_callback(|store| {
        let control = &store.data().control;
        if control.is_killed() {
            return Ok(UpdateDeadline::Interrupt);
        }
        control.preempt();
        Ok(UpdateDeadline::Yield(TICKS_PER_TURN))
    });
    store.set_epoch_deadline(TICKS_PER_TURN);
    Ok(store)
}

async fn call_run(agent: &Agent, store: &mut Store<Guest>, start: Start) -> wasmtime::Result<Result<Outcome, Failure>> {
    let task = store.data_mut().task(&start)?;
    let result = agent.call_run(&mut *store, &task, start.resumed.as_deref()).await?;
    store.data_mut().end_printing()?;
    store.data_mut().end(result)
}

/// Whose fault an error is, in the kernel's words; `otherwise` where it has no name of its own.
fn fault(error: &wasmtime::Error, guest: &Guest, limits: Limits, otherwise: fn(Box<str>) -> Fault) -> Fault {
    if let Some(Halt(fault)) = error.downcast_ref() {
        return fault.clone();
    }
    if let Some(&trap) = error.downcast_ref::<Trap>() {
        return trap_fault(trap, guest);
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Fault::Host(
            "it is too large for all places of the host together: raise the host's instances_max".into(),
        );
    }
    if let Some(fault) = guest.limiter.fault() {
        return fault;
    }
    let text = one_line(error);
    if text.contains(TOO_MANY_BYTES) {
        return Fault::Limit(format!("one call may bring in {HOSTCALL_BYTES_MAX} bytes: send less at a time").into());
    }
    if text.contains(TOO_MANY_HANDLES) {
        return Fault::Limit(handles_text(handles_max(limits)));
    }
    otherwise(text.into())
}

fn trap_fault(trap: Trap, guest: &Guest) -> Fault {
    match trap {
        Trap::Interrupt => Fault::Killed,
        Trap::StackOverflow => {
            Fault::Limit(format!("its stack may hold {STACK_BYTES_MAX} bytes: recurse less deeply").into())
        }
        // How an allocator ends that was refused memory.
        Trap::UnreachableCodeReached => guest.limiter.fault().unwrap_or_else(|| crash(trap)),
        trap => crash(trap),
    }
}

/// The crash itself, in wasmtime's words.
fn crash(trap: Trap) -> Fault {
    Fault::Trap(trap.to_string().trim_start_matches("wasm trap: ").into())
}
