//! A call out over a SIP trunk: from the prepared INVITE to the end of the conversation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::net::ports::RtpPorts;
use media::protocol::MediaLimits;
use sip::event::SessionEnd;
use sip::message::{Header, HeaderName, StatusCode, Uri};
use sip::net::{Dialog, OutgoingCall, OutgoingEvent, Resolver};
use sip::sdp::{LocalMedia, SessionDescription, accept_answer, offer};
use sip::transport::Transport;
use tokio::time::{sleep_until, timeout};

use super::answer::LegSetup;
use super::dialog::SipLine;
use super::inbound::converse;
use super::media::local_media;
use super::transfer::SipActions;
use super::trunks::{OutboundCall, OutboundRefusal, Trunk};
use crate::calls::controller::OpenCall;
use crate::calls::outcome::{CallOutcome, SetupEnd};
use crate::outbound::outcome::{DialDetail, DialEnd, DialOutcome};
use crate::services::Services;

/// Tells the other side the id under which the call is kept.
const CALL_ID_HEADER: &str = "X-Samvad-Call-Id";
/// How long the peer's answer to our CANCEL is waited for: RFC 3261 §9.1 gives it 64*T1.
const CANCEL_MAX: Duration = Duration::from_secs(35);
/// Longest pause a carrier may ask for.
const REST_MAX_S: u32 = 300;

/// A call ready to leave: the trunk's place and the ports are its own.
#[derive(Debug)]
pub struct ReadyCall {
    outbound: OutboundCall,
    ports: RtpPorts,
    local: LocalMedia,
    offer: SessionDescription,
}

/// Takes a place of `trunk` and media ports for a call to `number`. Nothing is sent.
///
/// # Errors
/// Why the line does not take the call, and what that is called in records.
pub async fn ready(
    services: &Services,
    trunk: &Trunk,
    number: &str,
    caller: Option<&str>,
    call_id: &str,
) -> Result<ReadyCall, (DialDetail, String)> {
    let resolver = services.resolver.get().ok_or((
        DialDetail::LineUnavailable,
        "SIP is switched off; see `sip.enabled`".to_owned(),
    ))?;
    let prepared = trunk.prepare(now(), resolver, number, caller).await;
    let mut outbound = prepared.map_err(|refusal| (detail_of(&refusal), refusal.to_string()))?;
    let bind = services.config.media.rtp_bind;
    let ports = services.engine.reserve_rtp(bind).map_err(|error| {
        tracing::warn!(%error, "no rtp ports for a call");
        (DialDetail::NoCapacity, "no media ports are free".to_owned())
    })?;
    let settings = trunk.settings();
    let codecs = if settings.codecs.is_empty() {
        &services.config.sip.codecs
    } else {
        &settings.codecs
    };
    let srtp = settings.srtp.unwrap_or(services.config.sip.srtp);
    let peer = outbound.invite.destination.address;
    let local = local_media(&services.config, codecs, srtp, &ports, peer);
    let offer = offer(&local);
    let invite = &mut outbound.invite;
    invite.offer = Some(offer.clone());
    invite.call_id = Some(call_id.to_owned());
    invite
        .headers
        .push(Header::new(HeaderName::new(CALL_ID_HEADER), call_id));
    Ok(ReadyCall {
        outbound,
        ports,
        local,
        offer,
    })
}

/// What a refusal before the INVITE is called in records.
fn detail_of(refusal: &OutboundRefusal) -> DialDetail {
    match refusal {
        OutboundRefusal::NotANumber(_) => DialDetail::InvalidNumber,
        OutboundRefusal::NotAllowed(_) | OutboundRefusal::NoDestination(_) => {
            DialDetail::CarrierRefused
        }
        _ => DialDetail::LineUnavailable,
    }
}

/// Places the call, holds the conversation if it is answered, and closes its record. Returns how
/// the call was taken, once it is over.
pub async fn run(
    services: Arc<Services>,
    ready: ReadyCall,
    mut call: OpenCall,
    ring_max: Duration,
) -> DialEnd {
    let ReadyCall {
        outbound,
        ports,
        local,
        offer,
    } = ready;
    let trunk = outbound.trunk.clone();
    // Held until the call is over.
    let _place = outbound.place;
    let domain = transfer_domain(&outbound.invite.target);
    let dialled = match services.sip.get() {
        Some(agent) => {
            for target in &outbound.targets {
                if let Some(name) = &target.name {
                    // A stopped user agent fails the INVITE below.
                    let _ = agent.expect_name(target.hop.address, name.clone()).await;
                }
            }
            match agent.invite(outbound.invite).await {
                Ok(attempt) => dial(&mut call, attempt, ring_max).await,
                Err(error) => {
                    tracing::warn!(%error, "invite was not sent");
                    Err(DialEnd::failed(DialDetail::NoCapacity))
                }
            }
        }
        None => Err(DialEnd::failed(DialDetail::LineUnavailable)),
    };
    let (dialog, answer) = match dialled {
        Ok(answered) => answered,
        Err(end) => {
            if let Some(seconds) = end.retry_after_s.filter(|_| end.sip_status == Some(503)) {
                trunk.rest(now(), Duration::from_secs(seconds.min(REST_MAX_S).into()));
            }
            call.dialled(end).await;
            call.finish(end.into(), None).await;
            return end;
        }
    };
    let id = call.id();
    let setup = LegSetup {
        services: &services,
        ports,
        limits: MediaLimits {
            stopped: services.config.media.silence_timeout,
            ..MediaLimits::default()
        },
        recording: services.controller.recording_path(id),
        cname: id.to_string(),
        relay: None,
    };
    let media = answer
        .and_then(|answer| accept_answer(&offer, &answer).ok())
        .and_then(|audio| {
            let events_agreed = !audio.telephone_event_receive.is_empty();
            setup.open(&audio).ok().map(|leg| (leg, events_agreed))
        });
    let Some(((leg, control), events_agreed)) = media else {
        tracing::info!("answer to our offer is not usable");
        let _ = dialog.bye(None).await;
        let end = DialEnd {
            sip_status: Some(200),
            ..DialEnd::failed(DialDetail::Media)
        };
        call.dialled(end).await;
        call.finish(SetupEnd::MediaUnavailable.into(), None).await;
        return end;
    };
    let end = DialEnd {
        sip_status: Some(200),
        ..DialEnd::ANSWERED
    };
    call.dialled(end).await;
    call.answered().await;
    tracing::info!("call answered");
    let (actions, transfers) = SipActions::new(domain, call.agent().transfer_targets.clone());
    let line = SipLine::new(
        dialog,
        local,
        control.clone(),
        call.orders(),
        transfers,
        events_agreed,
    );
    let outcome: CallOutcome = converse(&mut call, line, leg, actions).await;
    call.finish(outcome, Some(control)).await;
    end
}

/// Waits for the answer no longer than `ring_max`, and no longer than nobody orders the end.
async fn dial(
    call: &mut OpenCall,
    mut attempt: OutgoingCall,
    ring_max: Duration,
) -> Result<(Dialog, Option<SessionDescription>), DialEnd> {
    let deadline = tokio::time::Instant::now() + ring_max;
    let mut rang = false;
    loop {
        let event = tokio::select! {
            event = attempt.next_event() => event,
            () = sleep_until(deadline) => {
                // Q.850 19: no answer from the user, although it was alerted.
                let reason = "Q.850;cause=19;text=\"no answer\"";
                let rang_long = give_up(attempt, reason).await;
                let outcome = if rang || rang_long {
                    DialEnd::of(DialOutcome::NoAnswer, None)
                } else {
                    DialEnd::failed(DialDetail::CarrierSilent)
                };
                return Err(outcome);
            }
            _ = call.ordered_to_end() => {
                give_up(attempt, "SIP;cause=487;text=\"given up\"").await;
                return Err(DialEnd::of(DialOutcome::Cancelled, None));
            }
        };
        match event {
            Some(OutgoingEvent::Provisional { status, .. }) => {
                rang |= status != StatusCode::TRYING;
            }
            Some(OutgoingEvent::Answered { sdp, dialog, .. }) => return Ok((dialog, sdp)),
            Some(OutgoingEvent::Failed(end)) => return Err(DialEnd::of_session(&end, rang)),
            // We always make the offer.
            Some(_) => {}
            None => return Err(DialEnd::failed(DialDetail::CarrierError)),
        }
    }
}

/// Cancels and waits until the peer has taken that; an answer that crosses is hung up by the
/// endpoint. Returns whether the peer gave a sign of life.
async fn give_up(mut attempt: OutgoingCall, reason: &str) -> bool {
    let _ = attempt.cancel(Some(reason.to_owned())).await;
    let over = async {
        let mut alive = false;
        loop {
            match attempt.next_event().await {
                // Without a response there was nothing to cancel.
                Some(OutgoingEvent::Failed(SessionEnd::Refused { .. })) => return true,
                Some(OutgoingEvent::Failed(_)) | None => return alive,
                Some(OutgoingEvent::Answered { dialog, .. }) => {
                    let _ = dialog.bye(None).await;
                    return true;
                }
                Some(_) => alive = true,
            }
        }
    };
    timeout(CANCEL_MAX, over).await.unwrap_or(false)
}

/// Where numbers are dialled when the called party is handed over: the trunk.
fn transfer_domain(target: &Uri) -> String {
    match target {
        Uri::Sip(uri) => match uri.port {
            Some(port) => format!("{}:{port}", uri.host),
            None => uri.host.to_string(),
        },
        Uri::Other(_) => String::new(),
    }
}

/// The resolver that calls out use.
///
/// # Errors
/// When the system's settings cannot be read.
pub fn resolver() -> std::io::Result<Resolver> {
    let transports = vec![Transport::Udp, Transport::Tcp, Transport::Tls];
    Resolver::from_system(transports).map_err(std::io::Error::other)
}

#[expect(
    clippy::disallowed_methods,
    reason = "driver: rates of trunks are of real time"
)]
fn now() -> Instant {
    Instant::now()
}
