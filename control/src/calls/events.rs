//! Events of a call as they are stored and shown.

use serde::Serialize;
use serde_json::Value;

/// An event with its place in the call.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct NumberedEvent {
    /// Counts the stored events of the call from 1; `None` for what is only shown live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// Microseconds since 1970-01-01 UTC.
    #[serde(serialize_with = "as_rfc3339")]
    pub at: i64,
    /// The event, with its `type`.
    #[serde(flatten)]
    pub data: Value,
}

fn as_rfc3339<S: serde::Serializer>(us: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&crate::clock::rfc3339(*us))
}
