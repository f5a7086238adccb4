//! What an operator is told of generations: figures and spans.

use super::{readers::until, *};
use std::{collections::BTreeMap, sync::LazyLock};
use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
};

/// The figures, once the engine has told of so many ends.
fn figures(engine: &LocalEngine, ended: u64) -> ModelFigures {
    until(engine, |totals| totals.ended + totals.cancelled == ended);
    engine.figures().remove(0)
}

fn counts(measures: &Measures) -> [u64; 6] {
    let Measures { queue, first_token, token, whole, step, batch, .. } = measures;
    [queue, first_token, token, whole, step, batch].map(Histogram::count)
}

#[test]
fn what_was_done_is_what_is_counted() {
    let fixture = fixture(letters, Limits::default());
    // The second finds the first's tokens, but for the one that its own first token comes of.
    for (prompt, count) in [("hello world", 5), ("hello world", 4), ("x", 1)] {
        read(fixture.engine.generate(job(prompt, count)).unwrap()).1.unwrap();
    }
    let ModelFigures { totals, measures, .. } = figures(&fixture.engine, 3);
    assert_eq!((measures.prompt_tokens, measures.cached_tokens, totals.drawn), (11 + 11 + 1, 10, 5 + 4 + 1));
    assert_eq!((measures.ends, measures.refused), (Ends { length: 3, ..Ends::default() }, 0));
    // Whoever draws one token has no time between two.
    assert_eq!(counts(&measures), [3, 3, 2, 3, totals.steps, totals.steps]);
    assert_eq!(measures.batch.sum(), totals.steps, "they came one after the other");
    assert!(measures.first_token.sum() >= measures.queue.sum() && measures.whole.sum() >= measures.first_token.sum());
}

#[test]
fn each_end_is_counted_as_what_it_was() {
    let stops = |tokens: &[u32]| if tokens.len() < 5 { 65 } else { END };
    let fixture = fixture(stops, Limits { active_sequences_max: 1, queued_sequences_max: 2, ..Limits::default() });
    let held = fixture.gate.lock().unwrap();
    let streams: Vec<_> = std::iter::repeat_with(|| fixture.engine.generate(job("abc", 40))).take(5).collect();
    let accepted: Vec<_> = streams.into_iter().flatten().collect();
    drop(held);
    // Two wait at most, beside one that may have begun.
    let count = accepted.len() as u64;
    assert!((2..4).contains(&count));
    accepted.into_iter().for_each(|stream| assert_eq!(read(stream).1, Ok(EngineFinish::Stop)));
    let cancelled = fixture.engine.generate(job("xyz", 40)).unwrap();
    cancelled.meter.cancel();
    let finish = read(cancelled).1.unwrap();
    let ModelFigures { measures, .. } = figures(&fixture.engine, count + 1);
    assert_eq!(measures.refused, 5 - count);
    let by_name: BTreeMap<_, _> = measures.ends.by_name().into_iter().filter(|(_, count)| *count > 0).collect();
    match finish {
        EngineFinish::Cancelled => assert_eq!(by_name, BTreeMap::from([("stop", count), ("cancelled", 1)])),
        _ => assert_eq!(by_name, BTreeMap::from([("stop", count + 1)])),
    }
}

#[test]
fn a_reader_who_is_behind_is_not_the_engines_time() {
    let fixture = fixture(letters, Limits::default());
    let begin = Instant::now();
    let stream = fixture.engine.generate(job("abc", 200)).unwrap();
    until(&fixture.engine, |totals| totals.paused == 1);
    let paused = Instant::now();
    // Much longer than its tokens took.
    while paused.elapsed() < 20 * (paused - begin) {
        std::thread::yield_now();
    }
    let rested = paused.elapsed();
    read(stream).1.unwrap();
    let ModelFigures { measures, .. } = figures(&fixture.engine, 1);
    let [token, whole] = [measures.token.sum() * 199, measures.whole.sum()].map(Duration::from_nanos);
    assert!(whole >= rested + token, "{whole:?} with {rested:?} of rest and {token:?} of tokens");
}

/// A span that was recorded.
#[derive(Clone, Debug, Default)]
struct Seen {
    name: &'static str,
    parent: Option<u64>,
    fields: BTreeMap<&'static str, String>,
    is_closed: bool,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

/// Hears of all generations of this process, whichever test they are of.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Spans>>);

/// By id, in the order in which they were made.
type Spans = Vec<(u64, Seen)>;

/// The only one. It is everybody's subscriber: `tracing` may ask any thread's whether a span is wanted, and keeps the answer for all.
static RECORDER: LazyLock<Recorder> = LazyLock::new(|| {
    let recorder = Recorder::default();
    let subscriber = Registry::default().with(recorder.clone());
    tracing::subscriber::set_global_default(subscriber).expect("no other test sets one");
    recorder
});

/// Whoever calls in these tests.
const CALLER: &str = "caller";

impl Recorder {
    fn change(&self, id: &Id, change: impl FnOnce(&mut Seen)) {
        let mut spans = self.0.lock().unwrap();
        // A registry may give the number of one that is closed to another.
        let found = spans.iter_mut().rfind(|(of, _)| *of == id.into_u64());
        change(&mut found.expect("it was made before").1);
    }

    /// Takes a span, and all in it; they are closed.
    fn take(&self, root: u64) -> Spans {
        let mut family = vec![root];
        let is_of = |(id, seen): &mut (u64, Seen)| {
            let is_in = *id == root || seen.parent.is_some_and(|parent| family.contains(&parent));
            family.extend(is_in.then_some(*id));
            is_in
        };
        self.0.lock().unwrap().extract_if(.., is_of).collect()
    }
}

impl<S: Subscriber> Layer<S> for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == GENERATIONS || metadata.name() == CALLER
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let current = context.current_span();
        let parent = attributes.parent().or(current.id().filter(|_| attributes.is_contextual())).map(Id::into_u64);
        let mut seen = Seen { name: attributes.metadata().name(), parent, ..Seen::default() };
        attributes.record(&mut seen);
        self.0.lock().unwrap().push((id.into_u64(), seen));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.change(id, |seen| values.record(seen));
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.change(&id, |seen| seen.is_closed = true);
    }
}

/// The spans of what somebody does with an engine, until that is gone; what he keeps goes last. His own is the first.
fn spans<T>(limits: Limits, run: impl FnOnce(&Fixture) -> T) -> Spans {
    LazyLock::force(&RECORDER);
    let fixture = fixture(letters, limits);
    let caller = tracing::info_span!("caller");
    let root = caller.id().expect("it is wanted").into_u64();
    let kept = caller.in_scope(|| run(&fixture));
    drop((fixture, caller));
    drop(kept);
    let seen = RECORDER.take(root);
    assert!(seen.iter().all(|(_, seen)| seen.is_closed), "{seen:?}");
    seen
}

/// The names of a span's children.
fn phases(spans: &[(u64, Seen)], whole: u64) -> Vec<&'static str> {
    spans.iter().filter(|(_, seen)| seen.parent == Some(whole)).map(|(_, seen)| seen.name).collect()
}

#[test]
fn a_generation_is_a_span_of_its_caller_with_its_phases_in_it() {
    let spans = spans(Limits::default(), |fixture| {
        let params =
            Params { sampling: Sampling { temperature: 0.5, seed: 7, ..Sampling::default() }, ..Params::greedy(6) };
        read(fixture.engine.generate(job("hello world", 3)).unwrap()).1.unwrap();
        let job = GenerationJob { tenant: TenantId(1), program: 9, params, ..job("hello world", 6) };
        read(fixture.engine.generate(job).unwrap()).1.unwrap();
    });
    let find = |name: &str| -> Vec<_> { spans.iter().filter(|(_, seen)| seen.name == name).collect() };
    let [(caller, _)] = find(CALLER)[..] else { panic!("{spans:?}") };
    let [_, (whole, seen)] = find("generation")[..] else { panic!("{spans:?}") };
    assert_eq!(seen.parent, Some(*caller));
    let expect = [
        ("otel.name", "text_completion m"),
        ("gen_ai.operation.name", "text_completion"),
        ("gen_ai.provider.name", "remit"),
        ("gen_ai.request.model", "m"),
        ("gen_ai.request.max_tokens", "6"),
        ("gen_ai.request.temperature", "0.5"),
        ("gen_ai.request.seed", "7"),
        ("gen_ai.usage.input_tokens", "11"),
        ("gen_ai.usage.cache_read.input_tokens", "10"),
        ("gen_ai.usage.output_tokens", "6"),
        ("gen_ai.response.finish_reasons", "length"),
        ("remit.tenant", "1"),
        ("remit.program", "9"),
        ("remit.preemptions", "0"),
    ];
    for (field, value) in expect {
        assert_eq!(seen.fields.get(field).map(String::as_str), Some(value), "{field}");
    }
    assert!(!seen.fields.contains_key("error.type"));
    assert!(!format!("{spans:?}").contains("hello"), "no text of a prompt is told");
    assert_eq!(phases(&spans, *whole), ["queue", "prefill", "decode"]);
}

#[test]
fn what_is_cut_short_says_why_and_has_the_phases_that_it_came_to() {
    let spans = spans(Limits { active_sequences_max: 1, ..Limits::default() }, |fixture| {
        let held = fixture.gate.lock().unwrap();
        let left = [(); 2].map(|()| fixture.engine.generate(job("abc", 90_000)).unwrap());
        while fixture.engine.shared.queued.load(Ordering::Acquire) > 1 {
            std::thread::yield_now();
        }
        drop(left);
        drop(held);
        until(&fixture.engine, |totals| totals.cancelled == 2);
        // Nobody reads it until the engine is gone.
        let unread = fixture.engine.generate(job("abc", 90_000)).unwrap();
        until(&fixture.engine, |totals| totals.paused == 1);
        unread
    });
    let check = |(whole, seen): &(u64, Seen), expect: [Option<&str>; 3], came_to: &[&str]| {
        let fields = ["gen_ai.response.finish_reasons", "error.type", "otel.status_code"];
        assert_eq!(fields.map(|field| seen.fields.get(field).map(String::as_str)), expect);
        assert_eq!(phases(&spans, *whole), came_to);
    };
    let generations: Vec<_> = spans.iter().filter(|(_, seen)| seen.name == "generation").collect();
    let [first, second, unread] = generations[..] else { panic!("{spans:?}") };
    // Its first step was under way when its reader left.
    check(first, [Some("cancelled"), None, None], &["queue", "prefill", "decode"]);
    check(second, [Some("cancelled"), None, None], &["queue"]);
    check(unread, [None, Some("stopped"), Some("ERROR")], &["queue", "prefill", "decode"]);
}
