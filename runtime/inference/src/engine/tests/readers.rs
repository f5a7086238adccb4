//! Readers who are slow, stop, or leave.

use super::{outbox::UNREAD_TOKENS_MAX, *};
use crate::residency::Rules;
use remit_batching::Totals;

/// What the engine's only model does now.
pub(super) fn totals(engine: &LocalEngine) -> Totals {
    engine.figures().first().map(|figures| figures.totals).unwrap_or_default()
}

/// Waits until the engine comes to it.
pub(super) fn until(engine: &LocalEngine, is: impl Fn(&Totals) -> bool) -> Totals {
    let begin = Instant::now();
    loop {
        let totals = totals(engine);
        if is(&totals) {
            return totals;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "it never comes to that: {totals:?}");
        std::thread::yield_now();
    }
}

/// A generation of which one piece was read, and whose engine has paused it since.
fn stalled(engine: &LocalEngine, prompt: &str, count: u32) -> EngineStream {
    let before = totals(engine).paused;
    let mut stream = engine.generate(job(prompt, count)).unwrap();
    assert!(matches!(stream.events.blocking_recv(), Some(EngineEvent::Text(_))));
    until(engine, |totals| totals.paused > before);
    stream
}

/// Reads the rest of what was stalled.
fn check_rest(stream: EngineStream, prompt: &str, count: usize) {
    let (text, finish, usage) = read(stream);
    assert_eq!((text.as_str(), finish), (&told(letters, prompt, count)[1..], Ok(EngineFinish::Length)));
    // What is computed again is not counted again.
    assert_eq!((usage.input + usage.cached, usage.output), (prompt.len() as u32, count as u32));
}

#[test]
fn a_generation_rests_while_nobody_reads_it_and_others_go_on() {
    let fixture = fixture(letters, Limits::default());
    let rests = stalled(&fixture.engine, "abc", 5_000);
    let totals = until(&fixture.engine, |totals| totals.running == 0);
    assert_eq!((totals.paused, totals.waiting, totals.blocks_held), (1, 0, 0));
    assert!(rests.meter.usage().output as usize <= UNREAD_TOKENS_MAX + 2, "{:?}", rests.meter.usage());
    assert_eq!(read(fixture.engine.generate(job("xyz", 60)).unwrap()).0, told(letters, "xyz", 60));
    check_rest(rests, "abc", 5_000);
    let totals = until(&fixture.engine, |totals| totals.ended == 2);
    assert_eq!((totals.paused, totals.blocks_held, totals.preemptions), (0, 0, 0));
}

#[test]
fn what_rests_gives_its_blocks_to_others_and_comes_to_the_same_text() {
    let limits = Limits { kv_tokens_max: 1_024, ..Limits::default() };
    let compute = Scripted::new(letters, &Arc::default(), &Arc::default(), Arc::new(|_| ()));
    let engine = scripted_in(limits, &Residency::unlimited(), move || Ok(compute.clone())).unwrap();
    let prompts = ["a".repeat(300), "b".repeat(300)];
    let rest = [&prompts[0], &prompts[1]].map(|prompt| stalled(&engine, prompt, 400));
    for prompt in ["c".repeat(500), "d".repeat(500)] {
        assert_eq!(read(engine.generate(job(&prompt, 500)).unwrap()).0, told(letters, &prompt, 500));
    }
    assert!(totals(&engine).dropped > 0);
    rest.into_iter().zip(&prompts).for_each(|(stream, prompt)| check_rest(stream, prompt, 400));
    assert_eq!(until(&engine, |totals| totals.ended == 4).blocks_held, 0);
}

#[test]
fn who_rests_can_be_cancelled_or_left() {
    let fixture = fixture(letters, Limits::default());
    let [cancelled, left] = [(); 2].map(|()| stalled(&fixture.engine, "abc", 5_000));
    drop(left);
    until(&fixture.engine, |totals| totals.paused == 1);
    cancelled.meter.cancel();
    let (text, finish, usage) = read(cancelled);
    assert_eq!(finish, Ok(EngineFinish::Cancelled));
    // All that was counted is there: nothing is lost at the end.
    assert_eq!(text, told(letters, "abc", usage.output as usize)[1..]);
    let totals = until(&fixture.engine, |totals| totals.cancelled == 2);
    assert_eq!((totals.paused, totals.blocks_held), (0, 0));
}

#[test]
fn many_unread_generations_are_all_read_in_the_end() {
    let fixture = fixture(letters, Limits { active_sequences_max: 4, ..Limits::default() });
    let prompts: Vec<_> = (0..30).map(|index| "p".repeat(1 + index)).collect();
    let streams: Vec<_> = prompts.iter().map(|prompt| fixture.engine.generate(job(prompt, 300)).unwrap()).collect();
    for (prompt, stream) in prompts.iter().zip(streams).rev() {
        assert_eq!(read(stream).0, told(letters, prompt, 300));
    }
    assert_eq!(fixture.engine.shared.queued.load(Ordering::Acquire), 0);
}

#[test]
fn log_probabilities_are_bounded_as_text_is() {
    let fixture = fixture(letters, Limits::default());
    let params = Params { logprobs: Some(20), ..Params::greedy(500) };
    let mut stream = fixture.engine.generate(GenerationJob { params, ..job("abc", 1) }).unwrap();
    until(&fixture.engine, |totals| totals.paused == 1);
    assert!(stream.meter.usage().output as usize <= UNREAD_TOKENS_MAX + 1);
    let events = std::iter::from_fn(|| stream.events.blocking_recv());
    assert_eq!(events.filter(|event| matches!(event, EngineEvent::Token(_))).count(), 500);
}

#[test]
fn a_generation_that_rests_keeps_no_weights_in_memory() {
    let residency = Residency::new(Rules { bytes_max: 19, stay_min: Duration::ZERO, patience: Duration::MAX });
    let engine = || {
        let compute = Scripted::new(letters, &Arc::default(), &Arc::default(), Arc::new(|_| ()));
        scripted(Limits::default(), &residency, move || Ok(compute.clone())).unwrap()
    };
    let [first, second] = [engine(), engine()];
    let rests = stalled(&first, "abc", 400);
    // Whoever works would not make room.
    assert_eq!(read(second.generate(job("xyz", 50)).unwrap()).0, told(letters, "xyz", 50));
    check_rest(rests, "abc", 400);
    let loads: Vec<_> = residency.view().models.iter().map(|model| model.loads).collect();
    assert_eq!(loads, [2, 1]);
}

#[test]
fn a_crash_does_not_wake_who_rests() {
    let fixture = fixture(letters, Limits::default());
    let rests = stalled(&fixture.engine, "abc", 400);
    fixture.engine.drill();
    assert_eq!(read(fixture.engine.generate(job("xyz", 50)).unwrap()).0, told(letters, "xyz", 50));
    assert_eq!((fixture.engine.rebuilds(), totals(&fixture.engine).paused), (1, 1));
    check_rest(rests, "abc", 400);
}
