//! Metrics of models' engines. All have the label `model`; adapters' generations count as their base's.

use super::{counter, gauge};
use prometheus_client::{
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};
use remit_assembly::models::{BLOCK_TOKENS, Histogram, Measures, ModelFigures};
use std::fmt;

const NANOS: f64 = 1e9;

/// A metric of every model.
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    read: Read,
}

/// Counts by a label's value.
type ByLabel = fn(&ModelFigures) -> Vec<(&'static str, u64)>;

/// Where its values come from.
enum Read {
    Counter(fn(&ModelFigures) -> u64),
    Gauge(fn(&ModelFigures) -> u64),
    /// One counter for each value of a label.
    Counters(&'static str, ByLabel),
    /// One gauge for each value of a label.
    Gauges(&'static str, ByLabel),
    /// A histogram in nanoseconds, shown in seconds.
    Times(fn(&Measures) -> &Histogram),
    /// A histogram of whole numbers.
    Sizes(fn(&Measures) -> &Histogram),
}

use Read::{Counter, Counters, Gauge, Gauges, Sizes, Times};

const fn family(name: &'static str, read: Read, help: &'static str) -> Family {
    Family { name, help, unit: None, read }
}

const fn with_unit(name: &'static str, unit: Unit, read: Read, help: &'static str) -> Family {
    Family { name, help, unit: Some(unit), read }
}

fn tokens(blocks: usize) -> u64 {
    (blocks * BLOCK_TOKENS) as u64
}

/// All of them, in the order of a scrape.
pub(super) const FAMILIES: &[Family] = &[
    // Generations.
    family(
        "generations",
        Gauges("state", |figures| {
            let totals = &figures.totals;
            let states = [("running", totals.running), ("waiting", totals.waiting), ("paused", totals.paused)];
            states.map(|(state, count)| (state, count as u64)).into()
        }),
        "Generations that are here: computed now, waiting for their turn, or for their readers.",
    ),
    family(
        "generations_ended",
        Counters("finish", |figures| figures.measures.ends.by_name().into()),
        "Generations that came to their end.",
    ),
    family(
        "generations_refused",
        Counter(|figures| figures.measures.refused),
        "Generations that were turned away, since too many waited.",
    ),
    with_unit(
        "generation_queue",
        Unit::Seconds,
        Times(|measures| &measures.queue),
        "From a generation's call until it is first computed, counted at its end.",
    ),
    with_unit(
        "generation_first_token",
        Unit::Seconds,
        Times(|measures| &measures.first_token),
        "From a generation's call until its first token is drawn, counted at its end.",
    ),
    with_unit(
        "generation_output_token",
        Unit::Seconds,
        Times(|measures| &measures.token),
        "A generation's time for each token behind its first, without the time in which its reader was behind.",
    ),
    with_unit(
        "generation_duration",
        Unit::Seconds,
        Times(|measures| &measures.whole),
        "From a generation's call to its end.",
    ),
    // Tokens.
    family(
        "prompt_tokens",
        Counter(|figures| figures.measures.prompt_tokens),
        "Tokens of prompts, those at hand included.",
    ),
    family(
        "prompt_tokens_cached",
        Counter(|figures| figures.measures.cached_tokens),
        "Tokens of prompts that were at hand.",
    ),
    family("generated_tokens", Counter(|figures| figures.totals.drawn), "Tokens that were drawn."),
    family("speculated_tokens", Counter(|figures| figures.totals.proposed), "Tokens that were guessed, and computed."),
    family(
        "speculated_tokens_accepted",
        Counter(|figures| figures.totals.accepted),
        "Tokens that were guessed, and then drawn.",
    ),
    // Steps.
    with_unit("step_duration", Unit::Seconds, Times(|measures| &measures.step), "A step of the model."),
    family("step_generations", Sizes(|measures| &measures.batch), "Generations in a step: the batch size."),
    family(
        "step_rows",
        Counters("kind", |figures| {
            vec![("prefill", figures.totals.prefill_rows), ("decode", figures.totals.decode_rows)]
        }),
        "Tokens that steps computed: of prompts and what was computed once more, and of output with guesses.",
    ),
    family("preemptions", Counter(|figures| figures.totals.preemptions), "How often a generation gave way to another."),
    family(
        "engine_rebuilds",
        Counter(|figures| figures.rebuilds),
        "How often what computes was built again after a crash.",
    ),
    // Keys and values.
    family(
        "kv_tokens",
        Gauges("state", |figures| {
            let totals = &figures.totals;
            let (held, kept) = (totals.blocks_held, totals.blocks_kept);
            let free = totals.blocks.saturating_sub(held + kept);
            vec![("held", tokens(held)), ("kept", tokens(kept)), ("free", tokens(free))]
        }),
        "Room for tokens' keys and values: held by generations, kept for those to come, or free.",
    ),
    family(
        "kv_capacity_tokens",
        Gauge(|figures| tokens(figures.totals.blocks)),
        "Room for tokens' keys and values in all.",
    ),
    family(
        "kv_blocks_swapped",
        Counters("direction", |figures| vec![("out", figures.totals.swapped_out), ("in", figures.totals.swapped_in)]),
        "Blocks of 16 tokens' keys and values that were written out of the device, and read in again.",
    ),
    family(
        "kv_swap_capacity_tokens",
        Gauge(|figures| tokens(figures.totals.slots)),
        "Room for tokens' keys and values outside of where they are computed.",
    ),
    with_unit("kv_swapped", Unit::Bytes, Gauge(|figures| figures.swapped_bytes), "Keys and values that are out now."),
    family(
        "kv_blocks_restored",
        Counter(|figures| figures.totals.restored),
        "Blocks of 16 tokens' keys and values that came back from snapshots.",
    ),
    family("kv_blocks_dropped", Counter(|figures| figures.totals.dropped), "Blocks that were kept, and had to go."),
];

impl Family {
    pub(super) fn encode(&self, models: &[ModelFigures], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut encoder = encoder.encode_descriptor(self.name, self.help, self.unit.as_ref(), self.read.kind())?;
        models.iter().try_for_each(|figures| self.read.encode(figures, &mut encoder))
    }
}

impl Read {
    const fn kind(&self) -> MetricType {
        match self {
            Counter(_) | Counters(..) => MetricType::Counter,
            Gauge(_) | Gauges(..) => MetricType::Gauge,
            Times(_) | Sizes(_) => MetricType::Histogram,
        }
    }

    fn encode(&self, figures: &ModelFigures, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        let model = ("model", &*figures.model);
        let mut each = |label, by: &ByLabel, write: fn(&mut _, super::Labels<'_>, u64) -> fmt::Result| {
            by(figures).into_iter().try_for_each(|(value, count)| write(encoder, &[model, (label, value)], count))
        };
        match self {
            Counters(label, by) => each(*label, by, counter),
            Gauges(label, by) => each(*label, by, gauge),
            Counter(read) => counter(encoder, &[model], read(figures)),
            Gauge(read) => gauge(encoder, &[model], read(figures)),
            Times(read) => histogram(encoder, &[model], read(&figures.measures), NANOS),
            Sizes(read) => histogram(encoder, &[model], read(&figures.measures), 1.0),
        }
    }
}

/// Buckets as they are; the encoder adds them up, as the format wants it.
fn histogram(encoder: &mut MetricEncoder<'_>, labels: super::Labels<'_>, of: &Histogram, unit: f64) -> fmt::Result {
    let bound = |bound: Option<u64>| bound.map_or(f64::INFINITY, |bound| bound as f64 / unit);
    let buckets: Vec<(f64, u64)> = of.ranges().map(|(upper, count)| (bound(upper), count)).collect();
    let (sum, count) = (of.sum() as f64 / unit, of.count());
    encoder.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}
