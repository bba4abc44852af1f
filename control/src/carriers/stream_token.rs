//! One-time tokens that tie a carrier's stream to the webhook that announced it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Tokens that may wait for their stream; beyond that webhooks are refused.
pub const TOKENS_MAX: usize = 4096;
/// How long a stream may take to come.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(120);

/// What the webhook knew of the call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnouncedCall {
    /// The agent chosen.
    pub agent_id: String,
    /// Who calls.
    pub from: Option<String>,
    /// Who was called.
    pub to: Option<String>,
}

/// The tokens that wait.
#[derive(Debug, Default)]
pub struct StreamTokens {
    waiting: Mutex<HashMap<String, (Instant, AnnouncedCall)>>,
}

impl StreamTokens {
    /// No tokens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a token of 128 random bits; `None` when [`TOKENS_MAX`] wait.
    pub fn issue(&self, now: Instant, call: AnnouncedCall) -> Option<String> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= TOKENS_MAX {
            waiting.retain(|_, (expires, _)| *expires > now);
            if waiting.len() >= TOKENS_MAX {
                return None;
            }
        }
        let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
        waiting.insert(token.clone(), (now + TOKEN_LIFETIME, call));
        Some(token)
    }

    /// Takes the token: it is good once.
    pub fn redeem(&self, now: Instant, token: &str) -> Option<AnnouncedCall> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (expires, call) = waiting.remove(token)?;
        (expires > now).then_some(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an origin for the test's time")]
    fn a_token_is_good_once_and_for_a_while() {
        let t0 = Instant::now();
        let tokens = StreamTokens::new();
        let call = AnnouncedCall {
            agent_id: "clinic".to_owned(),
            from: None,
            to: None,
        };
        let token = tokens.issue(t0, call.clone()).unwrap();
        assert_eq!(tokens.redeem(t0, "other"), None);
        assert_eq!(tokens.redeem(t0, &token), Some(call.clone()));
        assert_eq!(tokens.redeem(t0, &token), None);
        let token = tokens.issue(t0, call.clone()).unwrap();
        assert_eq!(tokens.redeem(t0 + TOKEN_LIFETIME, &token), None);
        for _ in 0..TOKENS_MAX {
            assert!(tokens.issue(t0, call.clone()).is_some());
        }
        assert_eq!(tokens.issue(t0, call.clone()), None);
        assert!(tokens.issue(t0 + TOKEN_LIFETIME, call).is_some());
    }
}
