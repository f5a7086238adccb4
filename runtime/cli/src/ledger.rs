//! What a run did and paid, as a table.

use crate::text::tokens;
use remit_server::protocol::Finished;
use std::time::Duration;

/// Writes the table to standard error.
pub(crate) fn print(finished: &Finished, elapsed: Duration) {
    eprint!("{}", table(finished, elapsed));
}

fn table(finished: &Finished, elapsed: Duration) -> String {
    let ledger = &finished.ledger;
    let mut rows = vec![
        ("input tokens", ledger.input_tokens.to_string()),
        ("cached input tokens", ledger.cached_tokens.to_string()),
        ("output tokens", ledger.output_tokens.to_string()),
        ("fuel", ledger.fuel.to_string()),
        ("paid, in tokens", tokens(ledger.paid_micro_tokens)),
        ("paid with its children", tokens(finished.paid_micro_tokens)),
        ("refunded, in tokens", tokens(ledger.refunded_micro_tokens)),
        ("time", format!("{:.2} s", elapsed.as_secs_f64())),
    ];
    if ledger.supported_citations + ledger.unsupported_citations > 0 {
        rows.push(("citations that stand", ledger.supported_citations.to_string()));
        rows.push(("citations that do not", ledger.unsupported_citations.to_string()));
    }
    if let Some(money) = &finished.paid_money {
        rows.push(("that, in money", money.clone()));
    }
    let name_width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let width = rows.iter().map(|(_, number)| number.len()).max().unwrap_or_default();
    let lines = rows.iter().map(|(name, number)| format!("  {name:name_width$}  {number:>width$}\n"));
    format!("ledger (price list {})\n{}", ledger.price_version, lines.collect::<String>())
}
