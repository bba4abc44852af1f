//! Two RTP sessions back to back over an emulated network, in virtual time.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file is a crate of its own and uses a part"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fixtures::network_emulator::{NetworkEmulator, PathConditions};
use fixtures::virtual_clock::VirtualClock;
use media::codec::Codec;
use media::frame::Frame;
use media::leg::{Generation, LegCommand, LegEvent, LegId, SegmentId, SpeechChunk};
use media::leg_queue::{LegOutput, MediaLeg};
use media::protocol::rtp::{RtpLegConfig, RtpMedia, RtpPayload, RtpRemote, TelephoneEvent};
use media::protocol::rtp_media::PreparedMedia;
use media::protocol::transmit::RtpPort;
use media::recording::tap::RecordingTap;
use media::rtp::NtpTime;
use media::session::{MediaSession, RtpEnds, SessionStart};

/// Step of virtual time: a worker's slot.
pub const SLOT: Duration = Duration::from_millis(5);

pub const A: u16 = 4_000;
pub const B: u16 = 5_000;

pub fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

pub fn payload(codec: Codec) -> RtpPayload {
    RtpPayload {
        payload_type: codec.static_payload_type().unwrap_or(111),
        codec,
    }
}

/// What the party at `port` is told of the other one.
pub fn media(codec: Codec, remote: u16) -> RtpMedia {
    let remote = RtpRemote {
        rtp: address(remote),
        rtcp: None,
        rtcp_mux: false,
    };
    let events = TelephoneEvent {
        payload_type: 101,
        clock: 8_000,
    };
    let mut media = RtpMedia::new(payload(codec), Some(remote));
    media.send_events = Some(events);
    media.receive_events = vec![events];
    media
}

pub fn start(id: u64, origin: Instant) -> SessionStart {
    SessionStart {
        id: LegId(id),
        origin,
        ntp: NtpTime::from_unix(Duration::from_secs(1_700_000_000)),
    }
}

/// One side of a call.
pub struct Party {
    pub session: MediaSession,
    pub ends: RtpEnds,
    pub frames: Vec<Frame>,
    pub events: Vec<LegEvent>,
    /// RTP packets sent, with the time.
    pub sent: Vec<(Instant, Vec<u8>)>,
    port: u16,
}

impl Party {
    pub fn new(port: u16, config: &RtpLegConfig, origin: Instant) -> Self {
        Self::recorded(port, config, origin, None)
    }

    pub fn recorded(
        port: u16,
        config: &RtpLegConfig,
        origin: Instant,
        tap: Option<RecordingTap>,
    ) -> Self {
        let prepared = PreparedMedia::new(config.media.clone(), origin).expect("usable media");
        let start = start(u64::from(port), origin);
        let (session, ends) = MediaSession::rtp(start, config, prepared, tap);
        Self {
            session,
            ends,
            frames: Vec::new(),
            events: Vec::new(),
            sent: Vec::new(),
            port,
        }
    }

    pub fn send(&mut self, command: LegCommand) {
        self.ends.leg.send(command).expect("room for commands");
    }

    pub fn say(&mut self, segment: u64, generation: u32, pcm: Vec<i16>) {
        self.send(play(segment, generation, pcm));
    }

    pub fn collect(&mut self) {
        collect(&mut self.ends.leg, &mut self.frames, &mut self.events);
    }

    /// Everything heard, in one piece.
    pub fn heard(&self) -> Vec<i16> {
        self.frames.iter().flat_map(|f| f.samples).collect()
    }

    /// Keys reported.
    pub fn keys(&self) -> String {
        self.events
            .iter()
            .filter_map(|event| match event {
                LegEvent::Digit { key, .. } => Some(char::from(*key)),
                _ => None,
            })
            .collect()
    }
}

pub fn collect(leg: &mut MediaLeg, frames: &mut Vec<Frame>, events: &mut Vec<LegEvent>) {
    while let Some(output) = leg.try_recv() {
        match output {
            LegOutput::Frame(frame) => frames.push(frame),
            LegOutput::Event(event) => events.push(event),
        }
    }
}

pub fn play(segment: u64, generation: u32, pcm: Vec<i16>) -> LegCommand {
    LegCommand::Play(SpeechChunk {
        segment: SegmentId(segment),
        generation: Generation(generation),
        pcm: Arc::from(pcm),
        start: 0,
        last: true,
    })
}

type Datagram = (RtpPort, Vec<u8>);

/// Two parties and the paths between them.
pub struct Call {
    pub clock: VirtualClock,
    pub a: Party,
    pub b: Party,
    pub to_b: NetworkEmulator<Datagram>,
    pub to_a: NetworkEmulator<Datagram>,
    /// Port that A's packets come from, as B sees it.
    pub a_seen_as: u16,
}

impl Call {
    pub fn new(codec: Codec, seed: u64, path: PathConditions) -> Self {
        Self::with(codec, seed, path, |_, _| {})
    }

    /// As [`Self::new`], with changes to the configurations of A and B.
    pub fn with(
        codec: Codec,
        seed: u64,
        path: PathConditions,
        change: impl FnOnce(&mut RtpLegConfig, &mut RtpLegConfig),
    ) -> Self {
        let clock = VirtualClock::new();
        let mut a = RtpLegConfig::new(media(codec, B), "a@test", seed);
        let mut b = RtpLegConfig::new(media(codec, A), "b@test", seed + 1);
        change(&mut a, &mut b);
        Self {
            a: Party::new(A, &a, clock.origin()),
            b: Party::new(B, &b, clock.origin()),
            to_b: NetworkEmulator::new(seed, path),
            to_a: NetworkEmulator::new(seed + 1, path),
            a_seen_as: A,
            clock,
        }
    }

    /// Lets `ms` pass.
    pub fn run(&mut self, ms: u64) {
        let end = self.clock.now() + Duration::from_millis(ms);
        while self.clock.now() < end {
            self.slot();
            self.clock.advance(SLOT);
        }
    }

    fn slot(&mut self) {
        let now = self.clock.now();
        while let Some((_, (port, packet))) = self.to_b.receive(now) {
            let offset = u16::from(port == RtpPort::Rtcp);
            let from = address(self.a_seen_as + offset);
            self.b.session.handle_packet(now, port, from, &packet);
        }
        while let Some((_, (port, packet))) = self.to_a.receive(now) {
            let offset = u16::from(port == RtpPort::Rtcp);
            let from = address(B + offset);
            self.a.session.handle_packet(now, port, from, &packet);
        }
        for (party, path) in [(&mut self.a, &mut self.to_b), (&mut self.b, &mut self.to_a)] {
            if party.session.next_tick() <= now {
                party.session.tick(now);
            }
            while let Some(transmit) = party.session.poll_transmit() {
                let packet = transmit.packet.to_vec();
                if transmit.port == RtpPort::Rtp {
                    party.sent.push((now, packet.clone()));
                }
                path.send(now, (transmit.port, packet));
            }
            party.collect();
        }
    }
}
