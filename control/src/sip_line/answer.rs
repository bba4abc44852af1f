//! The answer to an INVITE and the leg that goes with it.

use std::path::PathBuf;
use std::time::Duration;

use media::leg_queue::MediaLeg;
use media::net::control::LegControl;
use media::net::ports::RtpPorts;
use media::protocol::MediaLimits;
use media::protocol::rtp::RtpLegConfig;
use media::relay::RelayPort;
use sip::message::{Header, StatusCode};
use sip::net::{Dialog, DialogEvent, IncomingCall};
use sip::sdp::{LocalMedia, NegotiatedAudio, SessionDescription, accept_answer, offer};
use tokio::time::timeout;

use super::media::rtp_media;
use crate::calls::outcome::SetupEnd;
use crate::services::Services;

/// How long the answer to our offer is waited for (RFC 3261 timer H is the endpoint's own limit).
const ANSWER_MAX: Duration = Duration::from_secs(35);

/// An answered call: its dialog and its leg.
pub(super) struct Answered {
    pub(super) dialog: Dialog,
    pub(super) leg: MediaLeg,
    pub(super) control: LegControl,
    /// Whether key presses come as telephone events, so that those of INFO are copies.
    pub(super) events_agreed: bool,
}

/// What a leg is opened with once its media is agreed on.
pub(super) struct LegSetup<'a> {
    pub(super) services: &'a Services,
    pub(super) ports: RtpPorts,
    pub(super) limits: MediaLimits,
    pub(super) recording: Option<PathBuf>,
    pub(super) cname: String,
    /// Joins it to another leg in place of a conversation.
    pub(super) relay: Option<RelayPort>,
}

impl LegSetup<'_> {
    pub(super) fn open(self, audio: &NegotiatedAudio) -> Result<(MediaLeg, LegControl), SetupEnd> {
        let mut config = RtpLegConfig::new(rtp_media(audio), self.cname, rand::random());
        config.limits = self.limits;
        config.recording = self.recording;
        // Between two parties the echo is theirs to deal with.
        config.echo_control = self.relay.is_none() && self.services.config.media.echo_control;
        let engine = &self.services.engine;
        let opened = match self.relay {
            Some(relay) => engine.open_joined_leg(self.ports, config, relay),
            None => engine.open_rtp_leg(self.ports, config),
        };
        opened.map_err(|error| {
            tracing::warn!(%error, "no media leg for a call");
            SetupEnd::MediaUnavailable
        })
    }
}

/// Answers an INVITE that had an offer. The leg is open before the 200 leaves, so that the
/// caller's first packets find it.
pub(super) async fn answer(
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
pub(super) async fn answer_with_offer(
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
