//! A JSON object as its pairs, in the order of the file: a map would drop a name that is there twice.

use super::{METADATA_KEY, TENSORS_MAX};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};
use std::{fmt, marker::PhantomData};

/// At most [`TENSORS_MAX`] pairs. Free-form metadata is passed over, however deep: `serde_json` does so without recursion.
pub(super) struct Pairs<V>(pub(super) Vec<(Box<str>, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor(PhantomData)).map(Pairs)
    }
}

struct PairsVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for PairsVisitor<V> {
    type Value = Vec<(Box<str>, V)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with a value for each tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(name) = map.next_key::<Box<str>>()? {
            if &*name == METADATA_KEY {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if pairs.len() == TENSORS_MAX {
                return Err(A::Error::custom(format_args!("there are more than {TENSORS_MAX} tensors")));
            }
            pairs.push((name, map.next_value()?));
        }
        Ok(pairs)
    }
}
