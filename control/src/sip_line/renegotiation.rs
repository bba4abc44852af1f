//! Changes of a session's media while the call goes on: hold, resume, other codecs and addresses.

use media::net::control::LegControl;
use sip::message::StatusCode;
use sip::net::OfferResponder;
use sip::sdp::{LocalMedia, SessionDescription, accept_answer, negotiate, offer};

use super::media::rtp_media;

/// Our side of a stream, and the leg that follows what is agreed on.
#[derive(Debug)]
pub(super) struct Renegotiation {
    local: LocalMedia,
    /// Our offer that waits for the peer's answer.
    open_offer: Option<SessionDescription>,
    control: LegControl,
}

impl Renegotiation {
    pub(super) const fn new(local: LocalMedia, control: LegControl) -> Self {
        Self {
            local,
            open_offer: None,
            control,
        }
    }

    /// The leg.
    pub(super) const fn control(&self) -> &LegControl {
        &self.control
    }

    /// Answers the peer's offer as far as we can, and makes our own when it asks for one.
    pub(super) async fn take_offer(
        &mut self,
        sdp: Option<SessionDescription>,
        responder: OfferResponder,
    ) {
        self.local.session_version += 1;
        let Some(sdp) = sdp else {
            let ours = offer(&self.local);
            self.open_offer = Some(ours.clone());
            if let Err(error) = responder.answer(ours).await {
                tracing::debug!(%error, "offer was not sent");
            }
            return;
        };
        let changed = match negotiate(&sdp, &self.local) {
            Ok((answer, audio)) => self
                .control
                .update_rtp(rtp_media(&audio))
                .map(|()| answer)
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let answered = match changed {
            Ok(answer) => responder.answer(answer).await,
            Err(error) => {
                tracing::info!(error, "change of the session refused");
                responder.reject(StatusCode::NOT_ACCEPTABLE_HERE).await
            }
        };
        if let Err(error) = answered {
            tracing::debug!(%error, "offer was not answered");
        }
    }

    /// Takes the answer to the offer the peer asked for.
    pub(super) fn take_answer(&mut self, sdp: &SessionDescription) {
        let Some(ours) = self.open_offer.take() else {
            return;
        };
        let changed = accept_answer(&ours, sdp)
            .map_err(|error| error.to_string())
            .and_then(|audio| {
                self.control
                    .update_rtp(rtp_media(&audio))
                    .map_err(|error| error.to_string())
            });
        if let Err(error) = changed {
            tracing::warn!(
                error,
                "answer to our offer is not usable; media stays as it was"
            );
        }
    }
}
