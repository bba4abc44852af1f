//! Reading JSON bodies strictly.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads JSON in UTF-8 without keys that occur twice and without NUL characters. Numbers that no
/// 64-bit type holds and nesting deeper than 128 are errors of the reader itself.
///
/// # Errors
/// What is wrong, with line and column.
pub fn parse(bytes: &[u8]) -> Result<Value, String> {
    std::str::from_utf8(bytes).map_err(|error| format!("the body is not UTF-8: {error}"))?;
    serde_json::from_slice::<Strict>(bytes)
        .map(|strict| strict.0)
        .map_err(|error| format!("the body is not valid JSON: {error}"))
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

fn text<E: serde::de::Error>(text: &str) -> Result<String, E> {
    if text.contains('\0') {
        return Err(E::custom("a text holds a NUL character"));
    }
    Ok(text.to_owned())
}

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("number out of range"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        text(value).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let key = text(&key)?;
            let Strict(value) = access.next_value()?;
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("key `{key}` occurs twice")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_differ_on_is_refused() {
        assert_eq!(
            parse(b"{\"a\": [1, -2, 1.5, null, true, \"x\"]}").unwrap()["a"][1],
            -2
        );
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for wrong in [
            &b"{\"a\":1,\"a\":2}"[..],
            b"{\"x\":{\"a\":1,\"a\":2}}",
            b"\xff",
            b"{\"a\":\"\xff\"}",
            b"{\"a\":\"\\u0000\"}",
            b"{\"\\u0000\":1}",
            b"1e999",
            b"{} {}",
            b"",
            b"NaN",
            deep.as_bytes(),
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
