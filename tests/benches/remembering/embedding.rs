//! Texts that become vectors, by the store in the background and by the embedder itself.

use super::{
    common::{self, Stage, block_on, scratch},
    models::{EMBEDDER, Models, Voice},
};
use remit_abi::{Label, Particulars, Remembered, TenantId};
use remit_assembly::Home;
use remit_kernel::{
    Remembering,
    ports::{Engine as _, PromptText},
};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Who runs agents on their own machine.
const TENANT: TenantId = TenantId(0);

const TEXTS: usize = 2_048;

/// Texts of a call to the embedder.
const CALL: usize = 256;

/// Nothing of it outlives the host.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

const SUBJECTS: [&str; 8] =
    ["The ferry", "My neighbour", "The old clock", "A letter", "The bakery", "Our cat", "The train", "Somebody"];
const PREDICATES: [&str; 8] = [
    "is late again",
    "waits at the corner",
    "came from the coast",
    "makes a strange noise",
    "was there before noon",
    "needs some oil",
    "smells of rain",
    "has a new colour",
];

/// A short one: some ten tokens.
fn text(place: usize) -> String {
    let (subject, predicate) = (SUBJECTS[place % 8], PREDICATES[place / 8 % 8]);
    format!("{subject} {predicate}, number {place}.")
}

pub(crate) fn measure() -> Value {
    let models = Arc::new(Models::new(Voice::Same));
    let folder = scratch("remembering-embedding");
    let stage = Stage::durable(models.clone(), Home::at(folder.clone()), PATIENCE);
    // The first ones make the tables.
    let _first = by_store(&stage, 0..CALL);
    let stored = by_store(&stage, CALL..CALL + TEXTS);
    let direct = directly(&models);
    stage.node.stop();
    drop(stage);
    common::remove(&folder);
    println!(
        "\n{TEXTS} short texts: {stored:.0} a second by the store, {direct:.0} by the embedder alone (target: 256)"
    );
    json!({ "embed_per_s": stored, "embed_direct_per_s": direct })
}

/// Texts a second, from the first write until each has its vector.
fn by_store(stage: &Stage, places: std::ops::Range<usize>) -> f64 {
    let (kernel, count, begun) = (stage.node.kernel(), places.len(), Instant::now());
    for place in places {
        let content = Remembered { bytes: text(place).into_bytes().into(), media_type: "text/plain".into() };
        let (store, label, particulars) = ("notes".into(), Label::TRUSTED, Particulars::default());
        let written = kernel.remember(Remembering { tenant: TENANT, store, label, content, particulars });
        block_on(written).expect("there is a memory");
    }
    while block_on(kernel.memory().store.figures(TENANT)).expect("its files are whole").without_vector > 0 {
        thread::sleep(LOOK);
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

fn directly(models: &Models) -> f64 {
    let begun = Instant::now();
    for call in 0..TEXTS / CALL {
        let texts = (0..CALL).map(|place| {
            let tokens = models.tokenize(EMBEDDER, &PromptText::Text(text(call * CALL + place)));
            tokens.expect("it has a tokenizer")
        });
        let vectors = models.embed(EMBEDDER, texts.collect()).expect("it embeds");
        assert_eq!(block_on(vectors).expect("each has some tokens").len(), CALL);
    }
    TEXTS as f64 / begun.elapsed().as_secs_f64()
}
