//! Blocks that leave the device and come back.

use super::{
    readers::{totals, until},
    sampling::{events, everything},
    *,
};

/// Room for 32 blocks on the device, and for 64 in memory or in a file.
fn tight(folder: Option<&std::path::Path>) -> Limits {
    Limits {
        kv_tokens_max: 512,
        swap_tokens_max: Some(1_024),
        swap_folder: folder.map(Into::into),
        ..Limits::default()
    }
}

/// Two prompts in turn, that do not fit beside each other: the second time each is at hand.
fn check(limits: Limits) {
    let compute = Scripted::new(letters, &Arc::default(), &Arc::default(), Arc::new(|_| ()));
    let engine = scripted_in(limits, &Residency::unlimited(), move || Ok(compute.clone())).unwrap();
    let prompts = ["a".repeat(320), "b".repeat(320)];
    for (round, cached) in [0, 319].into_iter().enumerate() {
        for prompt in &prompts {
            let (text, _, usage) = read(engine.generate(job(prompt, 4)).unwrap());
            assert_eq!((text, usage.cached), (told(letters, prompt, 4), cached), "round {round}");
        }
    }
    let totals = until(&engine, |totals| totals.ended == 4);
    assert!(totals.swapped_out > 0 && totals.swapped_in > 0, "{totals:?}");
    let bytes = engine.figures()[0].swapped_bytes;
    assert_eq!(bytes, (totals.slots_used * BLOCK_TOKENS * size_of::<u32>()) as u64);
    // What was swapped goes with the device.
    engine.drill();
    read(engine.generate(job("c", 4)).unwrap()).1.unwrap();
    until(&engine, |totals| totals.ended == 5);
    assert_eq!((engine.figures()[0].swapped_bytes, engine.rebuilds()), (0, 1));
}

#[test]
fn what_goes_out_comes_back_from_memory_and_from_a_file() {
    check(tight(None));
    let folder = tempfile::tempdir().unwrap();
    check(tight(Some(folder.path())));
    check(tight(Some(&folder.path().join("absent"))));
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn real_texts_are_the_same_to_the_bit_whatever_goes_out() {
    let folder = tempfile::tempdir().unwrap();
    let play = |limits: Limits| {
        let engine = load(&sample::model().finish(), &["a"], Limits { threads: 2, ..limits }).unwrap();
        let mut told = Vec::new();
        for turn in 0..2u32 {
            let jobs = (0..12u32).map(|index| {
                let prompt: Vec<u32> = (0..90 + turn * 20).map(|place| (place * 7 + index * 31) % 250).collect();
                let (tenant, params) = (TenantId(index), everything(u64::from(index + 12 * turn)));
                GenerationJob { tenant, model: "a".into(), prompt: prompt.into(), params, ..job("", 1) }
            });
            let streams: Vec<_> = jobs.map(|job| engine.generate(job).unwrap()).collect();
            told.extend(streams.into_iter().map(events));
        }
        (told, totals(&engine))
    };
    let (plain, _) = play(Limits::default());
    for folder in [None, Some(folder.path())] {
        let (told, totals) = play(tight(folder));
        assert!(told == plain, "{totals:?}");
        assert!(totals.swapped_out > 0, "{totals:?}");
    }
}
