//! The asynchronous side's hold on a leg beside its audio: changes by re-INVITE, closing, final
//! statistics.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::leg::{LegEnd, LegId, LegStatistics};
use crate::leg_orders::{OrderSender, Switches};
use crate::protocol::rtp::RtpMedia;
use crate::protocol::rtp_media::{MediaError, PreparedMedia};
use crate::recording::RecordingSummary;

/// Why a leg could not be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The leg is over.
    #[error("the leg is over")]
    Ended,
    /// Earlier changes have not been taken yet; try again after a tick.
    #[error("earlier changes are still waiting")]
    Busy,
    /// The leg is not an RTP leg.
    #[error("not an RTP leg")]
    NotRtp,
    /// The description cannot be used.
    #[error(transparent)]
    Media(#[from] MediaError),
}

/// How a leg ended.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct LegSummary {
    /// Why.
    pub end: LegEnd,
    /// Final counters.
    pub statistics: LegStatistics,
    /// Where the peer's RTP really came from, if any came.
    pub remote: Option<SocketAddr>,
}

/// Holds a leg on the asynchronous side. Cloneable; dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct LegControl {
    pub(crate) id: LegId,
    pub(crate) origin: Instant,
    pub(crate) switches: Arc<Switches>,
    /// Locked by control tasks only, never by the worker. `None` for stream legs.
    pub(crate) orders: Option<Arc<Mutex<OrderSender<Box<PreparedMedia>>>>>,
    pub(crate) summary: watch::Receiver<Option<LegSummary>>,
    pub(crate) recording: Option<watch::Receiver<Option<RecordingSummary>>>,
}

impl LegControl {
    /// Puts a new negotiation into force at the leg's next tick: addresses (the source must
    /// prove itself again), codecs, packet time, direction. Sequence numbers, timestamps and
    /// SSRC go on.
    ///
    /// # Errors
    /// See [`ControlError`]; the leg is then unchanged.
    pub fn update_rtp(&self, media: RtpMedia) -> Result<(), ControlError> {
        let orders = self.orders.as_ref().ok_or(ControlError::NotRtp)?;
        let prepared = PreparedMedia::new(media, self.origin)?;
        let mut orders = orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.is_abandoned() {
            return Err(ControlError::Ended);
        }
        orders
            .send(Box::new(prepared))
            .map_err(|_| ControlError::Busy)
    }

    /// Suppresses our own audio, or stops doing so, beside what the conversation asks.
    pub fn hold(&self, held: bool) {
        self.switches.hold(held);
    }

    /// Reports a key press that signalling brought (SIP INFO), as if it had come with the media.
    /// `false` if more came in one tick than a leg takes.
    #[must_use]
    pub fn press(&self, key: u8) -> bool {
        self.switches.press(key)
    }

    /// Ends the leg at its next tick.
    pub fn close(&self) {
        self.switches.close();
    }

    /// Waits until the leg is over and its ports are free again.
    pub async fn closed(&self) -> LegSummary {
        let mut summary = self.summary.clone();
        let ended = summary.wait_for(Option::is_some).await;
        ended.ok().and_then(|s| *s).unwrap_or(LegSummary {
            end: LegEnd::Failed,
            statistics: LegStatistics::default(),
            remote: None,
        })
    }

    /// Waits until the recording is complete on disk; `None` when there is none.
    pub async fn recording_finished(&self) -> Option<RecordingSummary> {
        let mut recording = self.recording.clone()?;
        let finished = recording.wait_for(Option::is_some).await;
        finished.ok().and_then(|s| s.clone())
    }

    /// When position zero of the leg's timeline was.
    #[must_use]
    pub const fn origin(&self) -> Instant {
        self.origin
    }

    /// The leg's id.
    #[must_use]
    pub const fn id(&self) -> LegId {
        self.id
    }
}
