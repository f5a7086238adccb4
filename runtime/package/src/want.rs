//! What an agent asks for: one right each, as plain values that whoever grants it turns into grants.

use crate::{
    form::{CeilingForm, WantForm, entries_key, has_access},
    moment::{self, Expiry},
    name::{is_name, misleading, plain, quoted},
    read::Reading,
};
use remit_abi::{Access, GrantKind, Integrity, Rate, Scope};
use std::collections::{BTreeMap, BTreeSet};

/// All wants of a manifest: as many as a person can read before agreeing.
pub(crate) const WANTS_MAX: usize = 64;

const RATE_ADVICE: &str = "no rate: write one such as 60/minute; there are second, minute, hour and day";

const EXPIRY_ADVICE: &str =
    "no end: write a time after the start such as 30d, or a moment such as 2027-01-31T12:00:00Z";

/// A right that an agent asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// What the agent takes it by: a name that no other want of the manifest has.
    pub label: String,
    /// What kind of thing it opens.
    pub kind: GrantKind,
    /// Which of them. `None` is the host's default model, and nothing else.
    pub scope: Option<Scope>,
    /// What may be done there. Kinds that have one use only are always [`Access::ReadWrite`].
    pub access: Access,
    /// How far it goes.
    pub limits: WantLimits,
    /// Processes that it may have alive at a time; of kind [`GrantKind::Process`] alone.
    pub children_max: Option<u32>,
    /// Why: the author's words, in one line.
    pub reason: Option<String>,
    /// Whether the agent runs without it.
    pub optional: bool,
}

/// How far a wanted right goes. `None` everywhere is no limit besides scope and account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantLimits {
    /// Uses in all.
    pub uses: Option<u64>,
    /// Uses over time.
    pub rate: Option<Rate>,
    /// When it ends.
    pub expires: Option<Expiry>,
    /// At most so many output tokens a call; of kind [`GrantKind::Model`] alone.
    pub max_tokens_per_call: Option<u32>,
    /// The highest label of data that may flow there.
    pub ceiling: Option<Ceiling>,
}

/// The highest label of data that may flow somewhere, its tags by name: they are interned where there is a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// [`Integrity::Untrusted`] lets all in.
    pub integrity: Integrity,
    /// Data with any other tag stays out.
    pub tags: Vec<String>,
}

impl Want {
    /// A right without limits, to look where its kind can be looked at. `None` is the host's default model.
    #[must_use]
    pub fn new(kind: GrantKind, label: &str, scope: Option<Scope>) -> Self {
        Self {
            label: label.to_owned(),
            kind,
            scope,
            access: default_access(kind),
            limits: WantLimits::default(),
            children_max: None,
            reason: None,
            optional: false,
        }
    }

    /// A model, the host's default one.
    #[must_use]
    pub fn default_model(label: &str) -> Self {
        Self::new(GrantKind::Model, label, None)
    }
}

/// Where an author says nothing: no more than looking, where that is a thing of its own.
const fn default_access(kind: GrantKind) -> Access {
    if has_access(kind) { Access::ReadOnly } else { Access::ReadWrite }
}

/// Reads the wants of all sections below a path, in the order of the text.
pub(crate) fn wants(below: &str, mut sections: BTreeMap<String, Vec<WantForm>>, reading: &mut Reading) -> Vec<Want> {
    let mut forms = Vec::new();
    for kind in GrantKind::ALL {
        for (index, form) in sections.remove(kind.section()).unwrap_or_default().into_iter().enumerate() {
            let path = format!("{below}.{}[{index}]", kind.section());
            forms.push((reading.place(&path), kind, path, form));
        }
    }
    forms.sort_by_key(|(place, ..)| *place);
    if let Some((place, ..)) = forms.get(WANTS_MAX) {
        let text = format!("there are {} rights in [{below}], and {WANTS_MAX} are the most", forms.len());
        reading.problems.add(*place, text);
    }
    let mut labels = BTreeSet::new();
    let mut wants = Vec::with_capacity(forms.len());
    for (_, kind, path, form) in forms {
        if form.label.as_ref().is_some_and(|label| !labels.insert(label.clone())) {
            reading.wrong(&format!("{path}.label"), "is another want's label too: a label names one right");
        }
        wants.push(want(kind, &path, &form, reading));
    }
    wants
}

/// Reads one want. What is wrong with it is reported, and the rest is as if that had not been said.
fn want(kind: GrantKind, path: &str, form: &WantForm, reading: &mut Reading) -> Want {
    let label = form.label.clone().unwrap_or_default();
    if form.label.is_some() {
        check_name(&format!("{path}.label"), &label, reading);
    }
    let rate = parsed(form.rate.as_deref(), moment::rate, reading, &format!("{path}.rate"), RATE_ADVICE);
    let expires = parsed(form.expires.as_deref(), Expiry::parse, reading, &format!("{path}.expires"), EXPIRY_ADVICE);
    let ceiling = form.ceiling.as_ref().and_then(|form| ceiling(&format!("{path}.ceiling"), form, reading));
    Want {
        scope: scope(kind, path, &label, form, reading),
        label,
        kind,
        access: form.access.unwrap_or(default_access(kind)),
        limits: WantLimits { uses: form.uses, rate, expires, max_tokens_per_call: form.max_tokens_per_call, ceiling },
        children_max: form.children_max,
        reason: form.reason.as_deref().map(plain).filter(|reason| !reason.is_empty()),
        optional: form.optional.unwrap_or(false),
    }
}

/// Reads a text of a syntax of its own.
fn parsed<T>(
    text: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
    reading: &mut Reading,
    path: &str,
    advice: &str,
) -> Option<T> {
    let text = text?;
    let value = parse(text);
    if value.is_none() {
        reading.wrong(path, &format!("is {}, which is {advice}", quoted(text)));
    }
    value
}

fn scope(kind: GrantKind, path: &str, label: &str, form: &WantForm, reading: &mut Reading) -> Option<Scope> {
    let (key, entries) = match (&form.name, &form.entries) {
        (None, None) => return None,
        (Some(name), None) => ("name", std::slice::from_ref(name)),
        (None, Some(entries)) => (entries_key(kind), entries.as_slice()),
        (Some(_), Some(_)) => {
            reading.wrong(&format!("{path}.name"), "and `names` say the same: keep one of them");
            return None;
        }
    };
    let path = format!("{path}.{key}");
    let doubts = entries.iter().filter_map(|entry| Some((entry, misleading(entry)?)));
    let doubts: Vec<_> = doubts.map(|(entry, doubt)| format!("names {}, {doubt}", quoted(entry))).collect();
    for doubt in &doubts {
        reading.wrong(&path, doubt);
    }
    // An empty list was reported by its length, or by what was left out of it.
    if !doubts.is_empty() || entries.is_empty() {
        return None;
    }
    match Scope::parse(kind, entries) {
        Ok(scope) => Some(scope),
        Err(error) => {
            let of = if label.is_empty() { String::new() } else { format!("of the want {} ", quoted(label)) };
            reading.wrong(&path, &format!("{of}cannot be granted: {}", plain(&error.to_string())));
            None
        }
    }
}

fn ceiling(path: &str, form: &CeilingForm, reading: &mut Reading) -> Option<Ceiling> {
    let tags = form.tags.clone().unwrap_or_default();
    for tag in &tags {
        if let Some(doubt) = misleading(tag) {
            reading.wrong(&format!("{path}.tags"), &format!("names {}, {doubt}", quoted(tag)));
        } else if plain(tag) != *tag {
            let sentence =
                format!("names {}, which is no tag: write one line of text without spaces around it", quoted(tag));
            reading.wrong(&format!("{path}.tags"), &sentence);
        }
    }
    Some(Ceiling { integrity: form.integrity?.into(), tags })
}

/// Reports what is no name.
pub(crate) fn check_name(path: &str, value: &str, reading: &mut Reading) {
    if is_name(value) {
        return;
    }
    let sentence = match misleading(value) {
        Some(doubt) => format!("is {}, {doubt}", quoted(value)),
        None => format!(
            "is {}, which is no name: use 1 to 64 lower-case letters, digits, dashes, dots and underscores",
            quoted(value)
        ),
    };
    reading.wrong(path, &sentence);
}
