//! Speculation changes how many steps a text takes, and nothing else of it.

use super::{
    readers::{totals, until},
    sampling::{events, everything},
    *,
};
use remit_abi::Penalties;
use remit_batching::Totals;

/// What a generation comes to.
type Told = (Vec<EngineEvent>, Usage);

fn told_by(engine: &LocalEngine, job: GenerationJob) -> Told {
    let stream = engine.generate(job).unwrap();
    let meter = stream.meter.clone();
    (events(stream), meter.usage())
}

/// Says the prompt again and again.
fn repeats(tokens: &[u32]) -> u32 {
    tokens[tokens.len() % 40]
}

/// Says something new where a word was said before.
fn varies(tokens: &[u32]) -> u32 {
    if tokens.len().is_multiple_of(23) { letters(tokens) } else { repeats(tokens) }
}

const PROMPT: &str = "the quick brown fox jumps over the lazy ";

fn params(count: u32) -> Params {
    Params { logprobs: Some(2), ..Params::greedy(count) }
}

/// Compares a job with itself, speculating; answers how many drafted tokens came.
fn check(script: Script, fault: &Fault, params: Params) -> u64 {
    let what = format!("{params:?}");
    let run = |params| {
        let fixture = fixture_with(script, Limits::default(), fault.clone());
        let told = told_by(&fixture.engine, GenerationJob { params, ..job(PROMPT, 1) });
        // The figures are told of a moment that may be before the last step.
        (told, until(&fixture.engine, |totals| totals.ended == 1))
    };
    let (plain, without) = run(params.clone());
    let (speculative, with) = run(Params { speculation: true, ..params });
    assert!(plain == speculative, "{what}");
    assert_eq!((without.proposed, with.drawn), (0, without.drawn));
    assert_eq!(without.steps - with.steps, with.accepted, "each token that came is a step less");
    with.accepted
}

fn no_fault() -> Fault {
    Arc::new(|_| ())
}

#[test]
fn a_text_is_the_same_and_comes_in_fewer_steps_where_it_repeats_something() {
    assert!(check(repeats, &no_fault(), params(300)) > 0);
    assert!(check(varies, &no_fault(), params(300)) > 0);
    check(letters, &no_fault(), params(300));
    for seed in 0..6 {
        let sampling = Sampling { temperature: 0.2, seed, ..Sampling::default() };
        assert!(check(repeats, &no_fault(), Params { sampling, ..params(200) }) > 0);
        let penalties = Penalties { repetition: 1.3, window: 20, ..Penalties::default() };
        check(repeats, &no_fault(), Params { sampling, penalties, ..params(200) });
        check(varies, &no_fault(), everything(seed));
    }
}

#[test]
fn an_end_cuts_a_run_of_drafts_where_it_would_be_without() {
    for count in 90..110 {
        check(repeats, &no_fault(), params(count));
    }
    // Long behind where drafts begin, by a stop string over several tokens, by a token, and by the model's own end.
    let script = |tokens: &[u32]| match tokens.len() {
        150 => u32::from(b'#'),
        _ => repeats(tokens),
    };
    assert!(check(script, &no_fault(), Params { stop: vec!["x#".into(), "r#th".into()], ..params(300) }) > 0);
    assert!(check(script, &no_fault(), Params { stop_tokens: vec![u32::from(b'#')], ..params(300) }) > 0);
    assert!(check(|tokens| if tokens.len() < 160 { repeats(tokens) } else { END }, &no_fault(), params(300)) > 0);
}

#[test]
fn whoever_cancels_in_the_middle_of_a_run_gets_one_more_token_at_most() {
    let meter: Arc<OnceLock<Arc<Meter>>> = Arc::default();
    let came_to = Arc::new(AtomicUsize::new(0));
    let fault: Fault = {
        let (meter, came_to) = (meter.clone(), came_to.clone());
        Arc::new(move |come_to| {
            if let Some(sequence) = come_to.iter().find(|sequence| sequence.len() > 180) {
                came_to.store(sequence.len(), Ordering::Release);
                meter.get().unwrap().cancel();
            }
        })
    };
    let fixture = fixture_with(repeats, Limits::default(), fault);
    let held = fixture.gate.lock().unwrap();
    let params = Params { speculation: true, ..Params::greedy(10_000) };
    let stream = fixture.engine.generate(GenerationJob { params, ..job(PROMPT, 1) }).unwrap();
    meter.set(stream.meter.clone()).unwrap();
    drop(held);
    let (text, finish, usage) = read(stream);
    assert_eq!(finish, Ok(EngineFinish::Cancelled));
    assert_eq!(text.len(), usage.output as usize);
    let last = fixture.steps.lock().unwrap().last().unwrap()[0];
    assert_eq!(usage.output as usize, came_to.load(Ordering::Acquire) - (last - 1) + 1 - PROMPT.len());
}

#[test]
fn a_crash_in_the_middle_of_a_run_changes_nothing() {
    for step in [1, 40, 41, 43, 46, 50] {
        let fault = || -> Fault {
            let count = AtomicUsize::new(0);
            Arc::new(move |come_to| {
                // Probes are no steps.
                let is_step = !come_to.is_empty();
                assert!(!is_step || count.fetch_add(1, Ordering::AcqRel) != step, "the device is lost");
            })
        };
        let run = |speculation, fault| {
            let fixture = fixture_with(repeats, Limits::default(), fault);
            let params = Params { speculation, ..params(200) };
            told_by(&fixture.engine, GenerationJob { params, ..job(PROMPT, 1) })
        };
        let plain = run(false, no_fault());
        assert!(run(true, fault()) == plain, "a crash in step {step}");
        assert!(run(false, fault()) == plain, "a crash in step {step}");
    }
}

/// What real sequences come to, all at once, each speculating or none, with so much room for keys and values. All have come before
/// the first step is computed.
fn together(speculation: bool, kv_tokens_max: usize, active_sequences_max: usize) -> (Vec<Told>, Totals) {
    let limits = Limits { threads: 2, kv_tokens_max, active_sequences_max, ..Limits::default() };
    let gate: Arc<Mutex<()>> = Arc::default();
    let held = gate.lock().unwrap();
    let (_folder, engine) = watched(limits, {
        let gate = gate.clone();
        move || {
            let gate = gate.clone();
            Box::new(move |_, _| drop(gate.lock()))
        }
    });
    let jobs = (0..8u32).map(|index| {
        let words: Vec<u32> = (0..20 + index).map(|place| 60 + (place * 7 + index) % 40).collect();
        let sampling = match index % 2 {
            0 => everything(u64::from(index)),
            _ => Params { logit_bias: vec![(END, Params::BIAS_NEVER)], ..params(60) },
        };
        let params = Params { speculation, max_tokens: 60, ..sampling };
        let prompt = words.repeat(3).into();
        GenerationJob { tenant: TenantId(index), model: "a".into(), prompt, params, ..job("", 1) }
    });
    let streams: Vec<_> = jobs.map(|job| engine.generate(job).unwrap()).collect();
    drop(held);
    let readers = streams.into_iter().map(|stream| {
        let meter = stream.meter.clone();
        (events(stream), meter.usage())
    });
    let told = readers.collect();
    (told, totals(&engine))
}

#[test]
fn real_texts_and_log_probabilities_are_the_same_to_the_bit_alone_beside_others_and_under_pressure() {
    let (plain, _) = together(false, 65_536, 1);
    assert!(plain.iter().all(|(_, usage)| usage.output == 60));
    for (kv_tokens_max, active) in [(65_536, 1), (65_536, 8), (176, 8)] {
        let (told, totals) = together(true, kv_tokens_max, active);
        for (index, (told, plain)) in told.iter().zip(&plain).enumerate() {
            assert!(told.0 == plain.0, "sequence {index} among {active} in {kv_tokens_max}");
            assert_eq!(told.1.output, plain.1.output);
        }
        // Beside others a row may cost more than a guess is worth.
        assert!(active > 1 || totals.accepted > 0, "{totals:?}");
        // Of eleven blocks the first two have room to begin; at its end the first needs eight, and the second, which has not given way,
        // holds four.
        assert_eq!(totals.preemptions > 0, kv_tokens_max < 1_000, "{totals:?}");
    }
}
