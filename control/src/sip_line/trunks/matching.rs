//! Whose call it is that came in.

use std::time::Instant;

use sip::net::IncomingCall;

use super::API_PREFIX;
use super::limits::{Full, Place};
use super::registry::TrunkRegistry;
use super::trunk::Trunk;
use crate::config::StrangerPolicy;

/// What is known of who brings a call.
#[derive(Debug)]
pub(in crate::sip_line) enum Origin {
    /// A trunk, with a place for the call.
    Trunk {
        trunk: Trunk,
        /// Given back when the call has ended.
        _place: Place,
    },
    /// A user of ours who proved it.
    User(String),
    /// Somebody who may call all the same.
    Stranger,
}

/// Why a call is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::sip_line) enum Turned {
    /// The caller has to prove who it is: 401.
    Challenge,
    /// The trunk has as many calls as it may have: 503.
    TrunkFull,
    /// The trunk has more calls a second than it may have: 503.
    TrunkRate,
}

impl TrunkRegistry {
    /// Finds whose call this is: by credentials, by source address, by domain. A trunk that
    /// names a user is matched by proof alone: addresses can be forged over UDP.
    pub(in crate::sip_line) fn match_call(
        &self,
        now: Instant,
        call: &IncomingCall,
    ) -> Result<Origin, Turned> {
        let source = call.source().address.ip();
        let host = call.uri().as_sip().map(|uri| uri.host.to_string());
        let user = call.user();
        let mut must_prove = false;
        let mut trunks = self.all();
        // Whoever registers a trunk over the API must not take the operator's calls.
        trunks.sort_by_key(|trunk| trunk.name().starts_with(API_PREFIX));
        for trunk in trunks {
            let settings = trunk.settings();
            let by_address = trunk.holds(source);
            let domain_fits = settings.domain.as_deref().is_none_or(|domain| {
                host.as_deref()
                    .is_some_and(|host| host.eq_ignore_ascii_case(domain))
            });
            let is_inbound = !settings.addresses.is_empty()
                || settings.inbound_user.is_some()
                || settings.domain.is_some();
            let address_fits = settings.addresses.is_empty() || by_address;
            if !is_inbound || !address_fits || !domain_fits {
                continue;
            }
            match &settings.inbound_user {
                Some(wanted) if user == Some(wanted) => {}
                Some(_) => {
                    must_prove |= by_address || settings.domain.is_some();
                    continue;
                }
                None => {}
            }
            return match trunk.take_place(now) {
                Ok(place) => Ok(Origin::Trunk {
                    trunk,
                    _place: place,
                }),
                Err(Full::Calls) => Err(Turned::TrunkFull),
                Err(Full::Rate) => Err(Turned::TrunkRate),
            };
        }
        if let Some(user) = user {
            return Ok(Origin::User(user.to_owned()));
        }
        if must_prove || self.section().strangers == StrangerPolicy::Challenge {
            return Err(Turned::Challenge);
        }
        Ok(Origin::Stranger)
    }
}
