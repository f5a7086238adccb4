//! What the models of a host do, as rows of a table.

use crate::table::{Column, Table};
use remit_server::protocol::{DeviceMemory, Figures, KeptSnapshots, Model, ModelPlace, Models};
use std::{collections::BTreeMap, time::Duration};

/// What was counted when somebody looked last.
#[derive(Debug, Default)]
pub(crate) struct Looks(BTreeMap<String, (u64, u64)>);

impl Looks {
    /// The models now; with rates, where there was a look so long ago.
    pub(crate) fn screen(&mut self, models: &Models, since: Option<Duration>) -> String {
        if models.models.is_empty() {
            return String::new();
        }
        let megabytes = |bytes: u64| bytes / 1_000_000;
        let (held, most) = (megabytes(models.bytes_held), models.bytes_max);
        let of = if most == u64::MAX { String::new() } else { format!(" of {}", megabytes(most)) };
        let mut heading = format!("{} models, {held}{of} MB of weights in memory", models.models.len());
        for DeviceMemory { name, bytes } in &models.devices {
            heading += &format!(", {} MB of {name}", megabytes(*bytes));
        }
        if let Some(KeptSnapshots { blocks, bytes, bytes_max, read, missing, damaged, refused, evicted, .. }) =
            &models.snapshots
        {
            let (kept, most) = (megabytes(*bytes), megabytes(*bytes_max));
            heading += &format!(
                "\n{blocks} snapshots of keys and values, {kept} of {most} MB: {read} read, {missing} missing, {damaged} damaged, \
                 {refused} not kept, {evicted} dropped"
            );
        }
        format!("{heading}\n\n{}\n", self.table(&models.models, since))
    }

    fn table(&mut self, models: &[Model], since: Option<Duration>) -> Table<13> {
        let mut table = Table::new([
            Column::Words("MODEL"),
            Column::Words("WEIGHTS"),
            Column::Numbers("MB"),
            Column::Numbers("RUN"),
            Column::Numbers("WAIT"),
            Column::Numbers("REST"),
            Column::Numbers("IN/S"),
            Column::Numbers("OUT/S"),
            Column::Numbers("KV"),
            Column::Numbers("KEPT"),
            Column::Numbers("WASTE"),
            Column::Numbers("HITS"),
            Column::Numbers("GUESSED"),
        ]);
        for model in models {
            let figures = model.figures.clone().unwrap_or_default();
            let [input, output] = self.rates(&model.name, &figures, since);
            table.row([
                model.name.clone(),
                place(model.place).to_owned(),
                (model.bytes / 1_000_000).to_string(),
                figures.running.to_string(),
                figures.waiting.to_string(),
                figures.paused.to_string(),
                input,
                output,
                share(figures.blocks_held as u64, figures.blocks as u64),
                share(figures.blocks_kept as u64, figures.blocks as u64),
                share(figures.places_empty as u64, figures.places as u64),
                share(figures.cached_tokens, figures.cached_tokens + figures.input_tokens),
                share(figures.accepted_tokens, figures.proposed_tokens),
            ]);
        }
        table
    }

    /// Tokens a second, in and out.
    fn rates(&mut self, name: &str, figures: &Figures, since: Option<Duration>) -> [String; 2] {
        let now = (figures.input_tokens, figures.output_tokens);
        let before = self.0.insert(name.to_owned(), now);
        let rate = |now: u64, before: u64, since: Duration| {
            // A model that was opened again counts from the beginning.
            let tokens = now.checked_sub(before).unwrap_or(now);
            format!("{:.0}", tokens as f64 / since.as_secs_f64().max(1e-3))
        };
        match (before, since) {
            (Some(before), Some(since)) => [rate(now.0, before.0, since), rate(now.1, before.1, since)],
            _ => ["-".to_owned(), "-".to_owned()],
        }
    }
}

const fn place(place: ModelPlace) -> &'static str {
    match place {
        ModelPlace::Away => "away",
        ModelPlace::Loading => "loading",
        ModelPlace::In => "in memory",
        ModelPlace::Leaving => "leaving",
    }
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.0}%", 100.0 * part as f64 / whole as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(input_tokens: u64, output_tokens: u64) -> Models {
        let figures = Figures {
            running: 2,
            paused: 1,
            input_tokens,
            output_tokens,
            cached_tokens: input_tokens,
            blocks: 100,
            blocks_held: 30,
            blocks_kept: 65,
            places: 480,
            places_empty: 12,
            ..Figures::default()
        };
        let model =
            |name: &str, place, figures| Model { name: name.to_owned(), place, bytes: 95_000_000, loads: 1, figures };
        let models = vec![model("smollm2", ModelPlace::In, Some(figures)), model("minilm", ModelPlace::Away, None)];
        let devices = vec![DeviceMemory { name: "a GPU".to_owned(), bytes: 7_000_000 }];
        let kept =
            KeptSnapshots { blocks: 9, bytes: 2_000_000, bytes_max: 5_000_000, read: 4, ..KeptSnapshots::default() };
        Models { bytes_max: u64::MAX, bytes_held: 95_000_000, models, devices, snapshots: Some(kept) }
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks() {
        let mut looks = Looks::default();
        let mut check = |models: Models, since: Option<u64>, expect: &str| {
            let screen = looks.screen(&models, since.map(Duration::from_secs));
            let row = screen.lines().find(|line| line.starts_with("smollm2")).expect("it has a row");
            assert_eq!(row.split_whitespace().collect::<Vec<_>>().join(" "), expect);
            assert!(screen.contains("9 snapshots of keys and values, 2 of 5 MB: 4 read, 0 missing"), "{screen}");
            assert!(screen.contains("2 models, 95 MB of weights in memory, 7 MB of a GPU"), "{screen}");
        };
        check(models(100, 10), None, "smollm2 in memory 95 2 0 1 - - 30% 65% 2% 50% -");
        check(models(1_100, 30), Some(2), "smollm2 in memory 95 2 0 1 500 10 30% 65% 2% 50% -");
        check(models(50, 5), Some(1), "smollm2 in memory 95 2 0 1 50 5 30% 65% 2% 50% -");
    }

    #[test]
    fn a_host_without_models_shows_none() {
        assert_eq!(Looks::default().screen(&Models::default(), None), "");
    }
}
