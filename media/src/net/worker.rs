//! A media worker: the thread that owns its legs and their sockets.
//!
//! It wakes at slots of 5 ms on one monotonic grid (`t0 + n * 5 ms`, never interval after
//! interval), reads every socket that has something, and ticks the legs whose 20 ms fall into the
//! slot. Legs come by a bounded queue that it only pops; wakers and finished legs leave by a
//! bounded queue to the bridge, since waking and freeing take locks. While it has no leg it
//! blocks.
//!
//! | queue | capacity | when full |
//! |---|---|---|
//! | new legs, engine to worker | [`INBOX_CAPACITY`] | refused to the caller |
//! | wakers and finished legs, worker to bridge | [`READY_CAPACITY`] | tried again in the next slot, `ready_queue_full` counts |

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use rtrb::{Consumer, Producer};
use tokio::sync::watch;

use crate::leg_queue::LegWaker;
use crate::net::control::LegSummary;
use crate::net::counters::{WorkerCounters, add};
use crate::net::ports::RtpPorts;
use crate::net::slots::{PHASES, SLOT, SlotGrid};
use crate::protocol::transmit::RtpPort;
use crate::session::MediaSession;

/// Legs that may wait to be taken over.
pub(crate) const INBOX_CAPACITY: usize = 256;
/// Wakers and finished legs that may wait for the bridge.
pub(crate) const READY_CAPACITY: usize = 4_096;
/// Token of the waker; legs use the tokens below.
pub(crate) const WAKE: Token = Token(usize::MAX);
/// Packets read from one socket in one slot: eight times the busiest stream that is real.
const PACKETS_PER_SLOT: usize = 32;
/// Sockets reported by one poll; more are reported by the next.
const EVENTS_CAPACITY: usize = 1_024;
/// Octets of the largest datagram looked at; longer ones are cut and refused.
const DATAGRAM_MAX: usize = 2_048;
/// Slots behind which lost time is left out rather than made up for: 200 ms.
const CATCH_UP_MAX: u64 = 40;

/// Slots that a leg has, when the engine stops, to report its end: 2 s.
const STOP_PATIENCE: u64 = 400;

/// A leg as the worker has it.
#[derive(Debug)]
pub(crate) struct ActiveLeg {
    pub(crate) session: MediaSession,
    pub(crate) ports: Option<RtpPorts>,
    pub(crate) summary: watch::Sender<Option<LegSummary>>,
    /// Slot of the first tick.
    pub(crate) first_slot: u64,
    /// The session has panicked and must not be touched any more; no other leg suffers.
    pub(crate) failed: bool,
}

/// What the bridge has to do.
#[derive(Debug)]
pub(crate) enum Ready {
    Wake(Arc<LegWaker>),
    Finished(Box<ActiveLeg>),
}

/// What a worker shares with the engine.
#[derive(Debug, Default)]
pub(crate) struct WorkerShared {
    pub(crate) counters: WorkerCounters,
    pub(crate) stopping: AtomicBool,
}

#[derive(Debug)]
pub(crate) struct Worker {
    poll: Poll,
    grid: SlotGrid,
    inbox: Consumer<Box<ActiveLeg>>,
    ready: Producer<Ready>,
    bell: UnixStream,
    shared: Arc<WorkerShared>,
    legs: Box<[Option<Box<ActiveLeg>>]>,
    /// Free places in `legs`.
    free: Vec<usize>,
    /// Places of the legs that tick in each phase.
    phases: [Vec<usize>; PHASES],
    /// Places of stream legs, which are looked at in every slot.
    streams: Vec<usize>,
    /// Sockets that had more to read than a slot allows.
    unfinished: Vec<Token>,
    datagram: Box<[u8]>,
    rung: bool,
    /// Slots since the engine was told to stop.
    stop_slots: u64,
}

impl Worker {
    pub(crate) fn new(
        poll: Poll,
        grid: SlotGrid,
        (inbox, ready): (Consumer<Box<ActiveLeg>>, Producer<Ready>),
        bell: UnixStream,
        shared: Arc<WorkerShared>,
        legs_max: usize,
    ) -> Self {
        Self {
            poll,
            grid,
            inbox,
            ready,
            bell,
            shared,
            legs: (0..legs_max).map(|_| None).collect(),
            free: (0..legs_max).rev().collect(),
            phases: std::array::from_fn(|_| Vec::with_capacity(legs_max)),
            streams: Vec::with_capacity(legs_max),
            unfinished: Vec::with_capacity(2 * legs_max),
            datagram: vec![0; DATAGRAM_MAX].into_boxed_slice(),
            rung: false,
            stop_slots: 0,
        }
    }

    /// Works until told to stop and every leg has been handed back.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_CAPACITY);
        let mut slot = self.grid.next(now());
        loop {
            let began = now();
            self.read_sockets(&mut events, Some(Duration::ZERO), began);
            self.take_new_legs(began, slot);
            self.read_streams(began);
            self.tick_legs(began, slot);
            self.announce();
            let worked = now().saturating_duration_since(began);
            let counters = &self.shared.counters;
            counters.slot_worked(worked.as_micros() as u64);
            if self.is_idle() {
                if self.shared.stopping.load(Ordering::Acquire) {
                    return;
                }
                self.read_sockets(&mut events, None, began);
                slot = self.grid.next(now()).saturating_sub(1);
            }
            slot = self.wait(slot);
        }
    }

    /// Waits for the slot after `slot`; when its time is long past, for the next one, and the
    /// legs leave out what lies between.
    fn wait(&mut self, slot: u64) -> u64 {
        let next = slot + 1;
        let wait = self.grid.time(next).saturating_duration_since(now());
        if wait > Duration::ZERO {
            sleep(wait);
        }
        let late = self.grid.late(next, now());
        if late > 0 {
            add(&self.shared.counters.slots_late, 1);
        }
        if late <= CATCH_UP_MAX {
            return next;
        }
        // Whole rounds of phases, so that each leg leaves out the same number of ticks.
        let rounds = late / PHASES as u64;
        let mut legs = 0;
        for leg in self.legs.iter_mut().flatten() {
            leg.session.skip(rounds);
            legs += 1;
        }
        add(&self.shared.counters.ticks_skipped, rounds * legs);
        next + rounds * PHASES as u64
    }

    fn read_sockets(&mut self, events: &mut Events, timeout: Option<Duration>, now: Instant) {
        for _ in 0..self.unfinished.len() {
            if let Some(token) = self.unfinished.pop() {
                // Sockets that go on being full are put back behind those not looked at yet.
                if self.read_socket(token, now) {
                    self.unfinished.insert(0, token);
                }
            }
        }
        // An interrupted poll reports in the next slot what it would have reported now.
        if self.poll.poll(events, timeout).is_err() {
            return;
        }
        for event in events.iter() {
            let token = event.token();
            if token != WAKE
                && self.read_socket(token, now)
                && !self.unfinished.contains(&token)
                && self.unfinished.len() < self.unfinished.capacity()
            {
                self.unfinished.push(token);
            }
        }
    }

    /// Reads what has come to a socket; `true` when there may be more.
    fn read_socket(&mut self, token: Token, now: Instant) -> bool {
        let Some(leg) = self.legs.get_mut(token.0 / 2).and_then(Option::as_mut) else {
            return false;
        };
        let Some(ports) = &leg.ports else {
            return false;
        };
        let (socket, port) = if token.0.is_multiple_of(2) {
            (&ports.rtp, RtpPort::Rtp)
        } else {
            (&ports.rtcp, RtpPort::Rtcp)
        };
        let counters = &self.shared.counters;
        for _ in 0..PACKETS_PER_SLOT {
            match socket.recv_from(&mut self.datagram) {
                Ok((len, from)) => {
                    add(&counters.packets_received, 1);
                    let datagram = &self.datagram[..len];
                    let session = &mut leg.session;
                    let handle = || session.handle_packet(now, port, from, datagram);
                    leg.failed = leg.failed || panics(handle);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // An ICMP error of a packet we sent; reading goes on.
                Err(_) => {}
            }
        }
        add(&counters.floods, 1);
        true
    }

    fn read_streams(&mut self, now: Instant) {
        for &place in &self.streams {
            if let Some(leg) = &mut self.legs[place] {
                let session = &mut leg.session;
                leg.failed = leg.failed || panics(|| session.handle_stream(now));
            }
        }
    }

    fn take_new_legs(&mut self, now: Instant, slot: u64) {
        while !self.free.is_empty() {
            let Ok(mut leg) = self.inbox.pop() else {
                return;
            };
            let Some(place) = self.free.pop() else {
                return;
            };
            // The first tick lies ahead unless this worker was busy or asleep for long.
            let behind = slot.saturating_sub(leg.first_slot).div_ceil(PHASES as u64);
            if behind > 0 {
                leg.session.skip(behind);
            }
            if let Some(ports) = &mut leg.ports {
                let registry = self.poll.registry();
                let rtp = registry.register(&mut ports.rtp, Token(2 * place), Interest::READABLE);
                let rtcp =
                    registry.register(&mut ports.rtcp, Token(2 * place + 1), Interest::READABLE);
                if rtp.or(rtcp).is_err() {
                    // Without readiness nothing comes, and the media timeout ends the leg.
                    add(&self.shared.counters.register_failures, 1);
                }
            }
            if leg.session.is_stream() {
                self.streams.push(place);
            }
            self.phases[phase(leg.first_slot)].push(place);
            self.legs[place] = Some(leg);
            add(&self.shared.counters.legs_opened, 1);
            // What came before the sockets were registered is not reported.
            for token in [2 * place, 2 * place + 1] {
                self.read_socket(Token(token), now);
            }
        }
    }

    fn tick_legs(&mut self, now: Instant, slot: u64) {
        let stopping = self.shared.stopping.load(Ordering::Relaxed);
        self.stop_slots += u64::from(stopping);
        let mut index = 0;
        while let Some(&place) = self.phases[phase(slot)].get(index) {
            let Some(leg) = &mut self.legs[place] else {
                index += 1;
                continue;
            };
            if leg.first_slot <= slot {
                if stopping {
                    leg.session.stop();
                }
                let session = &mut leg.session;
                leg.failed = leg.failed || panics(|| session.tick(now));
                send(leg, &self.shared.counters);
            }
            let finished =
                leg.failed || leg.session.is_finished() || self.stop_slots > STOP_PATIENCE;
            if finished && (!self.ready.is_full() || self.ready.is_abandoned()) {
                self.phases[phase(slot)].swap_remove(index);
                self.finish(place);
            } else {
                index += 1;
            }
        }
    }

    /// Hands a finished leg to the bridge, which has room for it; when the runtime and with it
    /// the bridge is gone, no audio is left to disturb and the leg is freed here.
    fn finish(&mut self, place: usize) {
        let Some(mut leg) = self.legs[place].take() else {
            return;
        };
        if let Some(ports) = &mut leg.ports {
            // Fails only for sockets that could not be registered.
            let _ = self.poll.registry().deregister(&mut ports.rtp);
            let _ = self.poll.registry().deregister(&mut ports.rtcp);
        }
        if let Some(at) = self.streams.iter().position(|&stream| stream == place) {
            self.streams.swap_remove(at);
        }
        self.unfinished.retain(|token| token.0 / 2 != place);
        self.free.push(place);
        add(&self.shared.counters.legs_failed, u64::from(leg.failed));
        add(&self.shared.counters.legs_finished, 1);
        let _ = self.ready.push(Ready::Finished(leg));
        self.rung = true;
    }

    /// Tells the bridge which tasks have something to read, with one ring for all.
    fn announce(&mut self) {
        for leg in self.legs.iter_mut().flatten() {
            while !self.ready.is_full() {
                let Some(waker) = leg.session.poll_wake() else {
                    break;
                };
                let _ = self.ready.push(Ready::Wake(waker));
                self.rung = true;
            }
        }
        if self.ready.is_full() {
            add(&self.shared.counters.ready_queue_full, 1);
        }
        if self.rung {
            self.rung = false;
            // A full pipe rings already.
            let _ = self.bell.write(&[1]);
        }
    }

    fn is_idle(&self) -> bool {
        self.phases.iter().all(Vec::is_empty) && self.inbox.is_empty()
    }
}

fn send(leg: &mut ActiveLeg, counters: &WorkerCounters) {
    let ActiveLeg { session, ports, .. } = leg;
    let Some(ports) = ports else {
        return;
    };
    while let Some(transmit) = session.poll_transmit() {
        let socket: &UdpSocket = match transmit.port {
            RtpPort::Rtp => &ports.rtp,
            RtpPort::Rtcp => &ports.rtcp,
        };
        match socket.send_to(transmit.packet, transmit.to) {
            Ok(_) => add(&counters.packets_sent, 1),
            // Lost as on the network; the next one is 20 ms away.
            Err(_) => add(&counters.send_failures, 1),
        }
    }
}

/// Whether `work` on a leg panics. That is a bug of ours, and ends this leg only.
fn panics(work: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(work)).is_err()
}

const fn phase(slot: u64) -> usize {
    (slot % PHASES as u64) as usize
}

#[expect(clippy::disallowed_methods, reason = "driver: the worker's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "driver: waits for the next slot on the grid"
)]
fn sleep(duration: Duration) {
    debug_assert!(duration <= SLOT + SLOT, "slots follow one another");
    std::thread::sleep(duration);
}
