//! The metadata: keys with typed values, decoded on demand.

use super::{ARRAY_DEPTH_MAX, Gguf, GgufError, KEY_BYTES_MAX, cursor::Cursor};
use std::collections::{HashMap, hash_map};

/// The type of a value, as the file numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is named as in the specification")]
pub enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

use ValueType as V;

const VALUE_TYPES: [V; 13] =
    [V::U8, V::I8, V::U16, V::I16, V::U32, V::I32, V::F32, V::Bool, V::String, V::Array, V::U64, V::I64, V::F64];

impl ValueType {
    fn from_id(id: u32) -> Option<Self> {
        VALUE_TYPES.get(usize::try_from(id).ok()?).copied()
    }

    /// Bytes, where all values of the type have the same.
    fn fixed_bytes(self) -> Option<u64> {
        match self {
            V::U8 | V::I8 | V::Bool => Some(1),
            V::U16 | V::I16 => Some(2),
            V::U32 | V::I32 | V::F32 => Some(4),
            V::U64 | V::I64 | V::F64 => Some(8),
            V::String | V::Array => None,
        }
    }
}

/// Where a value lies, after it was walked over once.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    kind: ValueType,
    /// Of the value, behind its type.
    position: usize,
}

/// A number of the metadata, whatever its width.
enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

pub(super) fn read_entries(cursor: &mut Cursor<'_>, count: u64) -> Result<HashMap<Box<str>, Entry>, GgufError> {
    let mut entries = HashMap::new();
    for _ in 0..count {
        let key = cursor.string("a metadata key", KEY_BYTES_MAX)?;
        let kind = read_type(cursor, key)?;
        let position = cursor.position() as usize;
        skip_value(cursor, key, kind, 0)?;
        match entries.entry(Box::from(key)) {
            hash_map::Entry::Vacant(slot) => slot.insert(Entry { kind, position }),
            hash_map::Entry::Occupied(_) => {
                return Err(GgufError::Duplicate { what: "metadata key", name: key.to_owned() });
            }
        };
    }
    Ok(entries)
}

fn read_type(cursor: &mut Cursor<'_>, key: &str) -> Result<ValueType, GgufError> {
    let id = cursor.u32("a metadata value's type")?;
    ValueType::from_id(id).ok_or_else(|| GgufError::UnknownValueType { key: key.to_owned(), id })
}

fn skip_value(cursor: &mut Cursor<'_>, key: &str, kind: ValueType, depth: u32) -> Result<(), GgufError> {
    if let Some(bytes) = kind.fixed_bytes() {
        return cursor.skip(1, bytes, "a metadata value");
    }
    if kind == V::String {
        let bytes = cursor.u64("a metadata string")?;
        return cursor.skip(bytes, 1, "a metadata string");
    }
    if depth == ARRAY_DEPTH_MAX {
        return Err(GgufError::TooDeep { key: key.to_owned() });
    }
    let element = read_type(cursor, key)?;
    let count = cursor.u64("a metadata array's length")?;
    if let Some(bytes) = element.fixed_bytes() {
        return cursor.skip(count, bytes, "a metadata array");
    }
    // A string takes at least 8 bytes and an array 12, so that the file bounds the loop.
    for _ in 0..count {
        skip_value(cursor, key, element, depth + 1)?;
    }
    Ok(())
}

impl Entry {
    fn wrong(self, key: &str, wanted: &'static str) -> GgufError {
        GgufError::WrongType { key: key.to_owned(), found: format!("{:?}", self.kind), wanted }
    }

    fn cursor(self, bytes: &[u8]) -> Cursor<'_> {
        Cursor::at(bytes, self.position)
    }

    fn number(self, key: &str, bytes: &[u8], wanted: &'static str) -> Result<Number, GgufError> {
        read_number(&mut self.cursor(bytes), self.kind)?.ok_or_else(|| self.wrong(key, wanted))
    }

    pub(super) fn unsigned(self, key: &str, bytes: &[u8]) -> Result<u64, GgufError> {
        let wanted = "an unsigned integer";
        match self.number(key, bytes, wanted)? {
            Number::Unsigned(value) => Ok(value),
            Number::Signed(value) => u64::try_from(value).map_err(|_| self.wrong(key, wanted)),
            Number::Float(_) => Err(self.wrong(key, wanted)),
        }
    }
}

fn read_number(cursor: &mut Cursor<'_>, kind: ValueType) -> Result<Option<Number>, GgufError> {
    let what = "a metadata value";
    Ok(Some(match kind {
        V::U8 => Number::Unsigned(u8::from_le_bytes(cursor.array(what)?).into()),
        V::U16 => Number::Unsigned(u16::from_le_bytes(cursor.array(what)?).into()),
        V::U32 => Number::Unsigned(u32::from_le_bytes(cursor.array(what)?).into()),
        V::U64 => Number::Unsigned(u64::from_le_bytes(cursor.array(what)?)),
        V::I8 => Number::Signed(i8::from_le_bytes(cursor.array(what)?).into()),
        V::I16 => Number::Signed(i16::from_le_bytes(cursor.array(what)?).into()),
        V::I32 => Number::Signed(i32::from_le_bytes(cursor.array(what)?).into()),
        V::I64 => Number::Signed(i64::from_le_bytes(cursor.array(what)?)),
        V::F32 => Number::Float(f32::from_le_bytes(cursor.array(what)?).into()),
        V::F64 => Number::Float(f64::from_le_bytes(cursor.array(what)?)),
        V::Bool | V::String | V::Array => return Ok(None),
    }))
}

/// Turns a missing key into `None`; any other error stays one.
///
/// # Errors
/// What the getter answered, except [`GgufError::NoKey`].
pub fn optional<T>(got: Result<T, GgufError>) -> Result<Option<T>, GgufError> {
    match got {
        Ok(value) => Ok(Some(value)),
        Err(GgufError::NoKey { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Metadata by key and type. Each getter fails with [`GgufError::NoKey`] or [`GgufError::WrongType`].
impl Gguf {
    fn entry(&self, key: &str) -> Result<Entry, GgufError> {
        self.entries.get(key).copied().ok_or_else(|| GgufError::NoKey { key: key.to_owned() })
    }

    /// An integer of any width that is not negative and fits.
    ///
    /// # Errors
    /// See above.
    pub fn get_u32(&self, key: &str) -> Result<u32, GgufError> {
        let entry = self.entry(key)?;
        let value = entry.unsigned(key, self.bytes())?;
        u32::try_from(value).map_err(|_| entry.wrong(key, "an unsigned integer below 2^32"))
    }

    /// A floating-point number of any width.
    ///
    /// # Errors
    /// See above.
    pub fn get_f32(&self, key: &str) -> Result<f32, GgufError> {
        let entry = self.entry(key)?;
        let wanted = "a floating-point number";
        match entry.number(key, self.bytes(), wanted)? {
            Number::Float(value) => Ok(value as f32),
            Number::Unsigned(_) | Number::Signed(_) => Err(entry.wrong(key, wanted)),
        }
    }

    /// A truth value.
    ///
    /// # Errors
    /// See above.
    pub fn get_bool(&self, key: &str) -> Result<bool, GgufError> {
        let entry = self.entry(key)?;
        if entry.kind != V::Bool {
            return Err(entry.wrong(key, "a Bool"));
        }
        Ok(entry.cursor(self.bytes()).array::<1>("a metadata value")? != [0])
    }

    /// A string.
    ///
    /// # Errors
    /// See above; [`GgufError::NotUtf8`].
    pub fn get_str(&self, key: &str) -> Result<&str, GgufError> {
        let entry = self.entry(key)?;
        if entry.kind != V::String {
            return Err(entry.wrong(key, "a String"));
        }
        entry.cursor(self.bytes()).string("a metadata string", u64::MAX)
    }

    /// An array of strings.
    ///
    /// # Errors
    /// See above; [`GgufError::NotUtf8`].
    pub fn get_strings(&self, key: &str) -> Result<Vec<&str>, GgufError> {
        let (mut cursor, element, count) = self.array(key, "an Array of String")?;
        if element != V::String {
            return Err(self.entry(key)?.wrong(key, "an Array of String"));
        }
        // The count was walked over when the file was parsed, 8 bytes a string at least.
        (0..count).map(|_| cursor.string("a string of a metadata array", u64::MAX)).collect()
    }

    /// An array of integers that fit.
    ///
    /// # Errors
    /// See above.
    pub fn get_i32s(&self, key: &str) -> Result<Vec<i32>, GgufError> {
        let wanted = "an Array of integers below 2^31";
        let (mut cursor, element, count) = self.array(key, wanted)?;
        let wrong = || GgufError::WrongType { key: key.to_owned(), found: format!("an Array of {element:?}"), wanted };
        (0..count)
            .map(|_| match read_number(&mut cursor, element)? {
                Some(Number::Unsigned(value)) => i32::try_from(value).map_err(|_| wrong()),
                Some(Number::Signed(value)) => i32::try_from(value).map_err(|_| wrong()),
                Some(Number::Float(_)) | None => Err(wrong()),
            })
            .collect()
    }

    /// An array of floating-point numbers of any width.
    ///
    /// # Errors
    /// See above.
    pub fn get_f32s(&self, key: &str) -> Result<Vec<f32>, GgufError> {
        let wanted = "an Array of floating-point numbers";
        let (mut cursor, element, count) = self.array(key, wanted)?;
        let wrong = || GgufError::WrongType { key: key.to_owned(), found: format!("an Array of {element:?}"), wanted };
        (0..count)
            .map(|_| match read_number(&mut cursor, element)? {
                Some(Number::Float(value)) => Ok(value as f32),
                Some(Number::Unsigned(_) | Number::Signed(_)) | None => Err(wrong()),
            })
            .collect()
    }

    /// An array of bytes, signed or not.
    ///
    /// # Errors
    /// See above.
    pub fn get_bytes(&self, key: &str) -> Result<&[u8], GgufError> {
        let wanted = "an Array of bytes";
        let (mut cursor, element, count) = self.array(key, wanted)?;
        if !matches!(element, V::U8 | V::I8) {
            return Err(self.entry(key)?.wrong(key, wanted));
        }
        cursor.take(count, "a metadata array")
    }

    fn array(&self, key: &str, wanted: &'static str) -> Result<(Cursor<'_>, ValueType, u64), GgufError> {
        let entry = self.entry(key)?;
        if entry.kind != V::Array {
            return Err(entry.wrong(key, wanted));
        }
        let mut cursor = entry.cursor(self.bytes());
        let element = read_type(&mut cursor, key)?;
        let count = cursor.u64("a metadata array's length")?;
        Ok((cursor, element, count))
    }
}
