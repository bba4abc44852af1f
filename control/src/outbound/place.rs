//! Places a call: record first, then the carrier, then the conversation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::budget::Payer;
use super::line::{self, Carrier};
use super::outcome::{DialDetail, DialEnd};
use crate::agents::Agent;
use crate::calls::controller::{CallOrigin, Way};
use crate::calls::id::CallId;
use crate::calls::record::Direction;
use crate::numbers::lines::Line;
use crate::services::Services;
use crate::sip_line::outbound;
use crate::telemetry::metrics as meters;

/// A call to place.
#[derive(Clone, Debug)]
pub struct PlaceCall {
    /// Its id, which is its SIP Call-ID as well: whoever asks what became of it asks by this.
    pub id: CallId,
    /// Who speaks.
    pub agent: Arc<Agent>,
    /// The line it goes out by.
    pub line: Line,
    /// Whom it is to reach, E.164 with its plus sign.
    pub to: String,
    /// What the conversation gets to know.
    pub variables: BTreeMap<String, String>,
    /// The batch it is of.
    pub batch_id: Option<uuid::Uuid>,
    /// Who pays.
    pub payer: Payer,
    /// How long it may ring.
    pub ring_max: Duration,
}

/// A call on its way.
#[derive(Debug)]
pub struct Placed {
    /// Its id.
    pub id: CallId,
    /// How it was taken, once it is over. The sender goes away without a word only if the task of
    /// the call panics.
    pub ended: oneshot::Receiver<DialEnd>,
    /// Why nothing left, if so: the record says so too.
    pub refused: Option<(DialDetail, String)>,
}

/// Opens the record and has the carrier dial. Returns as soon as the call is on its way, or it is
/// clear that it will not leave; either way there is a record that ends.
pub async fn place(services: &Arc<Services>, call: PlaceCall) -> Placed {
    let id = call.id;
    let (sender, ended) = oneshot::channel();
    let refused = match begin(services, call, sender).await {
        Ok(()) => None,
        Err((detail, message)) => {
            tracing::info!(call_id = %id, detail = detail.name(), message, "call was not placed");
            Some((detail, message))
        }
    };
    Placed { id, ended, refused }
}

async fn begin(
    services: &Arc<Services>,
    call: PlaceCall,
    sender: oneshot::Sender<DialEnd>,
) -> Result<(), (DialDetail, String)> {
    let id = call.id;
    let controller = &services.controller;
    let carrier = line::carrier(services, &call.line);
    let carrier_name = carrier.as_ref().map_or("sip", Carrier::name);
    let admission = services.registry.admit_as(id).map_err(|refusal| {
        meters::call_refused(carrier_name, refusal);
        let failed = DialDetail::NoCapacity;
        (failed, refusal.to_string())
    });
    let admission = match admission {
        Ok(admission) => admission,
        Err(refused) => {
            let _ = sender.send(DialEnd::failed(refused.0));
            return Err(refused);
        }
    };
    let user = call.payer.user;
    let account = controller.account(id, &call.agent, carrier_name, user);
    // Without credit there is a record too, of a call that did not leave.
    let (admission, credit) = match account.await {
        Ok(account) => (admission.on_account(account), Ok(())),
        Err(refusal) => (admission, Err(refusal)),
    };
    let origin = CallOrigin {
        agent: call.agent,
        carrier: carrier_name,
        carrier_call_id: Some(id.to_string()),
        caller: Some(call.line.number.clone()),
        called: Some(call.to.clone()),
        codec: None,
        variables: call.variables,
    };
    let recorded = controller.recording_path(id).is_some();
    let way = Way {
        direction: Direction::Outbound,
        batch_id: call.batch_id,
    };
    let open = controller.open_as(admission, origin, recorded, way).await;
    let prepared = async {
        let carrier = carrier?;
        credit.map_err(|refusal| (DialDetail::NoCredit, refusal.to_string()))?;
        let Carrier::Sip(trunk) = carrier;
        let caller = Some(call.line.number.as_str());
        outbound::ready(services, &trunk, &call.to, caller, &id.to_string()).await
    };
    match prepared.await {
        Ok(ready) => {
            let services = Arc::clone(services);
            let ring_max = call.ring_max;
            let dialling = async move {
                let end = outbound::run(services, ready, open, ring_max).await;
                // Nobody may be waiting.
                let _ = sender.send(end);
            };
            controller.supervise(id, carrier_name, dialling);
            Ok(())
        }
        Err(refused) => {
            let end = DialEnd::failed(refused.0);
            open.dialled(end).await;
            open.finish(end.into(), None).await;
            let _ = sender.send(end);
            Err(refused)
        }
    }
}
