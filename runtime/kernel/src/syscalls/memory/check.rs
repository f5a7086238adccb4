//! What a guest may say of a memory: within limits, and well formed.

use crate::process::Process;
use remit_abi::{
    Condition, Content, EntryFilter, Field, Likeness, MemoryError, MemoryRequest, Particulars, Scalar, Weighting,
    Writing, is_name, limits,
};
use std::collections::HashSet;

type Checked = Result<(), MemoryError>;

fn invalid(why: impl Into<Box<str>>) -> Checked {
    Err(MemoryError::Invalid(why.into()))
}

pub(in crate::syscalls) fn validate(process: &Process, request: &MemoryRequest) -> Checked {
    match request {
        MemoryRequest::Put(writing) => check_writing(process, writing),
        MemoryRequest::Update(rewriting) => check_writing(process, &rewriting.writing),
        MemoryRequest::Forget(forgetting) => {
            let named = forgetting.entries.as_ref().map_or(0, Vec::len);
            if named > limits::MEMORY_FORGET_MAX {
                return invalid(format!("{named} entries are named, and {} are the most", limits::MEMORY_FORGET_MAX));
            }
            check_filter(&forgetting.filter)
        }
        MemoryRequest::Search(seeking) => {
            check_likeness(process, &seeking.likeness)?;
            check_filter(&seeking.filter)?;
            check_weighting(seeking.weighting)?;
            check_count(seeking.count)
        }
        MemoryRequest::List(listing) => {
            check_filter(&listing.filter)?;
            check_count(listing.count)
        }
        MemoryRequest::Cite(citing) => check_quotation(process, &citing.quotation),
        MemoryRequest::Get { .. }
        | MemoryRequest::Describe { .. }
        | MemoryRequest::Versions { .. }
        | MemoryRequest::Restore { .. } => Ok(()),
    }
}

/// What an operator looks for.
pub(crate) fn check_search(text: &str, filter: &EntryFilter, weighting: Weighting, count: u32) -> Checked {
    check_words(text.as_bytes())?;
    check_filter(filter)?;
    check_weighting(weighting)?;
    check_count(count)
}

fn check_writing(process: &Process, writing: &Writing) -> Checked {
    let size = process.content_size(&writing.content);
    if let Content::Value(id) = &writing.content {
        process.values.get(*id).ok_or(MemoryError::Dead)?;
    }
    if size > limits::MEMORY_BYTES_MAX as u64 {
        return Err(MemoryError::TooLarge { limit: limits::MEMORY_BYTES_MAX as u64 });
    }
    if size == 0 {
        return invalid("there is nothing to remember");
    }
    if let Some(vector) = &writing.vector {
        check_vector(vector)?;
    }
    check_particulars(&writing.particulars)
}

pub(crate) fn check_particulars(particulars: &Particulars) -> Checked {
    let Particulars { tags, metadata, importance, .. } = particulars;
    if tags.len() > limits::MEMORY_TAGS_MAX {
        return invalid(format!("it has {} tags, and {} are the most", tags.len(), limits::MEMORY_TAGS_MAX));
    }
    if metadata.len() > limits::MEMORY_FIELDS_MAX {
        return invalid(format!("it has {} fields, and {} are the most", metadata.len(), limits::MEMORY_FIELDS_MAX));
    }
    tags.iter().try_for_each(|tag| check_name("a tag", tag))?;
    let mut names = HashSet::new();
    for Field { name, value } in metadata {
        check_name("a field", name)?;
        check_scalar(value)?;
        if !names.insert(name) {
            return invalid(format!("two of its fields are named {name}"));
        }
    }
    check_share("importance", *importance)
}

fn check_name(what: &str, name: &str) -> Checked {
    match is_name(name) {
        true => Ok(()),
        false => invalid(format!("the name of {what} must have 1 to 256 ASCII letters, digits and -._/:@")),
    }
}

fn check_scalar(scalar: &Scalar) -> Checked {
    match scalar {
        Scalar::Text(text) if text.len() > limits::MEMORY_FIELD_BYTES_MAX => {
            invalid(format!("a field holds {} bytes of text at most", limits::MEMORY_FIELD_BYTES_MAX))
        }
        Scalar::Number(number) if !number.is_finite() => invalid("a field's number must be finite"),
        Scalar::Text(_) | Scalar::Number(_) | Scalar::Integer(_) | Scalar::Truth(_) => Ok(()),
    }
}

fn check_share(what: &str, share: f32) -> Checked {
    match (0.0..=1.0).contains(&share) {
        true => Ok(()),
        false => invalid(format!("{what} must be between 0 and 1")),
    }
}

/// Its width is the store's to check.
fn check_vector(vector: &[f32]) -> Checked {
    if vector.iter().any(|number| !number.is_finite()) {
        return invalid("a vector's numbers must be finite");
    }
    let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    match length > f64::from(f32::MIN_POSITIVE) {
        true => Ok(()),
        false => invalid("a vector must point somewhere: its numbers are all 0"),
    }
}

pub(crate) fn check_filter(EntryFilter(clauses): &EntryFilter) -> Checked {
    let conditions = clauses.iter().map(|clause| clause.len().max(1)).sum::<usize>();
    if conditions > limits::MEMORY_CONDITIONS_MAX {
        return invalid(format!("a filter has {} conditions at most", limits::MEMORY_CONDITIONS_MAX));
    }
    clauses.iter().flatten().try_for_each(|condition| match condition {
        Condition::Tagged(tag) | Condition::Untagged(tag) => check_name("a tag", tag),
        Condition::Field { name, value, .. } => {
            check_name("a field", name)?;
            check_scalar(value)
        }
        Condition::ImportanceFrom(share) => check_share("importance", *share),
        Condition::WrittenFrom(_) | Condition::WrittenBefore(_) | Condition::WrittenBy(_) | Condition::FlowsTo(_) => {
            Ok(())
        }
    })
}

fn check_likeness(process: &Process, likeness: &Likeness) -> Checked {
    let content = match likeness {
        Likeness::Vector(vector) => return check_vector(vector),
        Likeness::Words(content) | Likeness::Meaning(content) | Likeness::Both(content) => content,
    };
    let bytes = match content {
        Content::Text(text) => text.as_bytes(),
        Content::Value(id) => &process.values.get(*id).ok_or(MemoryError::Dead)?.bytes,
    };
    check_words(bytes)
}

fn check_quotation(process: &Process, quotation: &Content) -> Checked {
    let bytes = match quotation {
        Content::Text(text) => text.as_bytes(),
        Content::Value(id) => &process.values.get(*id).ok_or(MemoryError::Dead)?.bytes,
    };
    if bytes.len() > limits::QUOTATION_BYTES_MAX {
        return invalid(format!("a quotation has {} bytes at most", limits::QUOTATION_BYTES_MAX));
    }
    match bytes.trim_ascii().is_empty() {
        true => invalid("there is nothing quoted"),
        false => Ok(()),
    }
}

fn check_words(bytes: &[u8]) -> Checked {
    if bytes.len() > limits::MEMORY_WORDS_BYTES_MAX {
        return invalid(format!("what is looked for has {} bytes at most", limits::MEMORY_WORDS_BYTES_MAX));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if text.trim().is_empty() => invalid("there is nothing to look for"),
        Ok(_) => Ok(()),
        Err(_) => invalid("what is looked for is not UTF-8 text"),
    }
}

fn check_weighting(weighting: Weighting) -> Checked {
    let Weighting { recency, half_life_s, importance, diversity } = weighting;
    check_share("the weight of recency", recency)?;
    check_share("the weight of importance", importance)?;
    check_share("diversity", diversity)?;
    match half_life_s {
        0 => invalid("the half-life of recency is a second at least"),
        _ => Ok(()),
    }
}

fn check_count(count: u32) -> Checked {
    match (1..=limits::MEMORY_HITS_MAX).contains(&count) {
        true => Ok(()),
        false => invalid(format!("1 to {} entries are found at once", limits::MEMORY_HITS_MAX)),
    }
}
