//! An INVITE becomes a call.

use std::sync::Arc;
use std::time::Instant;

use media::leg_queue::MediaLeg;
use media::net::ports::RtpPorts;
use media::protocol::MediaLimits;
use sip::event::SessionEnd;
use sip::identity;
use sip::message::{Header, HeaderName, StatusCode, Uri};
use sip::net::IncomingCall;
use sip::sdp::{LocalMedia, NegotiatedAudio, NegotiationError, SessionDescription, negotiate};
use tokio::sync::mpsc;

use super::answer::{Answered, LegSetup, answer, answer_with_offer};
use super::bridge::{Bridge, Callee};
use super::dialog::SipLine;
use super::media::local_media;
use super::transfer::SipActions;
use super::trunks::{API_PREFIX, Origin, Trunk, Turned};
use super::variables::variables;
use crate::agents::Agent;
use crate::calls::admission::Refusal;
use crate::calls::controller::{CallOrigin, OpenCall};
use crate::calls::outcome::{CallOutcome, SetupEnd};
use crate::calls::registry::Admission;
use crate::numbers::routing::{CallFacts, Destination, OutsideLine, Rejection, outside_line};
use crate::services::Services;
use crate::telemetry::metrics as meters;
use crate::telemetry::tracing::Redacted;

/// Name of the carrier in records and metrics.
pub(super) const CARRIER: &str = "sip";
/// Tells the caller the id under which the call is kept.
pub(super) const CALL_ID_HEADER: &str = "X-Samvad-Call-Id";
/// Seconds after which a refused trunk may try again.
const RETRY_AFTER: &str = "5";

/// Takes calls until the user agent stops.
pub async fn accept_calls(services: Arc<Services>, mut incoming: mpsc::Receiver<IncomingCall>) {
    while let Some(call) = incoming.recv().await {
        // Each in its own task: refusing one must not hold up the next.
        tokio::spawn(take(Arc::clone(&services), call));
    }
}

async fn take(services: Arc<Services>, call: IncomingCall) {
    let rule = identity::CalledRule::RequestUri;
    let request = call.request();
    let called = identity::called(call.uri(), &request.headers, call.essentials(), rule);
    let called = called.unwrap_or_default();
    let origin = match services.sip_trunks.match_call(now(), &call) {
        Ok(origin) => origin,
        Err(Turned::Challenge) => {
            if let Err(error) = call.challenge().await {
                tracing::debug!(%error, "caller was not challenged");
            }
            return;
        }
        Err(turned) => {
            let refusal = match turned {
                Turned::TrunkRate => Refusal::TrunkRate,
                Turned::TrunkFull | Turned::Challenge => Refusal::TrunkFull,
            };
            meters::call_refused(CARRIER, refusal);
            return refuse(&services, call, refusal, &called).await;
        }
    };
    let found = services.controller.find(&called).await;
    if matches!(found, Err(Refusal::UnknownAgent)) {
        match outside_line(&services.store, &called).await {
            Ok(Some(outside)) => return send_on(services, call, called, origin, outside).await,
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "who answers a call cannot be read"),
        }
    }
    // A number nobody mapped goes to the trunk's own agent.
    let answering = match (&found, &origin) {
        (Err(Refusal::UnknownAgent), Origin::Trunk { trunk, .. }) => trunk.settings().agent.clone(),
        _ => None,
    };
    let answering = answering.unwrap_or_else(|| called.clone());
    serve(services, call, called, &answering, origin).await;
}

/// Has `answering` talk to the caller.
async fn serve(
    services: Arc<Services>,
    call: IncomingCall,
    called: String,
    answering: &str,
    origin: Origin,
) {
    let admitted = services.controller.admit(answering, CARRIER).await;
    let prepared = admitted.and_then(|(agent, admission)| {
        let media = offered_media(&services, &call, &origin)?;
        Ok((agent, admission, media))
    });
    let (agent, admission, media) = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => return refuse(&services, call, refusal, &called).await,
    };
    let id = admission.id();
    let inbound = InboundCall {
        services: Arc::clone(&services),
        call,
        called,
        origin,
        agent,
        admission,
        media,
    };
    services.controller.supervise(id, CARRIER, inbound.run());
}

/// Puts the call through to where the line's endpoint is, or its webhook says.
async fn send_on(
    services: Arc<Services>,
    mut call: IncomingCall,
    called: String,
    origin: Origin,
    outside: OutsideLine,
) {
    let caller = caller_of(&call, &origin);
    let sip_call_id = call.call_id().to_owned();
    let facts = CallFacts {
        carrier: CARRIER,
        carrier_call_id: Some(&sip_call_id),
        caller: caller.as_deref(),
    };
    let storage = (&services.store, &services.identity.vault);
    let destination = tokio::select! {
        destination = outside.destination(storage, &services.endpoint_client, facts) => destination,
        _ = call.cancelled() => return tracing::info!("caller gave up before it was put through"),
    };
    let callee = match destination {
        Destination::Agent(agent) => {
            return serve(services, call, called, &agent.to_string(), origin).await;
        }
        Destination::Sip(address) => Ok(Callee::Address(address)),
        Destination::Number(number) => match trunk_out(&services, &outside, &origin) {
            Some(trunk) => Ok(Callee::Number {
                number,
                trunk: Box::new(trunk),
            }),
            None => {
                tracing::warn!(line = %outside.line.id, "no trunk takes calls of the line out");
                Err(Rejection::Unavailable)
            }
        },
        Destination::Reject(rejection) => Err(rejection),
    };
    let callee = match callee {
        Ok(callee) => callee,
        Err(rejection) => {
            tracing::info!(?rejection, "call is not put through");
            let status = StatusCode::new(rejection.sip_status());
            let status = status.unwrap_or(StatusCode::TEMPORARILY_UNAVAILABLE);
            return reject(call, status, Vec::new()).await;
        }
    };
    let admitted = services.registry.admit().inspect_err(|refusal| {
        meters::call_refused(CARRIER, *refusal);
    });
    let prepared =
        admitted.and_then(|admission| Ok((admission, offered_media(&services, &call, &origin)?)));
    let (admission, media) = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => return refuse(&services, call, refusal, &called).await,
    };
    let id = admission.id();
    let bridge = Bridge {
        services: Arc::clone(&services),
        call,
        origin,
        outside,
        caller,
        callee,
        admission,
        media,
    };
    services.controller.supervise(id, CARRIER, bridge.run());
}

/// The trunk that takes calls for a line out: its own, else the one the call came by.
fn trunk_out(services: &Services, outside: &OutsideLine, origin: &Origin) -> Option<Trunk> {
    let own = outside.line.trunk;
    let own = own.and_then(|id| services.sip_trunks.find(&format!("{API_PREFIX}{id}")));
    let came_by = match origin {
        Origin::Trunk { trunk, .. } => Some(trunk.clone()),
        Origin::User(_) | Origin::Stranger => None,
    };
    own.or(came_by)
        .filter(|trunk| !trunk.settings().uris.is_empty())
}

/// Our side of the stream to the caller.
pub(super) struct OfferedMedia {
    pub(super) ports: RtpPorts,
    pub(super) local: LocalMedia,
    /// Our answer and what it means; `None` when the INVITE had no offer.
    pub(super) negotiated: Option<(SessionDescription, NegotiatedAudio)>,
}

/// Ports, and the answer to the caller's offer; everything else that can refuse a call before
/// anything is promised.
fn offered_media(
    services: &Services,
    call: &IncomingCall,
    origin: &Origin,
) -> Result<OfferedMedia, Refusal> {
    let settings = match origin {
        Origin::Trunk { trunk, .. } => Some(trunk.settings()),
        Origin::User(_) | Origin::Stranger => None,
    };
    let codecs = settings.map_or(&[][..], |settings| settings.codecs.as_slice());
    let srtp = settings
        .and_then(|settings| settings.srtp)
        .unwrap_or(services.config.sip.srtp);
    let codecs = if codecs.is_empty() {
        &services.config.sip.codecs
    } else {
        codecs
    };
    let refused = |refusal| {
        meters::call_refused(CARRIER, refusal);
        refusal
    };
    let bind = services.config.media.rtp_bind;
    let ports = services.engine.reserve_rtp(bind).map_err(|error| {
        tracing::warn!(%error, "no rtp ports for a call");
        refused(Refusal::NoMedia)
    })?;
    let local = local_media(
        &services.config,
        codecs,
        srtp,
        &ports,
        call.source().address,
    );
    let negotiated = call
        .offer()
        .map(|offer| negotiate(offer, &local))
        .transpose()
        .map_err(|error: NegotiationError| {
            tracing::info!(%error, "offer refused");
            refused(Refusal::NoCodec)
        })?;
    Ok(OfferedMedia {
        ports,
        local,
        negotiated,
    })
}

/// Who calls, as far as it can be believed.
fn caller_of(call: &IncomingCall, origin: &Origin) -> Option<String> {
    match origin {
        Origin::User(user) => Some(user.clone()),
        Origin::Trunk { trunk, .. } => {
            let trusted = trunk.settings().trust_identity;
            identity::caller(&call.request().headers, call.from(), trusted).user
        }
        Origin::Stranger => identity::caller(&call.request().headers, call.from(), false).user,
    }
}

async fn refuse(services: &Services, call: IncomingCall, refusal: Refusal, called: &str) {
    let called = Redacted {
        text: called,
        show: services.config.log.personal_data,
    };
    tracing::info!(reason = refusal.name(), %called, source = %call.source(), "call refused");
    let status = StatusCode::new(refusal.sip_status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let headers = if refusal.sip_status() == 503 {
        vec![Header::new(HeaderName::RetryAfter, RETRY_AFTER)]
    } else {
        Vec::new()
    };
    reject(call, status, headers).await;
}

async fn reject(call: IncomingCall, status: StatusCode, headers: Vec<Header>) {
    if let Err(error) = call.reject(status, None, headers).await {
        tracing::debug!(%error, "refusal was not sent");
    }
}

struct InboundCall {
    services: Arc<Services>,
    call: IncomingCall,
    called: String,
    /// Holds the trunk's place for the call.
    origin: Origin,
    agent: Arc<Agent>,
    admission: Admission,
    media: OfferedMedia,
}

impl InboundCall {
    async fn run(self) {
        let Self {
            services,
            call,
            called,
            origin: whose,
            agent,
            admission,
            media:
                OfferedMedia {
                    ports,
                    local,
                    negotiated,
                },
        } = self;
        let id = admission.id();
        let recording = services.controller.recording_path(id);
        let codec = negotiated
            .as_ref()
            .map(|(_, audio)| audio.codec.name().to_owned());
        let (trunk, trusted) = match &whose {
            Origin::Trunk { trunk, .. } => (Some(trunk.name()), trunk.settings().trust_identity),
            Origin::User(_) | Origin::Stranger => (None, false),
        };
        let identity = identity::caller(&call.request().headers, call.from(), trusted);
        let mut variables = variables(&call.request().headers, &identity);
        if let Some(trunk) = trunk {
            variables.insert("sip_trunk".to_owned(), trunk.to_owned());
        }
        let caller = caller_of(&call, &whose);
        let domain = transfer_domain(&call);
        let origin = CallOrigin {
            agent,
            carrier: CARRIER,
            carrier_call_id: Some(call.call_id().to_owned()),
            caller,
            called: Some(called),
            codec,
            variables,
        };
        let limits = MediaLimits {
            stopped: services.config.media.silence_timeout,
            ..MediaLimits::default()
        };
        let setup = LegSetup {
            services: &services,
            ports,
            limits,
            recording,
            cname: id.to_string(),
            relay: None,
        };
        let mut open = services
            .controller
            .open(admission, origin, setup.recording.is_some())
            .await;
        let header = Header::new(HeaderName::new(CALL_ID_HEADER), id.to_string());
        let answered = match negotiated {
            Some(negotiated) => answer(call, setup, negotiated, header).await,
            None => answer_with_offer(call, setup, &local, header).await,
        };
        let Answered {
            dialog,
            leg,
            control,
            events_agreed,
        } = match answered {
            Ok(answered) => answered,
            Err(end) => return open.finish(end.into(), None).await,
        };
        open.answered().await;
        tracing::info!("call answered");
        let (actions, transfers) = SipActions::new(domain, open.agent().transfer_targets.clone());
        let line = SipLine::new(
            dialog,
            local,
            control.clone(),
            open.orders(),
            transfers,
            events_agreed,
        );
        let outcome = converse(&mut open, line, leg, actions).await;
        open.finish(outcome, Some(control)).await;
    }
}

pub(super) async fn converse(
    call: &mut OpenCall,
    mut line: SipLine,
    leg: MediaLeg,
    actions: SipActions,
) -> CallOutcome {
    let reason = {
        let conversation = call.converse(leg, Arc::new(actions));
        tokio::pin!(conversation);
        tokio::select! {
            reason = &mut conversation => reason,
            () = line.run() => conversation.await,
        }
    };
    match line.hang_up(reason).await {
        Some(SessionEnd::AckTimeout) => SetupEnd::AnswerNotAcknowledged.into(),
        _ => reason.into(),
    }
}

/// Where numbers are dialled when the caller is handed over: the host of the caller's address,
/// which is the trunk or the PBX.
fn transfer_domain(call: &IncomingCall) -> String {
    match &call.from().uri {
        Uri::Sip(uri) => match uri.port {
            Some(port) => format!("{}:{port}", uri.host),
            None => uri.host.to_string(),
        },
        Uri::Other(_) => call.source().address.to_string(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "driver: rates of trunks are of real time"
)]
fn now() -> Instant {
    Instant::now()
}
