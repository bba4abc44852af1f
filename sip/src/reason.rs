//! Why a call ended, in one set of words: from SIP status and ITU-T Q.850 causes (RFC 3326,
//! RFC 4497 §8).

use crate::message::StatusCode;

/// Why a call did not come about or ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EndCause {
    /// Somebody hung up as usual.
    Normal,
    /// The called line is in use.
    Busy,
    /// It rang, and nobody answered.
    NoAnswer,
    /// The called party does not want the call.
    Declined,
    /// The caller gave up.
    Cancelled,
    /// There is no such number.
    InvalidNumber,
    /// The called party cannot be reached now.
    Unreachable,
    /// The carrier refuses the call: not paid, not allowed, not verified.
    Forbidden,
    /// The call was taken for spam.
    Blocked,
    /// No common media.
    Incompatible,
    /// The network is full or out of order.
    NetworkFailure,
    /// No answer of the protocol came in time.
    Timeout,
    /// Something else.
    Unknown,
}

impl EndCause {
    /// Name in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Declined => "declined",
            Self::Cancelled => "cancelled",
            Self::InvalidNumber => "invalid_number",
            Self::Unreachable => "unreachable",
            Self::Forbidden => "forbidden",
            Self::Blocked => "blocked",
            Self::Incompatible => "incompatible",
            Self::NetworkFailure => "network_failure",
            Self::Timeout => "timeout",
            Self::Unknown => "unknown",
        }
    }

    /// What a final status says.
    #[must_use]
    pub const fn of_status(status: StatusCode) -> Self {
        match status.code() {
            200..=299 => Self::Normal,
            486 | 600 => Self::Busy,
            480 => Self::NoAnswer,
            603 => Self::Declined,
            487 => Self::Cancelled,
            404 | 410 | 484 | 485 | 604 => Self::InvalidNumber,
            401..=403 | 407 | 428 | 433 | 436..=438 => Self::Forbidden,
            607 | 608 => Self::Blocked,
            415 | 488 | 606 => Self::Incompatible,
            408 | 504 => Self::Timeout,
            502 => Self::Unreachable,
            500 | 503 | 580 => Self::NetworkFailure,
            _ => Self::Unknown,
        }
    }

    /// What a Q.850 cause says.
    #[must_use]
    pub const fn of_q850(cause: u16) -> Self {
        match cause {
            16 | 31 => Self::Normal,
            17 => Self::Busy,
            18 | 19 => Self::NoAnswer,
            21 => Self::Declined,
            1 | 22 | 28 => Self::InvalidNumber,
            20 | 27 => Self::Unreachable,
            50 | 55 | 57 | 63 => Self::Forbidden,
            65 | 79 | 88 => Self::Incompatible,
            34 | 38 | 41 | 42 | 44 | 47 => Self::NetworkFailure,
            102 => Self::Timeout,
            _ => Self::Unknown,
        }
    }
}

/// One Reason header value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    /// `SIP`, `Q.850`, ...
    pub protocol: String,
    /// Code; some peers leave it out.
    pub cause: Option<u16>,
    /// Words.
    pub text: Option<String>,
}

impl Reason {
    /// Reads a header value; of several the one with a Q.850 cause, which says most.
    #[must_use]
    pub fn read(value: &str) -> Option<Self> {
        let reasons: Vec<Self> = crate::message::split_list(value)
            .filter_map(|part| Self::read_one(part.ok()?))
            .collect();
        reasons
            .iter()
            .find(|reason| reason.protocol.eq_ignore_ascii_case("Q.850") && reason.cause.is_some())
            .or(reasons.first())
            .cloned()
    }

    fn read_one(value: &str) -> Option<Self> {
        let (protocol, params) = value.split_once(';').unwrap_or((value, ""));
        let protocol = protocol.trim();
        if protocol.is_empty() {
            return None;
        }
        let params = crate::message::Params::parse(params).unwrap_or_default();
        Some(Self {
            protocol: protocol.to_owned(),
            cause: params.value("cause").and_then(|cause| cause.parse().ok()),
            text: params
                .value("text")
                .map(|text| text.trim_matches('"').to_owned()),
        })
    }

    /// What it says.
    #[must_use]
    pub fn end_cause(&self) -> EndCause {
        let Some(cause) = self.cause else {
            return EndCause::Unknown;
        };
        if self.protocol.eq_ignore_ascii_case("Q.850") {
            return EndCause::of_q850(cause);
        }
        StatusCode::new(cause).map_or(EndCause::Unknown, EndCause::of_status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_read_and_mapped() {
        for (value, cause) in [
            (
                "Q.850;cause=16;text=\"Normal call clearing\"",
                EndCause::Normal,
            ),
            ("SIP;cause=486, Q.850 ; cause=17", EndCause::Busy),
            (
                "SIP ;cause=200 ;text=\"Call completed elsewhere\"",
                EndCause::Normal,
            ),
            ("Q.850;cause=19", EndCause::NoAnswer),
            ("SIP;cause=608;text=\"Rejected\"", EndCause::Blocked),
            ("Q.850;text=\"no cause\"", EndCause::Unknown),
            ("X;cause=99999", EndCause::Unknown),
        ] {
            assert_eq!(Reason::read(value).unwrap().end_cause(), cause, "{value}");
        }
        assert_eq!(Reason::read(""), None);
        assert_eq!(
            Reason::read("Q.850;cause=16;text=\"Normal, really\"")
                .unwrap()
                .text
                .as_deref(),
            Some("Normal, really")
        );
    }
}
