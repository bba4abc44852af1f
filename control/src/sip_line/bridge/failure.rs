//! What it means for the caller that the callee was not reached.

use pipeline::call::EndReason;
use sip::event::SessionEnd;
use sip::message::{Header, HeaderName};

use crate::calls::outcome::{CallOutcome, SetupEnd};

/// Why the callee was not reached.
#[derive(Debug)]
pub(super) enum Failure {
    /// The caller has given up.
    CallerGone,
    /// The callee's side ended our INVITE.
    Callee(SessionEnd),
    /// It rang for as long as it may.
    RingTimeout,
    /// It has no address, or one that may not be called, or no trunk takes the call.
    Unreachable(String),
    /// An order to end.
    Ordered(EndReason),
    /// We failed.
    Setup(SetupEnd),
}

type Answer = (u16, Option<String>, Vec<Header>);

impl Failure {
    /// Final response to the caller; `None` when it has gone.
    pub(super) fn answer(&self) -> Option<Answer> {
        let plain = |status| Some((status, None, Vec::new()));
        match self {
            Self::CallerGone => None,
            Self::Callee(SessionEnd::Refused {
                status,
                reason,
                headers,
            }) => {
                let passed = [HeaderName::RetryAfter, HeaderName::Reason]
                    .into_iter()
                    .filter_map(|name| Some(Header::new(name.clone(), headers.first(&name)?)))
                    .collect();
                Some(match status.code() {
                    // Ours to answer, and we could not: the caller's credentials are none of it.
                    401 | 407 => (502, None, Vec::new()),
                    300..=399 => (480, None, Vec::new()),
                    // RFC 3261 §16.7: it is not this server that is unavailable.
                    503 => (500, None, passed),
                    code => (code, Some(reason.clone()), passed),
                })
            }
            Self::Callee(SessionEnd::Timeout) => plain(504),
            Self::Callee(_) => plain(480),
            Self::RingTimeout => Some((480, None, vec![q850(19, "no answer from user")])),
            Self::Unreachable(_) => plain(502),
            Self::Ordered(EndReason::ServerShutdown) => plain(503),
            Self::Ordered(_) => plain(480),
            Self::Setup(_) => plain(500),
        }
    }

    /// How the call's record ends.
    pub(super) fn outcome(&self) -> CallOutcome {
        match self {
            Self::CallerGone => SetupEnd::CallerCancelled.into(),
            Self::Callee(SessionEnd::Refused { status, .. }) => match status.code() {
                486 | 600 => SetupEnd::Busy.into(),
                408 | 480 | 487 => SetupEnd::NoAnswer.into(),
                404 | 410 | 484 | 485 | 604 => SetupEnd::InvalidNumber.into(),
                401 | 407 | 300..=399 | 500..=599 => SetupEnd::DialFailed.into(),
                _ => SetupEnd::Rejected.into(),
            },
            Self::Callee(_) | Self::Unreachable(_) => SetupEnd::DialFailed.into(),
            Self::RingTimeout => SetupEnd::NoAnswer.into(),
            Self::Ordered(reason) => (*reason).into(),
            Self::Setup(end) => (*end).into(),
        }
    }
}

/// Reason header field (RFC 3326) with a cause of ITU-T Q.850.
fn q850(cause: u8, text: &str) -> Header {
    Header::new(
        HeaderName::Reason,
        format!("Q.850;cause={cause};text=\"{text}\""),
    )
}

#[cfg(test)]
mod tests {
    use sip::message::{Headers, StatusCode};

    use super::*;

    fn refused(code: u16) -> Failure {
        Failure::Callee(SessionEnd::Refused {
            status: StatusCode::new(code).unwrap(),
            reason: "Why".to_owned(),
            headers: Headers::default(),
        })
    }

    #[test]
    fn the_caller_learns_what_concerns_it() {
        for (code, told, reason) in [
            (486, 486, "busy"),
            (600, 600, "busy"),
            (603, 603, "rejected"),
            (480, 480, "no_answer"),
            (404, 404, "invalid_number"),
            (407, 502, "dial_failed"),
            (302, 480, "dial_failed"),
            (503, 500, "dial_failed"),
        ] {
            let failure = refused(code);
            assert_eq!(failure.answer().unwrap().0, told, "{code}");
            assert_eq!(failure.outcome().reason_name(), reason, "{code}");
        }
        assert!(Failure::CallerGone.answer().is_none());
        assert_eq!(
            Failure::RingTimeout.outcome().class_name(),
            "not_reached",
            "it rang"
        );
        let timeout = Failure::Callee(SessionEnd::Timeout);
        assert_eq!(timeout.answer().unwrap().0, 504);
        assert_eq!(timeout.outcome().reason_name(), "dial_failed");
    }
}
