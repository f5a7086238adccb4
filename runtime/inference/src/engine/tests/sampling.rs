//! How the engine draws: what ends a generation, what it tells of its tokens, and that nobody's neighbours matter.

use super::*;
use remit_abi::{DrawnToken, Penalties, ScoredToken};

fn with(params: Params, prompt: &str) -> GenerationJob {
    GenerationJob { params, ..job(prompt, 1) }
}

/// All events, in order.
pub(super) fn events(mut stream: EngineStream) -> Vec<EngineEvent> {
    let mut events = Vec::new();
    while let Some(event) = stream.events.blocking_recv() {
        events.push(event);
    }
    events
}

#[test]
fn a_stop_token_ends_a_generation_as_an_end_token_does() {
    let stop = |stop_tokens: &[char], expect| {
        let stop_tokens = stop_tokens.iter().map(|letter| *letter as u32).collect();
        check(alphabet, with(Params { stop_tokens, ..Params::greedy(8) }, "a"), expect);
    };
    stop(&['e'], ("bcd", EngineFinish::Stop, 4));
    stop(&['x', 'f', 'd'], ("bc", EngineFinish::Stop, 3));
    stop(&['b'], ("", EngineFinish::Stop, 1));
    stop(&['A'], ("bcdefghi", EngineFinish::Length, 8));
}

#[test]
fn bias_and_penalties_change_what_is_written() {
    let again = |tokens: &[u32]| tokens[tokens.len() - 1];
    check(again, job("ab", 4), ("bbbb", EngineFinish::Length, 4));
    // The scripted model holds `!` and others likely as well, by one less.
    let forbid = Params { logit_bias: vec![('b' as u32, Params::BIAS_NEVER)], ..Params::greedy(2) };
    check(again, with(forbid, "ab"), ("\u{7}\u{7}", EngineFinish::Length, 2));
    let presence = Penalties { presence: 1.5, window: 1, ..Penalties::default() };
    check(
        again,
        with(Params { penalties: presence, ..Params::greedy(4) }, "ab"),
        ("\u{7}!\u{7}!", EngineFinish::Length, 4),
    );
}

#[test]
fn each_token_is_told_before_its_text() {
    let script = |tokens: &[u32]| [u32::from(b'x'), u32::from(b'y'), END][tokens.len() - 1];
    let told = |logprobs| {
        let params = Params { logprobs, stop: vec!["y!".into()], ..Params::greedy(9) };
        events(fixture(script, Limits::default()).engine.generate(with(params, "a")).unwrap())
    };
    // One of 3, ten of 2, the rest -9; the end token, 259, is one of the rest unless the script says it.
    let total = 3f64.exp() + 10.0 * 2f64.exp() + 250.0 * (-9f64).exp();
    let logprob = |logit: f64| (logit - total.ln()) as f32;
    let token = |id: u32, logit: f64, bytes: &[u8]| ScoredToken { id, logprob: logprob(logit), bytes: bytes.into() };
    let drawn = |token: ScoredToken, count: usize| {
        let likeliest = [token.clone(), beside(7, logprob(2.0)), beside(33, logprob(2.0))];
        EngineEvent::Token(Box::new(DrawnToken { token, likeliest: likeliest[..count].into() }))
    };
    let text = |text: &str| EngineEvent::Text(text.to_owned());
    let end = EngineEvent::End(EngineFinish::Stop);
    assert_eq!(told(None), [text("x"), text("y"), end.clone()]);
    for count in [0, 1, 3] {
        let expect = [
            drawn(token(u32::from(b'x'), 3.0, b"x"), count),
            text("x"),
            // Its text is held back until it is no stop string.
            drawn(token(u32::from(b'y'), 3.0, b"y"), count),
            drawn(token(END, 3.0, b""), count),
            text("y"),
            end.clone(),
        ];
        assert_eq!(told(Some(count as u8)), expect);
    }
}

fn beside(id: u32, logprob: f32) -> ScoredToken {
    ScoredToken { id, logprob, bytes: [id as u8].into() }
}

/// Parameters that use every step of the sampler, with the seed.
pub(super) fn everything(seed: u64) -> Params {
    Params {
        sampling: Sampling { temperature: 1.2, top_k: 100, typical_p: 0.95, top_p: 0.95, min_p: 0.01, seed },
        penalties: Penalties { repetition: 1.1, frequency: 0.2, presence: 0.1, window: 32 },
        logit_bias: vec![(u32::from(b'e'), 1.0), (END, Params::BIAS_NEVER)],
        logprobs: Some(3),
        ..Params::greedy(40)
    }
}

#[test]
fn the_same_seed_gives_the_same_text_and_logprobs_beside_any_others() {
    let bytes = sample::model().finish();
    // Around the sizes of chunks, so that prompts are cut up differently beside others.
    let lengths = [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 47, 48, 49, 60, 64, 65, 100, 128, 129, 137, 150, 200];
    let jobs = || {
        lengths.iter().enumerate().map(|(index, length)| {
            let prompt: Vec<u32> = (0..*length).map(|place| (place * 37 + index as u32 * 11) % 256).collect();
            // Tenants of their own, so that nobody finds another's beginning.
            let tenant = TenantId(index as u32);
            let (model, prompt, params) = ("a".into(), prompt.into(), everything(index as u64));
            GenerationJob { tenant, model, prompt, params, ..job("", 1) }
        })
    };
    let alone: Vec<_> = {
        let engine = load(&bytes, &["a"], Limits { threads: 1, ..Limits::default() }).unwrap();
        jobs().map(|job| events(engine.generate(job).unwrap())).collect()
    };
    assert!(alone.iter().all(|events| events.len() > 40), "every job writes 40 tokens");
    for active_sequences_max in [2, 8, 20] {
        let engine = load(&bytes, &["a"], Limits { threads: 2, active_sequences_max, ..Limits::default() }).unwrap();
        let streams: Vec<_> = jobs().map(|job| engine.generate(job).unwrap()).collect();
        for ((length, alone), stream) in lengths.iter().zip(&alone).zip(streams) {
            assert!(events(stream) == *alone, "a prompt of {length} tokens, among {active_sequences_max}");
        }
    }
}
