//! Blind transfer by REFER (RFC 3515), asked for by the conversation and done by the dialog.

use async_trait::async_trait;
use pipeline::call::{CarrierActions, TransferFailure};
use sip::event::ReferProgress;
use sip::message::Uri;
use tokio::sync::{mpsc, oneshot};

/// Transfers that may wait: the conversation asks for one at a time.
const REQUESTS: usize = 1;
/// Digits of a telephone number, E.164 and internal extensions.
const DIGITS: std::ops::RangeInclusive<usize> = 2..=20;

/// A transfer the conversation asks for.
#[derive(Debug)]
pub(super) struct TransferRequest {
    pub(super) target: Uri,
    pub(super) reply: oneshot::Sender<Result<(), TransferFailure>>,
}

/// The conversation's end.
#[derive(Debug)]
pub(super) struct SipActions {
    requests: mpsc::Sender<TransferRequest>,
    /// Where telephone numbers are dialled: `host` or `host:port` of the caller's side.
    domain: String,
    /// Whom the agent may transfer to; see [`is_allowed`].
    allowed: Vec<String>,
}

impl SipActions {
    pub(super) fn new(
        domain: String,
        allowed: Vec<String>,
    ) -> (Self, mpsc::Receiver<TransferRequest>) {
        let (requests, receiver) = mpsc::channel(REQUESTS);
        let actions = Self {
            requests,
            domain,
            allowed,
        };
        (actions, receiver)
    }
}

#[async_trait]
impl CarrierActions for SipActions {
    async fn transfer(&self, target: &str) -> Result<(), TransferFailure> {
        // What a caller talks a model into must not become a call at our cost.
        if !is_allowed(&self.allowed, target) {
            tracing::warn!("transfer to a target outside transfer_targets refused");
            return Err(TransferFailure::InvalidTarget);
        }
        let target = target_uri(target, &self.domain).ok_or(TransferFailure::InvalidTarget)?;
        let (reply, answer) = oneshot::channel();
        let request = TransferRequest { target, reply };
        self.requests
            .send(request)
            .await
            .map_err(|_| TransferFailure::Failed)?;
        answer.await.unwrap_or(Err(TransferFailure::Failed))
    }
}

/// Whether `target` is one of `allowed`: a number (however it is punctuated) or a SIP URI, or
/// anything that begins with the part before a closing `*`.
fn is_allowed(allowed: &[String], target: &str) -> bool {
    let plain = |text: &str| {
        let text = text.trim();
        let number = text.strip_prefix("tel:").unwrap_or(text);
        crate::config::normalize_number(number).unwrap_or_else(|| text.to_ascii_lowercase())
    };
    let target = plain(target);
    allowed.iter().any(|entry| match entry.strip_suffix('*') {
        Some(prefix) => target.starts_with(&plain(prefix)),
        None => target == plain(entry),
    })
}

/// A SIP URI as it is; a telephone number within `domain`.
fn target_uri(target: &str, domain: &str) -> Option<Uri> {
    let target = target.trim();
    let number = target.strip_prefix("tel:").unwrap_or(target);
    if let Some(digits) = crate::config::normalize_number(number) {
        let plus = if number.starts_with('+') { "+" } else { "" };
        return DIGITS
            .contains(&digits.len())
            .then(|| Uri::parse(&format!("sip:{plus}{digits}@{domain}")).ok())?;
    }
    let uri = Uri::parse(target).ok()?;
    uri.as_sip().is_some().then_some(uri)
}

/// What a report of the transfer means; `None` when it goes on.
pub(super) fn transfer_outcome(progress: ReferProgress) -> Option<Result<(), TransferFailure>> {
    let status = match progress {
        ReferProgress::Accepted | ReferProgress::Trying(_) => return None,
        ReferProgress::Succeeded => return Some(Ok(())),
        ReferProgress::Refused(status) => {
            return Some(Err(match status.code() {
                // RFC 3261 §21.4.6, §21.4.15, §21.5.2: the peer knows no REFER.
                405 | 420 | 501 => TransferFailure::Unsupported,
                _ => TransferFailure::Declined,
            }));
        }
        ReferProgress::Failed(status) => status,
        ReferProgress::Unknown => return Some(Err(TransferFailure::TimedOut)),
        _ => return Some(Err(TransferFailure::Failed)),
    };
    Some(Err(match status.code() {
        486 | 600 => TransferFailure::Busy,
        408 | 480 | 487 => TransferFailure::NoAnswer,
        404 | 484 | 604 => TransferFailure::InvalidTarget,
        401 | 403 | 407 | 603 => TransferFailure::Declined,
        _ => TransferFailure::Failed,
    }))
}

#[cfg(test)]
mod tests {
    use sip::message::StatusCode;

    use super::*;

    #[test]
    fn numbers_are_dialled_at_the_callers_side_and_uris_as_they_are() {
        let uri = |target| target_uri(target, "trunk.example:5080").map(|uri| uri.to_string());
        let number = Some("sip:+15550100100@trunk.example:5080".to_owned());
        assert_eq!(uri("+1 (555) 010-0100"), number);
        assert_eq!(uri("tel:+15550100100"), number);
        assert_eq!(uri("200"), Some("sip:200@trunk.example:5080".to_owned()));
        assert_eq!(
            uri("sip:desk@pbx.example"),
            Some("sip:desk@pbx.example".to_owned())
        );
        for wrong in [
            "",
            "1",
            "the front desk",
            "http://x",
            "sip:",
            "123456789012345678901",
        ] {
            assert_eq!(uri(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_listed_targets_are_allowed() {
        let allowed = ["+1 555 010 0100", "+4989*", "sip:desk@pbx.example"].map(str::to_owned);
        for target in [
            "+15550100100",
            "tel:+1-555-010-0100",
            "+49 89 1234",
            "sip:Desk@pbx.example",
        ] {
            assert!(is_allowed(&allowed, target), "{target}");
        }
        for target in [
            "+15550100101",
            "+15550",
            "+88190012345",
            "sip:desk@pbx.example.evil",
            "",
        ] {
            assert!(!is_allowed(&allowed, target), "{target}");
        }
        assert!(!is_allowed(&[], "+15550100100"));
        assert!(is_allowed(&["*".to_owned()], "+15550100100"));
    }

    #[test]
    fn reports_become_typed_outcomes() {
        let failed = |code| {
            let status = StatusCode::new(code).unwrap();
            transfer_outcome(ReferProgress::Failed(status))
                .unwrap()
                .unwrap_err()
        };
        assert_eq!(failed(486), TransferFailure::Busy);
        assert_eq!(failed(480), TransferFailure::NoAnswer);
        assert_eq!(failed(603), TransferFailure::Declined);
        assert_eq!(transfer_outcome(ReferProgress::Accepted), None);
        assert_eq!(transfer_outcome(ReferProgress::Succeeded), Some(Ok(())));
        let unknown = StatusCode::new(405).unwrap();
        assert_eq!(
            transfer_outcome(ReferProgress::Refused(unknown)),
            Some(Err(TransferFailure::Unsupported))
        );
    }
}
