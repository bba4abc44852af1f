//! Our address kept registered (RFC 3261 §10.2, RFC 5626 §4.5 for the waits).

use std::time::{Duration, Instant};

use rand::RngExt as _;

use super::Endpoint;
use super::tables::Purpose;
use crate::auth::ClientAuth;
use crate::event::{CommandError, Event, RegisterRequest, RegistrationId, RegistrationState};
use crate::message::{HeaderName, Headers, Method, NameAddr, Request, StatusCode, Uri};
use crate::transaction::Deadline;
use crate::transport::Hop;

/// First and longest wait after a failure (RFC 5626 §4.5).
const BACK_OFF_MIN: Duration = Duration::from_secs(30);
const BACK_OFF_MAX: Duration = Duration::from_secs(1_800);
/// Pause between keep-alives over UDP: shorter than NATs forget (RFC 5626 §4.4.2).
const KEEP_ALIVE_S: std::ops::RangeInclusive<u64> = 15..=29;
/// Shortest time between two REGISTERs, whatever a registrar grants.
const REFRESH_MIN: Duration = Duration::from_secs(5);

/// Where a registration stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// A REGISTER is on its way.
    Trying,
    /// Nothing to do until then: registered, or a pause after failures.
    Waiting { until: Instant, registered: bool },
    /// A REGISTER with Expires 0 is on its way.
    Leaving,
}

/// One registration.
#[derive(Debug)]
pub(super) struct Registration {
    request: RegisterRequest,
    call_id: String,
    tag: String,
    cseq: u32,
    pub(super) auth: Option<ClientAuth>,
    /// Index of the destination in use.
    at: usize,
    /// Destinations that failed since the last success.
    failed: usize,
    /// Rounds through all destinations that failed.
    rounds: u32,
    expires_s: u32,
    state: State,
    keep_alive: Option<Instant>,
}

impl Registration {
    fn destination(&self) -> Option<Hop> {
        self.request.destinations.get(self.at).copied()
    }

    /// CSeq number of the next REGISTER.
    pub(super) const fn next_cseq(&mut self) -> u32 {
        self.cseq += 1;
        self.cseq
    }
}

impl Deadline for Registration {
    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until, .. } => Some(
                self.keep_alive
                    .map_or(until, |keep_alive| keep_alive.min(until)),
            ),
            State::Trying | State::Leaving => None,
        }
    }
}

impl Endpoint {
    /// Registers an address and keeps it registered until [`Self::unregister`].
    /// [`Event::Registration`] tells each change.
    ///
    /// # Errors
    /// [`CommandError::WrongState`] without any destination.
    pub fn register(
        &mut self,
        now: Instant,
        request: RegisterRequest,
    ) -> Result<RegistrationId, CommandError> {
        if request.destinations.is_empty() {
            return Err(CommandError::WrongState);
        }
        let registration = Registration {
            call_id: self.new_call_id(),
            tag: self.new_tag(),
            cseq: 0,
            auth: request.credentials.clone().map(ClientAuth::new),
            at: 0,
            failed: 0,
            rounds: 0,
            expires_s: request.expires_s.max(1),
            state: State::Trying,
            keep_alive: None,
            request,
        };
        let key = self.random.random();
        let id = self.registrations.insert(key, registration);
        self.send_register(now, id);
        Ok(RegistrationId(id))
    }

    /// Withdraws a registration; [`RegistrationState::Unregistered`] follows.
    pub fn unregister(&mut self, now: Instant, registration: RegistrationId) {
        let id = registration.0;
        let was_registered = self.registrations.update(id, |registration| {
            let was = matches!(
                registration.state,
                State::Waiting {
                    registered: true,
                    ..
                }
            );
            registration.state = State::Leaving;
            registration.keep_alive = None;
            was
        });
        match was_registered {
            Some(true) => self.send_register(now, id),
            Some(false) => self.forget_registration(id),
            None => {}
        }
    }

    fn forget_registration(&mut self, id: u64) {
        if self.registrations.remove(id).is_some() {
            self.tell_registration(id, RegistrationState::Unregistered);
        }
    }

    fn tell_registration(&mut self, id: u64, state: RegistrationState) {
        self.events.push_back(Event::Registration {
            registration: RegistrationId(id),
            state,
        });
    }

    fn send_register(&mut self, now: Instant, id: u64) {
        let Some(registration) = self.registrations.get(id) else {
            return;
        };
        let Some(destination) = registration.destination() else {
            return;
        };
        let contact = self.registered_contact(&registration.request.contact_user, destination);
        let Some(request) = self.registrations.update(id, |registration| {
            let expires = match registration.state {
                State::Leaving => 0,
                State::Trying | State::Waiting { .. } => {
                    registration.state = State::Trying;
                    registration.expires_s
                }
            };
            let address = &registration.request.address;
            let mut from = address.clone();
            from.params.set("tag", Some(&registration.tag));
            let mut headers = Headers::with_capacity(10);
            headers.push(HeaderName::MaxForwards, "70");
            headers.push(HeaderName::From, from.to_string());
            headers.push(HeaderName::To, address.to_string());
            headers.push(HeaderName::CallId, registration.call_id.clone());
            headers.push(
                HeaderName::CSeq,
                format!("{} REGISTER", registration.next_cseq()),
            );
            headers.push(HeaderName::Contact, contact.to_string());
            headers.push(HeaderName::Expires, expires.to_string());
            Request {
                method: Method::Register,
                uri: registration.request.registrar.clone(),
                headers,
                body: Vec::new(),
            }
        }) else {
            return;
        };
        self.send_request(now, request, destination, Purpose::Register(id));
    }

    fn registered_contact(&self, user: &str, destination: Hop) -> NameAddr {
        let mut uri = Uri::sip(user, self.local_address(destination.transport));
        if let Uri::Sip(uri) = &mut uri {
            destination.transport.note(&mut uri.params);
        }
        NameAddr::new(uri)
    }

    /// The final response to a REGISTER of ours, or `None` if none came.
    pub(super) fn on_register_result(
        &mut self,
        now: Instant,
        id: u64,
        result: Option<(StatusCode, &Headers)>,
    ) {
        let Some(registration) = self.registrations.get(id) else {
            return;
        };
        if registration.state == State::Leaving {
            return self.forget_registration(id);
        }
        match result {
            Some((status, headers)) if status.is_success() => self.registered(now, id, headers),
            // RFC 3261 §10.3 step 7: ask for as long as the registrar wants.
            Some((status, headers)) if status == StatusCode::INTERVAL_TOO_BRIEF => {
                let minimum = headers
                    .first(&HeaderName::MinExpires)
                    .and_then(|value| value.trim().parse::<u32>().ok());
                match minimum {
                    Some(minimum) if minimum > registration.expires_s => {
                        self.registrations
                            .update(id, |registration| registration.expires_s = minimum);
                        self.send_register(now, id);
                    }
                    _ => self.registration_failed(now, id, Some(status), headers),
                }
            }
            Some((status, headers)) => self.registration_failed(now, id, Some(status), headers),
            None => self.registration_failed(now, id, None, &Headers::new()),
        }
    }

    fn registered(&mut self, now: Instant, id: u64, headers: &Headers) {
        // Refreshed between half and 85 % of the time, so that many do not come together.
        let share: f64 = self.random.random_range(0.5..0.85);
        let pause = self.random.random_range(KEEP_ALIVE_S);
        let Some(registration) = self.registrations.get(id) else {
            return;
        };
        let Some(registrar) = registration.destination() else {
            return;
        };
        let own = self.registered_contact(&registration.request.contact_user, registrar);
        let expires_s = granted(headers, &own.uri)
            .unwrap_or(registration.expires_s)
            .max(1);
        self.registrations.update(id, |registration| {
            if let Some(auth) = &mut registration.auth {
                auth.accepted();
            }
            registration.failed = 0;
            registration.rounds = 0;
            let wait = Duration::from_secs(expires_s.into()).mul_f64(share);
            registration.state = State::Waiting {
                until: now + wait.max(REFRESH_MIN),
                registered: true,
            };
            registration.keep_alive =
                (!registrar.transport.is_reliable()).then(|| now + Duration::from_secs(pause));
        });
        self.tell_registration(
            id,
            RegistrationState::Registered {
                expires_s,
                registrar,
            },
        );
    }

    /// The next registrar at once; when all have failed, a pause.
    fn registration_failed(
        &mut self,
        now: Instant,
        id: u64,
        status: Option<StatusCode>,
        headers: &Headers,
    ) {
        let spread: f64 = self.random.random_range(0.5..=1.0);
        let asked = headers
            .first(&HeaderName::RetryAfter)
            .and_then(|value| value.split([';', '(', ' ']).next()?.parse().ok())
            .map(Duration::from_secs);
        let Some(retry_in) = self.registrations.update(id, |registration| {
            let count = registration.request.destinations.len();
            registration.at = (registration.at + 1) % count;
            registration.failed += 1;
            registration.keep_alive = None;
            if registration.failed < count {
                return None;
            }
            registration.failed = 0;
            let doubled = BACK_OFF_MIN * 2_u32.saturating_pow(registration.rounds.min(16));
            registration.rounds += 1;
            let wait = doubled.min(BACK_OFF_MAX).mul_f64(spread);
            let wait = wait.max(asked.unwrap_or_default().min(BACK_OFF_MAX));
            registration.state = State::Waiting {
                until: now + wait,
                registered: false,
            };
            Some(wait)
        }) else {
            return;
        };
        match retry_in {
            None => self.send_register(now, id),
            Some(retry_in) => {
                self.tell_registration(id, RegistrationState::Failed { status, retry_in });
            }
        }
    }

    pub(super) fn on_registration_timeout(&mut self, now: Instant, id: u64) {
        let pause = self.random.random_range(KEEP_ALIVE_S);
        let keep_alive_to = self
            .registrations
            .update(id, |registration| {
                let State::Waiting { until, .. } = registration.state else {
                    return None;
                };
                if until <= now {
                    return None;
                }
                registration.keep_alive = Some(now + Duration::from_secs(pause));
                registration.destination()
            })
            .flatten();
        match keep_alive_to {
            Some(destination) => self.transmit((*b"\r\n\r\n").into(), destination),
            None => self.send_register(now, id),
        }
    }

    /// The connection to a registrar broke: register again at once (RFC 5626 §4.4).
    pub(super) fn reregister_over(&mut self, now: Instant, lost: Hop) {
        for id in self.registrations.ids() {
            let concerned = self.registrations.get(id).is_some_and(|registration| {
                registration.destination() == Some(lost)
                    && matches!(
                        registration.state,
                        State::Waiting {
                            registered: true,
                            ..
                        }
                    )
            });
            if concerned {
                self.send_register(now, id);
            }
        }
    }
}

/// Time granted to our Contact: its own parameter, else Expires.
fn granted(headers: &Headers, own: &Uri) -> Option<u32> {
    let contacts = headers.addresses(&HeaderName::Contact).unwrap_or_default();
    let ours = contacts.iter().find(|contact| {
        contact.uri.user() == own.user() && contact.uri.socket_addr() == own.socket_addr()
    });
    // Registrars behind NAT write another address; a single Contact is ours all the same.
    let ours = ours.or(match contacts.as_slice() {
        [only] => Some(only),
        _ => None,
    });
    let number = |text: &str| text.trim().parse().ok();
    ours.and_then(|contact| number(contact.params.value("expires")?))
        .or_else(|| number(headers.first(&HeaderName::Expires)?))
}
