//! Requests that ask for too much, that nobody wants any more at some moment, or beside which computing crashes. Afterwards no block is held,
//! and those who were computed beside them read the same to the bit.

use super::*;
use remit_kernel::ports::Meter;
use std::sync::atomic::AtomicUsize;

/// What happens in the middle of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Harm {
    Nothing,
    /// The request is cancelled.
    Cancelled,
    /// Its reader goes.
    Gone,
    /// The device is lost.
    Crash,
}

/// All that a reader was told, and the counts.
type Told = (Vec<EngineEvent>, Usage);

/// What came of a request, and of those beside it.
struct Played {
    own: Result<Told, EngineError>,
    others: Vec<Told>,
    steps: usize,
}

/// Blocks for three of four: they give way to each other.
const ROOM: usize = 16 * BLOCK_TOKENS;

/// Tokens of prompts, of which those of number 0 and of the request in question begin alike.
fn prompt(number: u32, length: u32) -> Arc<[u32]> {
    (0..length).map(|place| (place * 37 + if place < 30 { number / 2 * 11 } else { number * 5 }) % 256).collect()
}

fn asking(number: u32, length: u32, max_tokens: u32) -> GenerationJob {
    let sampling = Sampling { temperature: 1.0, seed: u64::from(number), ..Sampling::default() };
    let logit_bias = vec![(END, Params::BIAS_NEVER)];
    let params = Params { sampling, logprobs: Some(2), logit_bias, ..Params::greedy(max_tokens) };
    GenerationJob { model: "a".into(), prompt: prompt(number, length), params, ..job("", 1) }
}

/// The request that harm is done to.
fn in_question() -> GenerationJob {
    asking(1, 45, 40)
}

fn read_all(mut stream: EngineStream, goes: impl Fn() -> bool) -> Told {
    let mut events = Vec::new();
    while !goes()
        && let Some(event) = stream.events.blocking_recv()
    {
        events.push(event);
    }
    (events, stream.meter.usage())
}

/// Waits until nobody is computed, and sees that nobody holds a block.
fn nothing_is_held(engine: &LocalEngine, how: &str) {
    let totals = loop {
        let Some(ModelFigures { totals, .. }) = engine.figures().pop() else { continue };
        if totals.running + totals.waiting + totals.paused == 0 {
            break totals;
        }
    };
    assert_eq!((totals.blocks_held, totals.places), (0, 0), "{how}");
    assert_eq!(engine.shared.queued.load(Ordering::Acquire), 0, "{how}");
}

/// A request beside three others, and some harm in a step.
fn play(job: GenerationJob, harm: Harm, at: usize) -> Played {
    let (gate, steps) = (Arc::new(Mutex::new(())), Arc::new(AtomicUsize::new(0)));
    let (is_harmed, meter) = (Arc::new(AtomicBool::new(false)), Arc::new(OnceLock::<Arc<Meter>>::new()));
    let held = gate.lock().unwrap();
    let watch = {
        let (gate, steps, is_harmed, meter) = (gate.clone(), steps.clone(), is_harmed.clone(), meter.clone());
        move || -> Watch {
            let (gate, steps, is_harmed, meter) = (gate.clone(), steps.clone(), is_harmed.clone(), meter.clone());
            Box::new(move |is_computed, _| {
                drop(gate.lock());
                // Keys and values are written, and nothing is drawn.
                if is_computed && steps.fetch_add(1, Ordering::AcqRel) == at {
                    is_harmed.store(true, Ordering::Release);
                    match harm {
                        Harm::Nothing | Harm::Gone => {}
                        Harm::Cancelled => meter.get().into_iter().for_each(|meter| meter.cancel()),
                        Harm::Crash => panic!("the device is lost"),
                    }
                }
            })
        }
    };
    let limits = Limits { threads: 1, kv_tokens_max: ROOM, chunk_rows: 40, ..Limits::default() };
    let (_folder, engine) = watched(limits, watch);
    let others = [(0, 50, 30), (2, 9, 40), (4, 70, 20)].map(|(number, length, output)| asking(number, length, output));
    let others = others.map(|other| engine.generate(other).unwrap());
    let own = engine.generate(job);
    own.iter().for_each(|stream| drop(meter.set(stream.meter.clone())));
    drop(held);
    let (own, others) = std::thread::scope(|scope| {
        let goes = || harm == Harm::Gone && is_harmed.load(Ordering::Acquire);
        let own = own.map(|stream| scope.spawn(move || read_all(stream, goes)));
        let others = others.map(|other| read_all(other, || false)).into();
        (own.map(|own| own.join().unwrap()), others)
    });
    nothing_is_held(&engine, &format!("{harm:?} in step {at}"));
    let steps = steps.load(Ordering::Acquire);
    Played { own, others, steps }
}

/// The tokens of a generation, with how likely they were; text that was held back comes out at its end, whole or not.
fn drawn(events: &[EngineEvent]) -> Vec<&EngineEvent> {
    events.iter().filter(|event| matches!(event, EngineEvent::Token(_))).collect()
}

/// Whether others read the same; what was computed for them may have been at hand.
fn same(played: &Played, undisturbed: &Played, how: &str) {
    for (index, (now, then)) in played.others.iter().zip(&undisturbed.others).enumerate() {
        assert!(now.0 == then.0, "{how} changed what number {index} reads");
        assert_eq!((now.1.input + now.1.cached, now.1.output), (then.1.input + then.1.cached, then.1.output), "{how}");
    }
}

#[test]
fn whenever_a_request_ends_its_blocks_come_back_and_nobody_else_notices() {
    let undisturbed = play(in_question(), Harm::Nothing, usize::MAX);
    let whole = &undisturbed.own.as_ref().unwrap().0;
    assert!(undisturbed.others.iter().all(|(events, _)| drawn(events).len() >= 20));
    for harm in [Harm::Cancelled, Harm::Gone, Harm::Crash] {
        for at in 0..undisturbed.steps {
            let how = format!("{harm:?} in step {at}");
            let played = play(in_question(), harm, at);
            same(&played, &undisturbed, &how);
            let (own, _) = played.own.unwrap();
            assert!(drawn(whole).starts_with(&drawn(&own)), "{how}");
            let is_cut = own.last() == Some(&EngineEvent::End(EngineFinish::Cancelled));
            match harm {
                Harm::Nothing | Harm::Gone => {}
                Harm::Cancelled => assert!(is_cut || own == *whole, "{how}"),
                Harm::Crash => assert!(own == *whole, "{how}"),
            }
        }
    }
}

/// A request with something in it that is too much, and how it ends: its finish and its tokens, or a sentence.
fn check(change: impl FnOnce(&mut GenerationJob), expect: Result<(EngineFinish, u32), &str>) {
    let undisturbed = play(in_question(), Harm::Nothing, usize::MAX);
    let mut job = in_question();
    change(&mut job);
    let played = play(job, Harm::Nothing, usize::MAX);
    same(&played, &undisturbed, "too much");
    match (played.own, expect) {
        (Ok((events, usage)), Ok((finish, tokens))) => {
            assert_eq!((events.last(), usage.output), (Some(&EngineEvent::End(finish)), tokens));
        }
        (Err(error), Err(sentence)) => assert!(error.to_string().contains(sentence), "{error}"),
        (own, expect) => panic!("{own:?}, and not {expect:?}"),
    }
}

#[test]
fn stop_strings_by_the_thousand_are_looked_for() {
    // More than the kernel lets through, of texts that begin like each other and are not there.
    let thousands: Vec<Box<str>> = (0..4_000).map(|number| format!("{}{number}", "ab".repeat(100)).into()).collect();
    check(|job| job.params.stop.clone_from(&thousands), Ok((EngineFinish::Length, 40)));
    let Ok((events, _)) = play(in_question(), Harm::Nothing, usize::MAX).own else { panic!("it is computed") };
    let texts: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            EngineEvent::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    let text = texts.concat();
    let early = text.chars().find(|character| text.find(*character).is_some_and(|place| place > 0)).unwrap();
    let played = play(
        GenerationJob {
            params: Params {
                stop: thousands.iter().cloned().chain([early.to_string().into()]).collect(),
                ..in_question().params
            },
            ..in_question()
        },
        Harm::Nothing,
        usize::MAX,
    );
    let (events, usage) = played.own.unwrap();
    assert_eq!(events.last(), Some(&EngineEvent::End(EngineFinish::Stop)));
    assert!(usage.output < 40, "{usage:?}");
}

#[test]
fn more_than_the_context_is_cut_or_refused() {
    // The context of the model is 256 tokens, and so is the room for all.
    check(|job| job.params.max_tokens = u32::MAX, Ok((EngineFinish::Length, 256 - 45)));
    check(|job| job.prompt = prompt(1, 255), Ok((EngineFinish::Length, 1)));
    check(|job| job.prompt = prompt(1, 256), Err("the prompt has 256 tokens and the model's context holds 256"));
    check(|job| job.prompt = prompt(1, 100_000), Err("the prompt has 100000 tokens"));
    check(|job| job.prompt = [0, u32::MAX].into(), Err("tokens of another model"));
    check(|job| job.prompt = [].into(), Err("the prompt has no tokens"));
}
