//! Shapes of bodies and queries: one description checks a request and documents it.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Text with so many characters.
    Text(usize, usize),
    /// Text that is not written back: a password.
    Password,
    /// A mail address.
    Email,
    /// A UUID.
    Uuid,
    /// A telephone number with country code, with or without `+`.
    Phone,
    /// An address with one of these schemes.
    Url(&'static [&'static str]),
    /// A whole number in a range.
    Integer(i64, i64),
    /// A number in a range.
    Number(f64, f64),
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// `YYYY-MM-DD`.
    Date,
    /// RFC 3339.
    Time,
    /// An object of this shape.
    Object(&'static Shape),
    /// An object of this shape, written only in answers, or null.
    Nullable(&'static Self),
    /// At most so many of a kind.
    List(&'static Self, usize),
    /// An object with any fields.
    Map,
    /// An object whose every value is of this kind.
    MapOf(&'static Self),
    /// Anything.
    Any,
}

/// A field of a shape.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name.
    pub name: &'static str,
    /// Value.
    pub kind: Kind,
    /// Whether it must be there. What need not be there may also be null.
    pub required: bool,
}

/// A field that must be there.
#[must_use]
pub const fn need(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        required: true,
    }
}

/// A field that may be there.
#[must_use]
pub const fn may(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        required: false,
    }
}

/// An object: its name in the documentation and its fields.
#[derive(Debug)]
pub struct Shape {
    /// Unique among all shapes.
    pub name: &'static str,
    /// Fields.
    pub fields: &'static [Field],
    /// Whether further fields are refused instead of ignored.
    pub closed: bool,
}

/// A shape that ignores further fields.
#[must_use]
pub const fn shape(name: &'static str, fields: &'static [Field]) -> Shape {
    Shape {
        name,
        fields,
        closed: false,
    }
}

/// A field that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invalid {
    /// Where, for example `agent.name`.
    pub path: String,
    /// What kind of mistake.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl Invalid {
    /// A wrong value at `path`.
    #[must_use]
    pub fn new(path: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            code,
            message: message.into(),
        }
    }
}

impl Shape {
    /// Everything wrong with `value`.
    #[must_use]
    pub fn check(&self, value: &Value) -> Vec<Invalid> {
        let mut wrong = Vec::new();
        self.check_at(value, "", &mut wrong);
        wrong
    }

    fn check_at(&self, value: &Value, path: &str, wrong: &mut Vec<Invalid>) {
        let Value::Object(object) = value else {
            let place = if path.is_empty() { "body" } else { path };
            wrong.push(Invalid::new(place, "type", "must be an object"));
            return;
        };
        for field in self.fields {
            let place = join(path, field.name);
            match object.get(field.name) {
                None | Some(Value::Null) if !field.required => {}
                None => wrong.push(Invalid::new(place, "missing", "is required")),
                Some(value) => field.kind.check(value, &place, wrong),
            }
        }
        if self.closed {
            let known = |name: &String| self.fields.iter().any(|field| field.name == name);
            for name in object.keys().filter(|name| !known(name)) {
                let place = join(path, name);
                wrong.push(Invalid::new(
                    place,
                    "unknown",
                    "is not a field of this request",
                ));
            }
        }
    }

    /// JSON Schema of the object, referring to further shapes by name; collects those.
    pub fn schema(&'static self, shapes: &mut Map<String, Value>, answer: bool) -> Value {
        let name = if answer {
            format!("{}Answer", self.name)
        } else {
            self.name.to_owned()
        };
        let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
        if shapes.contains_key(&name) {
            return reference;
        }
        shapes.insert(name.clone(), Value::Null);
        let mut properties = Map::new();
        for field in self.fields {
            let mut schema = field.kind.schema(shapes, answer);
            if !field.required && !answer {
                schema = json!({ "anyOf": [schema, { "type": "null" }] });
            }
            properties.insert(field.name.to_owned(), schema);
        }
        let required: Vec<_> = self
            .fields
            .iter()
            .filter(|f| f.required)
            .map(|f| f.name)
            .collect();
        let mut object = json!({ "type": "object", "properties": properties });
        if !required.is_empty() {
            object["required"] = json!(required);
        }
        if self.closed {
            object["additionalProperties"] = json!(false);
        }
        shapes.insert(name, object);
        reference
    }
}

impl Kind {
    /// Notes what is wrong with `value` at `path`.
    pub fn check(&self, value: &Value, path: &str, wrong: &mut Vec<Invalid>) {
        let mut fail = |code, message: String| wrong.push(Invalid::new(path, code, message));
        match *self {
            Self::Any => {}
            Self::Nullable(_) if value.is_null() => {}
            Self::Nullable(kind) => kind.check(value, path, wrong),
            Self::Object(shape) => shape.check_at(value, path, wrong),
            Self::Map => {
                if !value.is_object() {
                    fail("type", "must be an object".to_owned());
                }
            }
            Self::MapOf(kind) => match value {
                Value::Object(object) => {
                    for (name, value) in object {
                        kind.check(value, &join(path, name), wrong);
                    }
                }
                _ => fail("type", "must be an object".to_owned()),
            },
            Self::List(kind, most) => match value {
                Value::Array(items) if items.len() > most => {
                    fail("too_long", format!("must have at most {most} entries"));
                }
                Value::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        kind.check(item, &format!("{path}[{index}]"), wrong);
                    }
                }
                _ => fail("type", "must be a list".to_owned()),
            },
            Self::Boolean => {
                if !value.is_boolean() {
                    fail("type", "must be true or false".to_owned());
                }
            }
            Self::Integer(min, max) => match value.as_i64() {
                Some(number) if (min..=max).contains(&number) => {}
                Some(_) => fail("range", format!("must be from {min} to {max}")),
                None => fail(
                    "type",
                    format!("must be a whole number from {min} to {max}"),
                ),
            },
            Self::Number(min, max) => match value.as_f64().filter(|_| value.is_number()) {
                Some(number) if (min..=max).contains(&number) => {}
                _ => fail("range", format!("must be a number from {min} to {max}")),
            },
            _ => match value.as_str() {
                None => fail("type", "must be a text".to_owned()),
                Some(text) => {
                    if let Err((code, message)) = self.check_text(text) {
                        fail(code, message);
                    }
                }
            },
        }
    }

    fn check_text(&self, text: &str) -> Result<(), (&'static str, String)> {
        let fine = |fine: bool, code, message: &str| {
            if fine {
                Ok(())
            } else {
                Err((code, message.to_owned()))
            }
        };
        match *self {
            Self::Text(min, max) => {
                let length = text.chars().count();
                let limits = || format!("must have {min} to {max} characters");
                if length < min || length > max {
                    return Err(("length", limits()));
                }
                fine(
                    min == 0 || !text.trim().is_empty(),
                    "blank",
                    "must not be blank",
                )
            }
            Self::Password => {
                let length = text.chars().count();
                fine(
                    (8..=128).contains(&length),
                    "length",
                    "must have 8 to 128 characters",
                )
            }
            Self::Email => fine(is_email(text), "email", "must be a mail address"),
            Self::Uuid => fine(parse_uuid(text).is_some(), "uuid", "must be a UUID"),
            Self::Phone => fine(
                e164(text).is_some(),
                "phone",
                "must be a number in E.164, like +15550100100",
            ),
            Self::Url(schemes) => {
                let parsed = url::Url::parse(text).ok();
                let known = parsed.is_some_and(|u| schemes.contains(&u.scheme()));
                let expected =
                    format!("must be an address that begins with {}", schemes.join(", "));
                fine(known && text.len() <= 2000, "url", &expected)
            }
            Self::OneOf(words) => fine(
                words.contains(&text),
                "choice",
                &format!("must be one of {}", words.join(", ")),
            ),
            Self::Date => fine(
                text.len() == 10 && chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok(),
                "date",
                "must be a date like 2030-01-31",
            ),
            Self::Time => fine(
                parse_time(text).is_some(),
                "time",
                "must be a time like 2030-01-31T10:00:00Z",
            ),
            _ => Ok(()),
        }
    }

    /// JSON Schema; collects the shapes it refers to.
    pub fn schema(&self, shapes: &mut Map<String, Value>, answer: bool) -> Value {
        match *self {
            Self::Text(min, max) if answer && min == 0 && max == 0 => json!({ "type": "string" }),
            Self::Text(min, max) => {
                let mut schema = json!({ "type": "string", "minLength": min, "maxLength": max });
                if min > 0 {
                    schema["pattern"] = json!("\\S");
                }
                schema
            }
            Self::Password => {
                json!({ "type": "string", "minLength": 8, "maxLength": 128, "writeOnly": true })
            }
            Self::Email => json!({ "type": "string", "format": "email" }),
            Self::Uuid => json!({ "type": "string", "format": "uuid" }),
            Self::Phone => json!({ "type": "string", "pattern": "^\\+?[1-9][0-9]{6,14}$" }),
            Self::Url(_) => json!({ "type": "string", "format": "uri", "maxLength": 2000 }),
            Self::Integer(min, max) => {
                json!({ "type": "integer", "minimum": min, "maximum": max })
            }
            Self::Number(min, max) => json!({ "type": "number", "minimum": min, "maximum": max }),
            Self::Boolean => json!({ "type": "boolean" }),
            Self::OneOf(words) => json!({ "type": "string", "enum": words }),
            Self::Date => json!({ "type": "string", "format": "date" }),
            Self::Time => json!({ "type": "string", "format": "date-time" }),
            Self::Object(shape) => shape.schema(shapes, answer),
            Self::Nullable(kind) => {
                json!({ "anyOf": [kind.schema(shapes, answer), { "type": "null" }] })
            }
            Self::List(kind, most) => {
                let mut schema = json!({ "type": "array", "items": kind.schema(shapes, answer) });
                if !answer {
                    schema["maxItems"] = json!(most);
                }
                schema
            }
            Self::Map => json!({ "type": "object" }),
            Self::MapOf(kind) => {
                json!({ "type": "object", "additionalProperties": kind.schema(shapes, answer) })
            }
            Self::Any => json!({}),
        }
    }

    /// A parameter's text as the value this kind describes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self, text: &str, path: &str) -> Result<Value, Invalid> {
        let value = match self {
            Self::Integer(..) => text.parse::<i64>().map_or(Value::Null, Value::from),
            Self::Number(..) => text.parse::<f64>().map_or(Value::Null, Value::from),
            Self::Boolean => match text {
                "true" | "1" | "True" => Value::Bool(true),
                "false" | "0" | "False" => Value::Bool(false),
                _ => Value::Null,
            },
            _ => Value::from(text),
        };
        let mut wrong = Vec::new();
        self.check(&value, path, &mut wrong);
        wrong.into_iter().next().map_or(Ok(value), Err)
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// A UUID in its usual form only.
#[must_use]
pub fn parse_uuid(text: &str) -> Option<uuid::Uuid> {
    (text.len() == 36).then(|| uuid::Uuid::try_parse(text).ok())?
}

/// Microseconds since 1970 of an RFC 3339 time; a date alone is its beginning in UTC.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_micros());
    }
    if let Ok(time) = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f") {
        return Some(time.and_utc().timestamp_micros());
    }
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
}

/// A telephone number as `+` and digits.
#[must_use]
pub fn e164(text: &str) -> Option<String> {
    // A `+` in a query that was not written as %2B arrives as a space.
    let digits = crate::config::normalize_number(text)?;
    let fits = (7..=15).contains(&digits.len()) && !digits.starts_with('0');
    fits.then(|| format!("+{digits}"))
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !"<>()[],;:\\\"@".contains(c);
    let host = domain.parse::<IpAddr>().is_err()
        && domain.split('.').all(|label| {
            let edges = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric());
            edges(label.chars().next())
                && edges(label.chars().last())
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        });
    text.len() <= 254
        && (1..=64).contains(&local.len())
        && local.chars().all(plain)
        && domain.contains('.')
        && host
}

#[cfg(test)]
mod tests {
    use super::*;

    static INNER: Shape = shape("Inner", &[need("n", Kind::Integer(1, 5))]);
    static OUTER: Shape = Shape {
        name: "Outer",
        fields: &[
            need("name", Kind::Text(1, 5)),
            may("inner", Kind::Object(&INNER)),
            may("list", Kind::List(&Kind::Object(&INNER), 2)),
            may("mail", Kind::Email),
        ],
        closed: true,
    };

    #[test]
    fn each_mistake_is_named_with_its_path() {
        let wrong = |value: Value| -> Vec<(String, &'static str)> {
            let wrong = OUTER.check(&value);
            wrong.into_iter().map(|w| (w.path, w.code)).collect()
        };
        let at = |path: &str, code| vec![(path.to_owned(), code)];
        assert_eq!(wrong(json!({"name": "a", "inner": null})), []);
        assert_eq!(wrong(json!([])), at("body", "type"));
        assert_eq!(wrong(json!({})), at("name", "missing"));
        assert_eq!(wrong(json!({"name": null})), at("name", "type"));
        assert_eq!(wrong(json!({"name": "  "})), at("name", "blank"));
        assert_eq!(wrong(json!({"name": "abcdef"})), at("name", "length"));
        assert_eq!(wrong(json!({"name": "a", "x": 1})), at("x", "unknown"));
        let nested = json!({"name": "a", "inner": {"n": 9}, "list": [{"n": 1}, {"n": "1"}]});
        assert_eq!(
            wrong(nested),
            [
                ("inner.n".to_owned(), "range"),
                ("list[1].n".to_owned(), "type")
            ]
        );
        for (mail, fine) in [
            ("a@b.co", true),
            ("a b@c.d", false),
            ("a@b", false),
            ("a@-b.c", false),
            ("a@b.c\r\nBcc: x@y.z", false),
        ] {
            assert_eq!(
                wrong(json!({"name": "a", "mail": mail})).is_empty(),
                fine,
                "{mail}"
            );
        }
    }

    #[test]
    fn numbers_are_told_from_what_looks_like_them() {
        assert_eq!(e164("+1 (555) 010-0100").as_deref(), Some("+15550100100"));
        for wrong in [
            "",
            "+",
            "12345",
            "+0123456789",
            "1234567890123456",
            "+1555x100100",
        ] {
            assert_eq!(e164(wrong), None, "{wrong}");
        }
        assert!(parse_uuid("00000000000070008000000000000001").is_none());
        assert_eq!(parse_time("1970-01-01T00:00:01Z"), Some(1_000_000));
        assert_eq!(parse_time("1970-01-02"), Some(86_400_000_000));
        assert_eq!(parse_time("tomorrow"), None);
    }
}
