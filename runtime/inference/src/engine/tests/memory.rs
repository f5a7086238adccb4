//! Engines that share a memory in which not all of them fit.

use super::*;
use crate::residency::{Place, Rules};
use std::time::Instant;

/// Room for one scripted model of ten bytes and not for two; times in milliseconds.
fn room_for_one(stay_min: u64, patience: u64) -> Arc<Residency> {
    let (stay_min, patience) = (Duration::from_millis(stay_min), Duration::from_millis(patience));
    Residency::new(Rules { bytes_max: 19, stay_min, patience })
}

const AN_HOUR: u64 = 3_600_000;

fn sharing(residency: &Arc<Residency>, fault: Fault) -> LocalEngine {
    let compute = Scripted::new(letters, &Arc::default(), &Arc::default(), fault);
    scripted(Limits::default(), residency, move || Ok(compute.clone())).unwrap()
}

fn no_fault() -> Fault {
    Arc::new(|_| ())
}

fn places(residency: &Residency) -> Vec<Place> {
    residency.view().models.iter().map(|model| model.place).collect()
}

fn check(stream: EngineStream, prompt: &str, count: usize) {
    let (text, finish, _) = read(stream);
    assert_eq!((text, finish), (told(letters, prompt, count), Ok(EngineFinish::Length)));
}

#[test]
fn weights_come_with_the_first_generation_and_once() {
    let residency = room_for_one(0, 0);
    let engine = sharing(&residency, no_fault());
    assert_eq!(places(&residency), [Place::Away]);
    assert_eq!(engine.tokenize("m", &PromptText::Text("abc".into())).unwrap()[..], [97, 98, 99]);
    let streams: Vec<_> = (0..5).map(|_| engine.generate(job("abc", 40)).unwrap()).collect();
    streams.into_iter().for_each(|stream| check(stream, "abc", 40));
    engine.warm().unwrap();
    let view = residency.view();
    assert_eq!((view.bytes_max, view.bytes_held, view.models[0].loads), (19, 10, 1));
    assert_eq!(view.models[0].place, Place::In);
}

#[test]
fn an_idle_model_makes_room_and_takes_its_prefixes_with_it() {
    let residency = room_for_one(0, AN_HOUR);
    let [first, second] = [(); 2].map(|()| sharing(&residency, no_fault()));
    for (round, cached) in [0, 4].into_iter().enumerate() {
        let (_, _, usage) = read(first.generate(job("hello", 9)).unwrap());
        assert_eq!(usage.cached, cached, "round {round}");
    }
    check(second.generate(job("abc", 9)).unwrap(), "abc", 9);
    assert_eq!(places(&residency), [Place::Away, Place::In]);
    let (_, _, usage) = read(first.generate(job("hello", 9)).unwrap());
    assert_eq!(usage.cached, 0);
    assert_eq!(residency.view().models.iter().map(|model| model.loads).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn what_is_under_way_is_finished_first() {
    let residency = room_for_one(0, 0);
    let [first, second] = [(); 2].map(|()| sharing(&residency, no_fault()));
    let mut long = first.generate(job("abc", 400)).unwrap();
    // It is under way, and its model has to make room at once.
    assert!(matches!(long.events.blocking_recv(), Some(EngineEvent::Text(_))));
    let other = second.generate(job("abc", 10)).unwrap();
    let again = first.generate(job("abcd", 10)).unwrap();
    let (text, finish, usage) = read(long);
    assert_eq!((text.as_str(), finish), (&told(letters, "abc", 400)[1..], Ok(EngineFinish::Length)));
    assert_eq!((usage.input, usage.output), (3, 400));
    check(other, "abc", 10);
    check(again, "abcd", 10);
}

#[test]
fn a_crash_while_making_room_loses_nothing() {
    let residency = room_for_one(0, 0);
    let fault: Fault = {
        let steps = Mutex::new(0);
        Arc::new(move |come_to| {
            let mut steps = steps.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // Probes are no steps.
            *steps += usize::from(!come_to.is_empty());
            assert!(come_to.is_empty() || *steps != 200, "the device is lost");
        })
    };
    let (first, second) = (sharing(&residency, fault), sharing(&residency, no_fault()));
    let mut long = first.generate(job("abc", 400)).unwrap();
    assert!(matches!(long.events.blocking_recv(), Some(EngineEvent::Text(_))));
    let other = second.generate(job("abc", 10)).unwrap();
    let (text, finish, usage) = read(long);
    assert_eq!((text.as_str(), finish), (&told(letters, "abc", 400)[1..], Ok(EngineFinish::Length)));
    assert_eq!((usage.input, usage.output), (3, 400));
    check(other, "abc", 10);
    assert_eq!(first.rebuilds(), 1);
}

#[test]
fn two_that_are_asked_in_turn_both_answer_and_seldom_load() {
    let residency = room_for_one(300, 600);
    let begin = Instant::now();
    let engines = [(); 2].map(|()| sharing(&residency, no_fault()));
    std::thread::scope(|scope| {
        for engine in &engines {
            scope.spawn(|| {
                for _ in 0..40 {
                    check(engine.generate(job("abc", 20)).unwrap(), "abc", 20);
                    assert!(residency.view().bytes_held <= 19);
                }
            });
        }
    });
    let loads: u64 = residency.view().models.iter().map(|model| model.loads).sum();
    let most = 1 + begin.elapsed().as_millis() / 300;
    assert!((2..=most).contains(&u128::from(loads)), "{loads} loads, {most} possible");
}

#[test]
fn who_waits_for_room_can_be_cancelled() {
    let residency = room_for_one(AN_HOUR, AN_HOUR);
    let [first, second] = [(); 2].map(|()| sharing(&residency, no_fault()));
    first.warm().unwrap();
    second.warm().unwrap();
    let waits = second.generate(job("abc", 9)).unwrap();
    assert_eq!(places(&residency), [Place::In, Place::Away]);
    waits.meter.cancel();
    assert_eq!(read(waits).1, Ok(EngineFinish::Cancelled));
    // An engine that is dropped leaves its room to others, whatever it was promised.
    let waits = second.generate(job("abc", 9)).unwrap();
    drop(first);
    check(waits, "abc", 9);
    let waits = sharing(&residency, no_fault());
    let stream = waits.generate(job("abc", 9)).unwrap();
    drop(waits);
    stopped(read(stream).1, "it was shut down");
}

#[test]
fn what_can_never_fit_is_refused_with_both_numbers() {
    let refused = |bytes_max| {
        let residency = Residency::new(Rules::new(bytes_max));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, sample::model().finish()).unwrap();
        let file = ModelFile { name: "a".into(), path, digest: "d".into() };
        LocalEngine::open(&[file], Limits::default(), &residency).map(|engine| engine.weights_bytes())
    };
    let bytes = refused(u64::MAX).unwrap();
    assert_eq!(refused(bytes).unwrap(), bytes);
    let sentence = refused(bytes - 1).unwrap_err().to_string();
    assert!(
        sentence.starts_with("model a: its weights take 1 MB, and all models together may have 0 MB"),
        "{sentence}"
    );
}

#[test]
fn weights_that_cannot_be_read_stop_their_engine_and_no_other() {
    let residency = room_for_one(0, 0);
    let make = || -> Result<Scripted, LoadError> { Err(LoadError::Thread("there are none".to_owned())) };
    let broken = scripted(Limits::default(), &residency, make).unwrap();
    let whole = sharing(&residency, no_fault());
    stopped(read(broken.generate(job("abc", 9)).unwrap()).1, "there are none");
    assert!(broken.stopped().is_some_and(|why| why.contains("there are none")));
    check(whole.generate(job("abc", 9)).unwrap(), "abc", 9);
}
