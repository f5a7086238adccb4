//! What a component says of the programs that made it: the custom section `producers`
//! (<https://github.com/WebAssembly/tool-conventions/blob/main/ProducersSection.md>), of itself and of what is nested in it.

use super::{Producer, build};
use wasmparser::{KnownCustom, Parser, Payload, ProducersSectionReader};

/// The programs, in the order in which the component has them, each once. What cannot be read, or repeated, is left out: no
/// one relies on it.
pub(super) fn of(component: &[u8]) -> Vec<Producer> {
    let mut producers = Vec::new();
    for payload in Parser::new(0).parse_all(component).map_while(Result::ok) {
        let Payload::CustomSection(section) = payload else { continue };
        if let KnownCustom::Producers(fields) = section.as_known() {
            add(&mut producers, fields);
        }
    }
    producers
}

fn add(producers: &mut Vec<Producer>, fields: ProducersSectionReader<'_>) {
    let values =
        fields.into_iter().map_while(Result::ok).flat_map(|field| field.values.into_iter().map_while(Result::ok));
    for value in values {
        let producer = Producer { name: value.name.to_owned(), version: value.version.to_owned() };
        let fits = build::is_word(&producer.name) && build::is_word(&producer.version);
        if fits && producers.len() < build::PRODUCERS_MAX && !producers.contains(&producer) {
            producers.push(producer);
        }
    }
}
