//! A fixed number of decoder slots shared by any number of calls.
//!
//! A call holds a slot only while an utterance runs, so the slots bound memory by how many
//! callers *speak* at once, not by how many are connected. Audio that arrives while no slot is
//! free is kept (up to [`BACKLOG_SAMPLES_MAX`]) and decoded faster than real time later. What
//! exceeds the limits is given up with `Outcome::Overloaded` and counted: the caller is asked
//! again, the call goes on.
//!
//! Decoders that a burst of callers has brought into being are given up again once they have been
//! idle for [`IDLE_MAX`], all but one: the memory of a busy hour is not kept through a quiet day.
//!
//! Threads: sessions (async) only append to an utterance's buffer; a few worker threads own the
//! decoding. Lock order is pool before utterance; neither is held while decoding.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use media::frame::FRAME_RATE;
use tokio::sync::oneshot;

/// Most audio kept for an utterance that waits for a slot or a worker: 10 s. Full-policy: the
/// utterance is given up as overloaded.
pub const BACKLOG_SAMPLES_MAX: usize = 10 * FRAME_RATE as usize;
/// Longest utterance decoded: 120 s, so that a line left open cannot grow a decoder without
/// end. Full-policy: later audio is ignored.
pub const UTTERANCE_SAMPLES_MAX: usize = 120 * FRAME_RATE as usize;
/// How long a decoder beyond the first may be idle before its memory is given back.
const IDLE_MAX: Duration = Duration::from_secs(15);
/// Audio decoded before the worker looks at its other utterances: 200 ms. Also the pace of
/// partial results.
const CHUNK_SAMPLES: usize = FRAME_RATE as usize / 5;

/// A decoder that can be lent to one utterance after another.
pub(crate) trait SlotDecoder: Send + 'static {
    /// What an utterance needs: search, caller state.
    type Task: Send + Sync + 'static;
    /// What comes out of it.
    type Result: Send + 'static;

    /// Whether `task` can begin without preparation; among idle decoders such a one is chosen.
    fn is_prepared_for(&self, task: &Self::Task) -> bool;
    /// Begins an utterance.
    fn begin(&mut self, task: &Self::Task) -> Result<(), String>;
    /// Decodes the next samples.
    fn process(&mut self, samples: &[i16]) -> Result<(), String>;
    /// Text so far.
    fn partial(&mut self) -> String;
    /// Ends the utterance.
    fn finish(&mut self, task: &Self::Task) -> Result<Self::Result, String>;
    /// Ends the utterance without interest in its result.
    fn abandon(&mut self);
    /// Whether another utterance may begin; a decoder that is not usable is replaced.
    fn is_usable(&self) -> bool;
}

/// How an utterance ended.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Outcome<R> {
    /// It was decoded.
    Recognised(R),
    /// No slot or worker had time for it.
    Overloaded,
    /// The decoder refused it.
    Failed(String),
    /// No decoder could be made: the pool is of no use.
    Broken(String),
}

/// Counters of a pool, for metrics.
#[derive(Debug, Default)]
pub struct PoolCounters {
    slots_created: AtomicU64,
    slots_busy: AtomicU64,
    waiting: AtomicU64,
    utterances: AtomicU64,
    overloaded: AtomicU64,
    failed: AtomicU64,
    truncated: AtomicU64,
}

/// One reading of [`PoolCounters`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PoolStatistics {
    /// Decoders that exist now.
    pub slots_created: u64,
    /// Decoders lent to an utterance now.
    pub slots_busy: u64,
    /// Utterances that wait for a decoder now.
    pub waiting: u64,
    /// Utterances begun so far.
    pub utterances: u64,
    /// Utterances given up for lack of capacity so far.
    pub overloaded: u64,
    /// Utterances a decoder refused so far.
    pub failed: u64,
    /// Utterances longer than [`UTTERANCE_SAMPLES_MAX`] so far.
    pub truncated: u64,
}

impl PoolCounters {
    /// The values now.
    #[must_use]
    pub fn read(&self) -> PoolStatistics {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PoolStatistics {
            slots_created: of(&self.slots_created),
            slots_busy: of(&self.slots_busy),
            waiting: of(&self.waiting),
            utterances: of(&self.utterances),
            overloaded: of(&self.overloaded),
            failed: of(&self.failed),
            truncated: of(&self.truncated),
        }
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Makes a decoder; called on a worker, as slots are needed.
pub(crate) type DecoderFactory<D> = Box<dyn Fn() -> Result<D, String> + Send + Sync>;

/// Receives partial texts. Called on a worker under the utterance's lock: it must not block.
pub(crate) type PartialSink = Box<dyn Fn(String) + Send>;

/// The pool. Workers end when the last handle is dropped.
pub(crate) struct RecogniserPool<D: SlotDecoder> {
    shared: Arc<Shared<D>>,
}

struct Shared<D: SlotDecoder> {
    state: Mutex<PoolState<D>>,
    work_came: Condvar,
    make: DecoderFactory<D>,
    slots_max: usize,
    waiting_max: usize,
    idle_max: Duration,
    counters: Arc<PoolCounters>,
}

/// A decoder that nobody uses.
struct Idle<D> {
    decoder: D,
    since: Instant,
}

struct PoolState<D: SlotDecoder> {
    /// In the order in which they became idle.
    idle: Vec<Idle<D>>,
    /// Decoders idle, lent or being made.
    slots: usize,
    /// Utterances with a decoder and something to do, in order of arrival.
    ready: VecDeque<Arc<Utterance<D>>>,
    /// Utterances without a decoder, in order of arrival.
    waiting: VecDeque<Arc<Utterance<D>>>,
    shut_down: bool,
}

struct Utterance<D: SlotDecoder> {
    task: D::Task,
    work: Mutex<Work<D>>,
}

struct Work<D: SlotDecoder> {
    audio: VecDeque<i16>,
    /// Samples taken in so far.
    samples: usize,
    finished: bool,
    cancelled: bool,
    /// Given up for lack of capacity.
    overloaded: bool,
    /// Is in the ready queue or in the hands of a worker.
    scheduled: bool,
    /// The decoder between two visits of a worker.
    decoder: Option<D>,
    outcome: Option<oneshot::Sender<Outcome<D::Result>>>,
    on_partial: PartialSink,
    last_partial: String,
}

impl<D: SlotDecoder> Work<D> {
    fn resolve(&mut self, outcome: Outcome<D::Result>) {
        if let Some(sender) = self.outcome.take() {
            // The session may be gone; then nobody needs to know.
            let _ = sender.send(outcome);
        }
    }
}

/// A session's hold on a running utterance. Dropping it before [`UtteranceHandle::finish`]
/// cancels the utterance.
pub(crate) struct UtteranceHandle<D: SlotDecoder> {
    shared: Arc<Shared<D>>,
    utterance: Arc<Utterance<D>>,
    outcome: Option<oneshot::Receiver<Outcome<D::Result>>>,
}

impl<D: SlotDecoder> RecogniserPool<D> {
    /// A pool with `first` in its first slot.
    ///
    /// # Errors
    /// When a worker thread cannot be started.
    pub(crate) fn new(
        name: &str,
        first: D,
        make: DecoderFactory<D>,
        slots_max: usize,
        waiting_max: usize,
        threads: usize,
    ) -> std::io::Result<Self> {
        Self::with_idle_max(name, first, make, slots_max, waiting_max, threads, IDLE_MAX)
    }

    fn with_idle_max(
        name: &str,
        first: D,
        make: DecoderFactory<D>,
        slots_max: usize,
        waiting_max: usize,
        threads: usize,
        idle_max: Duration,
    ) -> std::io::Result<Self> {
        let counters = Arc::new(PoolCounters::default());
        add(&counters.slots_created);
        let shared = Arc::new(Shared {
            state: Mutex::new(PoolState {
                idle: vec![Idle {
                    decoder: first,
                    since: now(),
                }],
                slots: 1,
                ready: VecDeque::new(),
                waiting: VecDeque::new(),
                shut_down: false,
            }),
            work_came: Condvar::new(),
            make,
            slots_max: slots_max.max(1),
            waiting_max,
            idle_max,
            counters,
        });
        let pool = Self {
            shared: Arc::clone(&shared),
        };
        for index in 0..threads.clamp(1, slots_max.max(1)) {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name(format!("{name}-{index}"))
                .spawn(move || shared.work())?;
        }
        Ok(pool)
    }

    /// Begins an utterance; never waits.
    pub(crate) fn start(&self, task: D::Task, on_partial: PartialSink) -> UtteranceHandle<D> {
        let (sender, outcome) = oneshot::channel();
        let utterance = Arc::new(Utterance {
            task,
            work: Mutex::new(Work {
                audio: VecDeque::new(),
                samples: 0,
                finished: false,
                cancelled: false,
                overloaded: false,
                scheduled: false,
                decoder: None,
                outcome: Some(sender),
                on_partial,
                last_partial: String::new(),
            }),
        });
        let shared = &self.shared;
        add(&shared.counters.utterances);
        let mut state = shared.lock();
        let free = state.idle.len() + (shared.slots_max - state.slots.min(shared.slots_max));
        if state.waiting.len() < shared.waiting_max + free {
            state.waiting.push_back(Arc::clone(&utterance));
            shared.note_waiting(&state);
            drop(state);
            shared.work_came.notify_one();
        } else {
            drop(state);
            shared.give_up(&mut utterance.lock());
        }
        UtteranceHandle {
            shared: Arc::clone(shared),
            utterance,
            outcome: Some(outcome),
        }
    }

    /// The pool's counters.
    pub(crate) fn counters(&self) -> Arc<PoolCounters> {
        Arc::clone(&self.shared.counters)
    }
}

impl<D: SlotDecoder> Drop for RecogniserPool<D> {
    fn drop(&mut self) {
        self.shared.lock().shut_down = true;
        self.shared.work_came.notify_all();
    }
}

impl<D: SlotDecoder> UtteranceHandle<D> {
    /// Hands over the next samples; never waits.
    pub(crate) fn push(&self, samples: &[i16]) {
        let mut work = self.utterance.lock();
        if work.overloaded || work.finished {
            return;
        }
        if work.samples + samples.len() > UTTERANCE_SAMPLES_MAX {
            if work.samples <= UTTERANCE_SAMPLES_MAX {
                add(&self.shared.counters.truncated);
                work.samples = UTTERANCE_SAMPLES_MAX + 1;
            }
            return;
        }
        if work.audio.len() + samples.len() > BACKLOG_SAMPLES_MAX {
            self.shared.give_up(&mut work);
            self.schedule(work);
            self.leave_queue();
            return;
        }
        work.samples += samples.len();
        work.audio.extend(samples);
        self.schedule(work);
    }

    /// Says that no more samples come; the outcome arrives as soon as it is known, and an error
    /// instead of it when a worker broke down.
    pub(crate) fn finish(mut self) -> oneshot::Receiver<Outcome<D::Result>> {
        let outcome = self
            .outcome
            .take()
            .expect("only this method takes it, and it consumes the handle");
        let mut work = self.utterance.lock();
        work.finished = true;
        self.schedule(work);
        outcome
    }

    /// Takes the utterance out of those that wait for a decoder.
    fn leave_queue(&self) {
        let mut state = self.shared.lock();
        state
            .waiting
            .retain(|other| !Arc::ptr_eq(other, &self.utterance));
        self.shared.note_waiting(&state);
    }

    /// Puts the utterance into the ready queue if it has a decoder and is not there already.
    fn schedule(&self, mut work: MutexGuard<'_, Work<D>>) {
        if work.scheduled || work.decoder.is_none() {
            return;
        }
        work.scheduled = true;
        drop(work);
        self.shared
            .lock()
            .ready
            .push_back(Arc::clone(&self.utterance));
        self.shared.work_came.notify_one();
    }
}

impl<D: SlotDecoder> Drop for UtteranceHandle<D> {
    fn drop(&mut self) {
        let mut work = self.utterance.lock();
        if work.finished {
            return;
        }
        work.cancelled = true;
        work.audio = VecDeque::new();
        self.schedule(work);
        self.leave_queue();
    }
}

impl<D: SlotDecoder> Utterance<D> {
    fn lock(&self) -> MutexGuard<'_, Work<D>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Job<D: SlotDecoder> {
    /// Go on with an utterance that has its decoder.
    Continue(Arc<Utterance<D>>),
    /// Lend a decoder (`None`: make one first) to a waiting utterance.
    Attach(Arc<Utterance<D>>, Option<D>),
    /// Give up a decoder that has been idle for too long.
    Retire(D),
}

impl<D: SlotDecoder> Shared<D> {
    fn lock(&self) -> MutexGuard<'_, PoolState<D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_waiting(&self, state: &PoolState<D>) {
        self.counters
            .waiting
            .store(state.waiting.len() as u64, Ordering::Relaxed);
    }

    fn give_up(&self, work: &mut Work<D>) {
        add(&self.counters.overloaded);
        work.overloaded = true;
        work.audio = VecDeque::new();
        work.resolve(Outcome::Overloaded);
    }

    fn work(&self) {
        while let Some(job) = self.next_job() {
            // A panic in a decoder loses that decoder and that utterance (whose session then
            // reports an empty result), nothing else.
            if catch_unwind(AssertUnwindSafe(|| self.run(job))).is_err() {
                self.decoder_lost();
            }
        }
    }

    fn next_job(&self) -> Option<Job<D>> {
        let mut state = self.lock();
        loop {
            if state.shut_down {
                return None;
            }
            if let Some(utterance) = state.ready.pop_front() {
                return Some(Job::Continue(utterance));
            }
            let has_slot = !state.idle.is_empty() || state.slots < self.slots_max;
            if has_slot && let Some(utterance) = state.waiting.pop_front() {
                self.note_waiting(&state);
                let decoder = state.take_idle(&utterance.task);
                if decoder.is_none() {
                    state.slots += 1;
                    add(&self.counters.slots_created);
                }
                add(&self.counters.slots_busy);
                return Some(Job::Attach(utterance, decoder));
            }
            if let Some(decoder) = state.take_expired(self.idle_max) {
                return Some(Job::Retire(decoder));
            }
            state = if state.slots > 1 && !state.idle.is_empty() {
                let waited = self.work_came.wait_timeout(state, self.idle_max);
                waited.unwrap_or_else(PoisonError::into_inner).0
            } else {
                let waited = self.work_came.wait(state);
                waited.unwrap_or_else(PoisonError::into_inner)
            };
        }
    }

    fn run(&self, job: Job<D>) {
        let (utterance, decoder) = match job {
            Job::Continue(utterance) => {
                let decoder = utterance.lock().decoder.take();
                let Some(decoder) = decoder else { return };
                (utterance, decoder)
            }
            Job::Attach(utterance, decoder) => {
                utterance.lock().scheduled = true;
                let decoder = match decoder.map_or_else(|| (self.make)(), Ok) {
                    Ok(decoder) => decoder,
                    Err(message) => {
                        add(&self.counters.failed);
                        utterance.lock().resolve(Outcome::Broken(message));
                        self.decoder_lost();
                        return;
                    }
                };
                let mut decoder = decoder;
                if let Err(message) = decoder.begin(&utterance.task) {
                    add(&self.counters.failed);
                    utterance.lock().resolve(Outcome::Failed(message));
                    self.give_back(decoder);
                    return;
                }
                (utterance, decoder)
            }
            Job::Retire(decoder) => {
                drop(decoder);
                self.counters.slots_created.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        };
        self.decode(&utterance, decoder);
    }

    /// Decodes what is there, up to one chunk unless the utterance is over.
    fn decode(&self, utterance: &Arc<Utterance<D>>, mut decoder: D) {
        loop {
            let mut work = utterance.lock();
            if work.cancelled || work.overloaded {
                drop(work);
                self.abandon(decoder);
                return;
            }
            if work.audio.is_empty() {
                if work.finished {
                    drop(work);
                    let outcome = match decoder.finish(&utterance.task) {
                        Ok(result) => Outcome::Recognised(result),
                        Err(message) => {
                            add(&self.counters.failed);
                            Outcome::Failed(message)
                        }
                    };
                    // The slot is free before the session hears of the result.
                    self.give_back(decoder);
                    utterance.lock().resolve(outcome);
                    return;
                }
                work.scheduled = false;
                work.decoder = Some(decoder);
                return;
            }
            let length = work.audio.len().min(CHUNK_SAMPLES);
            let chunk: Vec<i16> = work.audio.drain(..length).collect();
            let finished = work.finished;
            drop(work);

            if let Err(message) = decoder.process(&chunk) {
                add(&self.counters.failed);
                utterance.lock().resolve(Outcome::Failed(message));
                self.abandon(decoder);
                return;
            }
            if finished {
                continue;
            }
            self.report_partial(utterance, &mut decoder, length);
            let others_wait = {
                let state = self.lock();
                !state.ready.is_empty()
            };
            if others_wait {
                utterance.lock().decoder = Some(decoder);
                self.lock().ready.push_back(Arc::clone(utterance));
                self.work_came.notify_one();
                return;
            }
        }
    }

    fn report_partial(&self, utterance: &Utterance<D>, decoder: &mut D, decoded: usize) {
        let due = {
            let work = utterance.lock();
            let before = work.samples.saturating_sub(work.audio.len() + decoded);
            let after = before + decoded;
            before / CHUNK_SAMPLES != after / CHUNK_SAMPLES
        };
        if !due {
            return;
        }
        let text = decoder.partial();
        let mut work = utterance.lock();
        if !text.is_empty() && text != work.last_partial && !work.cancelled && !work.finished {
            (work.on_partial)(text.clone());
            work.last_partial = text;
        }
    }

    fn abandon(&self, mut decoder: D) {
        decoder.abandon();
        self.give_back(decoder);
    }

    fn give_back(&self, decoder: D) {
        if !decoder.is_usable() {
            drop(decoder);
            self.decoder_lost();
            return;
        }
        self.counters.slots_busy.fetch_sub(1, Ordering::Relaxed);
        let since = now();
        self.lock().idle.push(Idle { decoder, since });
        self.work_came.notify_one();
    }

    fn decoder_lost(&self) {
        self.counters.slots_busy.fetch_sub(1, Ordering::Relaxed);
        self.counters.slots_created.fetch_sub(1, Ordering::Relaxed);
        self.lock().slots -= 1;
        self.work_came.notify_one();
    }
}

impl<D: SlotDecoder> PoolState<D> {
    /// The idle decoder that suits `task` best; the one used last otherwise.
    fn take_idle(&mut self, task: &D::Task) -> Option<D> {
        let index = self
            .idle
            .iter()
            .rposition(|idle| idle.decoder.is_prepared_for(task))
            .or_else(|| self.idle.len().checked_sub(1))?;
        Some(self.idle.remove(index).decoder)
    }

    /// The decoder that has been idle longest, if that is longer than `idle_max` and it is not the
    /// last one. Its slot is free with that.
    fn take_expired(&mut self, idle_max: Duration) -> Option<D> {
        let oldest = self.idle.first()?;
        if self.slots <= 1 || now().saturating_duration_since(oldest.since) < idle_max {
            return None;
        }
        self.slots -= 1;
        Some(self.idle.remove(0).decoder)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the pool's own threads wait on the clock; no logic of a call depends on it"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts samples; panics on a sample of 13, fails on one of 7, waits for the test on one
    /// of 5.
    struct Counter {
        samples: usize,
        gate: Arc<Mutex<()>>,
    }

    impl SlotDecoder for Counter {
        type Task = ();
        type Result = usize;

        fn is_prepared_for(&self, (): &()) -> bool {
            true
        }

        fn begin(&mut self, (): &()) -> Result<(), String> {
            self.samples = 0;
            Ok(())
        }

        fn process(&mut self, samples: &[i16]) -> Result<(), String> {
            self.samples += samples.len();
            assert!(!samples.contains(&13), "asked to");
            if samples.contains(&5) {
                drop(self.gate.lock());
            }
            if samples.contains(&7) {
                return Err("seven".to_owned());
            }
            Ok(())
        }

        fn partial(&mut self) -> String {
            format!("{}", self.samples)
        }

        fn finish(&mut self, (): &()) -> Result<usize, String> {
            Ok(self.samples)
        }

        fn abandon(&mut self) {}

        fn is_usable(&self) -> bool {
            true
        }
    }

    fn pool(slots: usize, gate: &Arc<Mutex<()>>) -> RecogniserPool<Counter> {
        let gate = Arc::clone(gate);
        let make = move || {
            Ok(Counter {
                samples: 0,
                gate: Arc::clone(&gate),
            })
        };
        RecogniserPool::new("test", make().unwrap(), Box::new(make), slots, 2, 2).unwrap()
    }

    fn result(outcome: oneshot::Receiver<Outcome<usize>>) -> Option<Outcome<usize>> {
        outcome.blocking_recv().ok()
    }

    #[test]
    fn every_sample_is_decoded_in_one_utterance() {
        let pool = pool(1, &Arc::default());
        let utterance = pool.start((), Box::new(|_| ()));
        for _ in 0..100 {
            utterance.push(&[1; 320]);
        }
        assert_eq!(
            result(utterance.finish()),
            Some(Outcome::Recognised(32_000))
        );
        assert_eq!(pool.counters().read().slots_busy, 0);
    }

    #[test]
    fn a_panic_or_a_failure_loses_one_utterance_and_not_the_slot() {
        let pool = pool(1, &Arc::default());
        let utterance = pool.start((), Box::new(|_| ()));
        utterance.push(&[13; 320]);
        assert_eq!(result(utterance.finish()), None);

        let utterance = pool.start((), Box::new(|_| ()));
        utterance.push(&[7; 320]);
        let outcome = result(utterance.finish());
        assert_eq!(outcome, Some(Outcome::Failed("seven".to_owned())));

        let utterance = pool.start((), Box::new(|_| ()));
        utterance.push(&[1; 320]);
        assert_eq!(result(utterance.finish()), Some(Outcome::Recognised(320)));
        let statistics = pool.counters().read();
        assert_eq!((statistics.slots_created, statistics.failed), (1, 1));
    }

    #[test]
    fn all_but_one_idle_decoder_are_given_up() {
        let gate = Arc::default();
        let make = move || {
            Ok(Counter {
                samples: 0,
                gate: Arc::clone(&gate),
            })
        };
        let first = make().unwrap();
        let pool = RecogniserPool::with_idle_max(
            "test",
            first,
            Box::new(make),
            3,
            3,
            2,
            Duration::from_millis(1),
        )
        .unwrap();
        for _ in 0..3 {
            let together = [(); 3].map(|()| {
                let utterance = pool.start((), Box::new(|_| ()));
                utterance.push(&[1; 320]);
                utterance
            });
            for utterance in together {
                assert_eq!(result(utterance.finish()), Some(Outcome::Recognised(320)));
            }
            while pool.counters().read().slots_created > 1 {
                thread::yield_now();
            }
        }
        assert_eq!(pool.counters().read().slots_busy, 0);
    }

    #[test]
    fn limits_of_queue_and_backlog_give_utterances_up() {
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock().unwrap();
        let pool = pool(1, &gate);
        let holder = pool.start((), Box::new(|_| ()));
        holder.push(&[5; 320]);
        // Until the holder has the only slot, a newcomer could be lent it.
        while pool.counters().read().slots_busy == 0 {
            thread::yield_now();
        }
        let waiting = pool.start((), Box::new(|_| ()));
        let too_long = pool.start((), Box::new(|_| ()));
        let refused = pool.start((), Box::new(|_| ()));
        assert_eq!(result(refused.finish()), Some(Outcome::Overloaded));
        assert_eq!(pool.counters().read().waiting, 2);

        too_long.push(&vec![1; BACKLOG_SAMPLES_MAX]);
        too_long.push(&[1]);
        assert_eq!(result(too_long.finish()), Some(Outcome::Overloaded));
        assert_eq!(pool.counters().read().waiting, 1);

        waiting.push(&[1; 640]);
        let waiting = waiting.finish();
        drop(closed);
        drop(holder);
        assert_eq!(result(waiting), Some(Outcome::Recognised(640)));
        let statistics = pool.counters().read();
        assert_eq!((statistics.overloaded, statistics.slots_busy), (2, 0));
    }
}
