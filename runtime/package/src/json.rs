//! JSON of others, read so that it says one thing to every reader.
//!
//! A text with the same key twice means the first value to one program and the last to another, so that what was checked
//! may not be what is done. Such a text is none.

use crate::name::quoted;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor},
};
use std::{collections::HashSet, fmt};

/// Reads a value of a type. Keys that the type does not know are its own affair; the same key twice is refused everywhere.
///
/// # Errors
/// The end of a sentence that begins with what was read: "is no JSON: …".
pub(crate) fn strict<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let said = |error: serde_json::Error| format!("cannot be read as JSON: {error}");
    let _once: Once = serde_json::from_slice(bytes).map_err(said)?;
    serde_json::from_slice(bytes).map_err(said)
}

/// Any JSON in which no object has a key twice. Depth is the parser's to limit.
struct Once;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Once)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON in which no object has a key twice")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            entries.next_value::<Self>()?;
            if let Some(again) = keys.replace(key) {
                return Err(Error::custom(format_args!("the key {} stands twice in one object", quoted(&again))));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_key_stands_once_however_it_is_written() {
        let check = |text: &str, expect: bool| assert_eq!(strict::<Value>(text.as_bytes()).is_ok(), expect, "{text}");
        check(r#"{"a":[1,-2,0.5,true,null,"x",{"a":{}}]}"#, true);
        check(r#"{"a":1,"a":1}"#, false);
        check(r#"{"a":1,"\u0061":2}"#, false);
        check(r#"[{"b":{"a":1,"a":2}}]"#, false);
        check(r#"{"a":1} x"#, false);
        check("\u{feff}{}", false);
        check(&"[".repeat(10_000), false);
    }
}
