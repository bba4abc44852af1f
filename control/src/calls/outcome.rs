//! How a call ended, in a form that can be counted.

use pipeline::call::EndReason;
use serde::{Deserialize, Serialize};

use crate::outbound::outcome::{DialDetail, DialEnd, DialOutcome};

/// Whose doing the end was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeClass {
    /// The conversation ended as conversations do.
    Completed,
    /// The caller gave up before the agent answered.
    Abandoned,
    /// Whom we called was busy, did not answer or did not want the call.
    NotReached,
    /// Somebody on our side ended it from outside the conversation.
    Stopped,
    /// The line to the caller failed.
    CarrierFailed,
    /// A recogniser, model or voice failed.
    ProviderFailed,
    /// We failed.
    EngineFailed,
    /// The process died during the call.
    Interrupted,
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct CallOutcome {
    /// Whose doing.
    pub class: OutcomeClass,
    /// What exactly.
    pub reason: OutcomeReason,
}

/// What exactly ended a call: an end of the conversation, or of the call before there was one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(untagged)]
pub enum OutcomeReason {
    /// The conversation's own reason.
    Conversation(EndReason),
    /// It never came to a conversation.
    Setup(SetupEnd),
}

/// Why an admitted call never became a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetupEnd {
    /// The caller hung up before the answer.
    CallerCancelled,
    /// The answer was never acknowledged.
    AnswerNotAcknowledged,
    /// No media leg could be opened.
    MediaUnavailable,
    /// Whom we called was engaged.
    Busy,
    /// Whom we called did not answer in time.
    NoAnswer,
    /// Whom we called did not want the call.
    Rejected,
    /// There is no such number.
    InvalidNumber,
    /// The call could not be set up.
    DialFailed,
    /// We gave the call up before the answer.
    DialCancelled,
}

impl From<EndReason> for CallOutcome {
    fn from(reason: EndReason) -> Self {
        let class = match reason {
            EndReason::AgentHungUp
            | EndReason::CallerHungUp
            | EndReason::Transferred
            | EndReason::CallerSilent
            | EndReason::CreditExhausted
            | EndReason::DurationLimit => OutcomeClass::Completed,
            EndReason::ServerShutdown | EndReason::OperatorHungUp => OutcomeClass::Stopped,
            EndReason::MediaTimeout => OutcomeClass::CarrierFailed,
            EndReason::ProviderFailed => OutcomeClass::ProviderFailed,
            EndReason::Interrupted => OutcomeClass::Interrupted,
            EndReason::InternalError => OutcomeClass::EngineFailed,
            _ => OutcomeClass::EngineFailed,
        };
        Self {
            class,
            reason: OutcomeReason::Conversation(reason),
        }
    }
}

impl From<SetupEnd> for CallOutcome {
    fn from(end: SetupEnd) -> Self {
        let class = match end {
            SetupEnd::CallerCancelled => OutcomeClass::Abandoned,
            SetupEnd::AnswerNotAcknowledged => OutcomeClass::CarrierFailed,
            SetupEnd::MediaUnavailable => OutcomeClass::EngineFailed,
            SetupEnd::Busy | SetupEnd::NoAnswer | SetupEnd::Rejected | SetupEnd::InvalidNumber => {
                OutcomeClass::NotReached
            }
            SetupEnd::DialFailed => OutcomeClass::CarrierFailed,
            SetupEnd::DialCancelled => OutcomeClass::Stopped,
        };
        Self {
            class,
            reason: OutcomeReason::Setup(end),
        }
    }
}

impl From<DialEnd> for CallOutcome {
    fn from(end: DialEnd) -> Self {
        let setup = match (end.outcome, end.detail) {
            (DialOutcome::Busy, _) => SetupEnd::Busy,
            (DialOutcome::NoAnswer, _) => SetupEnd::NoAnswer,
            (DialOutcome::Rejected, _) => SetupEnd::Rejected,
            (DialOutcome::Cancelled, _) => SetupEnd::DialCancelled,
            (_, Some(DialDetail::InvalidNumber)) => SetupEnd::InvalidNumber,
            (_, Some(DialDetail::Media | DialDetail::NoCapacity)) => SetupEnd::MediaUnavailable,
            (DialOutcome::Failed | DialOutcome::Answered, _) => SetupEnd::DialFailed,
        };
        setup.into()
    }
}

impl CallOutcome {
    /// Name of the class in records and metrics.
    #[must_use]
    pub fn class_name(&self) -> String {
        name(&self.class)
    }

    /// Name of the reason in records and metrics.
    #[must_use]
    pub fn reason_name(&self) -> String {
        name(&self.reason)
    }
}

/// The name serde gives a unit variant.
pub(crate) fn name<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_have_stable_names() {
        for (outcome, class, reason) in [
            (
                EndReason::CallerHungUp.into(),
                "completed",
                "caller_hung_up",
            ),
            (
                EndReason::MediaTimeout.into(),
                "carrier_failed",
                "media_timeout",
            ),
            (EndReason::Interrupted.into(), "interrupted", "interrupted"),
            (
                SetupEnd::CallerCancelled.into(),
                "abandoned",
                "caller_cancelled",
            ),
        ] {
            let outcome: CallOutcome = outcome;
            assert_eq!(outcome.class_name(), class);
            assert_eq!(outcome.reason_name(), reason);
        }
    }
}
