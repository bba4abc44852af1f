//! The tools the engine itself runs, as a model sees them.

use serde_json::json;

use crate::llm::ToolDefinition;

/// Ends the call once everything said before has been heard. Arguments: none.
pub const END_CALL: &str = "end_call";
/// Hands the caller over. Arguments: `target`, a telephone number or SIP URI.
pub const TRANSFER_CALL: &str = "transfer_call";
/// Sends keys to the other side. Arguments: `digits`.
pub const SEND_DIGITS: &str = "send_digits";

/// Whether `name` is one of the engine's own tools.
#[must_use]
pub fn is_engine_tool(name: &str) -> bool {
    matches!(name, END_CALL | TRANSFER_CALL | SEND_DIGITS)
}

/// The definitions offered to every remote model.
#[must_use]
pub fn definitions() -> Vec<ToolDefinition> {
    let definition = |name: &str, description: &str, parameters| ToolDefinition {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters,
    };
    vec![
        definition(
            END_CALL,
            "Hang up. Say goodbye in the same answer, before calling this.",
            json!({"type": "object", "properties": {}, "additionalProperties": false}),
        ),
        definition(
            TRANSFER_CALL,
            "Hand the caller over to a person. If it fails the caller is still on the line.",
            json!({
                "type": "object",
                "properties": {
                    "target": {"type": "string", "description": "Telephone number or SIP URI."}
                },
                "required": ["target"],
                "additionalProperties": false
            }),
        ),
        definition(
            SEND_DIGITS,
            "Press telephone keys, for example in another system's menu.",
            json!({
                "type": "object",
                "properties": {
                    "digits": {"type": "string", "pattern": "^[0-9*#A-D]{1,32}$"}
                },
                "required": ["digits"],
                "additionalProperties": false
            }),
        ),
    ]
}
