//! The media workers as a whole.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use rtrb::{Producer, RingBuffer};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::codec::CodecError;
use crate::leg::LegId;
use crate::leg_queue::MediaLeg;
use crate::net::bridge;
use crate::net::control::LegControl;
use crate::net::counters::EngineCounters;
use crate::net::datagram_port::DatagramPort;
use crate::net::ports::{PortError, PortRange, RtpPorts};
use crate::net::slots::{PHASES, SlotGrid};
use crate::net::worker::{self, ActiveLeg, Worker, WorkerShared};
use crate::protocol::rtp::RtpLegConfig;
use crate::protocol::rtp_media::{MediaError, PreparedMedia};
use crate::protocol::stream::{StreamLegConfig, StreamPort};
use crate::protocol::stream_link::StreamLink;
use crate::recording::RecordingSummary;
use crate::recording::recorder::Recorder;
use crate::recording::tap::RecordingTap;
use crate::relay::RelayPort;
use crate::rtp::NtpTime;
use crate::session::{MediaSession, SessionStart};

/// How to run the media workers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MediaConfig {
    /// Worker threads; zero means one per core.
    pub workers: usize,
    /// Ports for RTP and RTCP; should lie outside the system's ephemeral range.
    pub rtp_ports: RangeInclusive<u16>,
    /// Most legs of one worker.
    pub legs_per_worker_max: usize,
    /// How long a freed port pair is left alone.
    pub port_rest: Duration,
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self {
            workers: 0,
            rtp_ports: 10_000..=19_999,
            legs_per_worker_max: 2_000,
            port_rest: Duration::from_secs(5),
        }
    }
}

/// Why the workers did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// [`MediaEngine::start`] was called outside a tokio runtime.
    #[error("no tokio runtime")]
    NoRuntime,
    /// A thread, a poll instance or a pipe could not be made.
    #[error("media worker could not be started: {0}")]
    Io(#[from] std::io::Error),
}

/// Why a leg was not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Every worker has its most legs, or too many are being opened at once.
    #[error("media workers are full")]
    Full,
    /// The engine is being shut down.
    #[error("media workers are stopping")]
    Stopping,
    /// The description cannot be used.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// A codec could not be set up.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The port cannot be shared with the connection's task.
    #[error("the port cannot be shared: {0}")]
    Socket(std::io::ErrorKind),
}

/// The media workers. Dropping it ends all legs and joins the threads.
#[derive(Debug)]
pub struct MediaEngine {
    ports: PortRange,
    workers: Vec<WorkerHandle>,
    legs_per_worker_max: usize,
    next_id: AtomicU64,
    /// Joined after the workers, whose legs it records.
    recorder: Recorder,
}

/// The engine's hold on a worker.
#[derive(Debug)]
struct WorkerHandle {
    inbox: Mutex<Producer<Box<ActiveLeg>>>,
    waker: mio::Waker,
    grid: SlotGrid,
    shared: Arc<WorkerShared>,
    /// Legs handed over so far.
    given: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

impl MediaEngine {
    /// Starts the workers, the recorder and, on the current tokio runtime, the tasks that wake
    /// legs.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn start(config: MediaConfig) -> Result<Self, EngineError> {
        let runtime = Handle::try_current().map_err(|_| EngineError::NoRuntime)?;
        let workers = match config.workers {
            0 => std::thread::available_parallelism()?.get(),
            workers => workers,
        };
        let mut engine = Self {
            ports: PortRange::new(&config.rtp_ports, config.port_rest),
            workers: Vec::with_capacity(workers),
            legs_per_worker_max: config.legs_per_worker_max,
            next_id: AtomicU64::new(1),
            recorder: Recorder::start()?,
        };
        for index in 0..workers {
            let worker = WorkerHandle::start(index, config.legs_per_worker_max, &runtime)?;
            engine.workers.push(worker);
        }
        Ok(engine)
    }

    /// Binds a free pair of ports on `bind_ip`; its addresses go into the SDP.
    ///
    /// # Errors
    /// [`PortError::Exhausted`] when the range is used up: answer 503.
    pub fn reserve_rtp(&self, bind_ip: IpAddr) -> Result<RtpPorts, PortError> {
        self.ports.reserve(bind_ip)
    }

    /// Opens an RTP leg on `ports`, which it gives back when it ends.
    ///
    /// # Errors
    /// See [`OpenError`]; the ports are then free.
    pub fn open_rtp_leg(
        &self,
        ports: RtpPorts,
        config: RtpLegConfig,
    ) -> Result<(MediaLeg, LegControl), OpenError> {
        self.open_rtp(ports, config, None)
    }

    /// Opens an RTP leg that is joined to the leg with the other part of `relay`
    /// ([`crate::relay::relay`]). Its [`MediaLeg`] yields events and no frames.
    ///
    /// # Errors
    /// See [`OpenError`]; the ports are then free.
    pub fn open_joined_leg(
        &self,
        ports: RtpPorts,
        config: RtpLegConfig,
        relay: RelayPort,
    ) -> Result<(MediaLeg, LegControl), OpenError> {
        self.open_rtp(ports, config, Some(relay))
    }

    fn open_rtp(
        &self,
        ports: RtpPorts,
        config: RtpLegConfig,
        relay: Option<RelayPort>,
    ) -> Result<(MediaLeg, LegControl), OpenError> {
        let worker = self.least_loaded()?;
        let (first_slot, start) = self.start_of_leg(worker);
        let media = PreparedMedia::new(config.media.clone(), start.origin)?;
        let (tap, recording) = self.record(config.recording.as_ref(), media.recording_rate())?;
        let (session, ends) = MediaSession::rtp(start, &config, media, tap);
        let session = match relay {
            Some(relay) => session.join(relay),
            None => session,
        };
        let (summary, ended) = watch::channel(None);
        worker.give(ActiveLeg {
            session,
            ports: Some(ports),
            summary,
            first_slot,
            failed: false,
        })?;
        let control = LegControl {
            id: start.id,
            origin: start.origin,
            switches: ends.switches,
            orders: Some(Arc::new(Mutex::new(ends.orders))),
            summary: ended,
            recording,
        };
        Ok((ends.leg, control))
    }

    /// Opens an RTP leg on the first of `ports`, which the peer's connection shares with it
    /// (BUNDLE, RFC 9143).
    ///
    /// # Errors
    /// See [`OpenError`]; the ports are then free.
    pub fn open_bundled_leg(
        &self,
        ports: RtpPorts,
        config: RtpLegConfig,
    ) -> Result<(MediaLeg, LegControl, DatagramPort), OpenError> {
        let socket = ports
            .duplicate_rtp()
            .map_err(|error| OpenError::Socket(error.kind()))?;
        let worker = self.least_loaded()?;
        let (first_slot, start) = self.start_of_leg(worker);
        let media = PreparedMedia::new(config.media.clone(), start.origin)?;
        let (tap, recording) = self.record(config.recording.as_ref(), media.recording_rate())?;
        let (session, ends, datagrams) = MediaSession::bundled(start, &config, media, tap);
        let (summary, ended) = watch::channel(None);
        worker.give(ActiveLeg {
            session,
            ports: Some(ports),
            summary,
            first_slot,
            failed: false,
        })?;
        let control = LegControl {
            id: start.id,
            origin: start.origin,
            switches: ends.switches,
            orders: Some(Arc::new(Mutex::new(ends.orders))),
            summary: ended,
            recording,
        };
        Ok((ends.leg, control, DatagramPort::new(datagrams, socket)))
    }

    /// Opens a leg over a carrier's media stream.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_stream_leg(
        &self,
        config: StreamLegConfig,
    ) -> Result<(MediaLeg, LegControl, StreamPort), OpenError> {
        let worker = self.least_loaded()?;
        let (first_slot, start) = self.start_of_leg(worker);
        let rate = StreamLink::recording_rate(&config);
        let (tap, recording) = self.record(config.recording.as_ref(), rate)?;
        let (session, ends) = MediaSession::stream(start, &config, tap)?;
        let (summary, ended) = watch::channel(None);
        worker.give(ActiveLeg {
            session,
            ports: None,
            summary,
            first_slot,
            failed: false,
        })?;
        let control = LegControl {
            id: start.id,
            origin: start.origin,
            switches: ends.switches,
            orders: None,
            summary: ended,
            recording,
        };
        Ok((ends.leg, control, ends.port))
    }

    /// A snapshot of all counters.
    #[must_use]
    pub fn counters(&self) -> EngineCounters {
        let mut sum = EngineCounters {
            port_pairs_used: self.ports.leased(),
            port_pairs: self.ports.capacity(),
            ..EngineCounters::default()
        };
        for worker in &self.workers {
            worker.shared.counters.add_to(&mut sum);
            sum.legs += worker.legs();
        }
        sum
    }

    fn least_loaded(&self) -> Result<&WorkerHandle, OpenError> {
        self.workers
            .iter()
            .min_by_key(|worker| worker.legs())
            .filter(|worker| worker.legs() < self.legs_per_worker_max)
            .ok_or(OpenError::Full)
    }

    /// A place on the worker's grid a little ahead; legs take the phases in turn.
    fn start_of_leg(&self, worker: &WorkerHandle) -> (u64, SessionStart) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let now = worker::now();
        let earliest = worker.grid.next(now) + 1;
        let phases = PHASES as u64;
        let turn = worker.given.load(Ordering::Relaxed) % phases;
        let slot = earliest + (turn + phases - earliest % phases) % phases;
        let origin = worker.grid.time(slot);
        let since_epoch = wall_clock() + origin.saturating_duration_since(now);
        let start = SessionStart {
            id: LegId(id),
            origin,
            ntp: NtpTime::from_unix(since_epoch),
        };
        (slot, start)
    }

    fn record(&self, path: Option<&PathBuf>, rate: u32) -> Result<Recording, OpenError> {
        let Some(path) = path else {
            return Ok((None, None));
        };
        let begun = self.recorder.begin(path.clone(), rate);
        let (tap, summary) = begun.ok_or(OpenError::Full)?;
        Ok((Some(tap), Some(summary)))
    }
}

type Recording = (
    Option<RecordingTap>,
    Option<watch::Receiver<Option<RecordingSummary>>>,
);

impl WorkerHandle {
    fn start(index: usize, legs_max: usize, runtime: &Handle) -> Result<Self, EngineError> {
        let poll = mio::Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), worker::WAKE)?;
        let grid = SlotGrid::new(worker::now());
        let (inbox, inbox_out) = RingBuffer::new(worker::INBOX_CAPACITY);
        let (ready_in, ready) = RingBuffer::new(worker::READY_CAPACITY);
        let (bell, bell_out) = std::os::unix::net::UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        bell_out.set_nonblocking(true)?;
        let shared = Arc::new(WorkerShared::default());
        let worker = Worker::new(
            poll,
            grid,
            (inbox_out, ready_in),
            bell,
            Arc::clone(&shared),
            legs_max,
        );
        let bell_out = {
            let _context = runtime.enter();
            tokio::net::UnixStream::from_std(bell_out)?
        };
        runtime.spawn(bridge::run(ready, bell_out));
        let thread = std::thread::Builder::new()
            .name(format!("media-{index}"))
            .spawn(move || worker.run())?;
        Ok(Self {
            inbox: Mutex::new(inbox),
            waker,
            grid,
            shared,
            given: AtomicU64::new(0),
            thread: Some(thread),
        })
    }

    fn give(&self, leg: ActiveLeg) -> Result<(), OpenError> {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if inbox.is_abandoned() {
            return Err(OpenError::Stopping);
        }
        inbox.push(Box::new(leg)).map_err(|_| OpenError::Full)?;
        self.given.fetch_add(1, Ordering::Relaxed);
        // Fails only if the system is out of memory; a worker with legs looks by itself.
        let _ = self.waker.wake();
        Ok(())
    }

    /// Legs handed over and not finished.
    fn legs(&self) -> usize {
        let finished = self.shared.counters.legs_finished.load(Ordering::Relaxed);
        let given = self.given.load(Ordering::Relaxed);
        usize::try_from(given.saturating_sub(finished)).unwrap_or(usize::MAX)
    }
}

impl Drop for MediaEngine {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.shared.stopping.store(true, Ordering::Release);
            let _ = worker.waker.wake();
        }
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                // A panic there has been reported by the thread itself.
                let _ = thread.join();
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "driver: RTCP wants the wall clock"
)]
fn wall_clock() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
