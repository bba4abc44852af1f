//! Legs over a carrier's media stream in virtual time.

mod support;

use std::time::{Duration, Instant};

use fixtures::tone;
use fixtures::virtual_clock::VirtualClock;
use media::codec::Codec;
use media::frame::{Frame, FrameOrigin};
use media::leg::{DigitString, Generation, Heard, LegCommand, LegEnd, LegEvent, SegmentId};
use media::protocol::stream::{
    MarkId, StreamInput, StreamLegConfig, StreamOutput, StreamPacket, StreamPayload,
};
use media::recording::tap::recording_queue;
use media::recording::timeline::StereoTimeline;
use media::session::{MediaSession, StreamEnds};
use support::{SLOT, collect, play, start};

struct Rig {
    clock: VirtualClock,
    session: MediaSession,
    ends: StreamEnds,
    frames: Vec<Frame>,
    events: Vec<LegEvent>,
    out: Vec<(Instant, StreamOutput)>,
}

impl Rig {
    fn new(config: &StreamLegConfig) -> Self {
        let clock = VirtualClock::new();
        let start = start(1, clock.origin());
        let (session, ends) = MediaSession::stream(start, config, None).expect("codecs");
        Self {
            clock,
            session,
            ends,
            frames: Vec::new(),
            events: Vec::new(),
            out: Vec::new(),
        }
    }

    fn mu_law() -> Self {
        Self::new(&StreamLegConfig::new(Codec::Pcmu, Codec::Pcmu))
    }

    fn run(&mut self, ms: u64) {
        let end = self.clock.now() + Duration::from_millis(ms);
        while self.clock.now() < end {
            let now = self.clock.now();
            self.session.handle_stream(now);
            if self.session.next_tick() <= now {
                self.session.tick(now);
            }
            while let Some(output) = self.ends.port.try_recv() {
                self.out.push((now, output));
            }
            collect(&mut self.ends.leg, &mut self.frames, &mut self.events);
            self.clock.advance(SLOT);
        }
    }

    fn send(&mut self, command: LegCommand) {
        self.ends.leg.send(command).expect("room");
    }

    fn input(&mut self, input: StreamInput) {
        self.ends.port.send(input).expect("room");
    }

    fn caller(&mut self, sequence: u64, timestamp_ms: u64, payload: &[u8]) {
        let payload = StreamPayload::new(payload).expect("fits");
        self.input(StreamInput::Packet(StreamPacket {
            sequence,
            timestamp_ms,
            payload,
        }));
    }

    fn audio(&self) -> Vec<(Instant, Vec<u8>)> {
        self.out
            .iter()
            .filter_map(|(at, output)| match output {
                StreamOutput::Audio(payload) => Some((*at, payload.as_bytes().to_vec())),
                _ => None,
            })
            .collect()
    }

    fn marks(&self) -> Vec<(MarkId, bool)> {
        self.out
            .iter()
            .filter_map(|(_, output)| match output {
                StreamOutput::Mark { id, segment_end } => Some((*id, *segment_end)),
                _ => None,
            })
            .collect()
    }

    fn cleared(&self) -> Vec<Option<Heard>> {
        self.events
            .iter()
            .filter_map(|event| match event {
                LegEvent::Cleared { heard, .. } => Some(*heard),
                _ => None,
            })
            .collect()
    }

    fn played(&self) -> Vec<u64> {
        self.events
            .iter()
            .filter_map(|event| match event {
                LegEvent::Played { segment, .. } => Some(segment.0),
                _ => None,
            })
            .collect()
    }
}

fn speech(ms: u64) -> Vec<i16> {
    tone::sine(16_000, 440.0, -20.0, 16 * ms as usize)
}

#[test]
fn speech_is_sent_a_little_ahead_and_then_in_real_time() {
    let mut rig = Rig::mu_law();
    rig.run(500);
    assert!(rig.out.is_empty(), "nothing is sent while idle");
    rig.send(play(1, 0, speech(1_000)));
    rig.run(20);
    assert_eq!(rig.audio().len(), 10);
    rig.run(400);
    assert_eq!(rig.audio().len(), 30);
    rig.run(2_000);
    assert_eq!(rig.audio().len(), 50);
    let mut decoder = Codec::Pcmu.decoder().expect("G.711");
    let mut pcm = Vec::new();
    for (_, payload) in rig.audio() {
        assert_eq!(payload.len(), 160);
        let mut piece = [0; 160];
        decoder.decode(&payload, &mut piece).expect("mu-law");
        pcm.extend_from_slice(&piece);
    }
    let level = tone::level_dbfs(&pcm[800..7_200], 8_000, 440.0);
    assert!((level + 20.0).abs() < 1.0, "{level}");
    assert_eq!(rig.session.statistics().underruns, 0);
}

#[test]
fn marks_stand_every_200_ms_and_behind_each_segment() {
    let mut rig = Rig::mu_law();
    rig.send(play(1, 0, speech(500)));
    rig.run(1_000);
    let kinds: String = rig
        .out
        .iter()
        .map(|(_, output)| match output {
            StreamOutput::Audio(_) => 'a',
            StreamOutput::Mark {
                segment_end: false, ..
            } => 'm',
            StreamOutput::Mark {
                segment_end: true, ..
            } => 'e',
            StreamOutput::Clear | StreamOutput::End(_) => '!',
        })
        .collect();
    assert_eq!(kinds, "aaaaaaaaaamaaaaaaaaaamaaaaae");
    let numbers: Vec<_> = rig.marks().iter().map(|(id, _)| id.number).collect();
    assert_eq!(numbers, [0, 1, 2]);
}

#[test]
fn a_segment_is_played_when_its_mark_returns_or_is_long_overdue() {
    let mut rig = Rig::mu_law();
    rig.send(play(1, 0, speech(400)));
    rig.run(1_000);
    assert_eq!(rig.played(), [0; 0]);
    let last = rig.marks().last().expect("a mark").0;
    rig.input(StreamInput::Mark(last));
    rig.run(40);
    assert_eq!(rig.played(), [1]);
    // The carrier swallows this one: 400 ms of audio, then 2 s.
    rig.send(play(2, 0, speech(400)));
    rig.run(2_300);
    assert_eq!(rig.played(), [1]);
    rig.run(200);
    assert_eq!(rig.played(), [1, 2]);
}

#[test]
fn a_clear_reports_what_the_marks_confirm_and_ignores_stale_ones() {
    let mut rig = Rig::mu_law();
    rig.send(play(1, 0, speech(5_000)));
    rig.run(600);
    let marks = rig.marks();
    // The carrier is 150 ms behind: the first mark, at 200 ms of speech, returns at 350 ms of
    // real time or later; here at 600 ms.
    rig.input(StreamInput::Mark(marks[0].0));
    rig.run(100);
    rig.send(LegCommand::Clear {
        generation: Generation(1),
    });
    rig.run(20);
    let heard = rig.cleared();
    assert_eq!(heard.len(), 1);
    let heard = heard[0].expect("something was heard");
    assert_eq!(heard.segment, SegmentId(1));
    // 200 ms confirmed, and the time from the mark's return to the tick of the clear.
    assert_eq!(heard.samples, (200 + 100) * 16);
    assert_eq!(rig.out.last().map(|(_, o)| *o), Some(StreamOutput::Clear));
    let sent = rig.audio().len();
    // The carrier sends back what it has dropped.
    for (id, _) in rig.marks() {
        rig.input(StreamInput::Mark(id));
    }
    rig.send(play(2, 0, speech(200)));
    rig.run(500);
    assert_eq!(rig.audio().len(), sent, "nothing of the old generation");
    assert_eq!(rig.played(), [0; 0]);
    rig.send(play(3, 1, speech(200)));
    rig.run(100);
    assert_eq!(rig.audio().len(), sent + 10);
    let fresh = rig.marks().last().expect("a mark").0;
    assert_eq!(fresh.generation, Generation(1));
    rig.input(StreamInput::Mark(fresh));
    rig.run(40);
    assert_eq!(rig.played(), [3]);
}

#[test]
fn audio_the_task_has_not_taken_is_not_sent_after_a_clear() {
    let mut rig = Rig::mu_law();
    rig.send(play(1, 0, speech(5_000)));
    let now = rig.clock.now();
    rig.session.tick(now);
    rig.send(LegCommand::Clear {
        generation: Generation(1),
    });
    rig.session.tick(now + Duration::from_millis(20));
    rig.session.handle_stream(now + Duration::from_millis(20));
    assert_eq!(rig.ends.port.try_recv(), Some(StreamOutput::Clear));
    assert_eq!(rig.ends.port.try_recv(), None);
}

#[test]
fn a_task_that_does_not_read_loses_nothing_and_still_gets_the_clear() {
    let mut rig = Rig::mu_law();
    rig.send(play(1, 0, speech(3_000)));
    let mut now = rig.clock.now();
    for _ in 0..200 {
        rig.session.tick(now);
        now += Duration::from_millis(20);
    }
    rig.send(LegCommand::Clear {
        generation: Generation(1),
    });
    rig.session.tick(now);
    let mut outputs = Vec::new();
    for _ in 0..3 {
        while let Some(output) = rig.ends.port.try_recv() {
            outputs.push(output);
        }
        rig.session.handle_stream(now);
    }
    assert_eq!(outputs, [StreamOutput::Clear]);
}

#[test]
fn the_callers_audio_comes_out_in_frames_with_positions_by_its_timestamps() {
    let mut rig = Rig::mu_law();
    let silence = [0xff; 160];
    rig.run(105);
    // A bunch of 100 ms at once, then one by one, then a hole of 60 ms.
    for n in 0..5 {
        rig.caller(n, n * 20, &silence);
    }
    rig.run(20);
    for n in 5..10 {
        rig.caller(n, n * 20, &silence);
        rig.run(20);
    }
    rig.caller(13, 13 * 20, &silence);
    rig.run(20);
    let frames: Vec<_> = rig
        .frames
        .iter()
        .map(|f| (f.position.0, f.origin))
        .collect();
    let first = frames[0].0;
    assert_eq!(first, 105 * 16);
    let expected: Vec<_> = (0..14)
        .map(|n| {
            let lost = (10..13).contains(&n);
            let origin = if lost {
                FrameOrigin::Concealed
            } else {
                FrameOrigin::Received
            };
            (first + n * 320, origin)
        })
        .collect();
    assert_eq!(frames, expected);
    let statistics = rig.session.statistics();
    assert_eq!((statistics.packets_lost, statistics.concealed_ms), (3, 60));
}

#[test]
fn repeats_and_clocks_that_start_anew_do_not_disturb() {
    let mut rig = Rig::mu_law();
    let silence = [0xff; 160];
    for n in 0..10 {
        rig.caller(n, 5_000 + n * 20, &silence);
        rig.run(20);
    }
    rig.caller(9, 5_180, &silence);
    rig.caller(10, 0, &silence);
    rig.caller(11, u64::MAX, &silence);
    rig.caller(12, 20, &silence);
    rig.run(20);
    assert_eq!(rig.frames.len(), 13);
    assert!(rig.frames.windows(2).all(|p| p[0].end() == p[1].position));
    assert_eq!(rig.session.statistics().packets_duplicate, 1);
}

#[test]
fn linear_audio_at_every_rate_passes_both_ways() {
    for rate in [8_000, 16_000, 24_000] {
        let codec = Codec::L16Le(rate);
        let mut rig = Rig::new(&StreamLegConfig::new(codec, codec));
        rig.send(play(1, 0, speech(600)));
        let caller = tone::sine(rate, 700.0, -20.0, rate as usize / 1_000 * 600);
        let bytes: Vec<u8> = caller.iter().flat_map(|s| s.to_le_bytes()).collect();
        for (n, piece) in bytes.chunks(rate as usize / 1_000 * 20).enumerate() {
            rig.caller(n as u64, n as u64 * 10, piece);
            rig.run(10);
        }
        rig.run(300);
        let heard: Vec<i16> = rig.frames.iter().flat_map(|f| f.samples).collect();
        let level = tone::level_dbfs(&heard[1_600..8_000], 16_000, 700.0);
        assert!((level + 20.0).abs() < 1.0, "{rate} Hz in: {level}");
        let sent: Vec<u8> = rig.audio().into_iter().flat_map(|(_, p)| p).collect();
        let sent: Vec<i16> = sent
            .chunks_exact(2)
            .map(|b| i16::from_le_bytes([b[0], b[1]]))
            .collect();
        assert_eq!(sent.len(), caller.len(), "{rate} Hz out");
        let middle = sent.len() / 4..sent.len() * 3 / 4;
        let level = tone::level_dbfs(&sent[middle], rate, 440.0);
        assert!((level + 20.0).abs() < 1.0, "{rate} Hz out: {level}");
    }
}

#[test]
fn keys_come_by_message_and_go_as_tones() {
    let mut rig = Rig::mu_law();
    rig.input(StreamInput::Digit(b'7'));
    rig.send(LegCommand::SendDigits(DigitString::new("1")));
    rig.send(LegCommand::SendDigits(DigitString::new("2")));
    rig.run(1_000);
    let keys: Vec<_> = rig
        .events
        .iter()
        .filter_map(|event| match event {
            LegEvent::Digit { key, .. } => Some(*key),
            _ => None,
        })
        .collect();
    assert_eq!(keys, b"7");
    // Two keys of 100 + 80 ms.
    assert_eq!(rig.audio().len(), 18);
}

#[test]
fn the_end_of_the_stream_ends_the_leg() {
    let mut rig = Rig::mu_law();
    rig.send(play(1, 0, speech(1_000)));
    rig.run(300);
    rig.input(StreamInput::End);
    rig.run(40);
    assert!(rig.session.is_finished());
    assert!(matches!(
        rig.events.last(),
        Some(LegEvent::Closed {
            end: LegEnd::RemoteEnded,
            heard: Some(_),
            ..
        })
    ));
    let last = rig.out.last().map(|(_, output)| *output);
    assert_eq!(last, Some(StreamOutput::End(LegEnd::RemoteEnded)));
}

#[test]
fn speech_that_is_synthesized_too_slowly_counts_underruns_and_goes_on() {
    let mut rig = Rig::mu_law();
    let mut chunk = play(1, 0, speech(100));
    if let LegCommand::Play(chunk) = &mut chunk {
        chunk.last = false;
    }
    rig.send(chunk);
    rig.run(300);
    assert!(rig.session.statistics().underruns > 0);
    rig.send(play(1, 0, speech(100)));
    rig.run(300);
    assert_eq!(rig.audio().len(), 10);
    let playing = |e: &&LegEvent| matches!(e, LegEvent::Playing { .. });
    assert_eq!(rig.events.iter().filter(playing).count(), 1);
}

#[test]
fn what_a_clear_drops_is_not_in_the_recording() {
    let (tap, mut source) = recording_queue(8_000);
    let mut config = StreamLegConfig::new(Codec::Pcmu, Codec::Pcmu);
    config.recording = Some("unused".into());
    let clock = VirtualClock::new();
    let mut rig = Rig::new(&config);
    let start = start(1, clock.origin());
    (rig.session, rig.ends) = MediaSession::stream(start, &config, Some(tap)).expect("codecs");
    rig.clock = clock;
    rig.run(400);
    rig.send(play(1, 0, speech(5_000)));
    rig.run(400);
    rig.send(LegCommand::Clear {
        generation: Generation(1),
    });
    rig.run(100);
    let mut timeline = StereoTimeline::new(8_000);
    let mut file: Vec<i16> = Vec::new();
    while let Some(block) = source.pop() {
        timeline.place(&block, |run| file.extend_from_slice(run));
    }
    timeline.finish(|run| file.extend_from_slice(run));
    let agent: Vec<i16> = file.iter().copied().skip(1).step_by(2).collect();
    let onset = agent.iter().position(|s| s.abs() > 500).expect("a tone") / 8;
    assert!((400..404).contains(&onset), "{onset} ms");
    let end = agent.len() / 8;
    assert!((780..=820).contains(&end), "{end} ms");
}
