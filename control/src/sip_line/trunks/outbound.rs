//! A call out through trunks: whom it may reach, what it shows, and the INVITE.

use std::time::Instant;

use sip::auth::Credentials;
use sip::event::InviteRequest;
use sip::message::{Header, HeaderName, NameAddr, Uri};
use sip::net::Resolver;
use sip::transport::select::Target;

use super::limits::{Full, Place};
use super::trunk::{Health, Trunk};
use crate::config::{CallerIdForm, normalize_number};

/// Redirections followed within a trunk.
const REDIRECTS_MAX: u8 = 5;

/// Why a trunk does not take a call out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboundRefusal {
    /// No `uris`.
    #[error("trunk {0} has no `uris`, so it takes no calls out")]
    NoDestination(String),
    /// The number is not among `destinations`.
    #[error("trunk {0} may not call this number; see `destinations`")]
    NotAllowed(String),
    /// The number is none.
    #[error("`{0}` is no telephone number")]
    NotANumber(String),
    /// As many calls as it may have.
    #[error("trunk {0} has as many calls as `calls_max` allows")]
    Full(String),
    /// More calls a second than it may have.
    #[error("trunk {0} has as many calls a second as `calls_per_second` allows")]
    Rate(String),
    /// It does not answer OPTIONS.
    #[error("trunk {0} is down")]
    Down(String),
    /// It asked for a pause.
    #[error("trunk {0} wants no calls now (Retry-After)")]
    Resting(String),
    /// None of its names has an address.
    #[error("trunk {trunk}: {reason}")]
    Unresolved {
        /// The trunk.
        trunk: String,
        /// What DNS says.
        reason: String,
    },
}

/// A call ready to be placed; its place is the trunk's until it is dropped.
#[derive(Debug)]
pub struct OutboundCall {
    /// The INVITE, without an offer.
    pub invite: InviteRequest,
    /// Next hops with the names their certificates must show.
    pub targets: Vec<Target>,
    /// The trunk.
    pub trunk: Trunk,
    /// The trunk's place for the call.
    pub place: Place,
}

impl Trunk {
    /// Prepares a call to `number`, showing `caller` if the trunk allows it.
    ///
    /// # Errors
    /// [`OutboundRefusal`].
    pub async fn prepare(
        &self,
        now: Instant,
        resolver: &Resolver,
        number: &str,
        caller: Option<&str>,
    ) -> Result<OutboundCall, OutboundRefusal> {
        let name = || self.name().to_owned();
        let settings = self.settings();
        if settings.uris.is_empty() {
            return Err(OutboundRefusal::NoDestination(name()));
        }
        let digits = normalize_number(number)
            .ok_or_else(|| OutboundRefusal::NotANumber(number.to_owned()))?;
        if !settings.destinations.is_empty() && !listed(&settings.destinations, &digits) {
            return Err(OutboundRefusal::NotAllowed(name()));
        }
        if self.health() == Health::Down {
            return Err(OutboundRefusal::Down(name()));
        }
        if self.is_resting(now) {
            return Err(OutboundRefusal::Resting(name()));
        }
        let place = self.take_place(now).map_err(|full| match full {
            Full::Calls => OutboundRefusal::Full(name()),
            Full::Rate => OutboundRefusal::Rate(name()),
        })?;
        let (targets, base) = self.resolve(resolver).await?;
        let target = self.number_uri(&digits, &base);
        let from = self.from(caller, &base);
        let [first, rest @ ..] = targets.as_slice() else {
            return Err(OutboundRefusal::NoDestination(name()));
        };
        let mut invite = InviteRequest::new(target, first.hop, NameAddr::new(from.clone()));
        invite.alternatives = rest.iter().map(|target| target.hop).collect();
        invite.credentials = self.credentials();
        invite.redirects_max = REDIRECTS_MAX;
        invite.headers = self.headers(&from);
        Ok(OutboundCall {
            invite,
            targets,
            trunk: self.clone(),
            place,
        })
    }

    /// Targets of all URIs in order, and the URI that the first of them came from.
    async fn resolve(&self, resolver: &Resolver) -> Result<(Vec<Target>, Uri), OutboundRefusal> {
        let mut targets = Vec::new();
        let mut base = None;
        let mut reason = String::new();
        for uri in &self.settings().uris {
            let Ok(uri) = Uri::parse(uri) else {
                continue;
            };
            match resolver.resolve(&uri).await {
                Ok(found) => {
                    targets.extend(found);
                    base.get_or_insert(uri);
                }
                Err(error) => reason = error.to_string(),
            }
        }
        match base {
            Some(base) => Ok((targets, base)),
            None => Err(OutboundRefusal::Unresolved {
                trunk: self.name().to_owned(),
                reason,
            }),
        }
    }

    /// Answers to the carrier's challenges.
    #[must_use]
    pub fn credentials(&self) -> Option<Credentials> {
        let settings = self.settings();
        let password = settings.password.as_ref()?;
        Some(Credentials::new(
            settings.username.clone()?,
            password.reveal(),
        ))
    }

    /// The Request-URI of a number.
    fn number_uri(&self, digits: &str, base: &Uri) -> Uri {
        let user = self.written(digits);
        match base {
            Uri::Sip(base) => {
                let mut uri = base.clone();
                uri.user = Some(user);
                uri.headers = None;
                Uri::Sip(uri)
            }
            Uri::Other(_) => Uri::Other(format!("tel:{user}")),
        }
    }

    fn written(&self, digits: &str) -> String {
        // Short codes are dialled as they are.
        let plus = self.settings().plus.unwrap_or(true) && digits.len() > 6;
        format!("{}{digits}", if plus { "+" } else { "" })
    }

    /// From: the number shown, at the domain the carrier knows us by.
    fn from(&self, caller: Option<&str>, base: &Uri) -> Uri {
        let settings = self.settings();
        let asked = caller.and_then(normalize_number);
        let allowed = asked.filter(|digits| {
            settings.caller_ids.is_empty() || listed(&settings.caller_ids, digits)
        });
        let shown = allowed.or_else(|| {
            let default = settings.caller_id_default.as_deref();
            let first = settings.caller_ids.first().map(String::as_str);
            default
                .or(first.filter(|id| !id.ends_with('*')))
                .and_then(normalize_number)
        });
        let user = match (shown, &settings.username) {
            (Some(digits), _) => self.written(&digits),
            (None, Some(username)) => username.clone(),
            (None, None) => "anonymous".to_owned(),
        };
        let host = settings.from_domain.clone().or_else(|| {
            let host = base.as_sip()?.host.to_string();
            Some(host)
        });
        let text = format!(
            "sip:{user}@{}",
            host.as_deref().unwrap_or("anonymous.invalid")
        );
        Uri::parse(&text).unwrap_or_else(|_| {
            Uri::parse("sip:anonymous@anonymous.invalid").expect("it is a URI; a test reads it")
        })
    }

    fn headers(&self, from: &Uri) -> Vec<Header> {
        let settings = self.settings();
        let mut headers: Vec<Header> = settings
            .headers
            .iter()
            .map(|(name, value)| Header::new(HeaderName::new(name), value.clone()))
            .collect();
        match settings.caller_id_form {
            CallerIdForm::From => {}
            CallerIdForm::AssertedIdentity => headers.push(Header::new(
                HeaderName::PAssertedIdentity,
                format!("<{from}>"),
            )),
            CallerIdForm::RemotePartyId => headers.push(Header::new(
                HeaderName::RemotePartyId,
                format!("<{from}>;party=calling;screen=yes;privacy=off"),
            )),
        }
        headers
    }
}

/// Whether digits are in a list of numbers and prefixes.
fn listed(list: &[String], digits: &str) -> bool {
    list.iter().any(|entry| match entry.strip_suffix('*') {
        Some("") => true,
        Some(prefix) => normalize_number(prefix).is_some_and(|prefix| digits.starts_with(&prefix)),
        None => normalize_number(entry).as_deref() == Some(digits),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sip::transport::Transport;

    use super::*;
    use crate::config::{TrunkPreset, TrunkSection};

    #[expect(clippy::disallowed_methods, reason = "only an origin for virtual time")]
    fn now() -> Instant {
        Instant::now()
    }

    fn trunk(change: impl FnOnce(&mut TrunkSection)) -> Trunk {
        let mut section = TrunkSection {
            name: "carrier".to_owned(),
            uris: vec![
                "sip:192.0.2.1;transport=tcp".to_owned(),
                "sip:192.0.2.2:5070".to_owned(),
            ],
            ..TrunkSection::default()
        };
        change(&mut section);
        Trunk::new(section, Arc::default())
    }

    async fn prepare(
        trunk: &Trunk,
        number: &str,
        caller: Option<&str>,
    ) -> Result<OutboundCall, OutboundRefusal> {
        let resolver = Resolver::from_system(vec![Transport::Udp, Transport::Tcp]).unwrap();
        trunk.prepare(now(), &resolver, number, caller).await
    }

    #[tokio::test]
    async fn the_invite_goes_to_all_uris_in_order_with_the_allowed_number() {
        let trunk = trunk(|section| {
            section.caller_ids = vec!["+1555010*".to_owned()];
            section.caller_id_default = Some("+15550199".to_owned());
            section.caller_id_form = CallerIdForm::AssertedIdentity;
            section.from_domain = Some("us.example".to_owned());
            section
                .headers
                .insert("X-Account".to_owned(), "7".to_owned());
        });
        let call = prepare(&trunk, "+1 (555) 020-0000", Some("+15550100"))
            .await
            .unwrap();
        assert_eq!(
            call.invite.target.to_string(),
            "sip:+15550200000@192.0.2.1;transport=tcp"
        );
        assert_eq!(call.invite.destination.to_string(), "tcp:192.0.2.1:5060");
        assert_eq!(
            call.invite.alternatives[0].to_string(),
            "udp:192.0.2.2:5070"
        );
        assert_eq!(call.invite.from.uri.to_string(), "sip:+15550100@us.example");
        let text: Vec<String> = call
            .invite
            .headers
            .iter()
            .map(|header| format!("{}: {}", header.name, header.value()))
            .collect();
        assert_eq!(
            text,
            [
                "X-Account: 7",
                "P-Asserted-Identity: <sip:+15550100@us.example>"
            ]
        );
        drop(call);
        let call = prepare(&trunk, "+15550200000", Some("+4930123456"))
            .await
            .unwrap();
        assert_eq!(call.invite.from.uri.user().as_deref(), Some("+15550199"));
    }

    #[tokio::test]
    async fn toll_fraud_limits_hold() {
        let trunk = trunk(|section| {
            section.destinations = vec!["+91*".to_owned(), "112".to_owned()];
            section.calls_max = 1;
        });
        assert_eq!(
            prepare(&trunk, "+881612345678", None).await.unwrap_err(),
            OutboundRefusal::NotAllowed("carrier".to_owned())
        );
        let _first = prepare(&trunk, "+919812345678", None).await.unwrap();
        assert_eq!(
            prepare(&trunk, "+919812345678", None).await.unwrap_err(),
            OutboundRefusal::Full("carrier".to_owned())
        );
        assert!(matches!(
            prepare(&trunk, "the front desk", None).await,
            Err(OutboundRefusal::NotANumber(_))
        ));
    }

    #[tokio::test]
    async fn a_trunk_that_is_down_or_resting_is_left_alone() {
        let trunk = trunk(|section| section.preset = Some(TrunkPreset::Vonage));
        assert!(!trunk.note_answer(false));
        assert!(trunk.note_answer(false));
        assert_eq!(
            prepare(&trunk, "+15550200000", None).await.unwrap_err(),
            OutboundRefusal::Down("carrier".to_owned())
        );
        assert!(trunk.note_answer(true));
        let call = prepare(&trunk, "+15550200000", None).await.unwrap();
        assert_eq!(call.invite.target.user().as_deref(), Some("15550200000"));
        trunk.rest(now(), std::time::Duration::from_secs(60));
        assert_eq!(
            prepare(&trunk, "+15550200000", None).await.unwrap_err(),
            OutboundRefusal::Resting("carrier".to_owned())
        );
    }

    #[test]
    fn the_anonymous_address_is_a_uri() {
        assert!(Uri::parse("sip:anonymous@anonymous.invalid").is_ok());
    }
}
