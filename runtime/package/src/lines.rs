//! The lines of a manifest that ask for a grant: what an operator or an author adds where one was missing.

use crate::form::{entries_key, has_access};
use jiff::Timestamp;
use remit_abi::{GrantSpec, Integrity, Label, Rate};
use std::fmt::{self, Write};

/// Lengths that a rate can be written over, in milliseconds, shortest first.
const UNITS: [(u64, &str); 4] = [(1000, "second"), (60_000, "minute"), (3_600_000, "hour"), (86_400_000, "day")];

/// The want that a grant fulfils, as a manifest writes it. Tags are written as `tag_name` has them.
#[must_use]
pub fn want_lines(spec: &GrantSpec, tag_name: impl Fn(u32) -> String) -> String {
    let mut lines = String::new();
    // Writing to a text does not fail.
    let _infallible = write_want(&mut lines, spec, tag_name);
    lines
}

fn write_want(lines: &mut String, spec: &GrantSpec, tag_name: impl Fn(u32) -> String) -> fmt::Result {
    let texts = |texts: Vec<String>| toml::Value::from(texts);
    writeln!(lines, "[[wants.{}]]", spec.kind.section())?;
    writeln!(lines, "label = {}", toml::Value::from(&*spec.label))?;
    let entries = spec.scope.entries().iter().map(ToString::to_string).collect();
    writeln!(lines, "{} = {}", entries_key(spec.kind), texts(entries))?;
    if has_access(spec.kind) {
        writeln!(lines, "access = \"{}\"", spec.access.name())?;
    }
    if let Some(uses) = spec.limits.uses {
        writeln!(lines, "uses = {uses}")?;
    }
    if let Some(rate) = spec.limits.rate {
        writeln!(lines, "rate = \"{}\"", rate_text(rate))?;
    }
    if let Some(moment) = spec.limits.expires_ns.and_then(|ns| Timestamp::from_nanosecond(i128::from(ns)).ok()) {
        writeln!(lines, "expires = \"{moment}\"")?;
    }
    if let Some(tokens) = spec.limits.max_tokens_per_call {
        writeln!(lines, "max_tokens_per_call = {tokens}")?;
    }
    if let Some(Label { integrity, tags }) = spec.limits.ceiling {
        let integrity = if integrity == Integrity::Trusted { "trusted" } else { "untrusted" };
        let tags = texts(tags.indices().map(tag_name).collect());
        writeln!(lines, "ceiling = {{ integrity = \"{integrity}\", tags = {tags} }}")?;
    }
    Ok(())
}

/// A rate over the shortest length that a manifest has and that is not shorter than the rate's own, with at least as many
/// uses over time.
fn rate_text(Rate { uses, per_ms }: Rate) -> String {
    let (unit_ms, unit) = UNITS.into_iter().find(|(unit_ms, _)| *unit_ms >= per_ms).unwrap_or(UNITS[UNITS.len() - 1]);
    let uses = (u128::from(uses) * u128::from(unit_ms)).div_ceil(u128::from(per_ms.max(1)));
    format!("{}/{unit}", u32::try_from(uses).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifest;
    use remit_abi::{Access, GrantKind, GrantLimits, Scope, TagSet};

    #[test]
    fn the_lines_of_every_kind_are_read_as_they_were_meant() {
        for kind in GrantKind::ALL {
            let ceiling = Label { tags: TagSet::single(3).expect("3 is in range"), ..Label::UNTRUSTED };
            let limits = GrantLimits {
                uses: Some(10),
                rate: Some(Rate { uses: 5, per_ms: 500 }),
                expires_ns: Some(4_000_000_000_000_000_000),
                max_tokens_per_call: (kind == GrantKind::Model).then_some(600),
                ceiling: Some(ceiling),
            };
            let scope = Scope::parse(kind, &["one.example"]).expect("it is one of every kind");
            let spec = GrantSpec { label: "it".into(), kind, scope, access: Access::ReadWrite, limits };
            let lines = want_lines(&spec, |_| "payroll".to_owned());
            let text = format!("name = \"a\"\nversion = \"1.0.0\"\ncomponent = \"a.wasm\"\n{lines}");
            let manifest = Manifest::parse(&text).unwrap_or_else(|error| panic!("{error}\n{lines}"));
            let want = &manifest.wants[0];
            assert_eq!(
                (want.kind, want.scope.as_ref(), want.access),
                (kind, Some(&spec.scope), spec.access),
                "{lines}"
            );
            assert_eq!((want.limits.uses, want.limits.rate), (Some(10), Some(Rate { uses: 10, per_ms: 1000 })));
            assert_eq!(want.limits.expires.map(|expires| expires.moment_ns(0)), limits.expires_ns, "{lines}");
            assert_eq!(want.limits.max_tokens_per_call, limits.max_tokens_per_call);
            let ceiling = want.limits.ceiling.as_ref().expect("it was written");
            assert_eq!((ceiling.integrity, &*ceiling.tags), (Integrity::Untrusted, &["payroll".to_owned()][..]));
        }
    }
}
