//! What a scrape says, read by a parser that forgives nothing.

use super::*;
use remit_assembly::models::{Demand, Ends, Measures, ModelView, Totals};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

type Sample = (String, BTreeMap<String, String>, f64);

/// A family of metrics as its lines have it.
#[derive(Debug, Default)]
struct Told {
    kind: String,
    unit: Option<String>,
    samples: Vec<Sample>,
}

/// Every family by its name; the rules are those of the specification's section "Text format".
fn parse(text: &str) -> BTreeMap<String, Told> {
    let body = text.strip_suffix("# EOF\n").expect("the end is marked");
    let mut families: BTreeMap<String, Told> = BTreeMap::new();
    let mut last = String::new();
    for line in body.lines() {
        let Some(described) = line.strip_prefix("# ") else {
            let sample = parse_sample(line);
            let family = families.get_mut(&last).expect("a sample stands behind its family's lines");
            let suffix = sample.0.strip_prefix(&*last).unwrap_or_else(|| panic!("{line} stands in {last}"));
            let suffixes: &[&str] = match &*family.kind {
                "counter" => &["_total"],
                "gauge" => &[""],
                "info" => &["_info"],
                "histogram" => &["_bucket", "_sum", "_count"],
                kind => panic!("{kind} is not expected"),
            };
            assert!(suffixes.contains(&suffix), "{line}");
            family.samples.push(sample);
            continue;
        };
        let mut words = described.splitn(3, ' ');
        let [Some(what), Some(name), Some(rest)] = [(); 3].map(|()| words.next()) else { panic!("{line}") };
        assert!(name.starts_with("remit_") && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_')), "{line}");
        if what == "HELP" {
            assert!(families.insert(name.to_owned(), Told::default()).is_none(), "{name} is there twice");
            assert!(rest.ends_with('.') && !rest.contains(['\\', '"']), "{line}");
            name.clone_into(&mut last);
        }
        assert_eq!(name, last, "lines of a family stand together");
        let family = families.get_mut(name).expect("its help comes first");
        match what {
            "HELP" => {}
            "TYPE" => rest.clone_into(&mut family.kind),
            "UNIT" => family.unit = Some(rest.to_owned()),
            other => panic!("{other} is not expected"),
        }
    }
    families.iter().for_each(|(name, told)| check_family(name, told));
    families
}

fn parse_sample(line: &str) -> Sample {
    let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a value stands behind the name"));
    let (labels, value) = match rest.strip_prefix('{') {
        None => (BTreeMap::new(), rest),
        Some(rest) => parse_labels(rest),
    };
    let value = value.strip_prefix(' ').expect("a blank stands before the value");
    (name.to_owned(), labels, value.parse().expect("the value is a number"))
}

/// Labels up to the closing brace, and what stands behind it.
fn parse_labels(mut rest: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    loop {
        let (name, quoted) = rest.split_once("=\"").expect("a label has a value");
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next().expect("a value is closed") {
                (place, '"') => break place,
                (_, '\\') => value.push(match characters.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, escaped @ ('\\' | '"'))) => escaped,
                    other => panic!("{other:?} cannot be escaped"),
                }),
                (_, '\n') => panic!("a value has one line"),
                (_, character) => value.push(character),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "{name} is there twice");
        rest = &quoted[end + 1..];
        match rest.split_at(1) {
            (",", more) => rest = more,
            ("}", behind) => return (labels, behind),
            _ => panic!("{rest}"),
        }
    }
}

fn check_family(name: &str, told: &Told) {
    if let Some(unit) = &told.unit {
        assert!(name.ends_with(&format!("_{unit}")), "{name} is in {unit}");
    }
    assert!(!["_total", "_bucket", "_sum", "_count", "_info"].iter().any(|suffix| name.ends_with(suffix)), "{name}");
    let keys: BTreeSet<_> = told.samples.iter().map(|(name, labels, _)| (name, labels)).collect();
    assert_eq!(keys.len(), told.samples.len(), "a sample of {name} is there twice");
    assert!(told.samples.iter().all(|(_, _, value)| *value >= 0.0), "{told:?}");
    if told.kind == "histogram" {
        check_histogram(name, told);
    }
}

/// Bounds rise, buckets have all that is below, and the last one has all.
fn check_histogram(name: &str, told: &Told) {
    let mut series: BTreeMap<_, Vec<(f64, f64)>> = BTreeMap::new();
    for (_, labels, value) in told.samples.iter().filter(|(sample, ..)| sample.ends_with("_bucket")) {
        let mut labels = labels.clone();
        let bound = labels.remove("le").expect("a bucket has a bound");
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a bound is a number") };
        series.entry(labels).or_default().push((bound, *value));
    }
    for (labels, buckets) in series {
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name} {labels:?}: {buckets:?}");
        let (bound, all) = *buckets.last().expect("there is one");
        assert_eq!((bound, all), (f64::INFINITY, value(told, &format!("{name}_count"), &labels)));
        assert!(value(told, &format!("{name}_sum"), &labels) >= 0.0);
    }
}

fn value(told: &Told, name: &str, labels: &BTreeMap<String, String>) -> f64 {
    let found = told.samples.iter().find(|(sample, of, _)| sample == name && of == labels);
    found.unwrap_or_else(|| panic!("{name} {labels:?} is not among {told:?}")).2
}

/// What a sample of a family says.
fn sample(families: &BTreeMap<String, Told>, name: &str, labels: &[(&str, &str)]) -> f64 {
    let family =
        name.trim_end_matches("_total").trim_end_matches("_count").trim_end_matches("_sum").trim_end_matches("_bucket");
    let told = families.get(family).unwrap_or_else(|| panic!("there is no {family}"));
    value(told, name, &labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
}

/// A model that came to the end of three generations, of 2, 3 and 4 tokens behind prompts of 10, of which 16 were at hand in all.
fn three_generations(model: &str) -> ModelFigures {
    let mut measures = Measures { prompt_tokens: 30, cached_tokens: 16, refused: 5, ..Measures::default() };
    measures.ends = Ends { stop: 2, cancelled: 1, ..Ends::default() };
    for ms in [1, 20, 700] {
        measures.queue.add_time(Duration::from_millis(ms));
        measures.first_token.add_time(Duration::from_millis(2 * ms));
        measures.token.add_time(Duration::from_millis(ms / 2));
        measures.whole.add_time(Duration::from_millis(3 * ms));
    }
    for batch in [1, 3, 3, 2, 400] {
        measures.step.add_time(Duration::from_millis(10));
        measures.batch.add(batch);
    }
    let totals = Totals {
        drawn: 9,
        preemptions: 4,
        swapped_out: 7,
        swapped_in: 6,
        restored: 8,
        running: 2,
        waiting: 1,
        blocks: 100,
        blocks_held: 10,
        blocks_kept: 30,
        slots: 50,
        ..Totals::default()
    };
    ModelFigures { model: model.into(), totals, measures, swapped_bytes: 4_096, rebuilds: 1 }
}

/// The names need to be escaped, which a registry's do not.
const ODD: &str = "a \"quoted\\name\"\nof two lines";

fn snapshot() -> Snapshot {
    let (bytes, since, used, loads, demand) = (1_000, Duration::ZERO, Duration::ZERO, 2, Demand::default());
    let view = |name: &str, place| ModelView { name: name.into(), bytes, place, since, used, loads, demand };
    let models = vec![view("m", Place::In), view(ODD, Place::Away)];
    let residency = ResidencyView { bytes_max: 8_000, bytes_held: 1_000, models, devices: vec![("gpu".into(), 77)] };
    let snapshots =
        SnapshotFigures { blocks: 3, bytes: 600, bytes_max: 1_000, read: 2, damaged: 1, ..Default::default() };
    Snapshot {
        models: vec![three_generations("m"), three_generations(ODD)],
        residency: Some(residency),
        snapshots: Some(snapshots),
        processes: Processes { running: 3, waiting: 2, suspended: 0, asleep: 4, frozen: 1, parked: 0 },
        charged: Tokens::from_micro(1_500_000),
        citations: Citations { supported: 5, unsupported: 2 },
    }
}

#[test]
fn a_scrape_says_what_was_done() {
    let families = parse(&snapshot().text().expect("it can be written"));
    let check = |name: &str, labels: &[(&str, &str)], expect: f64| {
        assert_eq!(sample(&families, name, labels), expect, "{name} {labels:?}");
    };
    check("remit_processes", &[("state", "running")], 3.0);
    check("remit_processes", &[("state", "frozen")], 1.0);
    check("remit_processes", &[("state", "asleep")], 4.0);
    check("remit_charged_tokens", &[], 1.5);
    check("remit_citations_total", &[("outcome", "supported")], 5.0);
    check("remit_citations_total", &[("outcome", "unsupported")], 2.0);
    check("remit_weights_capacity_bytes", &[], 8_000.0);
    check("remit_kv_snapshots_bytes", &[], 600.0);
    check("remit_kv_snapshots_capacity_bytes", &[], 1_000.0);
    check("remit_kv_snapshot_blocks", &[], 3.0);
    check("remit_kv_snapshot_outcomes_total", &[("outcome", "read")], 2.0);
    check("remit_kv_snapshot_outcomes_total", &[("outcome", "damaged")], 1.0);
    check("remit_device_memory_bytes", &[("device", "gpu")], 77.0);
    for (model, weights) in [("m", 1_000.0), (ODD, 0.0)] {
        let of = |label: (&'static str, &'static str)| [("model", model), label];
        check("remit_model_weights_bytes", &[("model", model)], weights);
        check("remit_model_loads_total", &[("model", model)], 2.0);
        check("remit_generations", &of(("state", "running")), 2.0);
        check("remit_generations_ended_total", &of(("finish", "stop")), 2.0);
        check("remit_generations_ended_total", &of(("finish", "failed")), 0.0);
        check("remit_generations_refused_total", &[("model", model)], 5.0);
        check("remit_prompt_tokens_total", &[("model", model)], 30.0);
        check("remit_prompt_tokens_cached_total", &[("model", model)], 16.0);
        check("remit_generated_tokens_total", &[("model", model)], 9.0);
        check("remit_preemptions_total", &[("model", model)], 4.0);
        check("remit_kv_blocks_swapped_total", &of(("direction", "out")), 7.0);
        check("remit_kv_swap_capacity_tokens", &[("model", model)], 800.0);
        check("remit_kv_blocks_restored_total", &[("model", model)], 8.0);
        check("remit_kv_swapped_bytes", &[("model", model)], 4_096.0);
        let states = ["held", "kept", "free"].map(|state| sample(&families, "remit_kv_tokens", &of(("state", state))));
        assert_eq!(states, [160.0, 480.0, 960.0]);
        check("remit_kv_capacity_tokens", &[("model", model)], states.iter().sum());
        check("remit_generation_queue_seconds_count", &[("model", model)], 3.0);
        check("remit_generation_queue_seconds_sum", &[("model", model)], 0.721);
        check("remit_generation_queue_seconds_bucket", &of(("le", "0.001")), 1.0);
        check("remit_generation_queue_seconds_bucket", &of(("le", "0.01")), 1.0);
        check("remit_generation_queue_seconds_bucket", &of(("le", "0.025")), 2.0);
        check("remit_generation_queue_seconds_bucket", &of(("le", "1.0")), 3.0);
        check("remit_step_generations_bucket", &of(("le", "2.0")), 2.0);
        check("remit_step_generations_bucket", &of(("le", "256.0")), 4.0);
        check("remit_step_generations_bucket", &of(("le", "+Inf")), 5.0);
        check("remit_step_generations_sum", &[("model", model)], 409.0);
    }
}

#[test]
fn a_node_without_models_has_a_scrape_too() {
    let families = parse(&Snapshot::default().text().expect("it can be written"));
    assert_eq!(sample(&families, "remit_processes", &[("state", "running")]), 0.0);
    assert_eq!(families["remit_build"].samples[0].1["version"], env!("CARGO_PKG_VERSION"));
}

/// Whoever makes a dashboard finds every metric in the README, and none that is not there.
#[test]
fn the_readme_has_every_metric() {
    let readme = include_str!("../../README.md");
    let families = parse(&snapshot().text().expect("it can be written"));
    let shown: BTreeSet<String> = families
        .iter()
        .map(|(name, told)| match &*told.kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.clone(),
        })
        .collect();
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `remit_")?.split_once('`'));
    let documented: BTreeSet<String> = rows.map(|(name, _)| format!("remit_{name}")).collect();
    assert_eq!(documented, shown);
}
