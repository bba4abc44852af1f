//! What a token allows.

use serde_json::Value;

use super::keys::LiveKitKeys;
use crate::identity::jwt::{Expectation, JwtError, verify_hs256};

/// Longest identity, name and room that are taken.
const NAME_BYTES_MAX: usize = 256;

/// Who joins, and what they may.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Grant {
    pub(crate) identity: String,
    pub(crate) name: String,
    pub(crate) metadata: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) room: String,
    /// Id or number of who answers.
    pub(crate) agent: String,
    pub(crate) can_publish: bool,
    pub(crate) can_subscribe: bool,
    pub(crate) can_publish_data: bool,
}

impl Grant {
    /// What the caller is called.
    pub(crate) fn caller(&self) -> &str {
        if self.name.is_empty() {
            &self.identity
        } else {
            &self.name
        }
    }
}

/// Why a client may not join.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum GrantError {
    #[error("no permissions to access the room: a token is needed")]
    Missing,
    #[error("invalid token: {0}")]
    Token(#[from] JwtError),
    #[error("invalid API key")]
    Key,
    #[error("the token does not allow to join a room")]
    NoJoin,
    #[error("identity or room of the token is empty or too long")]
    Names,
}

/// Reads a token.
pub(crate) fn read(keys: &LiveKitKeys, token: &str, now_s: i64) -> Result<Grant, GrantError> {
    if token.is_empty() {
        return Err(GrantError::Missing);
    }
    let expectation = Expectation {
        audience: None,
        issuer: None,
        now_s,
    };
    let claims = verify_hs256(keys.secret.reveal().as_bytes(), token, &expectation)?;
    if claims["iss"] != keys.key.as_str() {
        return Err(GrantError::Key);
    }
    let video = &claims["video"];
    if video["roomJoin"] != true {
        return Err(GrantError::NoJoin);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let allowed = |name: &str| video[name].as_bool().unwrap_or(true);
    let (identity, room) = (text(&claims["sub"]), text(&video["room"]));
    let fine = |name: &str| !name.is_empty() && name.len() <= NAME_BYTES_MAX;
    let name = text(&claims["name"]);
    if !fine(&identity) || !fine(&room) || name.len() > NAME_BYTES_MAX {
        return Err(GrantError::Names);
    }
    let metadata = text(&claims["metadata"]);
    let agent = agent_of(&claims, &metadata).unwrap_or_else(|| room.clone());
    let attributes = claims["attributes"].as_object().into_iter().flatten();
    Ok(Grant {
        attributes: attributes
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect(),
        can_publish: allowed("canPublish"),
        can_subscribe: allowed("canSubscribe"),
        can_publish_data: allowed("canPublishData"),
        identity,
        name,
        metadata,
        room,
        agent,
    })
}

/// Who answers: the agent that the token dispatches, the one its metadata names, else the room's
/// name is taken for it.
fn agent_of(claims: &Value, metadata: &str) -> Option<String> {
    let dispatched = claims["roomConfig"]["agents"][0]["agentName"].as_str();
    let dispatched = dispatched
        .filter(|name| !name.is_empty())
        .map(str::to_owned);
    dispatched.or_else(|| {
        let metadata: Value = serde_json::from_str(metadata).ok()?;
        metadata["agent_id"].as_str().map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::keys::TokenRequest;
    use super::*;
    use crate::config::Secret;
    use crate::identity::jwt::sign_hs256;

    fn keys() -> LiveKitKeys {
        LiveKitKeys {
            key: "devkey".to_owned(),
            secret: Secret::new("a secret of some length"),
            file: None,
        }
    }

    #[test]
    fn our_own_token_names_room_and_agent_until_it_expires() {
        let request = TokenRequest {
            identity: "page-1",
            name: "Asha",
            room: "web-1",
            agent: "clinic",
            now_s: 1_000_000,
        };
        let token = keys().sign(&request);
        let grant = read(&keys(), &token, 1_000_100).expect("valid");
        assert_eq!(
            (grant.agent.as_str(), grant.room.as_str()),
            ("clinic", "web-1")
        );
        assert!(grant.can_publish && grant.can_subscribe && grant.can_publish_data);
        let late = read(
            &keys(),
            &token,
            1_000_000 + super::super::keys::TOKEN_S + 60,
        );
        assert_eq!(late, Err(GrantError::Token(JwtError::Expired)));
        let mut other = keys();
        other.secret = Secret::new("another secret of length");
        let forged = read(&other, &token, 1_000_100);
        assert_eq!(forged, Err(GrantError::Token(JwtError::Signature)));
        other = keys();
        other.key = "other".to_owned();
        assert_eq!(read(&other, &token, 1_000_100), Err(GrantError::Key));
    }

    #[test]
    fn what_is_no_join_is_refused() {
        let now_s = 1_000_000;
        let sign = |claims: Value| sign_hs256(keys().secret.reveal().as_bytes(), &claims);
        let claims = |video: Value, sub: &str| json!({ "iss": "devkey", "sub": sub, "exp": now_s + 60, "video": video });
        assert_eq!(read(&keys(), "", now_s), Err(GrantError::Missing));
        assert!(matches!(
            read(&keys(), "a.b.c", now_s),
            Err(GrantError::Token(_))
        ));
        let list = sign(claims(json!({ "roomList": true }), "me"));
        assert_eq!(read(&keys(), &list, now_s), Err(GrantError::NoJoin));
        let nobody = sign(claims(json!({ "roomJoin": true, "room": "r" }), ""));
        assert_eq!(read(&keys(), &nobody, now_s), Err(GrantError::Names));
        let nowhere = sign(claims(json!({ "roomJoin": true }), "me"));
        assert_eq!(read(&keys(), &nowhere, now_s), Err(GrantError::Names));
        let room = sign(claims(
            json!({ "roomJoin": true, "room": "clinic", "canPublish": false }),
            "me",
        ));
        let grant = read(&keys(), &room, now_s).expect("valid");
        assert_eq!(grant.agent, "clinic");
        assert!(!grant.can_publish && grant.can_subscribe);
    }
}
