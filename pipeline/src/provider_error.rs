//! How a provider fails, whoever it is.

use std::time::Duration;

/// A failure of a recogniser, model, voice or tool.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// No free slot, connection or quota; try again later or elsewhere.
    #[error("provider is at capacity")]
    AtCapacity,
    /// The vendor asked us to slow down.
    #[error("provider limits the rate")]
    RateLimited {
        /// The wait the vendor asked for, if it said.
        retry_after: Option<Duration>,
    },
    /// The credentials were refused.
    #[error("provider refused the credentials")]
    Unauthorized,
    /// The request itself is wrong; a retry cannot help.
    #[error("provider refused the request: {0}")]
    Rejected(String),
    /// Nothing useful came in time.
    #[error("provider did not answer in time")]
    TimedOut,
    /// The connection failed or broke.
    #[error("connection to the provider failed: {0}")]
    Connection(String),
    /// The provider spoke something we do not understand, or reported a fault of its own.
    #[error("provider failed: {0}")]
    Failed(String),
    /// Model files or a library that this needs are not there.
    #[error("not available on this installation: {0}")]
    Unavailable(String),
}

impl ProviderError {
    /// Whether the same request may succeed when repeated, here or at another provider.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::AtCapacity
            | Self::RateLimited { .. }
            | Self::TimedOut
            | Self::Connection(_)
            | Self::Failed(_) => true,
            Self::Unauthorized | Self::Rejected(_) | Self::Unavailable(_) => false,
        }
    }
}
