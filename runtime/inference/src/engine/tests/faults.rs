//! Crashes: who goes on, with which text, and who does not.

use super::*;
use std::sync::atomic::AtomicUsize;

/// A fault in the steps of these numbers, from 0 on.
fn at(steps: &'static [usize]) -> Fault {
    let count = AtomicUsize::new(0);
    Arc::new(move |come_to| {
        // Probes are no steps.
        if !come_to.is_empty() && steps.contains(&count.fetch_add(1, Ordering::AcqRel)) {
            panic!("the device is lost");
        }
    })
}

fn failed(result: Result<EngineFinish, EngineError>, expect: &str) {
    let sentence = result.unwrap_err().to_string();
    assert!(sentence.contains(expect), "{sentence}");
}

#[test]
fn a_crash_changes_no_text_and_is_not_paid_for() {
    for steps in [&[0][..], &[1], &[3], &[7], &[18], &[2, 20], &[11, 12]] {
        let limits = Limits { chunk_rows: 16, ..Limits::default() };
        let fixture = fixture_with(letters, limits, at(steps));
        let held = fixture.gate.lock().unwrap();
        let prompts = ["a".to_owned(), "b".repeat(40), "c".repeat(20), "d".repeat(9)];
        let streams: Vec<_> = prompts.iter().map(|prompt| fixture.engine.generate(job(prompt, 20)).unwrap()).collect();
        drop(held);
        for (prompt, stream) in prompts.iter().zip(streams) {
            let (text, finish, usage) = read(stream);
            assert_eq!((text, finish), (told(letters, prompt, 20), Ok(EngineFinish::Length)), "{steps:?}");
            assert_eq!((usage.input as usize, usage.cached, usage.output), (prompt.len(), 0, 20), "{steps:?}");
        }
        assert_eq!(fixture.engine.rebuilds() as usize, steps.len());
        assert_eq!(fixture.engine.shared.queued.load(Ordering::Acquire), 0);
    }
}

/// A fault in each step of a sequence whose prompt begins so, once it has come to so many tokens.
fn poison(begin: char, tokens: usize) -> Fault {
    Arc::new(move |come_to| {
        let is_poison = |sequence: &Vec<u32>| sequence[0] == u32::from(begin) && sequence.len() >= tokens;
        assert!(!come_to.iter().any(is_poison), "a kernel read beyond its end");
    })
}

#[test]
fn who_crashes_the_engine_again_and_again_fails_alone() {
    for tokens in [1, 5, 30, 45] {
        let fixture = fixture_with(letters, Limits::default(), poison('!', tokens));
        let held = fixture.gate.lock().unwrap();
        let prompts = ["abc".to_owned(), "!".repeat(30), "defg".repeat(20), "h".to_owned()];
        let streams: Vec<_> = prompts.iter().map(|prompt| fixture.engine.generate(job(prompt, 60)).unwrap()).collect();
        drop(held);
        for (prompt, stream) in prompts.iter().zip(streams) {
            let (text, finish, usage) = read(stream);
            if prompt.starts_with('!') {
                assert_eq!(
                    text,
                    told(letters, prompt, tokens.saturating_sub(30)),
                    "all that could be computed was sent"
                );
                failed(finish, "computing it failed: the engine crashed 3 times with it in the step");
            } else {
                assert_eq!((text, finish), (told(letters, prompt, 60), Ok(EngineFinish::Length)));
                assert_eq!((usage.input as usize, usage.output), (prompt.len(), 60));
            }
        }
        assert_eq!(fixture.engine.rebuilds(), 3);
    }
}

#[test]
fn several_guilty_ones_are_told_apart() {
    let fault: Fault = Arc::new(|come_to| {
        let is_poison = |sequence: &Vec<u32>| sequence[0] == u32::from(b'!') && sequence.len() > 6;
        assert!(!come_to.iter().any(is_poison), "a kernel read beyond its end");
    });
    let fixture = fixture_with(letters, Limits::default(), fault);
    let held = fixture.gate.lock().unwrap();
    let prompts = ["!a", "b", "!cc", "ddd", "e"];
    let streams: Vec<_> = prompts.iter().map(|prompt| fixture.engine.generate(job(prompt, 30)).unwrap()).collect();
    drop(held);
    for (prompt, stream) in prompts.iter().zip(streams) {
        let (text, finish, _) = read(stream);
        if prompt.starts_with('!') {
            failed(finish, "crashed 3 times");
        } else {
            assert_eq!((text, finish), (told(letters, prompt, 30), Ok(EngineFinish::Length)));
        }
    }
}

#[test]
fn what_crashes_only_beside_others_goes_on_alone() {
    let fault: Fault = Arc::new(|come_to| assert!(come_to.len() < 2, "two rows are one too many"));
    let fixture = fixture_with(letters, Limits::default(), fault);
    let held = fixture.gate.lock().unwrap();
    let streams = ["abc", "abcd"].map(|prompt| (prompt, fixture.engine.generate(job(prompt, 40)).unwrap()));
    drop(held);
    for (prompt, stream) in streams {
        let (text, finish, _) = read(stream);
        assert_eq!((text, finish), (told(letters, prompt, 40), Ok(EngineFinish::Length)));
    }
    assert_eq!(fixture.engine.rebuilds(), 2);
}

#[test]
fn an_engine_that_cannot_be_built_again_tells_everybody() {
    let built = Arc::new(AtomicUsize::new(0));
    let make = {
        let (built, gate) = (built.clone(), Arc::default());
        move || match built.fetch_add(1, Ordering::AcqRel) {
            0 => Ok(Scripted::new(letters, &gate, &Arc::default(), at(&[4]))),
            _ => Err(LoadError::Thread("there are none".to_owned())),
        }
    };
    let limits = Limits { active_sequences_max: 1, ..Limits::default() };
    let engine = scripted(limits, &Residency::unlimited(), make).unwrap();
    let streams = ["abc", "abcd"].map(|prompt| engine.generate(job(prompt, 40)).unwrap());
    let expect = "computing crashed (the device is lost), and what computes could not be built again: \
                  the engine's threads cannot be started: there are none";
    for stream in streams {
        stopped(read(stream).1, expect);
    }
    stopped(engine.generate(job("abc", 4)).map(|_| EngineFinish::Stop), expect);
    assert_eq!(built.load(Ordering::Acquire), 4);
    assert_eq!(engine.rebuilds(), 0);
}

#[test]
fn a_device_that_is_gone_for_good_is_no_generations_fault() {
    let fault: Fault = {
        let steps = AtomicUsize::new(0);
        Arc::new(move |_| assert!(steps.fetch_add(1, Ordering::AcqRel) < 5, "the device is lost"))
    };
    let fixture = fixture_with(letters, Limits::default(), fault);
    stopped(
        read(fixture.engine.generate(job("abc", 40)).unwrap()).1,
        "a first token could not be computed: the device",
    );
    assert_eq!(fixture.engine.rebuilds(), 0);
}

#[test]
fn a_drill_is_a_crash() {
    let fixture = fixture_with(letters, Limits::default(), Arc::new(|_| ()));
    let held = fixture.gate.lock().unwrap();
    let stream = fixture.engine.generate(job("abc", 40)).unwrap();
    assert_eq!(fixture.engine.last_rebuild(), None);
    fixture.engine.drill();
    drop(held);
    let (text, finish, usage) = read(stream);
    assert_eq!((text, finish), (told(letters, "abc", 40), Ok(EngineFinish::Length)));
    assert_eq!((usage.input, usage.output), (3, 40));
    assert_eq!(fixture.engine.rebuilds(), 1);
    assert!(fixture.engine.last_rebuild().is_some());
}

/// What each of these tenants reads, in two turns of which the second one goes on from the first or from a part of it; and
/// the rebuilds.
fn conversations(left: usize) -> (Vec<(Vec<EngineEvent>, Usage)>, u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, sample::model().finish()).unwrap();
    let limits = Limits { threads: 2, active_sequences_max: 4, ..Limits::default() };
    let (served, files) = open(&ModelFile { name: "a".into(), path, digest: "d".into() }, &limits, None).unwrap();
    let adapters = no_adapters(&limits);
    let mut read_weights = reader(vec![(files, served.blocks)], adapters.clone(), &limits, &Residency::unlimited());
    let left = Arc::new(AtomicUsize::new(left));
    let make = move || {
        let left = left.clone();
        // After it has written keys and values.
        let watch = move |is_computed: bool, _: &[Work<'_>]| {
            if is_computed {
                let left = left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
                assert_ne!(left, Ok(1), "the device is lost");
            }
        };
        Ok(Watched { models: read_weights()?, watch: Box::new(watch) })
    };
    let engine = LocalEngine::start((vec![served], adapters), limits, (&Residency::unlimited(), 10), make).unwrap();
    // Around the sizes of pieces; of each prompt's first turn so many tokens are the second's.
    let turns = [(1, 1), (8, 3), (9, 40), (33, 20), (40, 45), (64, 50), (70, 90), (100, 58), (130, 35)];
    let play = |second: bool| {
        let streams: Vec<_> = (0u32..)
            .zip(turns)
            .map(|(tenant, (length, kept))| {
                let token = |place: u32, turn: u32| (place * 37 + tenant * 11 + turn * 5) % 256;
                let mut prompt: Vec<u32> = (0..length).map(|place| token(place, 0)).collect();
                if second {
                    // What was answered is not known here; a part of the prompt, and other tokens.
                    prompt.truncate(kept as usize);
                    prompt.extend((0..50).map(|place| token(place, 1)));
                }
                let sampling = Sampling { temperature: 1.0, seed: u64::from(tenant), ..Sampling::default() };
                let params = Params { sampling, logprobs: Some(2), logit_bias: never_end(), ..Params::greedy(30) };
                let (tenant, model, prompt) = (TenantId(tenant), "a".into(), prompt.into());
                let job = GenerationJob { tenant, model, prompt, params, ..job("", 1) };
                engine.generate(job).unwrap()
            })
            .collect();
        let read = |mut stream: EngineStream| {
            let events = std::iter::from_fn(|| stream.events.blocking_recv()).collect();
            (events, stream.meter.usage())
        };
        streams.into_iter().map(read).collect::<Vec<_>>()
    };
    let mut told = play(false);
    told.extend(play(true));
    (told, engine.rebuilds())
}

fn never_end() -> Vec<(u32, f32)> {
    vec![(END, Params::BIAS_NEVER)]
}

#[test]
fn a_real_models_text_and_logprobs_go_on_to_the_bit() {
    let (undisturbed, rebuilds) = conversations(usize::MAX);
    assert_eq!(rebuilds, 0);
    assert!(undisturbed.iter().all(|(_, usage)| usage.output == 30));
    assert!(undisturbed[9..].iter().all(|(_, usage)| usage.cached > 0), "the second turns go on from the first");
    for step in (1..150).step_by(7) {
        let (disturbed, rebuilds) = conversations(step);
        assert_eq!(rebuilds, 1, "a crash in step {step}");
        for (index, (disturbed, undisturbed)) in disturbed.iter().zip(&undisturbed).enumerate() {
            // In the second turn a beginning that was lost is computed again.
            let (now, then) = (disturbed.1, undisturbed.1);
            assert_eq!((now.input + now.cached, now.output), (then.input + then.cached, then.output));
            assert!(disturbed.0 == undisturbed.0, "a crash in step {step} changed conversation {index}");
        }
    }
}
