//! What carries a leg's audio: RTP over UDP, or a carrier's media stream over a websocket.

pub mod datagrams;
mod marks;
mod rtcp_session;
pub mod rtp;
pub(crate) mod rtp_link;
pub mod rtp_media;
pub mod source_latch;
pub mod stream;
pub(crate) mod stream_link;
pub mod transmit;

use std::time::Duration;

/// How long a leg may be without media before it ends with
/// [`crate::leg::LegEnd::MediaTimeout`]. Both clocks stand still while the leg does not receive
/// (hold); RTCP counts as life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MediaLimits {
    /// Limit while nothing has ever come.
    pub never_came: Duration,
    /// Limit since the last packet.
    pub stopped: Duration,
}

impl Default for MediaLimits {
    fn default() -> Self {
        Self {
            never_came: Duration::from_secs(30),
            stopped: Duration::from_secs(20),
        }
    }
}
