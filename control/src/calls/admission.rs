//! Whether one more call may come in.

/// Why a call was refused before it began.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Refusal {
    /// As many calls as configured are on the line.
    #[error("all lines are busy")]
    AtCapacity,
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Draining,
    /// Nobody answers at this address.
    #[error("there is no such agent or number")]
    UnknownAgent,
    /// The agent exists but cannot work on this installation.
    #[error("the agent is not available")]
    AgentUnavailable,
    /// The trunk has as many calls as it may have.
    #[error("the trunk is full")]
    TrunkFull,
    /// The trunk has more calls a second than it may have.
    #[error("too many calls a second")]
    TrunkRate,
    /// Nobody has the credit for a call.
    #[error("there is no credit for the call")]
    NoCredit,
    /// It cannot be found out whether there is credit.
    #[error("credit cannot be checked right now")]
    BillingUnavailable,
    /// No common codec.
    #[error("no common codec")]
    NoCodec,
    /// No RTP ports or media worker free.
    #[error("no media resources are free")]
    NoMedia,
}

impl Refusal {
    /// Name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AtCapacity => "at_capacity",
            Self::Draining => "draining",
            Self::UnknownAgent => "unknown_agent",
            Self::AgentUnavailable => "agent_unavailable",
            Self::TrunkFull => "trunk_full",
            Self::TrunkRate => "trunk_rate",
            Self::NoCredit => "no_credit",
            Self::BillingUnavailable => "billing_unavailable",
            Self::NoCodec => "no_codec",
            Self::NoMedia => "no_media",
        }
    }

    /// SIP final response (RFC 3261 §21.4, §21.5). Capacity and shutdown are 503, so that a trunk
    /// tries its next gateway.
    #[must_use]
    pub const fn sip_status(self) -> u16 {
        match self {
            Self::AtCapacity
            | Self::Draining
            | Self::NoMedia
            | Self::BillingUnavailable
            | Self::TrunkFull
            | Self::TrunkRate => 503,
            Self::NoCredit => 402,
            Self::UnknownAgent => 404,
            Self::AgentUnavailable => 480,
            Self::NoCodec => 488,
        }
    }
}
