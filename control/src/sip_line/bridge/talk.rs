//! Two parties who talk: whatever one does to its session, and the end of both.

use media::leg::{DigitString, LegCommand, LegEnd, LegEvent};
use media::leg_queue::{LegOutput, MediaLeg};
use pipeline::call::EndReason;
use sip::event::SessionEnd;
use sip::net::{Dialog, DialogEvent};
use tokio::time::timeout;

use super::{Orders, Outcome, reason};
use crate::calls::outcome::SetupEnd;
use crate::sip_line::dialog::{BYE_MAX, reason_header};
use crate::sip_line::renegotiation::Renegotiation;

/// One of the two.
pub(super) struct Party {
    pub(super) dialog: Dialog,
    pub(super) leg: MediaLeg,
    pub(super) media: Renegotiation,
    /// Whether key presses come as telephone events, so that those of INFO are copies.
    pub(super) events_agreed: bool,
}

/// What a party did that concerns the other.
enum Deed {
    /// Pressed a key.
    Key(u8),
    /// Its dialog is over.
    Left(SessionEnd),
    /// Its leg is over.
    Silent(LegEnd),
}

/// Lets the two talk until one leaves or an order ends the call; both have been hung up then.
pub(super) async fn talk(mut caller: Party, mut callee: Party, orders: &mut Orders) -> Outcome {
    loop {
        let (deed, by_caller) = tokio::select! {
            deed = caller.next() => (deed, true),
            deed = callee.next() => (deed, false),
            order = orders.recv() => {
                let reason = reason(order);
                caller.hang_up(reason_header(reason)).await;
                callee.hang_up(reason_header(reason)).await;
                return reason.into();
            }
        };
        let (other, left) = if by_caller {
            (&mut callee, EndReason::CallerHungUp)
        } else {
            (&mut caller, EndReason::AgentHungUp)
        };
        match deed {
            Deed::Key(key) => other.press(key),
            Deed::Left(end) => {
                let told = match &end {
                    SessionEnd::RemoteBye { reason } => reason.clone(),
                    _ => None,
                };
                other.hang_up(told.or(reason_header(left))).await;
                return match end {
                    SessionEnd::AckTimeout | SessionEnd::NoAnswer => {
                        SetupEnd::AnswerNotAcknowledged.into()
                    }
                    SessionEnd::Expired | SessionEnd::Timeout => EndReason::MediaTimeout.into(),
                    _ => left.into(),
                };
            }
            Deed::Silent(end) => {
                let reason = match end {
                    LegEnd::MediaTimeout => EndReason::MediaTimeout,
                    _ => EndReason::InternalError,
                };
                caller.hang_up(reason_header(reason)).await;
                callee.hang_up(reason_header(reason)).await;
                return reason.into();
            }
        }
    }
}

impl Party {
    /// Sees to its session until it does something that concerns the other. Cancel safe: events
    /// are taken one at a time, and a change of the session is answered before the next.
    async fn next(&mut self) -> Deed {
        loop {
            let event = tokio::select! {
                event = self.dialog.next_event() => event,
                output = self.leg.recv() => match output {
                    Some(LegOutput::Event(LegEvent::Digit { key, .. })) => return Deed::Key(key),
                    Some(LegOutput::Event(LegEvent::Closed { end, .. })) => return Deed::Silent(end),
                    Some(_) => continue,
                    None => return Deed::Silent(LegEnd::Failed),
                },
            };
            match event {
                DialogEvent::Offer { sdp, responder, .. } => {
                    self.media.take_offer(sdp, responder).await;
                }
                DialogEvent::OfferConfirmed { sdp } => self.media.take_answer(&sdp),
                DialogEvent::Info {
                    digit: Some(digit), ..
                } if !self.events_agreed => return Deed::Key(digit.key),
                DialogEvent::Ended(end) => return Deed::Left(end),
                _ => {}
            }
        }
    }

    /// Has the party hear a key of the other.
    fn press(&mut self, key: u8) {
        let text = char::from(key).to_string();
        let keys = DigitString::new(&text);
        // A full queue means that nothing has been taken for a second.
        let taken = self.leg.send(LegCommand::SendDigits(keys)).is_ok();
        tracing::debug!(taken, "key press passed on");
    }

    async fn hang_up(&mut self, reason: Option<String>) {
        if self.dialog.bye(reason).await.is_ok() {
            let ended =
                async { while !matches!(self.dialog.next_event().await, DialogEvent::Ended(_)) {} };
            // The leg goes whether or not the BYE is answered.
            let _ = timeout(BYE_MAX, ended).await;
        }
        self.media.control().close();
    }
}
