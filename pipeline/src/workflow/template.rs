//! Templates: text with `{variable}` or `{variable:style}`.

use serde_json::Value;

use crate::workflow::calendar::{capitalised, speak_date};
use crate::workflow::clock_time::speak_time;
use crate::workflow::text::digit_word;

/// A value and how it is said.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Known {
    /// What is stored and handed to tools.
    pub(crate) value: Value,
    /// What the agent says.
    pub(crate) spoken: String,
}

impl Known {
    /// A value said as it is written.
    pub(crate) fn plain(value: Value) -> Self {
        let spoken = written(&value);
        Self { value, spoken }
    }
}

/// The value as text.
pub(crate) fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// How a placeholder's value is put into the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Style {
    /// As the agent says it.
    Spoken,
    /// As stored.
    Raw,
    /// Digit by digit in groups.
    Digits,
    /// Letter by letter.
    Spelled,
    /// An ISO date in words.
    Date,
    /// An `HH:MM` time in words.
    Time,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece<'a> {
    Text(&'a str),
    Placeholder(&'a str, Style),
}

fn pieces(template: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut out = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find(['{', '}']) {
        if rest[start..].starts_with('}') {
            return Err("`}` without `{`".into());
        }
        out.push(Piece::Text(&rest[..start]));
        let Some((inside, after)) = rest[start + 1..].split_once('}') else {
            return Err("`{` without `}`".into());
        };
        let (name, style) = inside.split_once(':').unwrap_or((inside, "spoken"));
        let style = match style {
            "spoken" => Style::Spoken,
            "raw" => Style::Raw,
            "digits" => Style::Digits,
            "spelled" => Style::Spelled,
            "date" => Style::Date,
            "time" => Style::Time,
            other => return Err(format!("unknown style `{other}` of `{{{name}}}`")),
        };
        out.push(Piece::Placeholder(name, style));
        rest = after;
    }
    out.push(Piece::Text(rest));
    Ok(out)
}

/// The variables a template names.
///
/// # Errors
/// What is wrong with the template.
pub(crate) fn placeholders(template: &str) -> Result<Vec<&str>, String> {
    Ok(pieces(template)?
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Placeholder(name, _) => Some(name),
            Piece::Text(_) => None,
        })
        .collect())
}

/// The text with every placeholder replaced; what is unknown leaves a gap.
pub(crate) fn fill(
    template: &str,
    usual: Style,
    lookup: &impl Fn(&str) -> Option<Known>,
) -> String {
    let Ok(pieces) = pieces(template) else {
        return template.to_owned();
    };
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Placeholder(name, style) => {
                let style = if style == Style::Spoken { usual } else { style };
                if let Some(known) = lookup(name) {
                    out.push_str(&render(&known, style));
                }
            }
        }
    }
    out
}

/// A JSON template: a string that is a single placeholder becomes the value itself, null when
/// unknown.
pub(crate) fn fill_json(template: &Value, lookup: &impl Fn(&str) -> Option<Known>) -> Value {
    match template {
        Value::String(text) => match pieces(text).as_deref() {
            Ok(
                [
                    Piece::Text(""),
                    Piece::Placeholder(name, Style::Spoken),
                    Piece::Text(""),
                ],
            ) => lookup(name).map_or(Value::Null, |known| known.value),
            Ok(_) | Err(_) => Value::String(fill(text, Style::Raw, lookup)),
        },
        Value::Array(items) => items.iter().map(|item| fill_json(item, lookup)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), fill_json(value, lookup)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => template.clone(),
    }
}

fn render(known: &Known, style: Style) -> String {
    let text = written(&known.value);
    match style {
        Style::Spoken => known.spoken.clone(),
        Style::Raw => text,
        Style::Digits => speak_digits(&text),
        Style::Spelled => spell(&text),
        Style::Date => text.parse().map_or(text, speak_date),
        Style::Time => text.parse().map_or(text, speak_time),
    }
}

/// "five five five, zero one zero, four four seven seven": threes, the last group up to four.
pub(crate) fn speak_digits(text: &str) -> String {
    let words: Vec<&str> = text.chars().filter_map(digit_word).collect();
    let mut out = String::new();
    let mut left = words.as_slice();
    while !left.is_empty() {
        let take = if left.len() <= 4 { left.len() } else { 3 };
        if !out.is_empty() {
            out.push_str(", ");
        }
        out.push_str(&left[..take].join(" "));
        left = &left[take..];
    }
    out
}

fn spell(text: &str) -> String {
    let letters: Vec<String> = text
        .chars()
        .filter(|c| c.is_alphanumeric())
        .map(|c| c.to_uppercase().collect())
        .collect();
    letters.join(", ")
}

/// A name as written: every word with a capital.
pub(crate) fn name_case(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(capitalised).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lookup(name: &str) -> Option<Known> {
        match name {
            "day" => Some(Known {
                value: json!("2026-11-24"),
                spoken: "Tuesday".into(),
            }),
            "phone" => Some(Known::plain(json!("5550104477"))),
            "count" => Some(Known::plain(json!(3))),
            _ => None,
        }
    }

    #[test]
    fn placeholders_are_spoken_or_raw() {
        let say = |template: &str| fill(template, Style::Spoken, &lookup);
        assert_eq!(say("On {day}."), "On Tuesday.");
        assert_eq!(say("{day:raw}"), "2026-11-24");
        assert_eq!(say("{day:date}"), "Tuesday, November the twenty fourth");
        assert_eq!(
            say("{phone:digits}"),
            "five five five, zero one zero, four four seven seven"
        );
        assert_eq!(say("{nothing}!"), "!");
    }

    #[test]
    fn a_lone_placeholder_keeps_its_type() {
        let template = json!({"n": "{count}", "text": "{count} on {day}", "gone": "{nothing}"});
        assert_eq!(
            fill_json(&template, &lookup),
            json!({"n": 3, "text": "3 on 2026-11-24", "gone": null})
        );
    }

    #[test]
    fn broken_templates_are_refused() {
        assert!(placeholders("{day").is_err());
        assert!(placeholders("day}").is_err());
        assert!(placeholders("{day:loud}").is_err());
        assert_eq!(placeholders("{a} {b:raw}"), Ok(vec!["a", "b"]));
    }
}
