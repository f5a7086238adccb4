//! What a node did and does, as [OpenMetrics](https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md)
//! text, version 1.0. `GET /metrics`.
//!
//! | part | has |
//! | --- | --- |
//! | this file | metrics of the node: the program, processes, what was charged, weights |
//! | `models` | metrics of each model's engine, as one table |
//!
//! Principles:
//!
//! - A scrape reads what is written down anyway, and makes nobody wait: engines write their figures once a round.
//! - A metric stays what it is: its name, its unit and its labels are what dashboards and alarms are made of. `README.md` has them all.
//! - A label has few values: names of models and devices, which an operator chose, and words of the program. Never a tenant's, an
//!   agent's or a process's.

mod models;
#[cfg(test)]
mod tests;

use models::FAMILIES;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode},
    metrics::MetricType,
    registry::{Registry, Unit},
};
use remit_abi::Tokens;
use remit_assembly::{
    Citations, Node, State,
    models::{ModelFigures, Place, ResidencyView, SnapshotFigures},
};
use std::fmt;

/// What the text is, as a scraper is told.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What every name begins with.
const PREFIX: &str = "remit";

/// A node at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    models: Vec<ModelFigures>,
    residency: Option<ResidencyView>,
    snapshots: Option<SnapshotFigures>,
    processes: Processes,
    charged: Tokens,
    citations: Citations,
}

/// Processes by what they are doing.
#[derive(Clone, Copy, Debug, Default)]
struct Processes {
    running: u64,
    waiting: u64,
    suspended: u64,
    asleep: u64,
    frozen: u64,
    parked: u64,
}

impl Snapshot {
    /// A node now.
    pub(crate) fn of(node: &Node) -> Self {
        let mut processes = Processes::default();
        node.kernel().each_state(|state| {
            *match state {
                State::Running => &mut processes.running,
                State::Waiting(_) => &mut processes.waiting,
                State::Asleep => &mut processes.asleep,
                State::Suspended => &mut processes.suspended,
                State::Frozen => &mut processes.frozen,
                State::Parked => &mut processes.parked,
            } += 1;
        });
        let (models, residency, snapshots) = (node.figures(), node.residency(), node.snapshots());
        let kernel = node.kernel();
        Self { models, residency, snapshots, processes, charged: kernel.spent(), citations: kernel.citations() }
    }

    /// As text.
    ///
    /// # Errors
    /// What the encoder says of a value that it cannot write; it can write all that are here.
    pub(crate) fn text(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut build = encoder.encode_descriptor("build", "The program.", None, MetricType::Info)?;
        build.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        self.encode_kernel(&mut encoder)?;
        if let Some(residency) = &self.residency {
            encode_weights(residency, &mut encoder)?;
        }
        if let Some(snapshots) = &self.snapshots {
            encode_snapshots(snapshots, &mut encoder)?;
        }
        FAMILIES.iter().try_for_each(|family| family.encode(&self.models, &mut encoder))
    }
}

impl Snapshot {
    fn encode_kernel(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Processes { running, waiting, suspended, asleep, frozen, parked } = self.processes;
        let mut processes = encoder.encode_descriptor("processes", "Live processes.", None, MetricType::Gauge)?;
        let states = [
            ("running", running),
            ("waiting", waiting),
            ("asleep", asleep),
            ("suspended", suspended),
            ("frozen", frozen),
            ("parked", parked),
        ];
        for (state, count) in states {
            gauge(&mut processes, &[("state", state)], count)?;
        }
        // A gauge: what was refunded is taken off.
        let help = "Tokens that accounts paid since the start, less what was refunded.";
        let mut charged = encoder.encode_descriptor("charged_tokens", help, None, MetricType::Gauge)?;
        charged.encode_gauge(&(self.charged.micro() as f64 / Tokens::MICRO as f64))?;
        let help = "Citations of memories' entries, by whether the quotation stands there.";
        let mut citations = encoder.encode_descriptor("citations", help, None, MetricType::Counter)?;
        let Citations { supported, unsupported } = self.citations;
        counter(&mut citations, &[("outcome", "supported")], supported)?;
        counter(&mut citations, &[("outcome", "unsupported")], unsupported)
    }
}

fn encode_weights(residency: &ResidencyView, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let bytes = Some(&Unit::Bytes);
    let help = "Memory for the weights of all models together.";
    encoder
        .encode_descriptor("weights_capacity", help, bytes, MetricType::Gauge)?
        .encode_gauge(&residency.bytes_max)?;
    let help = "Weights that are in memory.";
    let mut weights = encoder.encode_descriptor("model_weights", help, bytes, MetricType::Gauge)?;
    for model in &residency.models {
        let held = if model.place == Place::Away { 0 } else { model.bytes };
        gauge(&mut weights, &[("model", &*model.name)], held)?;
    }
    let help = "How often a model's weights were brought into memory.";
    let mut loads = encoder.encode_descriptor("model_loads", help, None, MetricType::Counter)?;
    for model in &residency.models {
        counter(&mut loads, &[("model", &*model.name)], model.loads)?;
    }
    let help = "Memory of a GPU that models have taken: weights, keys and values, and what is computed in.";
    let mut devices = encoder.encode_descriptor("device_memory", help, bytes, MetricType::Gauge)?;
    residency.devices.iter().try_for_each(|(name, bytes)| gauge(&mut devices, &[("device", &**name)], *bytes))
}

fn encode_snapshots(figures: &SnapshotFigures, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let SnapshotFigures { blocks, bytes, bytes_max, written, read, missing, damaged, refused, evicted } = figures;
    let unit = Some(&Unit::Bytes);
    let help = "Room on the disk for snapshots of keys and values.";
    encoder.encode_descriptor("kv_snapshots_capacity", help, unit, MetricType::Gauge)?.encode_gauge(bytes_max)?;
    let help = "Snapshots of keys and values on the disk.";
    encoder.encode_descriptor("kv_snapshots", help, unit, MetricType::Gauge)?.encode_gauge(bytes)?;
    let help = "Blocks of 16 tokens' keys and values on the disk.";
    encoder.encode_descriptor("kv_snapshot_blocks", help, None, MetricType::Gauge)?.encode_gauge(blocks)?;
    let help = "What became of blocks that were to be kept on the disk, or read.";
    let mut outcomes = encoder.encode_descriptor("kv_snapshot_outcomes", help, None, MetricType::Counter)?;
    let each = [
        ("written", written),
        ("refused", refused),
        ("evicted", evicted),
        ("read", read),
        ("missing", missing),
        ("damaged", damaged),
    ];
    each.into_iter().try_for_each(|(outcome, count)| counter(&mut outcomes, &[("outcome", outcome)], *count))
}

/// Labels of a sample.
type Labels<'a> = &'a [(&'a str, &'a str)];

fn gauge(encoder: &mut MetricEncoder<'_>, labels: Labels<'_>, value: u64) -> fmt::Result {
    encoder.encode_family(&labels)?.encode_gauge(&value)
}

fn counter(encoder: &mut MetricEncoder<'_>, labels: Labels<'_>, value: u64) -> fmt::Result {
    encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
}
