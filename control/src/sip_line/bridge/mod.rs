//! A call for an endpoint outside: a second call goes out to it, and the two are joined.
//!
//! We are a user agent to both (a B2BUA, RFC 7092): each has a dialog and a leg of its own, so
//! that codecs, encryption, holding and re-INVITEs of one are no business of the other.
//!
//! `callee.rs` prepares the second call and places it, `talk.rs` watches over both until one
//! ends, `failure.rs` says what a failure of the second means for the first.

mod callee;
mod failure;
mod talk;

use std::sync::Arc;

use media::net::ports::RtpPorts;
use media::protocol::MediaLimits;
use media::relay::relay;
use pipeline::call::{CallOrder, EndReason};
use sip::message::{Header, HeaderName, StatusCode};
use sip::net::{Dialog, IncomingCall};
use sip::sdp::{LocalMedia, NegotiatedAudio, SessionDescription, accept_answer};
use tokio::sync::mpsc;

pub(super) use self::callee::Callee;
use self::failure::Failure;
use self::talk::{Party, talk};
use super::answer::{Answered, LegSetup, answer, answer_with_offer};
use super::inbound::{CALL_ID_HEADER, CARRIER, OfferedMedia};
use super::renegotiation::Renegotiation;
use super::trunks::{Origin, Place};
use crate::calls::outcome::{CallOutcome, SetupEnd};
use crate::calls::registry::Admission;
use crate::calls::sent_on::{OpenSentOn, SentOnCall};
use crate::numbers::routing::OutsideLine;
use crate::services::Services;

/// A call that came in and is admitted, and whom it is put through to.
pub(super) struct Bridge {
    pub(super) services: Arc<Services>,
    pub(super) call: IncomingCall,
    /// Holds the trunk's place for the call.
    pub(super) origin: Origin,
    pub(super) outside: OutsideLine,
    pub(super) caller: Option<String>,
    pub(super) callee: Callee,
    pub(super) admission: Admission,
    pub(super) media: OfferedMedia,
}

/// The callee has answered.
struct Reached {
    dialog: Dialog,
    audio: NegotiatedAudio,
    ports: RtpPorts,
    local: LocalMedia,
    place: Option<Place>,
}

impl Bridge {
    pub(super) async fn run(self) {
        let Self {
            services,
            mut call,
            origin: _origin,
            outside,
            caller,
            callee,
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
        let sent_on = SentOnCall {
            endpoint: outside.endpoint.id,
            organisation: outside.endpoint.org,
            carrier: CARRIER,
            carrier_call_id: Some(call.call_id().to_owned()),
            caller: caller.clone(),
            called: outside.line.number.clone(),
            codec: negotiated
                .as_ref()
                .map(|(_, audio)| audio.codec.name().to_owned()),
        };
        let controller = &services.controller;
        let mut open = controller
            .open_sent_on(admission, sent_on, recording.is_some())
            .await;
        let Some(mut orders) = open.take_orders() else {
            return open.finish(EndReason::InternalError.into(), None).await;
        };
        let preferred = negotiated.as_ref().map(|(_, audio)| audio.codec);
        let placing = callee.place(
            &services,
            (caller.as_deref(), preferred),
            &mut call,
            &mut open,
            &mut orders,
        );
        let reached = match placing.await {
            Ok(reached) => reached,
            Err(failure) => {
                let outcome = failure.outcome();
                if let Failure::Unreachable(why) = &failure {
                    tracing::warn!(why, "callee cannot be called");
                }
                refuse(call, &failure).await;
                return open.finish(outcome, None).await;
            }
        };
        // The trunk's place for the callee, until the call is over.
        let _place = reached.place;
        let [towards_caller, towards_callee] = relay();
        let limits = MediaLimits {
            stopped: services.config.media.silence_timeout,
            ..MediaLimits::default()
        };
        let callee_leg = LegSetup {
            services: &services,
            ports: reached.ports,
            limits,
            recording: None,
            cname: format!("{id}-callee"),
            relay: Some(towards_callee),
        };
        let (leg, control) = match callee_leg.open(&reached.audio) {
            Ok(opened) => opened,
            Err(end) => {
                refuse(call, &Failure::Setup(end)).await;
                return open.finish(end.into(), None).await;
            }
        };
        let callee = Party {
            dialog: reached.dialog,
            leg,
            events_agreed: !reached.audio.telephone_event_receive.is_empty(),
            media: Renegotiation::new(reached.local, control),
        };
        let setup = LegSetup {
            services: &services,
            ports,
            limits,
            recording,
            cname: id.to_string(),
            relay: Some(towards_caller),
        };
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
            // Dropping the callee hangs up.
            Err(end) => return open.finish(end.into(), None).await,
        };
        open.answered().await;
        tracing::info!("call put through");
        let caller = Party {
            dialog,
            leg,
            events_agreed,
            media: Renegotiation::new(local, control.clone()),
        };
        let outcome = talk(caller, callee, &mut orders).await;
        open.finish(outcome, Some(control)).await;
    }
}

/// Tells the caller why it was not put through.
async fn refuse(call: IncomingCall, failure: &Failure) {
    let Some((status, reason, headers)) = failure.answer() else {
        // The caller has gone.
        return;
    };
    let status = StatusCode::new(status).unwrap_or(StatusCode::TEMPORARILY_UNAVAILABLE);
    if let Err(error) = call.reject(status, reason, headers).await {
        tracing::debug!(%error, "refusal was not sent");
    }
}

/// Reads the callee's answer to our offer.
fn reached(
    dialog: Dialog,
    (offer, answer): (&SessionDescription, Option<SessionDescription>),
    ports: RtpPorts,
    local: LocalMedia,
    place: Option<Place>,
) -> Result<Reached, Failure> {
    let answer = answer.ok_or(Failure::Setup(SetupEnd::MediaUnavailable))?;
    let audio = accept_answer(offer, &answer).map_err(|error| {
        tracing::info!(%error, "answer of the callee is not usable");
        Failure::Setup(SetupEnd::MediaUnavailable)
    })?;
    Ok(Reached {
        dialog,
        audio,
        ports,
        local,
        place,
    })
}

/// Why an order ends the call.
fn reason(order: Option<CallOrder>) -> EndReason {
    match order {
        Some(CallOrder::HangUp(reason)) => reason,
        Some(_) | None => EndReason::CallerHungUp,
    }
}

type Orders = mpsc::Receiver<CallOrder>;
type Outcome = CallOutcome;
type Record = OpenSentOn;
