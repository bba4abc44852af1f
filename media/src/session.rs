//! One leg as a sans-IO whole: packets, commands and time go in; packets, frames and events
//! come out.
//!
//! A driver calls [`MediaSession::handle_packet`] for each datagram, [`MediaSession::handle_stream`]
//! every few ms for a stream leg, and [`MediaSession::tick`] once for each 20 ms of the leg's
//! timeline; after each it drains [`MediaSession::poll_transmit`] and
//! [`MediaSession::poll_wake`]. Nothing here allocates, frees, locks or waits once the session
//! is made; what must be freed is handed back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::codec::CodecError;
use crate::leg::{Generation, LegCommand, LegEnd, LegEvent, LegId, LegStatistics};
use crate::leg_core::{LegCore, TICK};
use crate::leg_orders::{OrderSender, Switches, order_queue};
use crate::leg_queue::{LegWaker, MediaLeg, leg_queue};
use crate::playout::{closes, waiting_clear};
use crate::protocol::datagrams::{DatagramReceiver, datagram_queue};
use crate::protocol::rtp::RtpLegConfig;
use crate::protocol::rtp_link::RtpLink;
use crate::protocol::rtp_media::PreparedMedia;
use crate::protocol::stream::{StreamLegConfig, StreamPort, stream_queue};
use crate::protocol::stream_link::StreamLink;
use crate::protocol::transmit::{RtpPort, Transmit};
use crate::recording::tap::RecordingTap;
use crate::relay::{RelayPort, RelayedVoice};
use crate::rtp::NtpTime;

/// Ticks between two [`LegEvent::Statistics`]: 5 s.
const STATISTICS_TICKS: u64 = 250;

/// What a session's timeline begins with.
#[derive(Clone, Copy, Debug)]
pub struct SessionStart {
    /// The leg.
    pub id: LegId,
    /// Time of the first tick, position zero.
    pub origin: Instant,
    /// The wall clock at the origin, for RTCP.
    pub ntp: NtpTime,
}

/// One leg.
#[derive(Debug)]
pub struct MediaSession {
    id: LegId,
    core: LegCore,
    link: Link,
    switches: Arc<Switches>,
    hold_command: bool,
    /// A clear that has been obeyed before its turn in the command queue.
    early_clear: Option<Generation>,
    ended: Option<LegEnd>,
    told: bool,
}

#[derive(Debug)]
enum Link {
    Rtp(Box<RtpLink>),
    Stream(Box<StreamLink>),
}

/// The asynchronous ends of an RTP session.
#[derive(Debug)]
pub struct RtpEnds {
    /// Audio, events and commands.
    pub leg: MediaLeg,
    /// Closing and holding.
    pub switches: Arc<Switches>,
    /// New negotiations.
    pub orders: OrderSender<Box<PreparedMedia>>,
}

/// The asynchronous ends of a stream session.
#[derive(Debug)]
pub struct StreamEnds {
    /// Audio, events and commands.
    pub leg: MediaLeg,
    /// Closing and holding.
    pub switches: Arc<Switches>,
    /// The carrier's side.
    pub port: StreamPort,
}

impl MediaSession {
    /// A session over RTP; `media` is what `config` describes, made ready.
    #[must_use]
    pub fn rtp(
        start: SessionStart,
        config: &RtpLegConfig,
        media: PreparedMedia,
        tap: Option<RecordingTap>,
    ) -> (Self, RtpEnds) {
        let (orders, order_port) = order_queue();
        let echo = config.echo_control.then(|| media.echo_band());
        let link = RtpLink::new(config, Box::new(media), order_port, start.origin, start.ntp);
        let (leg, port) = leg_queue(start.id);
        let core = LegCore::new(port, start.origin, config.limits, tap, echo);
        let session = Self::new(start.id, core, Link::Rtp(Box::new(link)));
        let switches = Arc::clone(&session.switches);
        let ends = RtpEnds {
            leg,
            switches,
            orders,
        };
        (session, ends)
    }

    /// [`Self::rtp`] on a port that the peer's connection shares: STUN and DTLS go to the queue's
    /// other end.
    #[must_use]
    pub fn bundled(
        start: SessionStart,
        config: &RtpLegConfig,
        media: PreparedMedia,
        tap: Option<RecordingTap>,
    ) -> (Self, RtpEnds, DatagramReceiver) {
        let (mut session, ends) = Self::rtp(start, config, media, tap);
        let (sender, receiver) = datagram_queue();
        if let Link::Rtp(link) = &mut session.link {
            link.forward_datagrams(sender);
        }
        (session, ends, receiver)
    }

    /// A session over a carrier's stream.
    ///
    /// # Errors
    /// [`CodecError`] when a codec or its rate cannot be set up.
    pub fn stream(
        start: SessionStart,
        config: &StreamLegConfig,
        tap: Option<RecordingTap>,
    ) -> Result<(Self, StreamEnds), CodecError> {
        let (stream, queues) = stream_queue(start.id);
        let echo = config.echo_control.then(|| StreamLink::echo_band(config));
        let link = StreamLink::new(config, queues)?;
        let (leg, port) = leg_queue(start.id);
        let core = LegCore::new(port, start.origin, config.limits, tap, echo);
        let session = Self::new(start.id, core, Link::Stream(Box::new(link)));
        let switches = Arc::clone(&session.switches);
        let ends = StreamEnds {
            leg,
            switches,
            port: stream,
        };
        Ok((session, ends))
    }

    fn new(id: LegId, core: LegCore, link: Link) -> Self {
        Self {
            id,
            core,
            link,
            switches: Arc::new(Switches::default()),
            hold_command: false,
            early_clear: None,
            ended: None,
            told: false,
        }
    }

    /// Has the leg say what the leg with the other part of the relay hears, and the reverse, in
    /// place of the conversation. Speech that is queued goes first. Before the first tick; frees
    /// and allocates.
    #[must_use]
    pub fn join(mut self, relay: RelayPort) -> Self {
        self.core.port.frames = relay.voice;
        self.core.inbound.forgo_vad();
        self.core.outbound.relayed = Some(RelayedVoice::new(relay.other));
        self
    }

    /// Takes a datagram that came to `port`: every frame that is ready goes to the conversation
    /// at once. Anything that is not the peer's media is counted and ignored.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        port: RtpPort,
        from: SocketAddr,
        datagram: &[u8],
    ) {
        if let (Link::Rtp(link), None) = (&mut self.link, self.ended) {
            link.handle_packet(now, port, from, datagram, &mut self.core);
        }
    }

    /// Takes what the carrier's stream has brought; nothing for an RTP leg.
    pub fn handle_stream(&mut self, now: Instant) {
        if let (Link::Stream(link), None) = (&mut self.link, self.ended)
            && let Some(end) = link.take_inputs(now, &mut self.core)
        {
            self.end(now, end);
        }
    }

    /// Does the work of the next 20 ms of the timeline.
    pub fn tick(&mut self, now: Instant) {
        if self.ended.is_none() {
            let end = self.take_commands().or_else(|| self.reason_to_end(now));
            match &mut self.link {
                Link::Rtp(link) => link.tick(now, &mut self.core),
                Link::Stream(link) => link.tick(now, &mut self.core),
            }
            if let Some(end) = end {
                self.end(now, end);
            } else if self.core.ticks % STATISTICS_TICKS == STATISTICS_TICKS - 1
                && self.core.events.is_empty()
            {
                let statistics = self.core.statistics();
                self.core.events.push(LegEvent::Statistics(statistics));
            }
        }
        if let (Link::Stream(link), Some(end), false) = (&mut self.link, self.ended, self.told) {
            self.told = link.finish(end);
        }
        self.core.ticks += 1;
        let core = &mut self.core;
        core.wake |= core.events.deliver(&mut core.port.events);
        core.outbound.playout.return_spent(&mut core.port.spent);
    }

    /// Has the leg end at its next tick, as the process stops.
    #[cfg(feature = "net")]
    pub(crate) fn stop(&self) {
        self.switches.close();
    }

    /// Leaves `ticks` of the timeline out, after the machine has stalled: neither sent nor
    /// heard.
    pub fn skip(&mut self, ticks: u64) {
        self.core.ticks += ticks;
        if let Link::Rtp(link) = &mut self.link {
            link.skip(ticks);
        }
    }

    /// The next packet to be sent.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        match &mut self.link {
            Link::Rtp(link) => link.poll_transmit(),
            Link::Stream(_) => None,
        }
    }

    /// The next task to be woken; [`LegWaker::wake`] may take a lock, so somebody else must call
    /// it.
    pub fn poll_wake(&mut self) -> Option<Arc<LegWaker>> {
        let core = &mut self.core;
        if std::mem::take(&mut core.wake) && core.port.waker.announce() {
            return Some(Arc::clone(&core.port.waker));
        }
        match &mut self.link {
            Link::Rtp(link) => link.datagrams_mut()?.poll_wake(),
            Link::Stream(link) => link.queues_mut().poll_wake(),
        }
    }

    /// When the next tick is due.
    #[must_use]
    pub fn next_tick(&self) -> Instant {
        // A leg lasts less than the 994 days after which the ticks exceed 32 bits.
        self.core.origin + TICK * u32::try_from(self.core.ticks).unwrap_or(u32::MAX)
    }

    /// Whether the leg is over and everything has been reported: it can be dropped, where
    /// freeing memory is allowed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let told = self.told || matches!(self.link, Link::Rtp(_));
        let reported = self.core.events.is_empty() || self.core.port.is_abandoned();
        self.ended.is_some() && told && reported
    }

    /// Whether the leg is a carrier's stream.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        matches!(self.link, Link::Stream(_))
    }

    /// Why the leg ended, if it did.
    #[must_use]
    pub const fn ended(&self) -> Option<LegEnd> {
        self.ended
    }

    /// The counters.
    #[must_use]
    pub fn statistics(&self) -> LegStatistics {
        self.core.statistics()
    }

    /// The source that the peer's RTP comes from, once it has proved itself.
    #[must_use]
    pub const fn peer(&self) -> Option<SocketAddr> {
        match &self.link {
            Link::Rtp(link) => link.peer(),
            Link::Stream(_) => None,
        }
    }

    /// The wakers of both tasks that may wait for this leg, to be woken after it was dropped.
    #[cfg(feature = "net")]
    pub(crate) fn wakers(&mut self) -> [Option<Arc<LegWaker>>; 2] {
        let stream = match &mut self.link {
            Link::Rtp(link) => link.datagrams_mut().map(|queue| Arc::clone(queue.waker())),
            Link::Stream(link) => Some(Arc::clone(link.queues_mut().waker())),
        };
        [Some(Arc::clone(&self.core.port.waker)), stream]
    }

    /// The leg's id.
    #[must_use]
    pub const fn id(&self) -> LegId {
        self.id
    }

    /// Obeys what the conversation has asked, as far as it fits; `Some` when the leg must end.
    fn take_commands(&mut self) -> Option<LegEnd> {
        while self.core.events.has_room() {
            let core = &mut self.core;
            let is_play = matches!(core.port.commands.peek(), Ok(LegCommand::Play(_)));
            if is_play && !core.outbound.playout.has_room() {
                if closes(&mut core.port.commands) {
                    return Some(LegEnd::Closed);
                }
                self.look_for_clear();
                break;
            }
            let Ok(command) = core.port.commands.pop() else {
                break;
            };
            match command {
                LegCommand::Play(chunk) => core.outbound.playout.push(chunk),
                LegCommand::Clear { generation } => {
                    if self.early_clear.take() != Some(generation) {
                        core.outbound.ask_clear(generation);
                    }
                }
                LegCommand::Gain { decibel, ramp_ms } => core.outbound.set_gain(decibel, ramp_ms),
                LegCommand::SendDigits(keys) => {
                    let sent = match &mut self.link {
                        Link::Rtp(link) => link.send_keys(keys),
                        Link::Stream(_) => false,
                    };
                    if !sent {
                        core.outbound.send_tones(keys);
                    }
                }
                LegCommand::Hold(held) => self.hold_command = held,
                LegCommand::Close => return Some(LegEnd::Closed),
            }
        }
        let held = self.hold_command || self.switches.held();
        self.core.outbound.hold(held);
        for key in self.switches.take_keys() {
            if key != 0 {
                let position = self.core.position();
                self.core.digit(key, None, position);
            }
        }
        None
    }

    /// Obeys a clear that waits behind speech which finds no room.
    fn look_for_clear(&mut self) {
        if self.early_clear.is_none() {
            self.early_clear = waiting_clear(&mut self.core.port.commands);
            if let Some(generation) = self.early_clear {
                self.core.outbound.ask_clear(generation);
            }
        }
    }

    fn reason_to_end(&self, now: Instant) -> Option<LegEnd> {
        if self.switches.closing() || self.core.port.is_abandoned() {
            return Some(LegEnd::Closed);
        }
        self.core.watch.check(now)
    }

    fn end(&mut self, now: Instant, end: LegEnd) {
        self.ended = Some(end);
        let wire = match &mut self.link {
            Link::Rtp(link) => {
                link.finish(now);
                link.heard(&self.core)
            }
            Link::Stream(link) => link.heard(now),
        };
        let heard = self.core.outbound.heard(wire);
        let statistics = self.core.statistics();
        self.core.events.push_last(LegEvent::Closed {
            end,
            heard,
            statistics,
        });
    }
}
