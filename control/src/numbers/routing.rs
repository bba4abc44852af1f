//! Calls for lines that an endpoint outside answers: where they go.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::endpoints::{self, Endpoint, NUMBER};
use super::lines::{self, Line, Target};
use super::webhook::{Question, WebhookClient};
use crate::agents::stored;
use crate::api::route::Fields as _;
use crate::api::schema::{e164, parse_uuid};
use crate::config::Secret;
use crate::identity::vault::{Place, Vault};
use crate::store::{Store, StoreError, Tenant};

/// A line that an active endpoint outside answers.
#[derive(Clone, Debug)]
pub struct OutsideLine {
    /// The line.
    pub line: Line,
    /// Its endpoint.
    pub endpoint: Endpoint,
}

/// Where a call for an endpoint goes.
#[derive(Clone, Debug)]
pub enum Destination {
    /// An agent of the line's organisation.
    Agent(Uuid),
    /// A telephone number, E.164 with its plus sign.
    Number(String),
    /// A SIP address.
    Sip(SipDestination),
    /// Nowhere.
    Reject(Rejection),
}

/// A SIP address and what calling it takes.
#[derive(Clone, Debug)]
pub struct SipDestination {
    /// `sip:` or `sips:`.
    pub uri: String,
    /// Answers a challenge.
    pub credentials: Option<(String, Secret)>,
    /// Further header fields of the INVITE, `X-` ones.
    pub headers: BTreeMap<String, String>,
}

/// Why a call is not put through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rejection {
    /// The endpoint says it is busy.
    Busy,
    /// The endpoint does not want the call.
    Declined,
    /// The endpoint knows nobody for it.
    NotFound,
    /// The endpoint cannot say, or what it says cannot be done.
    Unavailable,
}

impl Rejection {
    /// The rejection of this name, as webhooks write it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "busy" => Some(Self::Busy),
            "declined" => Some(Self::Declined),
            "not_found" => Some(Self::NotFound),
            "unavailable" => Some(Self::Unavailable),
            _ => None,
        }
    }

    /// SIP final response.
    #[must_use]
    pub const fn sip_status(self) -> u16 {
        match self {
            Self::Busy => 486,
            Self::Declined => 603,
            Self::NotFound => 404,
            Self::Unavailable => 480,
        }
    }
}

/// The line that `called` is and the active endpoint that answers it, if one does.
///
/// # Errors
/// When the store fails.
pub async fn outside_line(store: &Store, called: &str) -> Result<Option<OutsideLine>, StoreError> {
    let Some(number) = e164(called) else {
        return Ok(None);
    };
    let mut conn = store.read().await?;
    let Some(line) = lines::find_for_call(&mut conn, &number).await? else {
        return Ok(None);
    };
    let Some(Target::Endpoint(id)) = line.target else {
        return Ok(None);
    };
    let endpoint = endpoints::find_for_call(&mut conn, Tenant::of(line.org), id).await?;
    let active = endpoint.filter(|endpoint| endpoint.status == "active");
    Ok(active.map(|endpoint| OutsideLine { line, endpoint }))
}

impl OutsideLine {
    /// Where a call for the line goes: to the endpoint's SIP address, or where its webhook says.
    pub async fn destination(
        &self,
        (store, vault): (&Store, &Vault),
        webhooks: &WebhookClient,
        call: CallFacts<'_>,
    ) -> Destination {
        let endpoint = &self.endpoint;
        let secret = self.secret(vault);
        if endpoint.kind != "webhook" {
            return Destination::Sip(self.sip_destination(&endpoint.url, secret));
        }
        let config = endpoint.provider_config.as_object();
        let question = Question {
            url: &endpoint.url,
            secret: secret.as_ref(),
            headers: config.map(headers).unwrap_or_default(),
            endpoint: endpoint.id,
            organisation: endpoint.org,
            number: &self.line.number,
            call,
        };
        let asked = match webhooks.ask(&question).await {
            Ok(answer) => self.understood(store, answer).await,
            Err(error) => Err(error.to_string()),
        };
        match asked {
            Ok(destination) => destination,
            Err(error) => {
                let fallback = config
                    .and_then(|config| config.text("fallback_agent_id"))
                    .and_then(parse_uuid);
                tracing::warn!(
                    endpoint = %endpoint.id, error, fallback = fallback.is_some(),
                    "webhook does not say where a call goes"
                );
                match fallback {
                    Some(agent) if self.owns_agent(store, agent).await => Destination::Agent(agent),
                    _ => Destination::Reject(Rejection::Unavailable),
                }
            }
        }
    }

    /// What a webhook answered, if it can be done.
    async fn understood(&self, store: &Store, answer: Value) -> Result<Destination, String> {
        let answer = answer.as_object().ok_or("the answer is no JSON object")?;
        match answer.text("action") {
            Some("agent") => {
                let agent = answer.text("agent_id").and_then(parse_uuid);
                let agent = agent.ok_or("`agent_id` is no UUID")?;
                if !self.owns_agent(store, agent).await {
                    return Err("`agent_id` is no agent of the organisation".to_owned());
                }
                Ok(Destination::Agent(agent))
            }
            Some("number") => {
                let number = answer.text("number").and_then(e164);
                let number = number.ok_or("`number` is no E.164 number")?;
                if number == self.line.number {
                    return Err("`number` is the line itself".to_owned());
                }
                Ok(Destination::Number(number))
            }
            Some("sip") => {
                let uri = answer.text("uri").unwrap_or_default();
                endpoints::check_sip_uri(uri).map_err(|why| format!("`uri` {why}"))?;
                Ok(Destination::Sip(self.sip_destination(uri, None)))
            }
            Some("reject") => {
                let reason = answer.text("reason").unwrap_or("declined");
                let rejection = Rejection::named(reason);
                let rejection =
                    rejection.ok_or("`reason` must be busy, declined, not_found or unavailable")?;
                Ok(Destination::Reject(rejection))
            }
            _ => Err("`action` must be agent, number, sip or reject".to_owned()),
        }
    }

    async fn owns_agent(&self, store: &Store, agent: Uuid) -> bool {
        let found = async {
            let mut conn = store.read().await?;
            stored::find(&mut conn, Tenant::of(self.endpoint.org), agent).await
        };
        match found.await {
            Ok(agent) => agent.is_some(),
            Err(error) => {
                tracing::error!(%error, "agents of an organisation cannot be read");
                false
            }
        }
    }

    fn sip_destination(&self, uri: &str, password: Option<Secret>) -> SipDestination {
        let config = self.endpoint.provider_config.as_object();
        let username = config
            .and_then(|config| config.owned("username"))
            .filter(|_| self.endpoint.kind == "custom_sip");
        let mut uri = uri.replace(NUMBER, &self.line.number);
        let transport = config
            .and_then(|config| config.text("transport"))
            .filter(|_| self.endpoint.kind == "custom_sip" && !uri.contains(";transport="));
        if let Some(transport) = transport {
            uri.push_str(";transport=");
            uri.push_str(transport);
        }
        SipDestination {
            uri,
            credentials: username.zip(password),
            headers: config
                .filter(|_| self.endpoint.kind == "custom_sip")
                .map(headers)
                .unwrap_or_default(),
        }
    }

    fn secret(&self, vault: &Vault) -> Option<Secret> {
        let sealed = self.endpoint.sealed.as_ref()?;
        let place = Place {
            table: "endpoints",
            row: self.endpoint.id,
            organisation: self.endpoint.org,
        };
        match vault.open(place, sealed) {
            Ok(secret) => Some(secret),
            Err(error) => {
                tracing::error!(endpoint = %self.endpoint.id, %error, "secret of an endpoint does not open");
                None
            }
        }
    }
}

/// What is known of a call before anybody answers.
#[derive(Clone, Copy, Debug)]
pub struct CallFacts<'a> {
    /// `sip`, `twilio`, `exotel`.
    pub carrier: &'static str,
    /// The carrier's own id.
    pub carrier_call_id: Option<&'a str>,
    /// Who calls.
    pub caller: Option<&'a str>,
}

/// `headers` of an endpoint's configuration, which was checked when it was made.
fn headers(config: &serde_json::Map<String, Value>) -> BTreeMap<String, String> {
    let Some(Value::Object(headers)) = config.get("headers") else {
        return BTreeMap::new();
    };
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}
