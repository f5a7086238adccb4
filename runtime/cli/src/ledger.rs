//! What a run did and paid, as a table.

use remit_assembly::Finished;
use std::time::Duration;

/// Writes the table to standard error.
pub(crate) fn print(finished: &Finished, elapsed: Duration) {
    eprint!("{}", table(finished, elapsed));
}

fn table(finished: &Finished, elapsed: Duration) -> String {
    let ledger = &finished.ledger;
    let rows = [
        ("input tokens", ledger.usage.input.to_string()),
        ("cached input tokens", ledger.usage.cached.to_string()),
        ("output tokens", ledger.usage.output.to_string()),
        ("fuel", ledger.fuel.0.to_string()),
        ("paid, in tokens", ledger.paid.to_string()),
        ("refunded, in tokens", finished.refunded.to_string()),
        ("time", format!("{:.2} s", elapsed.as_secs_f64())),
    ];
    let name_width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let width = rows.iter().map(|(_, number)| number.len()).max().unwrap_or_default();
    let lines = rows.iter().map(|(name, number)| format!("  {name:name_width$}  {number:>width$}\n"));
    format!("ledger (price list {})\n{}", ledger.price_version, lines.collect::<String>())
}
