//! Whom a call is put through to, and the call to it.

use std::time::Instant;

use media::codec::Codec;
use sip::auth::Credentials;
use sip::event::{InviteRequest, MAX_FORWARDS};
use sip::message::{Header, HeaderName, NameAddr, Uri};
use sip::net::{IncomingCall, OutgoingEvent, Resolver, UserAgent};
use sip::sdp::offer;
use sip::transport::select::Target;

use super::failure::Failure;
use super::{Orders, Reached, Record, reached, reason};
use crate::calls::outcome::SetupEnd;
use crate::config::{SipCodec, SrtpPolicy};
use crate::numbers::routing::SipDestination;
use crate::services::Services;
use crate::sip_line::media::{advertised_address, local_media};
use crate::sip_line::trunks::{Place, Trunk};

/// Whom a call is put through to.
#[derive(Debug)]
pub(in crate::sip_line) enum Callee {
    /// A SIP address.
    Address(SipDestination),
    /// A telephone number, by a trunk.
    Number {
        /// The number.
        number: String,
        /// Takes the call out.
        trunk: Box<Trunk>,
    },
}

/// The INVITE, its next hops, and what its trunk wants.
struct Prepared {
    invite: InviteRequest,
    targets: Vec<Target>,
    codecs: Vec<SipCodec>,
    srtp: SrtpPolicy,
    /// The trunk's place for the call.
    place: Option<Place>,
}

impl Callee {
    /// Places the call and waits until it is answered, letting the caller hear that it rings.
    /// `shown` is the caller's number and the codec that would need no conversion.
    pub(super) async fn place(
        self,
        services: &Services,
        (shown, preferred): (Option<&str>, Option<Codec>),
        call: &mut IncomingCall,
        record: &mut Record,
        orders: &mut Orders,
    ) -> Result<Reached, Failure> {
        let uri = self.uri();
        record.note("calling", &uri).await;
        let left = call.essentials().max_forwards.unwrap_or(MAX_FORWARDS);
        let prepared = tokio::select! {
            prepared = self.prepare(services, shown) => prepared?,
            _ = call.cancelled() => return Err(Failure::CallerGone),
        };
        let Some(agent) = services.sip.get() else {
            return Err(Failure::Unreachable("sip is not served".to_owned()));
        };
        let mut invite = prepared.invite;
        // RFC 7332 §4: a call that leads back to us ends.
        invite.max_forwards = left
            .checked_sub(1)
            .filter(|left| *left > 0)
            .ok_or_else(|| Failure::Unreachable("the call goes round in circles".to_owned()))?;
        for target in prepared.targets {
            if let Some(name) = target.name {
                let expected = agent.expect_name(target.hop.address, name).await;
                expected.map_err(|error| Failure::Unreachable(error.to_string()))?;
            }
        }
        let ports = services
            .engine
            .reserve_rtp(services.config.media.rtp_bind)
            .map_err(|error| {
                tracing::warn!(%error, "no rtp ports for a callee");
                Failure::Setup(SetupEnd::MediaUnavailable)
            })?;
        let mut local = local_media(
            &services.config,
            &prepared.codecs,
            prepared.srtp,
            &ports,
            invite.destination.address,
        );
        if let Some(preferred) = preferred {
            // What the caller speaks first, so that nothing is lost in conversion.
            local.codecs.sort_by_key(|codec| *codec != preferred);
        }
        let ours = offer(&local);
        invite.offer = Some(ours.clone());
        let begun = agent.invite(invite).await;
        let mut attempt = begun.map_err(|error| Failure::Unreachable(error.to_string()))?;
        let patience = tokio::time::sleep(services.config.endpoints.ring_timeout);
        tokio::pin!(patience);
        let mut rings = false;
        // Dropping the attempt cancels it.
        loop {
            let event = tokio::select! {
                event = attempt.next_event() => event,
                _ = call.cancelled() => return Err(Failure::CallerGone),
                order = orders.recv() => return Err(Failure::Ordered(reason(order))),
                () = &mut patience => return Err(Failure::RingTimeout),
            };
            match event {
                Some(OutgoingEvent::Provisional { status, .. }) => {
                    if !rings && matches!(status.code(), 180..=183) {
                        rings = true;
                        if call.ring().await.is_err() {
                            return Err(Failure::CallerGone);
                        }
                        record.note("ringing", &uri).await;
                    }
                }
                Some(OutgoingEvent::Answered { sdp, dialog, .. }) => {
                    record.note("answered", &uri).await;
                    return reached(dialog, (&ours, sdp), ports, local, prepared.place);
                }
                Some(OutgoingEvent::Failed(end)) => {
                    tracing::info!(?end, "callee was not reached");
                    return Err(Failure::Callee(end));
                }
                Some(_) | None => return Err(Failure::Setup(SetupEnd::MediaUnavailable)),
            }
        }
    }

    fn uri(&self) -> String {
        match self {
            Self::Address(address) => address.uri.clone(),
            Self::Number { number, .. } => format!("tel:{number}"),
        }
    }

    async fn prepare(self, services: &Services, caller: Option<&str>) -> Result<Prepared, Failure> {
        let agent = services.sip.get().zip(services.resolver.get());
        let (agent, resolver) =
            agent.ok_or_else(|| Failure::Unreachable("sip is not served".to_owned()))?;
        let prepared = match self {
            Self::Address(address) => to_address(services, agent, resolver, address, caller).await,
            Self::Number { number, trunk } => {
                by_trunk(services, resolver, &number, &trunk, caller).await
            }
        };
        prepared.map_err(Failure::Unreachable)
    }
}

async fn to_address(
    services: &Services,
    agent: &UserAgent,
    resolver: &Resolver,
    address: SipDestination,
    caller: Option<&str>,
) -> Result<Prepared, String> {
    let config = &services.config;
    let target = Uri::parse(&address.uri).map_err(|error| error.to_string())?;
    let found = resolver.resolve(&target).await;
    let targets = found.map_err(|error| error.to_string())?;
    let guard = services.endpoint_client.guard();
    if let Some(refused) = targets
        .iter()
        .find(|target| !guard.permits(target.hop.address.ip()))
    {
        let ip = refused.hop.address.ip();
        return Err(format!(
            "address {ip} is not allowed; see `endpoints.allowed_networks`"
        ));
    }
    let [first, rest @ ..] = targets.as_slice() else {
        return Err("the address leads nowhere".to_owned());
    };
    let here = advertised_address(&config.sip, agent.local_addr());
    let here = here.unwrap_or_else(|| agent.local_addr());
    let plain = |caller: &&str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "+-_.".contains(c);
        !caller.is_empty() && caller.chars().all(fits)
    };
    let from = caller
        .filter(plain)
        .and_then(|caller| Uri::parse(&format!("sip:{caller}@{here}")).ok())
        .unwrap_or_else(|| Uri::sip("anonymous", here));
    let mut invite = InviteRequest::new(target, first.hop, NameAddr::new(from));
    invite.alternatives = rest.iter().map(|target| target.hop).collect();
    invite.credentials = address
        .credentials
        .map(|(user, password)| Credentials::new(user, password.reveal()));
    invite.headers = address
        .headers
        .iter()
        .map(|(name, value)| Header::new(HeaderName::new(name), value.clone()))
        .collect();
    Ok(Prepared {
        invite,
        codecs: config.sip.codecs.clone(),
        srtp: config.sip.srtp,
        targets,
        place: None,
    })
}

async fn by_trunk(
    services: &Services,
    resolver: &Resolver,
    number: &str,
    trunk: &Trunk,
    caller: Option<&str>,
) -> Result<Prepared, String> {
    let prepared = trunk.prepare(now(), resolver, number, caller).await;
    let call = prepared.map_err(|error| error.to_string())?;
    let settings = call.trunk.settings();
    let codecs = if settings.codecs.is_empty() {
        &services.config.sip.codecs
    } else {
        &settings.codecs
    };
    Ok(Prepared {
        codecs: codecs.clone(),
        srtp: settings.srtp.unwrap_or(services.config.sip.srtp),
        invite: call.invite,
        targets: call.targets,
        place: Some(call.place),
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "driver: rates of trunks are of real time"
)]
fn now() -> Instant {
    Instant::now()
}
