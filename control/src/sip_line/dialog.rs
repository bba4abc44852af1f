//! What happens on a call's dialog while the conversation goes on.

use std::time::Duration;

use media::net::control::LegControl;
use pipeline::call::{CallOrder, EndReason, TransferFailure};
use sip::event::{ReferProgress, SessionEnd};
use sip::net::{Dialog, DialogEvent};
use sip::sdp::LocalMedia;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::renegotiation::Renegotiation;
use super::transfer::{TransferRequest, transfer_outcome};

/// How long the peer's answer to our BYE is waited for.
pub(super) const BYE_MAX: Duration = Duration::from_secs(4);

/// The line to the caller.
#[derive(Debug)]
pub(super) struct SipLine {
    dialog: Dialog,
    media: Renegotiation,
    /// Whether key presses come as telephone events.
    events_agreed: bool,
    orders: mpsc::Sender<CallOrder>,
    transfers: mpsc::Receiver<TransferRequest>,
    transfer: Option<PendingTransfer>,
    ended: Option<SessionEnd>,
}

#[derive(Debug)]
struct PendingTransfer {
    reply: oneshot::Sender<Result<(), TransferFailure>>,
    accepted: bool,
}

impl SipLine {
    pub(super) fn new(
        dialog: Dialog,
        local: LocalMedia,
        control: LegControl,
        orders: mpsc::Sender<CallOrder>,
        transfers: mpsc::Receiver<TransferRequest>,
        events_agreed: bool,
    ) -> Self {
        Self {
            dialog,
            media: Renegotiation::new(local, control),
            events_agreed,
            orders,
            transfers,
            transfer: None,
            ended: None,
        }
    }

    /// Serves the dialog until it ends, and tells the conversation. Cancel safe between events.
    pub(super) async fn run(&mut self) {
        while self.ended.is_none() {
            tokio::select! {
                event = self.dialog.next_event() => self.take(event).await,
                Some(request) = self.transfers.recv() => self.begin_transfer(request).await,
            }
        }
    }

    /// Hangs up, unless the peer has, and returns how the session ended.
    pub(super) async fn hang_up(mut self, reason: EndReason) -> Option<SessionEnd> {
        if self.ended.is_none() && self.dialog.bye(reason_header(reason)).await.is_ok() {
            let ended = async {
                loop {
                    if let DialogEvent::Ended(end) = self.dialog.next_event().await {
                        return end;
                    }
                }
            };
            self.ended = timeout(BYE_MAX, ended).await.ok();
        }
        self.ended
    }

    async fn take(&mut self, event: DialogEvent) {
        match event {
            DialogEvent::Offer { sdp, responder, .. } => {
                self.media.take_offer(sdp, responder).await
            }
            DialogEvent::OfferConfirmed { sdp } => self.media.take_answer(&sdp),
            DialogEvent::Refer { progress } => self.take_progress(progress),
            DialogEvent::Ended(end) => self.take_end(end).await,
            // A peer that agreed on telephone events sends each press there as well.
            DialogEvent::Info {
                digit: Some(digit), ..
            } if !self.events_agreed => {
                let taken = self.media.control().press(digit.key);
                tracing::debug!(taken, "key press by info");
            }
            DialogEvent::Info { content_type, .. } => {
                tracing::debug!(content_type, "info was ignored");
            }
            DialogEvent::Confirmed { .. }
            | DialogEvent::ReinviteAnswered { .. }
            | DialogEvent::ReinviteFailed { .. } => {}
            _ => {}
        }
    }

    async fn begin_transfer(&mut self, request: TransferRequest) {
        if self.transfer.is_some() {
            let _ = request.reply.send(Err(TransferFailure::Failed));
            return;
        }
        match self.dialog.refer(request.target, None).await {
            Ok(()) => {
                self.transfer = Some(PendingTransfer {
                    reply: request.reply,
                    accepted: false,
                });
            }
            Err(error) => {
                tracing::info!(%error, "transfer was not asked for");
                let _ = request.reply.send(Err(TransferFailure::Failed));
            }
        }
    }

    fn take_progress(&mut self, progress: ReferProgress) {
        let Some(mut transfer) = self.transfer.take() else {
            return;
        };
        match transfer_outcome(progress) {
            Some(outcome) => {
                // The conversation may have given up waiting.
                let _ = transfer.reply.send(outcome);
            }
            None => {
                transfer.accepted = true;
                self.transfer = Some(transfer);
            }
        }
    }

    async fn take_end(&mut self, end: SessionEnd) {
        tracing::debug!(?end, "dialog ended");
        self.ended = Some(end);
        if let Some(transfer) = self.transfer.take() {
            let accepted = transfer.accepted;
            // A peer that hangs up once it has accepted the REFER has taken the caller over.
            let outcome = if accepted {
                Ok(())
            } else {
                Err(TransferFailure::Failed)
            };
            let told = transfer.reply.send(outcome).is_ok();
            if accepted && told {
                // The conversation ends itself as transferred.
                return;
            }
        }
        // A full queue holds orders to end already.
        let _ = self.orders.try_send(CallOrder::RemoteHungUp);
    }
}

/// Reason header field of our BYE (RFC 3326) with the cause of ITU-T Q.850.
pub(super) fn reason_header(reason: EndReason) -> Option<String> {
    let (cause, text) = match reason {
        EndReason::MediaTimeout => (102, "media timeout"),
        EndReason::InternalError | EndReason::ProviderFailed => (41, "temporary failure"),
        EndReason::ServerShutdown => (41, "server shutdown"),
        _ => (16, "normal clearing"),
    };
    Some(format!("Q.850;cause={cause};text=\"{text}\""))
}
