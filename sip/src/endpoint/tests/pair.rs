//! Two endpoints and a seeded network between them, in virtual time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{ALICE, BOB, answer_of, config, invite_to, offer_of, origin};
use crate::endpoint::{Endpoint, EndpointConfig};
use crate::event::{Command, CommandError, Event, SessionEnd, SessionId};
use crate::message::StatusCode;
use crate::sdp::SessionDescription;

/// Which endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Alice,
    Bob,
}

/// A message as it was put on the wire.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) at: Duration,
    pub(super) from: Side,
    pub(super) text: String,
}

impl Sent {
    pub(super) fn first_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }
}

/// How the network treats a datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) loss: f64,
    pub(super) duplicate: f64,
    pub(super) delay_ms: (u64, u64),
}

pub(super) const CALM: Weather = Weather {
    loss: 0.0,
    duplicate: 0.0,
    delay_ms: (10, 10),
};

const NOWHERE: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 99)),
    5060,
);

/// Decides by sender and text.
type Lose = Box<dyn FnMut(Side, &str) -> bool>;

pub(super) struct Pair {
    origin: Instant,
    pub(super) now: Instant,
    alice: Endpoint,
    bob: Endpoint,
    wire: BTreeMap<(Instant, u64), (Side, Vec<u8>)>,
    order: u64,
    random: StdRng,
    weather: Weather,
    /// Messages whose text this accepts are lost.
    pub(super) lose: Lose,
    pub(super) sent: Vec<Sent>,
    alice_session: Option<SessionId>,
    pub(super) alice_events: Vec<Event>,
    pub(super) bob_events: Vec<Event>,
}

impl Pair {
    pub(super) fn new() -> Self {
        Self::with(config(), CALM, 1)
    }

    pub(super) fn with(config: EndpointConfig, weather: Weather, seed: u64) -> Self {
        let now = origin();
        let key = |first| {
            let mut key = [first; 32];
            key[1..9].copy_from_slice(&seed.to_le_bytes());
            key
        };
        Self {
            origin: now,
            now,
            alice: Endpoint::new(config.clone(), ALICE, key(1)),
            bob: Endpoint::new(config, BOB, key(2)),
            wire: BTreeMap::new(),
            order: 0,
            random: StdRng::seed_from_u64(seed),
            weather,
            lose: Box::new(|_, _| false),
            sent: Vec::new(),
            alice_session: None,
            alice_events: Vec::new(),
            bob_events: Vec::new(),
        }
    }

    /// Alice calls Bob; the session on her side.
    pub(super) fn invite(&mut self) -> SessionId {
        self.invite_by(invite_to(BOB, Some(offer_of(ALICE))))
    }

    pub(super) fn invite_without_offer(&mut self) -> SessionId {
        let session = self.alice.invite(self.now, invite_to(BOB, None)).unwrap();
        self.flush();
        session
    }

    /// Alice calls, Bob answers, both are confirmed: their sessions.
    pub(super) fn establish(&mut self) -> (SessionId, SessionId) {
        let alice = self.invite();
        let (bob, offer) = self.incoming();
        let sdp = answer_of(BOB, &offer.unwrap());
        let headers = Vec::new();
        self.bob(bob, Command::Answer { sdp, headers }).unwrap();
        self.run_until(|pair| {
            pair.alice_events
                .iter()
                .any(|e| matches!(e, Event::Answered { .. }))
                && pair
                    .bob_events
                    .iter()
                    .any(|e| matches!(e, Event::Confirmed { .. }))
        });
        self.alice_events.clear();
        self.bob_events.clear();
        self.sent.clear();
        (alice, bob)
    }

    /// Runs until Bob hears of a call: his session and the offer.
    pub(super) fn incoming(&mut self) -> (SessionId, Option<SessionDescription>) {
        let mut found = None;
        self.run_until(|pair| {
            found = pair.bob_events.iter().find_map(|event| match event {
                Event::Incoming { session, invite } => Some((*session, invite.offer.clone())),
                _ => None,
            });
            found.is_some()
        });
        found.unwrap()
    }

    /// Alice calls by this request.
    pub(super) fn invite_by(&mut self, invite: crate::event::InviteRequest) -> SessionId {
        let session = self.alice.invite(self.now, invite).unwrap();
        self.alice_session = Some(session);
        self.flush();
        session
    }

    /// The session of Alice's last call.
    pub(super) fn alice_session(&self) -> SessionId {
        self.alice_session.unwrap()
    }

    pub(super) fn with_alice(&mut self, use_it: impl FnOnce(&mut Endpoint, Instant)) {
        use_it(&mut self.alice, self.now);
        self.flush();
    }

    pub(super) fn with_bob(&mut self, use_it: impl FnOnce(&mut Endpoint, Instant)) {
        use_it(&mut self.bob, self.now);
        self.flush();
    }

    /// An address where nobody listens.
    pub(super) fn nowhere(&self) -> SocketAddr {
        NOWHERE
    }

    pub(super) fn alice(&mut self, id: SessionId, command: Command) -> Result<(), CommandError> {
        let result = self.alice.handle_command(self.now, id, command);
        self.flush();
        result
    }

    pub(super) fn bob(&mut self, id: SessionId, command: Command) -> Result<(), CommandError> {
        let result = self.bob.handle_command(self.now, id, command);
        self.flush();
        result
    }

    pub(super) fn ring(&mut self, bob: SessionId) {
        let status = StatusCode::RINGING;
        self.bob(bob, Command::Progress { status, sdp: None })
            .unwrap();
    }

    /// Jumps to the next thing that happens; `false` when nothing ever will.
    pub(super) fn step(&mut self) -> bool {
        self.flush();
        let arrival = self.wire.keys().next().map(|(at, _)| *at);
        let next = [arrival, self.alice.poll_timeout(), self.bob.poll_timeout()]
            .into_iter()
            .flatten()
            .min();
        let Some(next) = next else {
            return false;
        };
        self.now = self.now.max(next);
        if arrival.is_some_and(|at| at <= self.now) {
            let ((_, _), (to, bytes)) = self.wire.pop_first().unwrap();
            match to {
                Side::Alice => self.alice.handle_datagram(self.now, BOB, &bytes),
                Side::Bob => self.bob.handle_datagram(self.now, ALICE, &bytes),
            }
        } else {
            self.alice.handle_timeout(self.now);
            self.bob.handle_timeout(self.now);
        }
        self.flush();
        true
    }

    pub(super) fn run_until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        for _ in 0..10_000 {
            if done(self) {
                return;
            }
            assert!(self.step(), "nothing left to happen: {:#?}", self.lines());
        }
        panic!("never happened: {:#?}", self.lines());
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.flush();
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let next = [arrival, self.alice.poll_timeout(), self.bob.poll_timeout()]
                .into_iter()
                .flatten()
                .min();
            match next {
                Some(at) if at <= end => assert!(self.step()),
                _ => break,
            }
        }
        self.now = end;
    }

    /// Runs to the end of all timers and checks that no table holds anything.
    pub(super) fn run_to_rest(&mut self) {
        for _ in 0..100_000 {
            if !self.step() {
                assert!(self.alice.is_idle(), "alice: {:?}", self.alice.counters());
                assert!(self.bob.is_idle(), "bob: {:?}", self.bob.counters());
                assert!(self.alice.merged.is_empty());
                assert!(self.bob.merged.is_empty());
                return;
            }
        }
        panic!("does not come to rest: {:#?}", self.lines());
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.origin
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.sent
            .iter()
            .map(|sent| format!("{:?} {:?} {}", sent.at, sent.from, sent.first_line()))
            .collect()
    }

    /// Messages from `from` whose first line begins so.
    pub(super) fn sent_by(&self, from: Side, start: &str) -> Vec<&Sent> {
        self.sent
            .iter()
            .filter(|sent| sent.from == from && sent.text.starts_with(start))
            .collect()
    }

    pub(super) fn end_of(events: &[Event]) -> Vec<SessionEnd> {
        events
            .iter()
            .filter_map(|event| match event {
                Event::Ended { end, .. } => Some((**end).clone()),
                _ => None,
            })
            .collect()
    }

    fn flush(&mut self) {
        while let Some(transmit) = self.alice.poll_transmit() {
            self.carry(Side::Alice, transmit.destination.address, &transmit.payload);
        }
        while let Some(transmit) = self.bob.poll_transmit() {
            self.carry(Side::Bob, transmit.destination.address, &transmit.payload);
        }
        while let Some(event) = self.alice.poll_event() {
            self.alice_events.push(event);
        }
        while let Some(event) = self.bob.poll_event() {
            self.bob_events.push(event);
        }
    }

    fn carry(&mut self, from: Side, destination: SocketAddr, payload: &[u8]) {
        let text = String::from_utf8_lossy(payload).into_owned();
        let to = match destination {
            ALICE => Side::Alice,
            BOB => Side::Bob,
            NOWHERE => {
                self.sent.push(Sent {
                    at: self.now - self.origin,
                    from,
                    text,
                });
                return;
            }
            other => panic!("sent to {other}: {text}"),
        };
        let is_lost = (self.lose)(from, &text) || self.random.random_bool(self.weather.loss);
        self.sent.push(Sent {
            at: self.now - self.origin,
            from,
            text,
        });
        if is_lost {
            return;
        }
        let copies = 1 + u64::from(self.random.random_bool(self.weather.duplicate));
        for _ in 0..copies {
            let (low, high) = self.weather.delay_ms;
            let delay = Duration::from_millis(self.random.random_range(low..=high));
            self.order += 1;
            self.wire
                .insert((self.now + delay, self.order), (to, payload.to_vec()));
        }
    }
}
