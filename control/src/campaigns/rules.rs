//! What a campaign may do, as it is stored with it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::hours::CallingHours;
use crate::config::{CampaignsSection, OutboundSection};

/// What a campaign may do. Times are in seconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Calls at a time.
    pub calls_max: u32,
    /// Calls a second; 0 is as fast as line and server allow.
    pub calls_per_second: f64,
    /// Calling hours, in [`CallingHours`]' words; empty: at any time.
    pub hours: String,
    /// Calls to one recipient at most.
    pub attempts_max: u32,
    /// Before a busy number is called again.
    pub retry_busy_s: u32,
    /// Before a number that did not answer is called again.
    pub retry_no_answer_s: u32,
    /// Before a number is called again that the carrier could not reach.
    pub retry_failed_s: u32,
    /// Whether a call whose result was lost with its server may be dialled again.
    pub retry_interrupted: bool,
    /// How long it may ring.
    pub ring_s: u32,
    /// Calls to one number within 24 hours, over all campaigns of the organisation; 0: any.
    pub calls_per_number_and_day: u32,
    /// Set-ups within five minutes after which the circuit breaker looks; 0: never.
    pub breaker_setups_min: u32,
    /// Share of them, in per cent, that may fail for reasons of line or set-up.
    pub breaker_failures_percent: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            calls_max: 1,
            calls_per_second: 0.0,
            hours: String::new(),
            attempts_max: 1,
            retry_busy_s: 15 * 60,
            retry_no_answer_s: 60 * 60,
            retry_failed_s: 5 * 60,
            retry_interrupted: false,
            ring_s: 30,
            calls_per_number_and_day: 3,
            breaker_setups_min: 20,
            breaker_failures_percent: 50,
        }
    }
}

impl Rules {
    /// The installation's defaults.
    #[must_use]
    pub fn of(campaigns: &CampaignsSection, outbound: &OutboundSection) -> Self {
        Self {
            hours: campaigns.calling_hours.clone(),
            ring_s: u32::try_from(outbound.ring_max.as_secs())
                .unwrap_or(30)
                .max(1),
            calls_per_number_and_day: campaigns.calls_per_number_and_day,
            ..Self::default()
        }
    }

    /// The hours. What cannot be read is closed rather than open.
    #[must_use]
    pub fn calling_hours(&self) -> Option<CallingHours> {
        self.hours.parse().ok()
    }

    /// How long it may ring.
    #[must_use]
    pub fn ring_max(&self) -> Duration {
        Duration::from_secs(self.ring_s.clamp(1, 180).into())
    }
}
