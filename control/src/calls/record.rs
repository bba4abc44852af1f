//! What is kept of a call.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pipeline::call::TranscriptTurn;
use serde::Serialize;
use serde_json::Value;

use super::id::CallId;

/// Which way a call went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To us.
    Inbound,
    /// By us.
    Outbound,
}

/// A call as it begins.
#[derive(Clone, PartialEq, Debug)]
pub struct NewCall {
    /// Its id.
    pub id: CallId,
    /// The agent who answers.
    pub agent_id: String,
    /// The organisation it belongs to.
    pub organisation: uuid::Uuid,
    /// Which way.
    pub direction: Direction,
    /// What brought it: `sip`, `twilio`, `exotel`.
    pub carrier: &'static str,
    /// The carrier's own id (SIP Call-ID, Twilio CallSid).
    pub carrier_call_id: Option<String>,
    /// Who calls.
    pub caller: Option<String>,
    /// Who was called.
    pub called: Option<String>,
    /// Codec towards the caller.
    pub codec: Option<String>,
    /// Recording file, relative to the recordings' directory.
    pub recording: Option<String>,
    /// The batch that dialled it.
    pub batch_id: Option<uuid::Uuid>,
    /// What the API or the batch gave the conversation to know.
    pub variables: BTreeMap<String, String>,
}

/// A call as the API shows it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CallRecord {
    /// Its id.
    pub id: CallId,
    /// The agent.
    pub agent_id: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// `sip`, `twilio`, `exotel`.
    pub carrier: String,
    /// The carrier's own id.
    pub carrier_call_id: Option<String>,
    /// Who called.
    pub caller: Option<String>,
    /// Who was called.
    pub called: Option<String>,
    /// Codec towards the caller.
    pub codec: Option<String>,
    /// `active` or `ended`.
    pub status: String,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339.
    pub answered_at: Option<String>,
    /// RFC 3339.
    pub ended_at: Option<String>,
    /// From answer to end.
    pub duration_ms: Option<i64>,
    /// How it ended.
    pub outcome: Option<RecordedOutcome>,
    /// Whether there is a recording, and how long it is.
    pub recording: Option<RecordingInfo>,
    /// Where on the server the recording lies.
    pub recording_path: Option<PathBuf>,
    /// The organisation it belongs to.
    pub organisation: uuid::Uuid,
    /// `phone` or `web`.
    pub call_type: String,
    /// What came of it for the business.
    pub disposition: Option<String>,
    /// The batch that dialled it.
    pub batch_id: Option<String>,
    /// How a call of ours was taken.
    pub dial: Option<RecordedDial>,
    /// What the API or the batch gave the conversation to know.
    pub variables: Option<Value>,
    /// The leg's counters.
    pub statistics: Option<Value>,
}

impl CallRecord {
    /// Says where the recording lies, given the directory of recordings.
    #[must_use]
    pub fn located_in(mut self, recordings_dir: &Path) -> Self {
        let file = self.recording.as_ref().map(|recording| &recording.file);
        self.recording_path = file.map(|file| recordings_dir.join(file));
        self
    }
}

/// [`super::outcome::CallOutcome`] as stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RecordedOutcome {
    /// Whose doing.
    pub class: String,
    /// What exactly.
    pub reason: String,
}

/// [`crate::outbound::outcome::DialEnd`] as stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RecordedDial {
    /// `answered`, `busy`, `no_answer`, `rejected`, `failed`, `cancelled`.
    pub outcome: String,
    /// What exactly was wrong.
    pub detail: Option<String>,
    /// Final SIP status.
    pub sip_status: Option<i64>,
    /// Cause of ITU-T Q.850.
    pub q850_cause: Option<i64>,
}

/// A recording.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RecordingInfo {
    /// File name within the recordings' directory.
    pub file: String,
    /// Length; unknown while the call goes on.
    pub duration_ms: Option<i64>,
}

/// A call with its transcript.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CallDetail {
    /// The call.
    #[serde(flatten)]
    pub call: CallRecord,
    /// The transcript, in order.
    pub turns: Vec<TranscriptTurn>,
}
