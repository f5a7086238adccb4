//! The embedder over a scripted encoder: who is told of a crash, and who shares memory.

use super::*;
use crate::{
    gguf::{Gguf, sample},
    residency::{Place, Rules},
};
use std::time::Duration;

/// Embeds a text as its length. It crashes at a token, and refuses another one.
struct Scripted;

const CRASH: u32 = 13;
const REFUSED: u32 = 14;

impl Encode for Scripted {
    fn embed(&self, _team: &Team, texts: &[&[u32]]) -> Vec<Result<Vec<f32>, EmbedError>> {
        let embed = |tokens: &&[u32]| {
            assert!(!tokens.contains(&CRASH), "a kernel read beyond its end");
            if tokens.contains(&REFUSED) {
                return Err(EmbedError::UnknownToken);
            }
            Ok(vec![tokens.len() as f32])
        };
        texts.iter().map(embed).collect()
    }
}

fn scripted(residency: &Arc<Residency>) -> LocalEmbedder {
    let file = Gguf::from_bytes(sample::with_tokenizer(sample::Writer::new()).finish()).unwrap();
    let tokenizer = Tokenizer::from_gguf(&file).unwrap();
    let card = ModelCard {
        name: "e".into(),
        family: LocalEmbedder::FAMILY.into(),
        context_length: 9,
        vocabulary: 261,
        digest: "0".into(),
    };
    let make = || Ok(Encoding { encoder: Scripted, team: Team::alone(Isa::best()) });
    LocalEmbedder::start(card, 1, tokenizer, (residency, 10), make).unwrap()
}

#[test]
fn a_crash_is_told_to_who_asked_for_it_and_to_nobody_else() {
    let embedder = scripted(&Residency::unlimited());
    let check = |texts: &[&[u32]], expect: &str| assert_eq!(format!("{:?}", embedder.embed(texts)), expect);
    check(&[&[1, 2], &[3]], "Ok([Ok([2.0]), Ok([1.0])])");
    check(&[&[1], &[REFUSED]], "Ok([Ok([1.0]), Err(UnknownToken)])");
    let sentence = embedder.embed(&[&[1][..], &[2, CRASH]]).unwrap_err().to_string();
    assert!(
        sentence.starts_with("computing it failed: an embedding crashed (a kernel read beyond its end)"),
        "{sentence}"
    );
    check(&[&[1, 2, 3]], "Ok([Ok([3.0])])");
    std::thread::scope(|scope| {
        let calls = (0..40u32).map(|call| {
            let embedder = &embedder;
            scope.spawn(move || embedder.embed(&[[call % 20, 1], [1, 1]]).is_ok())
        });
        let calls: Vec<_> = calls.collect();
        let fine: Vec<bool> = calls.into_iter().map(|call| call.join().unwrap()).collect();
        let expect: Vec<bool> = (0..40).map(|call| call % 20 != CRASH).collect();
        assert_eq!(fine, expect);
    });
    assert_eq!(embedder.shared.queued.load(Ordering::Acquire), 0);
}

#[test]
fn embedders_share_memory() {
    let rules = Rules { bytes_max: 19, stay_min: Duration::ZERO, patience: Duration::ZERO };
    let residency = Residency::new(rules);
    let embedders = [(); 2].map(|()| scripted(&residency));
    for round in 1..4 {
        for (index, embedder) in embedders.iter().enumerate() {
            assert_eq!(embedder.embed(&[[1, 2]]), Ok(vec![Ok(vec![2.0])]));
            let view = residency.view();
            assert_eq!(view.bytes_held, 10);
            assert_eq!((view.models[index].place, view.models[index].loads), (Place::In, round));
        }
    }
}

#[test]
fn who_waits_for_room_is_told_of_the_end() {
    let residency = Residency::new(Rules { bytes_max: 19, ..Rules::new(0) });
    let [first, second] = [(); 2].map(|()| scripted(&residency));
    first.warm().unwrap();
    let waits = second.hand_over(vec![[1].into()]).unwrap();
    drop(second);
    let error = waits.blocking_recv().unwrap().unwrap_err();
    assert_eq!(error, EngineError::Stopped("it was shut down".into()));
}
