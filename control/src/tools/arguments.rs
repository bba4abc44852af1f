//! Arguments of a call against the tool's JSON Schema.

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value, json};

/// Problems told at most: enough for a model to correct its call.
const PROBLEMS_MAX: usize = 5;

/// A compiled schema.
#[derive(Clone, Debug)]
pub struct Schema {
    validator: Validator,
}

impl Schema {
    /// Compiles a schema. References to other documents are not followed; patterns run in time
    /// linear to the text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(schema: &Value) -> Result<Self, String> {
        jsonschema::options()
            .with_pattern_options(PatternOptions::regex())
            .build(schema)
            .map(|validator| Self { validator })
            .map_err(|error| error.to_string())
    }

    /// Checks a value.
    ///
    /// # Errors
    /// The first problems, each with its place.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let problems: Vec<String> = self
            .validator
            .iter_errors(value)
            .take(PROBLEMS_MAX)
            .map(|error| {
                let place = error.instance_path().to_string();
                let place = if place.is_empty() { "/" } else { &place };
                // The value itself may be long and may be private.
                format!("{place}: {}", error.masked())
            })
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems.join("; "))
        }
    }
}

/// The schema of the arguments out of what clients send: a schema, or a function as language
/// models are told of it.
#[must_use]
pub fn normalized(sent: &Value) -> Value {
    let inner = sent.get("function").unwrap_or(sent);
    let parameters = inner.get("parameters").filter(|value| value.is_object());
    let mut schema = match parameters {
        Some(parameters) if inner.get("properties").is_none() => parameters.clone(),
        _ => inner.clone(),
    };
    match &mut schema {
        Value::Object(fields) => {
            fields.entry("type").or_insert_with(|| json!("object"));
            schema
        }
        _ => json!({ "type": "object" }),
    }
}

/// Takes arguments that are fixed for an agent out of what a model is told.
#[must_use]
pub fn without(mut schema: Value, fixed: &Map<String, Value>) -> Value {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| !fixed.contains_key(name));
    }
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| name.as_str().is_none_or(|name| !fixed.contains_key(name)));
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_what_is_wrong_with_it_but_not_its_values() {
        let schema = json!({
            "type": "object",
            "properties": { "day": { "type": "string", "pattern": "^\\d{4}-\\d{2}-\\d{2}$" },
                            "party": { "type": "integer", "minimum": 1 } },
            "required": ["day"],
            "additionalProperties": false,
        });
        let schema = Schema::new(&schema).unwrap();
        assert_eq!(
            schema.check(&json!({ "day": "2030-01-31", "party": 2 })),
            Ok(())
        );
        let wrong = schema.check(&json!({ "day": "secret-words", "party": 0 }));
        let wrong = wrong.unwrap_err();
        assert!(
            wrong.contains("/day") && wrong.contains("/party"),
            "{wrong}"
        );
        assert!(!wrong.contains("secret-words"), "{wrong}");
        assert!(
            schema
                .check(&json!({ "party": 1 }))
                .unwrap_err()
                .contains("day")
        );
        assert!(schema.check(&json!([])).is_err());
    }

    #[test]
    fn references_to_elsewhere_and_broken_schemas_are_refused() {
        for schema in [
            json!({ "$ref": "https://a.example/schema.json" }),
            json!({ "$ref": "file:///etc/passwd" }),
            json!({ "type": "nonsense" }),
            json!({ "properties": { "a": { "pattern": "(" } } }),
        ] {
            assert!(Schema::new(&schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn a_pattern_that_backtracks_elsewhere_runs_in_linear_time() {
        let schema = json!({ "properties": { "a": { "pattern": "^(a+)+$" } } });
        let schema = Schema::new(&schema).unwrap();
        let text = format!("{}b", "a".repeat(50_000));
        assert!(schema.check(&json!({ "a": text })).is_err());
    }

    #[test]
    fn functions_of_models_are_schemas_too() {
        let parameters = json!({ "type": "object", "properties": { "a": {} } });
        let function = json!({ "type": "function",
            "function": { "name": "x", "parameters": parameters } });
        assert_eq!(normalized(&function), parameters);
        assert_eq!(normalized(&json!({ "parameters": parameters })), parameters);
        assert_eq!(normalized(&json!({})), json!({ "type": "object" }));
        let own = json!({ "type": "object", "properties": { "parameters": {} } });
        assert_eq!(normalized(&own), own);
        let fixed = json!({ "a": 1 });
        let schema = json!({ "properties": { "a": {}, "b": {} }, "required": ["a", "b"] });
        let told = without(schema, fixed.as_object().unwrap());
        assert_eq!(
            told,
            json!({ "properties": { "b": {} }, "required": ["b"] })
        );
    }
}
