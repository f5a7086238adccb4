//! Which entries may be found: a guest's filter, the stores that are open to it, and expiry.
//!
//! There is one evaluation, in Rust. The rows in memory are asked directly ([`Meant::of`]); for those in Lance the same code is a
//! function in the query's plan ([`Meant::expression`]), with the columns that it reads as its arguments. Nothing that a guest wrote is
//! ever part of a query's text: there is no text, only typed expressions, in which a guest's strings are values inside of the function.
//!
//! | asked | how Lance asks it |
//! | --- | --- |
//! | stores | not at all where all stores of the tenant are open; otherwise `store IN (..)` over the names that it has, by the bitmap index |
//! | expiry | not at all where nothing in the table expires before now; otherwise `expires_ns IS NULL OR expires_ns > now` |
//! | what a row in memory hides | up to some, found too and dropped; above, as part of the function |
//! | everything else | the function, over the columns that the filter's conditions name |
//!
//! Metadata is one column of bytes and not one of keys that equality could look up: a filter then needs no index of its own, conditions of
//! all kinds cost the same, and a purge has fewer places to clean. The price is that such a filter reads its column of every row.

use crate::{
    error::Fault,
    rows::{label, metadata, tags},
};
use arrow_array::{Array, BooleanArray, Float32Array, StringArray, UInt64Array, cast::AsArray};
use arrow_schema::DataType;
use datafusion::{
    common::{Result as PlanResult, exec_err},
    logical_expr::{
        ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, ident, lit,
    },
};
use remit_abi::{Comparison, Condition, EntryFilter, EntryId, Field, Label, Pid, Scalar, Scope};
use remit_kernel::ports::EntryVersion;
use rustc_hash::FxHashSet;
use std::{
    cmp::Ordering,
    collections::BTreeMap,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// What may be found by one search, or one look.
#[derive(Debug, Clone)]
pub(crate) struct Meant {
    /// The stores that are open.
    pub(crate) stores: Scope,
    /// The guest's.
    pub(crate) filter: EntryFilter,
    /// What expires at this moment or before is not found.
    pub(crate) now_ns: u64,
}

impl Meant {
    /// Whether a version may be found.
    pub(crate) fn of(&self, version: &EntryVersion) -> bool {
        let particulars = &version.particulars;
        particulars.expires_ns.is_none_or(|expires_ns| expires_ns > self.now_ns)
            && self.stores.contains(&version.store)
            && holds(&self.filter, &Facts::of(version))
    }

    /// The same as a prefilter of Lance's, and that nothing is found that a row in memory hides; `None` where every row may be found.
    /// `stores` are those that the table has, and `expires_ns` is the first moment at which a row of it expires.
    pub(crate) fn expression(
        &self,
        stores: &BTreeMap<Box<str>, u64>,
        expires_ns: u64,
        hidden: Option<Arc<FxHashSet<EntryId>>>,
    ) -> Option<Expr> {
        let mut all = Vec::new();
        let open: Vec<_> = stores.keys().filter(|store| self.stores.contains(store)).collect();
        if open.len() < stores.len() {
            all.push(ident("store").in_list(open.into_iter().map(|store| lit(&**store)).collect(), false));
        }
        if expires_ns <= self.now_ns {
            all.push(ident("expires_ns").is_null().or(ident("expires_ns").gt(lit(self.now_ns))));
        }
        if !self.filter.0.is_empty() || hidden.is_some() {
            all.push(Holds::expression(self.filter.clone(), hidden));
        }
        all.into_iter().reduce(Expr::and)
    }
}

/// What conditions ask of a version.
struct Facts<'a> {
    tags: &'a [Box<str>],
    metadata: &'a [Field],
    written_ns: u64,
    importance: f32,
    source: Option<Pid>,
    label: Label,
}

impl<'a> Facts<'a> {
    fn of(version: &'a EntryVersion) -> Self {
        let particulars = &version.particulars;
        Self {
            tags: &particulars.tags,
            metadata: &particulars.metadata,
            written_ns: version.written_ns,
            importance: particulars.importance,
            source: version.source,
            label: version.label,
        }
    }
}

fn holds(filter: &EntryFilter, facts: &Facts<'_>) -> bool {
    filter.0.iter().all(|clause| clause.iter().any(|condition| condition_holds(condition, facts)))
}

fn condition_holds(condition: &Condition, facts: &Facts<'_>) -> bool {
    match condition {
        Condition::Tagged(tag) => facts.tags.contains(tag),
        Condition::Untagged(tag) => !facts.tags.contains(tag),
        Condition::Field { name, comparison, value } => {
            let field = facts.metadata.iter().find(|field| field.name == *name);
            stands(field.and_then(|field| order(&field.value, value)), *comparison)
        }
        Condition::WrittenFrom(from_ns) => facts.written_ns >= *from_ns,
        Condition::WrittenBefore(before_ns) => facts.written_ns < *before_ns,
        Condition::ImportanceFrom(least) => facts.importance >= *least,
        Condition::WrittenBy(pid) => facts.source == Some(*pid),
        Condition::FlowsTo(ceiling) => facts.label.flows_to(*ceiling),
    }
}

/// `None` is what cannot be compared.
fn stands(order: Option<Ordering>, comparison: Comparison) -> bool {
    match comparison {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::Different => order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

fn order(field: &Scalar, value: &Scalar) -> Option<Ordering> {
    match (field, value) {
        (Scalar::Text(field), Scalar::Text(value)) => Some(field.as_bytes().cmp(value.as_bytes())),
        (Scalar::Truth(field), Scalar::Truth(value)) => Some(field.cmp(value)),
        (Scalar::Integer(field), Scalar::Integer(value)) => Some(field.cmp(value)),
        (Scalar::Number(field), Scalar::Number(value)) => field.partial_cmp(value),
        (Scalar::Integer(field), Scalar::Number(value)) => integer_to_number(*field, *value),
        (Scalar::Number(field), Scalar::Integer(value)) => integer_to_number(*value, *field).map(Ordering::reverse),
        _ => None,
    }
}

/// Exact, though not every whole number is a number with 53 bits.
#[expect(clippy::cast_possible_truncation, reason = "only where the number is within the range of whole numbers")]
fn integer_to_number(integer: i64, number: f64) -> Option<Ordering> {
    /// 2^63: the first number above all whole ones.
    const ABOVE: f64 = 9_223_372_036_854_775_808.0;
    if number.is_nan() {
        return None;
    }
    if number >= ABOVE {
        return Some(Ordering::Less);
    }
    if number < -ABOVE {
        return Some(Ordering::Greater);
    }
    let below = number.floor();
    let fraction = if number > below { Ordering::Less } else { Ordering::Equal };
    Some(integer.cmp(&(below as i64)).then(fraction))
}

/// The filter as a function in a plan.
#[derive(Debug)]
struct Holds {
    asked: Arc<Asked>,
    signature: Signature,
}

#[derive(Debug)]
struct Asked {
    filter: EntryFilter,
    hidden: Option<Arc<FxHashSet<EntryId>>>,
    /// In the order of its arguments.
    columns: Vec<&'static str>,
}

/// One function is the same as another only if it is it: plans are made for one query.
impl PartialEq for Holds {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.asked, &other.asked)
    }
}

impl Eq for Holds {}

impl Hash for Holds {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.asked).hash(state);
    }
}

fn column_of(condition: &Condition) -> &'static str {
    match condition {
        Condition::Tagged(_) | Condition::Untagged(_) => "tags",
        Condition::Field { .. } => "metadata",
        Condition::WrittenFrom(_) | Condition::WrittenBefore(_) => "written_ns",
        Condition::ImportanceFrom(_) => "importance",
        Condition::WrittenBy(_) => "source",
        Condition::FlowsTo(_) => "label",
    }
}

impl Holds {
    fn expression(filter: EntryFilter, hidden: Option<Arc<FxHashSet<EntryId>>>) -> Expr {
        let mut columns: Vec<_> = filter.0.iter().flatten().map(column_of).collect();
        // Something has to say how many rows there are, where no column is asked for anything.
        columns.push("id");
        columns.sort_unstable();
        columns.dedup();
        let arguments = columns.iter().map(|column| ident(*column)).collect();
        let signature = Signature::any(columns.len(), Volatility::Immutable);
        let function = Self { asked: Arc::new(Asked { filter, hidden, columns }), signature };
        ScalarUDF::from(function).call(arguments)
    }
}

impl ScalarUDFImpl for Holds {
    fn name(&self) -> &'static str {
        "remit_holds"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let rows = args.number_rows;
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let column = |name| {
            let place = self.asked.columns.iter().position(|column| *column == name)?;
            columns.get(place)
        };
        let ids = column("id").and_then(|ids| ids.as_any().downcast_ref::<UInt64Array>());
        let Some(ids) = ids else { return exec_err!("the column id is missing") };
        let written_ns = column("written_ns").and_then(|column| column.as_any().downcast_ref::<UInt64Array>());
        let importance = column("importance").and_then(|column| column.as_any().downcast_ref::<Float32Array>());
        let sources = column("source").and_then(|column| column.as_any().downcast_ref::<StringArray>());
        let fields = column("metadata").and_then(|column| column.as_binary_opt::<i32>());
        let labels = column("label").and_then(|column| column.as_binary_opt::<i32>());
        let mut answers = Vec::with_capacity(rows);
        for row in 0..rows.min(ids.len()) {
            if self.asked.hidden.as_ref().is_some_and(|hidden| hidden.contains(&EntryId(ids.value(row)))) {
                answers.push(false);
                continue;
            }
            let tags = column("tags").and_then(|column| column.as_list_opt::<i32>()).map(|column| tags(column, row));
            let fields = fields.map(|column| decoded(metadata(column, row))).transpose()?;
            let source = sources.filter(|sources| sources.is_valid(row));
            let facts = Facts {
                tags: tags.as_deref().unwrap_or_default(),
                metadata: fields.as_deref().unwrap_or_default(),
                written_ns: written_ns.map_or(0, |column| column.value(row)),
                importance: importance.map_or(0.0, |column| column.value(row)),
                source: source.and_then(|sources| sources.value(row).parse().ok()),
                label: labels.map(|column| decoded(label(column, row))).transpose()?.unwrap_or_default(),
            };
            answers.push(holds(&self.asked.filter, &facts));
        }
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::from(answers))))
    }
}

fn decoded<T>(read: Result<T, Fault>) -> PlanResult<T> {
    read.or_else(|fault| exec_err!("{fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_and_others_are_compared_exactly() {
        let check = |integer: i64, number: f64, expect| {
            assert_eq!(order(&Scalar::Integer(integer), &Scalar::Number(number)), expect, "{integer} and {number}");
            let reversed = expect.map(Ordering::reverse);
            assert_eq!(order(&Scalar::Number(number), &Scalar::Integer(integer)), reversed, "{number} and {integer}");
        };
        check(1, 1.0, Some(Ordering::Equal));
        check(1, 1.5, Some(Ordering::Less));
        check(-1, -1.5, Some(Ordering::Greater));
        // The nearest number with 53 bits is 2^53.
        check(9_007_199_254_740_993, 9_007_199_254_740_992.0, Some(Ordering::Greater));
        check(i64::MAX, 9_223_372_036_854_775_808.0, Some(Ordering::Less));
        check(i64::MIN, -9_223_372_036_854_775_808.0, Some(Ordering::Equal));
        check(0, f64::NAN, None);
    }

    #[test]
    fn what_cannot_be_compared_is_different_and_nothing_else() {
        for comparison in [
            Comparison::Equal,
            Comparison::Less,
            Comparison::AtMost,
            Comparison::Greater,
            Comparison::AtLeast,
            Comparison::Different,
        ] {
            let order = order(&Scalar::Text("1".into()), &Scalar::Integer(1));
            assert_eq!(stands(order, comparison), comparison == Comparison::Different);
        }
    }
}
