//! Calls that an endpoint outside answers: their record, without a conversation of ours.

use std::collections::BTreeMap;

use media::net::control::LegControl;
use pipeline::call::CallOrder;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::controller::{CallController, CallRecorder};
use super::id::CallId;
use super::outcome::CallOutcome;
use super::record::{Direction, NewCall};
use super::registry::Admission;

/// What is known of a call that is sent on, when it comes in.
#[derive(Clone, Debug)]
pub struct SentOnCall {
    /// The endpoint, which stands for the agent in the record.
    pub endpoint: Uuid,
    /// Its organisation.
    pub organisation: Uuid,
    /// What brought the call.
    pub carrier: &'static str,
    /// The carrier's own id.
    pub carrier_call_id: Option<String>,
    /// Who calls.
    pub caller: Option<String>,
    /// Who was called.
    pub called: String,
    /// Codec towards the caller.
    pub codec: Option<String>,
}

/// Such a call whose record is open.
#[derive(Debug)]
pub struct OpenSentOn {
    controller: CallController,
    admission: Admission,
    record: CallRecorder,
    carrier: &'static str,
}

impl CallController {
    /// Opens the record of an admitted call that is sent on. `recorded` tells whether its leg
    /// writes a recording.
    pub async fn open_sent_on(
        &self,
        admission: Admission,
        call: SentOnCall,
        recorded: bool,
    ) -> OpenSentOn {
        let id = admission.id();
        let new = NewCall {
            id,
            agent_id: call.endpoint.to_string(),
            organisation: call.organisation,
            direction: Direction::Inbound,
            carrier: call.carrier,
            carrier_call_id: call.carrier_call_id,
            caller: call.caller,
            called: Some(call.called),
            codec: call.codec,
            recording: recorded.then(|| super::controller::recording_file(id)),
            variables: BTreeMap::new(),
            batch_id: None,
        };
        self.begin(new).await;
        OpenSentOn {
            record: self.recorder(&admission),
            controller: self.clone(),
            admission,
            carrier: call.carrier,
        }
    }
}

impl OpenSentOn {
    /// Orders to end the call, once.
    pub fn take_orders(&mut self) -> Option<mpsc::Receiver<CallOrder>> {
        self.admission.take_orders()
    }

    /// Notes the answer.
    pub async fn answered(&self) {
        self.controller.note_answered(self.id()).await;
    }

    /// Notes how far the call to the endpoint at `uri` has come: `calling`, `ringing`, `answered`.
    pub async fn note(&mut self, state: &str, uri: &str) {
        let data: Value = json!({ "type": "sent_on", "state": state, "uri": uri });
        self.record.note(data).await;
    }

    /// Closes the record once the caller's leg and its recording are finished; frees the place.
    pub async fn finish(self, outcome: CallOutcome, leg: Option<LegControl>) {
        let id = self.id();
        self.controller
            .close(id, self.carrier, outcome, leg, None, None)
            .await;
    }

    /// The call's id.
    #[must_use]
    pub const fn id(&self) -> CallId {
        self.admission.id()
    }
}
