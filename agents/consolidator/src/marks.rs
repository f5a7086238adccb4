//! What is written about entries: names of tags and fields, sources, and what one entry has that stands for several.

use remit::memory::{EntryId, Particulars, Scalar};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// What this agent wrote of an episode.
pub(crate) const SUMMARY: &str = "consolidation:summary";

/// What it wrote down as a fact.
pub(crate) const FACT: &str = "consolidation:fact";

/// The field with the number of the run that wrote an entry's newest version.
pub(crate) const RUN: &str = "consolidation:run";

/// The field that names the episode that a summary or a fact is of: the same one has the same name, so that nothing is written twice.
pub(crate) const EPISODE: &str = "consolidation:episode";

/// The field, and the beginning of the names of further ones, that list what an entry was made of.
const SOURCES: &str = "sources";

/// The kernel marks the pages of a context by these two fields. A page is a context's own, and is left alone.
const PAGE: [&str; 2] = ["context", "segment"];

/// As long as a text of a field may be.
const FIELD_BYTES_MAX: usize = 256;

/// As many fields and tags as an entry may have.
const FIELDS_MAX: usize = 32;
const TAGS_MAX: usize = 64;

/// A version of an entry, as `m12@3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    pub(crate) entry: EntryId,
    pub(crate) version: u32,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}@{}", self.entry, self.version)
    }
}

impl FromStr for Source {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (entry, version) = text.strip_prefix('m').and_then(|rest| rest.split_once('@')).ok_or(())?;
        Ok(Self { entry: entry.parse().map_err(|_| ())?, version: version.parse().map_err(|_| ())? })
    }
}

fn is_sources(name: &str) -> bool {
    name.strip_prefix(SOURCES).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// Sources as fields: as many in each as a text of a field holds.
pub(crate) fn sources_fields(sources: &BTreeSet<Source>) -> Vec<(String, Scalar)> {
    let mut texts: Vec<String> = Vec::new();
    for source in sources {
        let source = source.to_string();
        match texts.last_mut() {
            Some(text) if text.len() + 1 + source.len() <= FIELD_BYTES_MAX => {
                text.push(' ');
                text.push_str(&source);
            }
            _ => texts.push(source),
        }
    }
    let name = |place: usize| if place == 0 { SOURCES.to_owned() } else { format!("{SOURCES}:{}", place + 1) };
    texts.into_iter().enumerate().map(|(place, text)| (name(place), Scalar::Text(text))).collect()
}

/// The sources that an entry's fields list.
pub(crate) fn sources_of(particulars: &Particulars) -> BTreeSet<Source> {
    let listed = particulars.fields.iter().filter(|(name, _)| is_sources(name));
    let texts = listed.filter_map(|(_, value)| if let Scalar::Text(text) = value { Some(text) } else { None });
    texts.flat_map(|text| text.split(' ')).filter_map(|source| source.parse().ok()).collect()
}

/// Whether an entry is a page of a context.
pub(crate) fn is_page(particulars: &Particulars) -> bool {
    PAGE.iter().all(|name| particulars.fields.iter().any(|(field, _)| field == name))
}

/// The run that wrote an entry's newest version, where one did.
pub(crate) fn run_of(particulars: &Particulars) -> Option<EntryId> {
    particulars.fields.iter().find_map(|(name, value)| match value {
        Scalar::Integer(run) if name == RUN => Some(run.cast_unsigned()),
        _ => None,
    })
}

/// What is written about the entry that stands for several: the first one's fields and what the others have besides, the tags of all, the
/// highest importance, and the latest end, since each would have been found until its own. None where that is more than an entry may have.
pub(crate) fn joined(all: &[Particulars], sources: &BTreeSet<Source>, run: EntryId) -> Option<Particulars> {
    let mut joined = Particulars::default();
    let tags: BTreeSet<&String> = all.iter().flat_map(|one| &one.tags).collect();
    joined.tags = tags.into_iter().cloned().collect();
    joined.importance = all.iter().map(|one| one.importance).fold(0.0, f32::max);
    let ends: Option<Vec<_>> = all.iter().map(|one| one.expires_at).collect();
    joined.expires_at = ends.and_then(|ends| ends.into_iter().max());
    for (name, value) in all.iter().flat_map(|one| &one.fields) {
        let is_ours = is_sources(name) || name == RUN;
        if !is_ours && joined.fields.iter().all(|(known, _)| known != name) {
            joined.fields.push((name.clone(), value.clone()));
        }
    }
    joined.fields.push((RUN.to_owned(), Scalar::Integer(run.cast_signed())));
    joined.fields.extend(sources_fields(sources));
    (joined.fields.len() <= FIELDS_MAX && joined.tags.len() <= TAGS_MAX).then_some(joined)
}

/// What is written about an entry that is made of others: it matters as much as the one that matters most, and ends with the one that ends
/// first, so that nothing is told for longer than it may.
pub(crate) fn derived(
    of: &[Particulars],
    tag: &str,
    episode: &str,
    sources: &BTreeSet<Source>,
    run: EntryId,
) -> Particulars {
    let mut fields = sources_fields(sources);
    fields.push((RUN.to_owned(), Scalar::Integer(run.cast_signed())));
    fields.push((EPISODE.to_owned(), Scalar::Text(episode.to_owned())));
    Particulars {
        tags: vec![tag.to_owned()],
        fields,
        importance: of.iter().map(|one| one.importance).fold(0.0, f32::max),
        expires_at: of.iter().filter_map(|one| one.expires_at).min(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sources(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<Source> {
        numbers.into_iter().map(|entry| Source { entry, version: 1 }).collect()
    }

    #[test]
    fn sources_come_back_however_many_there_are() {
        for count in [0, 1, 2, 30, 200] {
            let sources = sources((0..count).map(|number| number * 1_000_000));
            let fields = sources_fields(&sources);
            assert!(fields.iter().all(|(_, value)| matches!(value, Scalar::Text(text) if text.len() <= 256)));
            let particulars = Particulars { fields, ..Particulars::default() };
            assert_eq!(sources_of(&particulars), sources, "{count}");
        }
        let others = [("sources", "m1 12@3 m4@x m5@6"), ("sourcesof", "m7@8")];
        let fields = others.map(|(name, text)| (name.to_owned(), Scalar::Text(text.to_owned()))).to_vec();
        let found = sources_of(&Particulars { fields, ..Particulars::default() });
        assert_eq!(found, BTreeSet::from([Source { entry: 5, version: 6 }]));
    }

    #[test]
    fn the_one_that_stands_for_several_has_what_all_of_them_had() {
        let field = |name: &str, value: i64| (name.to_owned(), Scalar::Integer(value));
        let one = Particulars {
            tags: vec!["said".into(), "home".into()],
            fields: vec![field("a", 1), field(RUN, 3), ("sources".into(), Scalar::Text("m9@1".into()))],
            importance: 0.2,
            expires_at: Some(Duration::from_secs(5)),
        };
        let other = Particulars {
            tags: vec!["said".into(), "cello".into()],
            fields: vec![field("a", 2), field("b", 3)],
            importance: 0.7,
            expires_at: Some(Duration::from_secs(9)),
        };
        let both = joined(&[one.clone(), other.clone()], &sources([9, 12]), 40).expect("it fits");
        assert_eq!(both.tags, ["cello", "home", "said"]);
        assert_eq!((both.importance, both.expires_at), (0.7, Some(Duration::from_secs(9))));
        let text = Scalar::Text("m9@1 m12@1".into());
        assert_eq!(both.fields, [field("a", 1), field("b", 3), field(RUN, 40), ("sources".into(), text)]);
        assert_eq!((run_of(&both), is_page(&both)), (Some(40), false));
        let lasting = Particulars { expires_at: None, ..other };
        assert_eq!(joined(&[one.clone(), lasting.clone()], &BTreeSet::new(), 1).expect("it fits").expires_at, None);
        let made = derived(&[one.clone(), lasting], FACT, "m1-m2/2", &sources([1]), 40);
        assert_eq!((made.expires_at, made.importance), (Some(Duration::from_secs(5)), 0.7));
        let many = (0..40).map(|number| field(&format!("f{number}"), 1)).collect();
        assert_eq!(joined(&[one, Particulars { fields: many, ..Particulars::default() }], &BTreeSet::new(), 1), None);
    }
}
