//! An INVITE becomes a call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::leg_queue::MediaLeg;
use media::net::control::LegControl;
use media::net::ports::RtpPorts;
use media::protocol::MediaLimits;
use media::protocol::rtp::RtpLegConfig;
use sip::event::SessionEnd;
use sip::identity;
use sip::message::{Header, HeaderName, StatusCode, Uri};
use sip::net::{Dialog, DialogEvent, IncomingCall};
use sip::sdp::{
    LocalMedia, NegotiatedAudio, NegotiationError, SessionDescription, accept_answer, negotiate,
    offer,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::dialog::SipLine;
use super::media::{local_media, rtp_media};
use super::transfer::SipActions;
use super::trunks::{Origin, Turned};
use super::variables::variables;
use crate::agents::Agent;
use crate::calls::admission::Refusal;
use crate::calls::controller::{CallOrigin, OpenCall};
use crate::calls::outcome::{CallOutcome, SetupEnd};
use crate::calls::registry::Admission;
use crate::numbers::routing::sent_on_to;
use crate::services::Services;
use crate::telemetry::metrics as meters;
use crate::telemetry::tracing::Redacted;

/// Name of the carrier in records and metrics.
const CARRIER: &str = "sip";
/// Tells the caller the id under which the call is kept.
const CALL_ID_HEADER: &str = "X-Samvad-Call-Id";
/// Seconds after which a refused trunk may try again.
const RETRY_AFTER: &str = "5";
/// How long the answer to our offer is waited for (RFC 3261 timer H is the endpoint's own limit).
const ANSWER_MAX: Duration = Duration::from_secs(35);

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
    let prepared = prepare(&services, &call, &called, &origin).await;
    let (agent, admission, ports, local, negotiated) = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => {
            if refusal == Refusal::UnknownAgent
                && let Ok(Some(uri)) = sent_on_to(&services.store, &called).await
            {
                return redirect(call, &uri).await;
            }
            return refuse(&services, call, refusal, &called).await;
        }
    };
    let id = admission.id();
    let inbound = InboundCall {
        services: Arc::clone(&services),
        call,
        called,
        origin,
        agent,
        admission,
        ports,
        local,
        negotiated,
    };
    services.controller.supervise(id, CARRIER, inbound.run());
}

type Prepared = (
    Arc<Agent>,
    Admission,
    RtpPorts,
    LocalMedia,
    Option<(SessionDescription, NegotiatedAudio)>,
);

/// Everything that can refuse a call, before anything is promised.
async fn prepare(
    services: &Services,
    call: &IncomingCall,
    called: &str,
    origin: &Origin,
) -> Result<Prepared, Refusal> {
    let settings = match origin {
        Origin::Trunk { trunk, .. } => Some(trunk.settings()),
        Origin::User(_) | Origin::Stranger => None,
    };
    let default_agent = settings.and_then(|settings| settings.agent.as_deref());
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
    // A number nobody mapped goes to the trunk's own agent.
    let answering = match services.controller.find(called).await {
        Err(Refusal::UnknownAgent) => default_agent.unwrap_or(called),
        _ => called,
    };
    let (agent, admission) = services.controller.admit(answering, CARRIER).await?;
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
    Ok((agent, admission, ports, local, negotiated))
}

/// Tells the caller's side to call `uri` instead (RFC 3261 §21.3.3).
async fn redirect(call: IncomingCall, uri: &str) {
    tracing::info!(source = %call.source(), "call sent on to an endpoint");
    let contact = Header::new(HeaderName::Contact, format!("<{uri}>"));
    let moved = call.reject(StatusCode::MOVED_TEMPORARILY, None, vec![contact]);
    if let Err(error) = moved.await {
        tracing::debug!(%error, "redirection was not sent");
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
    ports: RtpPorts,
    local: LocalMedia,
    /// Our answer and what it means; `None` when the INVITE had no offer.
    negotiated: Option<(SessionDescription, NegotiatedAudio)>,
}

/// An answered call: its dialog and its leg.
struct Answered {
    dialog: Dialog,
    leg: MediaLeg,
    control: LegControl,
    /// Whether key presses come as telephone events, so that those of INFO are copies.
    events_agreed: bool,
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
            ports,
            local,
            negotiated,
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
        let caller = match &whose {
            Origin::User(user) => Some(user.clone()),
            Origin::Trunk { .. } | Origin::Stranger => identity.user,
        };
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

pub(super) struct LegSetup<'a> {
    pub(super) services: &'a Services,
    pub(super) ports: RtpPorts,
    pub(super) limits: MediaLimits,
    pub(super) recording: Option<std::path::PathBuf>,
    pub(super) cname: String,
}

impl LegSetup<'_> {
    pub(super) fn open(self, audio: &NegotiatedAudio) -> Result<(MediaLeg, LegControl), SetupEnd> {
        let mut config = RtpLegConfig::new(rtp_media(audio), self.cname, rand::random());
        config.limits = self.limits;
        config.recording = self.recording;
        config.echo_control = self.services.config.media.echo_control;
        self.services
            .engine
            .open_rtp_leg(self.ports, config)
            .map_err(|error| {
                tracing::warn!(%error, "no media leg for a call");
                SetupEnd::MediaUnavailable
            })
    }
}

/// Answers an INVITE that had an offer. The leg is open before the 200 leaves, so that the
/// caller's first packets find it.
async fn answer(
    call: IncomingCall,
    setup: LegSetup<'_>,
    (sdp, audio): (SessionDescription, NegotiatedAudio),
    header: Header,
) -> Result<Answered, SetupEnd> {
    let (leg, control) = match setup.open(&audio) {
        Ok(opened) => opened,
        Err(end) => {
            // Whether or not it arrives, the call is over.
            let _ = call
                .reject(StatusCode::SERVICE_UNAVAILABLE, None, Vec::new())
                .await;
            return Err(end);
        }
    };
    let answered = async {
        call.ring().await?;
        call.answer(sdp, vec![header]).await
    };
    match answered.await {
        Ok(dialog) => Ok(Answered {
            dialog,
            leg,
            control,
            events_agreed: !audio.telephone_event_receive.is_empty(),
        }),
        Err(error) => {
            tracing::info!(%error, "caller gave up before the answer");
            control.close();
            Err(SetupEnd::CallerCancelled)
        }
    }
}

/// Answers an INVITE without an offer: our 200 makes it, the ACK brings the answer.
async fn answer_with_offer(
    call: IncomingCall,
    setup: LegSetup<'_>,
    local: &LocalMedia,
    header: Header,
) -> Result<Answered, SetupEnd> {
    let ours = offer(local);
    let answered = async {
        call.ring().await?;
        call.answer(ours.clone(), vec![header]).await
    };
    let mut dialog = answered.await.map_err(|error| {
        tracing::info!(%error, "caller gave up before the answer");
        SetupEnd::CallerCancelled
    })?;
    let confirmed = async {
        loop {
            match dialog.next_event().await {
                DialogEvent::Confirmed { sdp } => return sdp,
                DialogEvent::Ended(_) => return None,
                _ => {}
            }
        }
    };
    let theirs = timeout(ANSWER_MAX, confirmed).await.ok().flatten();
    let theirs = theirs.ok_or(SetupEnd::AnswerNotAcknowledged)?;
    // Dropping the dialog hangs up when the answer is of no use.
    let audio = accept_answer(&ours, &theirs).map_err(|error| {
        tracing::info!(%error, "answer to our offer is not usable");
        SetupEnd::MediaUnavailable
    })?;
    let (leg, control) = setup.open(&audio)?;
    Ok(Answered {
        dialog,
        leg,
        control,
        events_agreed: !audio.telephone_event_receive.is_empty(),
    })
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
