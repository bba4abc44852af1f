//! How a call we placed was taken, from SIP status and Q.850 cause or a carrier's word.

use serde::{Deserialize, Serialize};
use sip::event::SessionEnd;
use sip::message::{HeaderName, Headers};

/// How a call we placed was taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialOutcome {
    /// Somebody or something answered.
    Answered,
    /// The line was engaged.
    Busy,
    /// It rang, and nobody answered in time.
    NoAnswer,
    /// The called party, or the network for it, does not want the call.
    Rejected,
    /// The call could not be set up.
    Failed,
    /// We gave it up.
    Cancelled,
}

/// What exactly was wrong, where the outcome alone does not say.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialDetail {
    /// No such number, or it is not complete.
    InvalidNumber,
    /// The carrier is out of order or full.
    CarrierError,
    /// The carrier does not know us: credentials, address, account.
    CarrierRefused,
    /// Nobody answers at the carrier's address.
    CarrierSilent,
    /// No codec or no media in common.
    Media,
    /// The trunk took no call at that moment: limits, pause, out of order. Nothing left.
    LineUnavailable,
    /// The server has no room for a call, or is stopping. Nothing left.
    NoCapacity,
    /// There is no credit. Nothing left.
    NoCredit,
    /// The agent is gone or unusable. Nothing left.
    AgentUnavailable,
    /// The process died before the result was known.
    Interrupted,
}

/// The end of an attempt to reach somebody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DialEnd {
    /// How it was taken.
    pub outcome: DialOutcome,
    /// What exactly was wrong.
    pub detail: Option<DialDetail>,
    /// Final SIP status.
    pub sip_status: Option<u16>,
    /// Cause of ITU-T Q.850 out of a Reason header field (RFC 3326).
    pub q850: Option<u8>,
    /// The carrier's wish for a pause (Retry-After), in seconds.
    pub retry_after_s: Option<u32>,
}

impl DialOutcome {
    /// Name in records and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The outcome of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [
            Self::Answered,
            Self::Busy,
            Self::NoAnswer,
            Self::Rejected,
            Self::Failed,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|outcome| outcome.name() == name)
    }
}

impl DialDetail {
    /// Name in records and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidNumber => "invalid_number",
            Self::CarrierError => "carrier_error",
            Self::CarrierRefused => "carrier_refused",
            Self::CarrierSilent => "carrier_silent",
            Self::Media => "media",
            Self::LineUnavailable => "line_unavailable",
            Self::NoCapacity => "no_capacity",
            Self::NoCredit => "no_credit",
            Self::AgentUnavailable => "agent_unavailable",
            Self::Interrupted => "interrupted",
        }
    }

    /// The detail of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [
            Self::InvalidNumber,
            Self::CarrierError,
            Self::CarrierRefused,
            Self::CarrierSilent,
            Self::Media,
            Self::LineUnavailable,
            Self::NoCapacity,
            Self::NoCredit,
            Self::AgentUnavailable,
            Self::Interrupted,
        ]
        .into_iter()
        .find(|detail| detail.name() == name)
    }

    /// Whether nothing of the call left this server, so that dialling again dials nobody twice.
    #[must_use]
    pub const fn is_unsent(self) -> bool {
        matches!(
            self,
            Self::LineUnavailable | Self::NoCapacity | Self::NoCredit | Self::AgentUnavailable
        )
    }

    /// Whether the line or the set-up is to blame rather than the called party.
    #[must_use]
    pub const fn is_trunk_trouble(self) -> bool {
        matches!(
            self,
            Self::CarrierError | Self::CarrierRefused | Self::CarrierSilent | Self::Media
        )
    }
}

impl DialEnd {
    /// An end without codes of the network.
    #[must_use]
    pub const fn of(outcome: DialOutcome, detail: Option<DialDetail>) -> Self {
        Self {
            outcome,
            detail,
            sip_status: None,
            q850: None,
            retry_after_s: None,
        }
    }

    /// Somebody answered.
    pub const ANSWERED: Self = Self::of(DialOutcome::Answered, None);

    /// A failure of our own or of the line.
    #[must_use]
    pub const fn failed(detail: DialDetail) -> Self {
        Self::of(DialOutcome::Failed, Some(detail))
    }

    /// What the end of a session that was never answered means. `rang` tells whether a provisional
    /// response said so.
    #[must_use]
    pub fn of_session(end: &SessionEnd, rang: bool) -> Self {
        match end {
            SessionEnd::Refused {
                status, headers, ..
            } => {
                let retry_after = headers
                    .first(&HeaderName::RetryAfter)
                    .and_then(leading_number);
                Self {
                    retry_after_s: retry_after,
                    ..Self::of_codes(status.code(), q850_cause(headers))
                }
            }
            SessionEnd::Timeout if rang => Self::of(DialOutcome::NoAnswer, None),
            SessionEnd::Timeout => Self::failed(DialDetail::CarrierSilent),
            SessionEnd::LocalReject | SessionEnd::LocalBye => {
                Self::of(DialOutcome::Cancelled, None)
            }
            _ => Self::failed(DialDetail::CarrierError),
        }
    }

    /// What a final SIP status (RFC 3261 §21, RFC 8197, RFC 8688) and a Q.850 cause mean. Where the
    /// status is one that gateways give for want of a better one, the cause decides.
    #[must_use]
    pub fn of_codes(status: u16, q850: Option<u8>) -> Self {
        use DialOutcome as O;
        let (outcome, detail) = match status {
            486 | 600 => (O::Busy, None),
            603 | 607 | 608 | 403 | 433 => (O::Rejected, None),
            404 | 410 | 416 | 484 | 485 | 604 => (O::Failed, Some(DialDetail::InvalidNumber)),
            401 | 402 | 407 => (O::Failed, Some(DialDetail::CarrierRefused)),
            415 | 488 | 606 => (O::Failed, Some(DialDetail::Media)),
            408 | 480 | 487 | 500..=599 => match q850 {
                Some(17) => (O::Busy, None),
                Some(18..=20) => (O::NoAnswer, None),
                Some(21) => (O::Rejected, None),
                Some(1 | 22 | 28) => (O::Failed, Some(DialDetail::InvalidNumber)),
                _ if status < 500 => (O::NoAnswer, None),
                _ => (O::Failed, Some(DialDetail::CarrierError)),
            },
            _ => (O::Failed, Some(DialDetail::CarrierError)),
        };
        Self {
            outcome,
            detail,
            sip_status: Some(status),
            q850,
            retry_after_s: None,
        }
    }
}

/// `Reason: Q.850;cause=17;text="user busy"`.
fn q850_cause(headers: &Headers) -> Option<u8> {
    headers
        .iter()
        .filter(|header| header.name == HeaderName::Reason)
        .find_map(|header| {
            header.value().split(',').find_map(|value| {
                let (protocol, parameters) = value.split_once(';')?;
                if !protocol.trim().eq_ignore_ascii_case("Q.850") {
                    return None;
                }
                parameters.split(';').find_map(|parameter| {
                    let (name, value) = parameter.split_once('=')?;
                    name.trim()
                        .eq_ignore_ascii_case("cause")
                        .then(|| value.trim().parse().ok())?
                })
            })
        })
}

/// The number a value such as `120 (busy hour)` begins with.
fn leading_number(text: &str) -> Option<u32> {
    let text = text.trim_start();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use sip::message::{Header, StatusCode};

    use super::*;

    fn refused(status: u16, fields: &[(&str, &str)]) -> DialEnd {
        let headers: Headers = fields
            .iter()
            .map(|(name, value)| Header::new(HeaderName::new(name), (*value).to_owned()))
            .collect();
        let end = SessionEnd::Refused {
            status: StatusCode::new(status).unwrap(),
            reason: String::new(),
            headers,
        };
        DialEnd::of_session(&end, true)
    }

    #[test]
    fn statuses_become_outcomes_and_keep_their_codes() {
        use DialOutcome as O;
        for (status, outcome, detail) in [
            (486, O::Busy, None),
            (600, O::Busy, None),
            (603, O::Rejected, None),
            (403, O::Rejected, None),
            (480, O::NoAnswer, None),
            (408, O::NoAnswer, None),
            (404, O::Failed, Some(DialDetail::InvalidNumber)),
            (484, O::Failed, Some(DialDetail::InvalidNumber)),
            (407, O::Failed, Some(DialDetail::CarrierRefused)),
            (488, O::Failed, Some(DialDetail::Media)),
            (503, O::Failed, Some(DialDetail::CarrierError)),
            (500, O::Failed, Some(DialDetail::CarrierError)),
            (302, O::Failed, Some(DialDetail::CarrierError)),
        ] {
            let end = refused(status, &[]);
            assert_eq!((end.outcome, end.detail), (outcome, detail), "{status}");
            assert_eq!(end.sip_status, Some(status));
            assert_eq!(DialOutcome::named(outcome.name()), Some(outcome));
        }
    }

    #[test]
    fn the_cause_decides_where_the_status_says_little() {
        let reason = |value| refused(480, &[("Reason", value)]);
        let busy = reason("SIP;cause=480, q.850;cause=17;text=\"User busy\"");
        assert_eq!((busy.outcome, busy.q850), (DialOutcome::Busy, Some(17)));
        let rejected = reason("Q.850 ;cause=21");
        assert_eq!(rejected.outcome, DialOutcome::Rejected);
        let unknown = refused(
            503,
            &[("Reason", "Q.850;cause=1"), ("Retry-After", "30 (full)")],
        );
        assert_eq!(unknown.detail, Some(DialDetail::InvalidNumber));
        assert_eq!(unknown.retry_after_s, Some(30));
        for odd in [
            "Q.850;cause=999",
            "Q.850;cause",
            "Q.850",
            ";;,=",
            "Q.850;cause=-1",
        ] {
            assert_eq!(reason(odd).q850, None, "{odd}");
        }
    }

    #[test]
    fn silence_of_the_carrier_is_not_silence_of_the_called() {
        let end = DialEnd::of_session(&SessionEnd::Timeout, false);
        assert_eq!(end.detail, Some(DialDetail::CarrierSilent));
        let end = DialEnd::of_session(&SessionEnd::Timeout, true);
        assert_eq!(end.outcome, DialOutcome::NoAnswer);
        let end = DialEnd::of_session(&SessionEnd::LocalReject, true);
        assert_eq!(end.outcome, DialOutcome::Cancelled);
    }
}
