//! What is sent: made of the call's rows when it is sent, so that nothing of a call lies in the
//! outbox.

use pipeline::call::{Speaker, TranscriptTurn};
use serde_json::{Value, json};
use uuid::Uuid;

use super::outbox::{CALL_FAILED, TEST};
use crate::calls::history;
use crate::calls::record::CallDetail;
use crate::clock::rfc3339;
use crate::store::{Store, StoreError, Tenant};

/// An event as stored.
#[derive(Clone, Debug)]
pub(super) struct StoredEvent {
    pub(super) id: Uuid,
    pub(super) org: Uuid,
    pub(super) kind: String,
    pub(super) call: Option<String>,
    pub(super) sequence: i64,
    pub(super) at: i64,
}

/// The body in an endpoint's format; `None` when the call is no longer there.
pub(super) async fn body(
    store: &Store,
    event: &StoredEvent,
    format: &str,
) -> Result<Option<Value>, StoreError> {
    let call = match event.call.as_deref().and_then(|id| id.parse().ok()) {
        None => None,
        Some(id) => match history::find(store, Tenant::of(event.org), id).await? {
            None => return Ok(None),
            found => found,
        },
    };
    Ok(Some(match format {
        "kupe" => kupe(event, call.as_ref()),
        _ => standard(event, call.as_ref()),
    }))
}

fn standard(event: &StoredEvent, call: Option<&CallDetail>) -> Value {
    let mut data = call.map_or_else(
        || json!({}),
        |call| {
            let record = &call.call;
            json!({
                "call_id": record.id,
                "agent_id": record.agent_id,
                "direction": record.direction,
                "call_type": record.call_type,
                "from_number": record.caller,
                "to_number": record.called,
                "status": record.status,
                "outcome": record.outcome,
                "disposition": record.disposition,
                "started_at": record.started_at,
                "answered_at": record.answered_at,
                "ended_at": record.ended_at,
                "duration_ms": record.duration_ms,
                "has_recording": record.recording.is_some(),
                "transcript": call.turns,
            })
        },
    );
    if event.kind == TEST {
        data = json!({ "message": "a test event" });
    }
    json!({
        "type": event.kind,
        "timestamp": rfc3339(event.at),
        "sequence": event.sequence,
        "data": data,
    })
}

/// Kupe's `voiceCallCompleted` and `voiceCallError`, the older and the newer fields together.
fn kupe(event: &StoredEvent, call: Option<&CallDetail>) -> Value {
    let Some(call) = call else {
        return json!({ "event": "test", "message": "a test event" });
    };
    let record = &call.call;
    let reason = record.outcome.as_ref().map(|outcome| &outcome.reason);
    if event.kind == CALL_FAILED {
        return json!({
            "event": "voiceCallError",
            "call_id": record.id,
            "error_reason": reason,
            "sequence": event.sequence,
        });
    }
    json!({
        "event": "voiceCallCompleted",
        "sequence": event.sequence,
        "call_id": record.id,
        "call_session_id": record.id,
        "agent_id": record.agent_id,
        "call_direction": record.direction,
        "call_datetime": record.started_at,
        "call_duration": record.duration_ms.unwrap_or(0) / 1_000,
        "call_status": reason,
        "from_number": record.caller,
        "to_number": record.called,
        "full_conversation": conversation(&call.turns),
        "post_call_analyses": [],
        "post_call_analysis_count": 0,
    })
}

fn conversation(turns: &[TranscriptTurn]) -> String {
    let lines = turns.iter().map(|turn| {
        let who = match turn.speaker {
            Speaker::Caller => "User",
            Speaker::Agent => "Agent",
        };
        format!("{who}: {}", turn.text.trim())
    });
    lines.collect::<Vec<_>>().join("\n")
}
