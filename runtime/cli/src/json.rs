//! A task as JSON lines: every event, and the end with its ledger.
//!
//! `type` says what a line is: `text`, `progress`, `artifact`, `log`, and last `finished`. Bytes that are not UTF-8 text
//! stand in `hex` instead of `text`.

use crate::exit::CommandError;
use remit_abi::{Event, Integrity, Label, Status};
use remit_assembly::{Ended, Finished, Node, Output};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Shows one task.
pub(crate) struct JsonLines;

impl JsonLines {
    pub(crate) fn event(&mut self, node: &Node, event: &Event) -> Result<(), CommandError> {
        write(&match event {
            Event::Text { text, label } => {
                with(content(text), [("type", json!("text")), ("label", shown(node, *label))])
            }
            Event::Progress { done, total, note } => {
                json!({ "type": "progress", "done": done, "total": total, "note": note })
            }
            Event::Artifact { name, media_type, bytes, label } => with(
                content(bytes),
                [
                    ("type", json!("artifact")),
                    ("name", json!(name)),
                    ("media_type", json!(media_type)),
                    ("label", shown(node, *label)),
                ],
            ),
            Event::Log { level, message } => json!({ "type": "log", "level": level, "message": message }),
        })
    }

    pub(crate) fn finished(&mut self, finished: &Finished) -> Result<(), CommandError> {
        let (status, more) = match &finished.ended {
            Ended::Done(status, output) => {
                let status = if *status == Status::Complete { "complete" } else { "partial" };
                (status, json!({ "output": output.as_ref().map(|Output { bytes, .. }| content(bytes)) }))
            }
            Ended::Failed(failure) => ("failed", json!({ "message": failure.message, "retryable": failure.retryable })),
            Ended::Faulted(fault) => ("faulted", json!({ "message": fault.to_string() })),
        };
        let ledger = &finished.ledger;
        write(&with(
            more,
            [
                ("type", json!("finished")),
                ("status", json!(status)),
                (
                    "ledger",
                    json!({
                        "input_tokens": ledger.usage.input,
                        "cached_tokens": ledger.usage.cached,
                        "output_tokens": ledger.usage.output,
                        "fuel": ledger.fuel.0,
                        "paid_micro_tokens": ledger.paid.micro(),
                        "refunded_micro_tokens": finished.refunded.micro(),
                        "price_version": ledger.price_version,
                    }),
                ),
                ("logs_dropped", json!(finished.logs_dropped)),
            ],
        ))
    }
}

fn content(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

fn shown(node: &Node, label: Label) -> Value {
    let integrity = if label.integrity == Integrity::Trusted { "trusted" } else { "untrusted" };
    json!({ "integrity": integrity, "tags": node.tag_names(label) })
}

fn with<const N: usize>(mut object: Value, more: [(&str, Value); N]) -> Value {
    for (key, value) in more {
        object[key] = value;
    }
    object
}

fn write(line: &Value) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    written.map_err(|error| CommandError::Machine(format!("standard output cannot be written: {error}")))
}
