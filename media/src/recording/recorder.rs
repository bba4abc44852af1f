//! The thread that writes recordings, all of them.
//!
//! It reads the legs' queues a few times a second and writes files; the media workers neither
//! wait for it nor wake it.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::recording::RecordingSummary;
use crate::recording::tap::{RecordingSource, RecordingTap, recording_queue};
use crate::recording::timeline::StereoTimeline;
use crate::recording::wav::WavWriter;

/// Recordings that may wait to be begun.
const BEGIN_CAPACITY: usize = 256;
/// Time between two looks into the queues; well below what they hold.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longest time that audio stays out of its file, beside the reorder window.
const FLUSH_EVERY: Duration = Duration::from_millis(450);

struct Begin {
    source: RecordingSource,
    path: PathBuf,
    finished: watch::Sender<Option<RecordingSummary>>,
}

/// Writes recordings until dropped, which completes all files with what has come by then.
#[derive(Debug)]
pub struct Recorder {
    begin: Option<SyncSender<Begin>>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn start() -> io::Result<Self> {
        let (begin, queue) = sync_channel(BEGIN_CAPACITY);
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || run(&queue))?;
        Ok(Self {
            begin: Some(begin),
            thread: Some(thread),
        })
    }

    /// Begins a file at `path` for a leg's two channels at `rate` Hz (8000 or 16000); `None` when
    /// too many are waiting to be begun. The receiver holds the summary once the file is
    /// complete, which is after the tap was dropped.
    #[must_use]
    pub fn begin(
        &self,
        path: PathBuf,
        rate: u32,
    ) -> Option<(RecordingTap, watch::Receiver<Option<RecordingSummary>>)> {
        let (tap, source) = recording_queue(rate);
        let (finished, summary) = watch::channel(None);
        let begin = Begin {
            source,
            path,
            finished,
        };
        match self.begin.as_ref()?.try_send(begin) {
            Ok(()) => Some((tap, summary)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.begin = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the thread itself.
            let _ = thread.join();
        }
    }
}

fn run(queue: &Receiver<Begin>) {
    let mut recordings: Vec<Recording> = Vec::new();
    loop {
        let begin = if recordings.is_empty() {
            queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            queue.recv_timeout(LOOK_EVERY)
        };
        match begin {
            Ok(begin) => recordings.push(Recording::new(begin, now())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                for recording in &mut recordings {
                    recording.look(now(), true);
                }
                return;
            }
        }
        recordings.retain_mut(|recording| !recording.look(now(), false));
    }
}

struct Recording {
    source: RecordingSource,
    timeline: StereoTimeline,
    file: Result<WavWriter<File>, io::ErrorKind>,
    flushed_at: Instant,
    frames: u64,
    finished: watch::Sender<Option<RecordingSummary>>,
}

impl Recording {
    fn new(begin: Begin, now: Instant) -> Self {
        let rate = begin.source.rate();
        let file = File::create(&begin.path).and_then(|file| WavWriter::new(file, 2, rate));
        Self {
            timeline: StereoTimeline::new(rate),
            source: begin.source,
            file: file.map_err(|error| error.kind()),
            flushed_at: now,
            frames: 0,
            finished: begin.finished,
        }
    }

    /// Takes what is waiting; `true` when the recording is complete, which `last` makes it.
    fn look(&mut self, now: Instant, last: bool) -> bool {
        // Looked at before the queue: what was pushed before the leg let go is still written.
        let ended = last || self.source.is_ended();
        while let Some(block) = self.source.pop() {
            let file = &mut self.file;
            self.timeline.place(&block, |run| write(file, run));
        }
        if ended {
            let file = &mut self.file;
            self.timeline.finish(|run| write(file, run));
        }
        if ended || now.saturating_duration_since(self.flushed_at) >= FLUSH_EVERY {
            self.flushed_at = now;
            self.flush();
        }
        if ended {
            self.finished.send_replace(Some(self.summary()));
        }
        ended
    }

    fn flush(&mut self) {
        if let Ok(file) = &mut self.file {
            self.frames = file.frames();
            if let Err(error) = file.flush() {
                // What is written stays playable; the rest of the call is not kept in memory.
                self.file = Err(error.kind());
            }
        }
    }

    fn summary(&self) -> RecordingSummary {
        RecordingSummary {
            duration_ms: self.frames * 1000 / u64::from(self.source.rate()),
            blocks_dropped: self.source.dropped(),
            blocks_late: self.timeline.late(),
            error: self.file.as_ref().err().copied(),
        }
    }
}

fn write(file: &mut Result<WavWriter<File>, io::ErrorKind>, run: &[i16]) {
    if let Ok(file) = file {
        file.write(run);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "driver: files are flushed by real time"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::SamplePosition;
    use crate::recording::{Channel, wav};

    #[test]
    fn a_recording_is_complete_when_its_leg_lets_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("call.wav");
        let recorder = Recorder::start().expect("a thread");
        let (mut tap, summary) = recorder.begin(path.clone(), 8_000).expect("room");
        for tick in 0..15u64 {
            tap.write(Channel::Agent, SamplePosition(tick * 320), &[100; 160]);
            tap.write(Channel::Caller, SamplePosition(tick * 320), &[-100; 160]);
        }
        drop(tap);
        drop(recorder);
        let summary = summary.borrow().clone().expect("the recorder has joined");
        assert_eq!(summary.duration_ms, 300);
        assert_eq!(summary.error, None);
        let mut reader = hound::WavReader::open(&path).expect("a WAV file");
        let samples: Vec<i16> = reader.samples().map(|s| s.expect("readable")).collect();
        assert_eq!(samples.len(), 2 * 2_400);
        assert!(samples.chunks(2).all(|pair| pair == [-100, 100]));
        assert_eq!(wav::repair(&path).ok(), Some(wav::Repair::Intact));
    }

    #[test]
    fn a_file_that_cannot_be_made_is_told_in_the_summary() {
        let recorder = Recorder::start().expect("a thread");
        let path = PathBuf::from("/nonexistent/call.wav");
        let (mut tap, summary) = recorder.begin(path, 16_000).expect("room");
        tap.write(Channel::Agent, SamplePosition(0), &[1; 320]);
        drop(tap);
        drop(recorder);
        let summary = summary.borrow().clone().expect("the recorder has joined");
        assert_eq!(summary.error, Some(io::ErrorKind::NotFound));
    }
}
