//! Everything around the conversation of a scene: the caller, the line with a real media leg at
//! its end, and providers with drawn latencies.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::codec::{Codec, Decoder, Encoder, OpusSettings};
use media::frame::{FRAME_MS, FRAME_RATE, SamplePosition};
use media::leg::{Heard, LegCommand, LegEvent, LegId, SegmentId};
use media::leg_queue::{LegOutput, MediaLeg};
use media::protocol::rtp::{RtpLegConfig, RtpMedia, RtpPayload, RtpRemote};
use media::protocol::rtp_media::PreparedMedia;
use media::protocol::transmit::RtpPort;
use media::rtp::NtpTime;
use media::session::{MediaSession, SessionStart};

use super::latency::{FIRST_AUDIO, FIRST_TOKEN, PARTIAL, ROUND_TRIP, SPEECH_SPEED, TOKEN};
use super::random::Random;
use super::scene::{Cue, Scene};
use super::speech::{LINE_RATE, Speech, SpeechStore};
use crate::call::CallEvent;
use crate::conversation::event::SttSession;
use crate::conversation::{Action, Event};
use crate::llm::{ExpectedAnswer, LlmEvent, Message};
use crate::stt::{RecognitionHints, SttCommand, SttEvent, UtteranceId};
use crate::testing::rig::{Plan, Surroundings};
use crate::tts::{TtsEvent, WordTiming};

/// Samples of one packet.
const PACKET: usize = (LINE_RATE / 1000 * FRAME_MS) as usize;
/// Octets of an RTP header without extensions (RFC 3550 §5.1).
const HEADER: usize = 12;
/// From the caller to the engine, in ms, jitter excluded.
pub const UPLINK_MS: u64 = 30;
/// From the engine's wire to the caller's ear, in ms; what a leg assumes while RTCP is silent.
pub const DOWNLINK_MS: u64 = media::protocol::rtp::ONE_WAY_MS as u64;
/// A frame of the agent counts as audible above this, in dBFS.
pub const AUDIBLE_DBFS: f32 = -50.0;
/// A caller who is not answered says the next thing after this.
const IMPATIENT_MS: u64 = 7_000;
/// A step whose cue stays out is given up after this.
const GIVE_UP_MS: u64 = 12_000;
/// Piece in which the voice delivers speech.
const PIECE_MS: u64 = 100;

/// A step that has begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// Index of the step.
    pub step: usize,
    /// Its first sample, in ms at the engine's ingress.
    pub from_ms: u64,
    /// Behind its last sample, likewise.
    pub to_ms: u64,
}

/// What was said to be heard at a clear.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// When the leg reported, in ms.
    pub at_ms: u64,
    /// What it reported.
    pub heard: Option<Heard>,
}

/// What a recogniser has of an utterance.
#[derive(Clone, Debug)]
struct Listening {
    id: UtteranceId,
    from: SamplePosition,
    until: SamplePosition,
    told: String,
}

#[derive(Debug)]
struct InFlight {
    arrival: Instant,
    packet: Vec<u8>,
}

/// The surroundings of a scene.
pub struct World {
    scene: Arc<Scene>,
    store: Arc<SpeechStore>,
    random: Random,
    origin: Instant,
    session: MediaSession,
    leg: MediaLeg,
    peer: SocketAddr,
    encoder: Box<dyn Encoder>,
    decoder: Box<dyn Decoder>,
    in_flight: VecDeque<InFlight>,
    sequence: u16,
    /// Samples of the caller sent so far.
    clock: usize,
    /// Steps begun, in order.
    pub placed: Vec<Placed>,
    /// Steps and the caller's sample they began at.
    begun: Vec<(usize, usize)>,
    /// The agent on the wire, at [`LINE_RATE`].
    pub sent: Vec<i16>,
    /// Ticks in which the agent was audible on the wire.
    pub audible: Vec<bool>,
    /// From the caller's clock to the leg's timeline, in samples at [`FRAME_RATE`].
    offset: Option<i64>,
    /// Commands the leg has no room for yet.
    backlog: VecDeque<LegCommand>,
    held: bool,
    /// Samples handed to the leg and not sent yet.
    queued: u64,
    /// Speech or text is still on its way until then.
    busy_until: Instant,
    /// Tick since which the agent has been sounding, counted anew at each step.
    sounding_since: Option<usize>,
    /// Tick at which the agent had last something to say.
    last_busy_tick: usize,
    stt_session: SttSession,
    listening: Option<Listening>,
    /// When the last partial text arrives.
    partial_at: Instant,
    /// The model was asked, in ms.
    pub asked: Vec<u64>,
    committed_at: Option<u64>,
    /// What the leg said at each clear.
    pub cuts: Vec<Cut>,
    /// Texts by the segment they were spoken as, in order of synthesis.
    pub spoken: Vec<(String, Arc<Speech>)>,
    /// Segments in the order in which the leg was given them: the text spoken, by its index in
    /// `spoken`, and the sample of its speech that the segment begins with.
    pub played: Vec<(SegmentId, usize, usize)>,
    /// The engine's frames were lost.
    pub frames: u64,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("scene", &self.scene.kind)
            .finish_non_exhaustive()
    }
}

impl World {
    /// A scene at its beginning.
    ///
    /// # Panics
    /// Never: a mu-law leg can always be made.
    #[must_use]
    pub fn new(scene: Arc<Scene>, store: Arc<SpeechStore>, origin: Instant) -> Self {
        let peer = SocketAddr::from(([192, 0, 2, 1], 40_000));
        let payload = RtpPayload {
            payload_type: 0,
            codec: Codec::Pcmu,
        };
        let remote = RtpRemote {
            rtp: peer,
            rtcp: None,
            rtcp_mux: false,
        };
        let media = RtpMedia::new(payload, Some(remote));
        let config = RtpLegConfig::new(media, "scene", scene.seed | 1);
        let prepared = PreparedMedia::new(config.media.clone(), origin).expect("mu-law is known");
        let start = SessionStart {
            id: LegId(1),
            origin,
            ntp: NtpTime(1 << 60),
        };
        let (mut session, ends) = MediaSession::rtp(start, &config, prepared, None);
        // The tick of position zero; from here on a tick's position is the time.
        session.tick(origin);
        let random = Random::new(scene.seed, 0x77);
        Self {
            scene,
            store,
            random,
            origin,
            session,
            leg: ends.leg,
            peer,
            encoder: Codec::Pcmu
                .encoder(&OpusSettings::default())
                .expect("mu-law is known"),
            decoder: Codec::Pcmu.decoder().expect("mu-law is known"),
            in_flight: VecDeque::new(),
            sequence: 0,
            clock: 0,
            placed: Vec::new(),
            begun: Vec::new(),
            sent: vec![0; PACKET],
            audible: vec![false],
            backlog: VecDeque::new(),
            held: false,
            offset: None,
            queued: 0,
            busy_until: origin,
            sounding_since: None,
            last_busy_tick: 0,
            stt_session: SttSession::default(),
            listening: None,
            partial_at: origin,
            asked: Vec::new(),
            committed_at: None,
            cuts: Vec::new(),
            spoken: Vec::new(),
            played: Vec::new(),
            frames: 0,
        }
    }

    /// Whether every step has been done, or the next one has been waited for in vain.
    #[must_use]
    pub fn is_played_out(&self) -> bool {
        let gave_up = self.clock > self.last_step_end() + samples(GIVE_UP_MS);
        (gave_up || self.begun.len() == self.scene.steps.len())
            && self
                .begun
                .iter()
                .all(|&(step, at)| self.clock >= at + self.scene.steps[step].pcm.len())
    }

    /// Whether the agent has nothing on its way and nothing to say.
    #[must_use]
    pub fn agent_is_done(&self, now: Instant) -> bool {
        self.queued == 0 && now >= self.busy_until
    }

    fn ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_millis() as u64
    }

    /// Behind the last step begun, in the caller's samples.
    fn last_step_end(&self) -> usize {
        self.begun
            .last()
            .map_or(0, |&(step, at)| at + self.scene.steps[step].pcm.len())
    }

    fn tick_index(&self) -> usize {
        self.clock / PACKET
    }

    /// From the caller's sample to ms at the engine's ingress.
    fn ingress_ms(&self, sample: usize) -> u64 {
        let lag = self.offset.unwrap_or_default() * 1000 / i64::from(FRAME_RATE);
        (sample as i64 * 1000 / i64::from(LINE_RATE) + lag).max(0) as u64
    }

    /// Begins the next step if its time has come.
    fn begin_steps(&mut self, now: Instant) {
        let next = self.begun.len();
        let Some(step) = self.scene.steps.get(next) else {
            return;
        };
        if self.offset.is_none() {
            return;
        }
        let tick = self.tick_index();
        let quiet = self.agent_is_done(now);
        if !quiet {
            self.last_busy_tick = tick;
        }
        let ticks = |ms: u64| (ms / u64::from(FRAME_MS)) as usize;
        let step_end = self.last_step_end();
        let downlink = ticks(DOWNLINK_MS);
        let due = match step.cue {
            Cue::At(ms) => self.clock >= samples(ms),
            Cue::IntoAgent(ms) => self
                .sounding_since
                .is_some_and(|since| tick >= since + downlink + ticks(ms)),
            Cue::AfterAgent(ms) => {
                let heard = self.sounding_since.is_some()
                    && quiet
                    && tick >= self.last_busy_tick + downlink + ticks(ms);
                // Nobody waits for ever for an answer.
                let impatient = self.clock >= step_end + samples(IMPATIENT_MS);
                self.clock >= step_end && (heard || impatient)
            }
            Cue::BeforeAgentEnds(ms) => {
                let left = self.queued * 1000 / u64::from(FRAME_RATE) + DOWNLINK_MS;
                self.sounding_since.is_some() && now >= self.busy_until && left <= ms
            }
            Cue::AfterStep(ms) => self.clock >= step_end + samples(ms),
            Cue::AfterCommit(ms) => {
                let committed = self.committed_at.is_some_and(|at| self.ms(now) >= at + ms);
                self.clock >= step_end && committed || self.clock >= step_end + samples(3_000)
            }
        };
        if !due {
            return;
        }
        let length = step.pcm.len();
        self.begun.push((next, self.clock));
        self.placed.push(Placed {
            step: next,
            from_ms: self.ingress_ms(self.clock),
            to_ms: self.ingress_ms(self.clock + length),
        });
        self.sounding_since = None;
        self.committed_at = None;
    }

    /// The caller's next 20 ms, with everything that reaches the microphone.
    fn caller_frame(&self) -> [i16; PACKET] {
        let mut mix = [0i32; PACKET];
        for &(step, at) in &self.begun {
            let pcm = &self.scene.steps[step].pcm;
            let from = self.clock - at;
            if let Some(rest) = pcm.get(from..) {
                for (sum, sample) in mix.iter_mut().zip(rest) {
                    *sum += i32::from(*sample);
                }
            }
        }
        let background = &self.scene.background;
        if !background.is_empty() {
            for (i, sum) in mix.iter_mut().enumerate() {
                *sum += i32::from(background[(self.clock + i) % background.len()]);
            }
        }
        if let Some(echo) = self.scene.echo {
            let gain = 10f64.powf(echo.decibel / 20.0);
            // The way in, and one packet, come on top.
            let back = samples(echo.delay_ms);
            for (i, sum) in mix.iter_mut().enumerate() {
                let far = (self.clock + i)
                    .checked_sub(back)
                    .and_then(|at| self.sent.get(at));
                *sum += far.map_or(0, |s| (f64::from(*s) * gain) as i32);
            }
        }
        // The line itself is never quite still.
        let mut hiss = Random::new(self.clock as u64, self.scene.seed);
        mix.map(|sum| {
            let noise = hiss.between(-12.0, 12.0) as i32;
            (sum + noise).clamp(i16::MIN.into(), i16::MAX.into()) as i16
        })
    }

    fn send_packet(&mut self, pcm: &[i16; PACKET], now: Instant) {
        let mut packet = vec![0; HEADER + PACKET];
        packet[0] = 0x80;
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&(self.clock as u32).to_be_bytes());
        packet[8..12].copy_from_slice(&0x5ce7_e000u32.to_be_bytes());
        let octets = self.encoder.encode(pcm, &mut packet[HEADER..]).unwrap_or(0);
        packet.truncate(HEADER + octets);
        let first = self.sequence == 0;
        self.sequence = self.sequence.wrapping_add(1);
        let network = self.scene.network;
        if !first && self.random.chance(network.loss) {
            return;
        }
        let jitter = if first {
            0.0
        } else {
            self.random.between(0.0, network.jitter_ms)
        };
        let delay = Duration::from_secs_f64((UPLINK_MS as f64 + jitter) / 1000.0);
        // A packet queues behind the one before it.
        let last = self.in_flight.back().map_or(now, |p| p.arrival);
        let arrival = (now + delay).max(last);
        self.in_flight.push_back(InFlight { arrival, packet });
    }

    fn receive_packets(&mut self, now: Instant) {
        while self.in_flight.front().is_some_and(|p| p.arrival <= now) {
            let Some(InFlight { arrival, packet }) = self.in_flight.pop_front() else {
                return;
            };
            self.session
                .handle_packet(arrival, RtpPort::Rtp, self.peer, &packet);
        }
    }

    /// Takes what the leg has sent in this tick.
    fn take_sent(&mut self) {
        let mut pcm = [0; PACKET];
        let mut samples = 0;
        while let Some(transmit) = self.session.poll_transmit() {
            if transmit.port == RtpPort::Rtp && transmit.packet.len() > HEADER {
                samples = self
                    .decoder
                    .decode(&transmit.packet[HEADER..], &mut pcm)
                    .unwrap_or(0);
            }
        }
        pcm[samples..].fill(0);
        let audible = media::dsp::level::rms_dbfs(&pcm) > AUDIBLE_DBFS;
        if audible {
            self.sounding_since.get_or_insert(self.audible.len());
        }
        self.audible.push(audible);
        self.sent.extend_from_slice(&pcm);
    }

    fn listen(&mut self, command: SttCommand, now: Instant, plan: &mut Plan) {
        let session = self.stt_session;
        match command {
            SttCommand::Start {
                utterance,
                position,
            } => {
                self.listening = Some(Listening {
                    id: utterance,
                    from: position,
                    until: position,
                    told: String::new(),
                });
            }
            SttCommand::Audio(frame) => {
                let Some(listening) = &mut self.listening else {
                    return;
                };
                listening.until = frame.end();
                let (from, until) = (listening.from, listening.until);
                let text = self.heard_between(from, until);
                let Some(listening) = &mut self.listening else {
                    return;
                };
                if text != listening.told {
                    listening.told.clone_from(&text);
                    let utterance = listening.id;
                    // Partial texts come in order.
                    let at = (now + PARTIAL.draw(&mut self.random)).max(self.partial_at);
                    self.partial_at = at;
                    let after = at.saturating_duration_since(now);
                    let event = SttEvent::Partial { utterance, text };
                    plan.push((after, Event::Stt { session, event }));
                }
            }
            SttCommand::Finish { .. } => {
                let Some(listening) = self.listening.take() else {
                    return;
                };
                let text = self.heard_between(listening.from, listening.until);
                // What was said last is known after the recogniser's own delay, however early it
                // was asked; and no answer is quicker than the way there and back.
                let decoding = self.scene.ears.final_text.draw(&mut self.random);
                let said = self
                    .last_word_end(listening.until)
                    .map_or(self.origin, |end| {
                        self.origin + Duration::from_secs_f64(end.0 as f64 / f64::from(FRAME_RATE))
                    });
                let at = (said + decoding).max(now + ROUND_TRIP);
                let event = SttEvent::Final {
                    utterance: listening.id,
                    text,
                    confidence: None,
                    words: Vec::new(),
                };
                plan.push((
                    at.saturating_duration_since(now),
                    Event::Stt { session, event },
                ));
            }
            SttCommand::Cancel { .. } => self.listening = None,
            SttCommand::Hints(_) => {}
        }
    }

    /// Places of the words said so far on the leg's timeline.
    fn words(&self) -> impl Iterator<Item = (SamplePosition, SamplePosition, &str)> {
        let offset = self.offset.unwrap_or_default();
        let place = move |sample: usize| {
            let scale = i64::from(FRAME_RATE / LINE_RATE);
            SamplePosition((sample as i64 * scale + offset).max(0) as u64)
        };
        self.begun.iter().flat_map(move |&(step, at)| {
            self.scene.steps[step]
                .words
                .iter()
                .map(move |w| (place(at + w.start), place(at + w.end), w.text.as_str()))
        })
    }

    /// Words of which at least the latter half lies behind `from`, and all before `until`.
    fn heard_between(&self, from: SamplePosition, until: SamplePosition) -> String {
        let mut heard: Vec<(SamplePosition, &str)> = self
            .words()
            .filter(|(start, end, _)| start.0.midpoint(end.0) >= from.0 && *end <= until)
            .map(|(_, end, text)| (end, text))
            .collect();
        heard.sort_by_key(|(end, _)| *end);
        heard
            .into_iter()
            .map(|(_, text)| text)
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn last_word_end(&self, until: SamplePosition) -> Option<SamplePosition> {
        self.words()
            .map(|(_, end, _)| end)
            .filter(|end| *end <= until)
            .max()
    }

    fn respond(&mut self, history: &[Message], now: Instant) -> Vec<(Duration, LlmEvent)> {
        let turns = history
            .iter()
            .filter(|m| matches!(m, Message::User { .. }))
            .count();
        let line = self.scene.agent.get(turns).cloned();
        let (text, expects) = line.map_or_else(
            || ("All right then.".to_owned(), Default::default()),
            |line| (line.text, line.expects),
        );
        let mut at = FIRST_TOKEN.draw(&mut self.random);
        let mut events = Vec::new();
        for token in text.split_inclusive(' ') {
            events.push((at, LlmEvent::Text(token.to_owned())));
            at += TOKEN;
        }
        let hints = RecognitionHints {
            kind: expects,
            ..RecognitionHints::default()
        };
        events.push((at, LlmEvent::Expect(ExpectedAnswer(Arc::new(hints)))));
        events.push((at, LlmEvent::Done { usage: None }));
        self.busy(now + at);
        events
    }

    fn busy(&mut self, until: Instant) {
        self.busy_until = self.busy_until.max(until);
    }

    fn synthesize(&mut self, text: &str, now: Instant) -> Vec<(Duration, TtsEvent)> {
        let speech = self.store.agent(text);
        self.spoken.push((text.to_owned(), Arc::clone(&speech)));
        let mut at = FIRST_AUDIO.draw(&mut self.random);
        let mut events = Vec::new();
        if self.scene.word_timings {
            events.push((at, TtsEvent::Words(timings(text, &speech))));
        }
        let piece = (u64::from(FRAME_RATE) * PIECE_MS / 1000) as usize;
        for pcm in speech.pcm.chunks(piece) {
            events.push((at, TtsEvent::Audio(Arc::from(pcm))));
            at += Duration::from_millis(PIECE_MS) / SPEECH_SPEED;
        }
        events.push((at, TtsEvent::Done));
        self.busy(now + at + Duration::from_millis(1));
        events
    }

    /// The speech that a piece was cut from, and where.
    fn find_speech(&self, piece: &[i16]) -> Option<(usize, usize)> {
        if piece.is_empty() {
            return None;
        }
        self.spoken
            .iter()
            .enumerate()
            .rev()
            .find_map(|(index, (_, speech))| {
                let base = speech.pcm.windows(piece.len()).position(|w| w == piece)?;
                Some((index, base))
            })
    }

    fn command(&mut self, command: LegCommand) {
        match &command {
            LegCommand::Play(chunk) => {
                self.queued += (chunk.pcm.len() - chunk.start.min(chunk.pcm.len())) as u64;
                let known = self.played.iter().any(|(id, ..)| *id == chunk.segment);
                if !known && let Some((index, base)) = self.find_speech(&chunk.pcm) {
                    self.played.push((chunk.segment, index, base));
                }
            }
            LegCommand::Clear { .. } => {
                self.queued = 0;
                self.backlog.retain(|c| !matches!(c, LegCommand::Play(_)));
            }
            LegCommand::Hold(held) => self.held = *held,
            _ => {}
        }
        self.backlog.push_back(command);
        self.flush();
    }

    /// Hands on what waits, as far as the leg has room, in order.
    fn flush(&mut self) {
        while let Some(command) = self.backlog.pop_front() {
            if let Err(command) = self.leg.send(command) {
                self.backlog.push_front(command);
                return;
            }
        }
    }
}

/// Places of the words of a text in its speech.
#[must_use]
pub fn timings(text: &str, speech: &Speech) -> Vec<WordTiming> {
    let mut from = 0;
    let mut timings = Vec::new();
    for (word, spoken) in text.split_whitespace().zip(&speech.words) {
        let Some(start) = text[from..].find(word).map(|at| from + at) else {
            break;
        };
        from = start + word.len();
        timings.push(WordTiming {
            text_range: start..from,
            end: Duration::from_secs_f64(spoken.end as f64 / f64::from(FRAME_RATE)),
        });
    }
    timings
}

const fn samples(ms: u64) -> usize {
    (ms * LINE_RATE as u64 / 1000) as usize
}

impl Surroundings for World {
    const KEEPS_AUDIO: bool = false;

    fn perform(&mut self, action: Action, now: Instant, plan: &mut Plan) {
        match action {
            Action::OpenStt { session, .. } => {
                self.stt_session = session;
                self.listening = None;
                plan.push((Duration::from_millis(20), Event::SttOpened { session }));
            }
            Action::Stt(command) => self.listen(command, now, plan),
            Action::Respond { request, history } => {
                self.asked.push(self.ms(now));
                let events = self.respond(&history, now);
                plan.extend(
                    events
                        .into_iter()
                        .map(|(at, event)| (at, Event::Llm { request, event })),
                );
            }
            Action::Synthesize { job, request } => {
                let events = self.synthesize(&request.text, now);
                plan.extend(
                    events
                        .into_iter()
                        .map(|(at, event)| (at, Event::Tts { job, event })),
                );
            }
            Action::CancelRespond { .. } | Action::CancelSynthesis { .. } => {
                self.busy_until = now;
            }
            Action::Leg(command) => self.command(command),
            Action::Emit(CallEvent::TurnTaken { .. }) => self.committed_at = Some(self.ms(now)),
            Action::RunTool { run, .. } => {
                let result = Ok(serde_json::Value::Null);
                plan.push((Duration::from_millis(500), Event::ToolDone { run, result }));
            }
            _ => {}
        }
    }

    fn tick(&mut self, now: Instant, events: &mut Vec<Event>) {
        self.begin_steps(now);
        let pcm = self.caller_frame();
        self.send_packet(&pcm, now);
        self.clock += PACKET;
        self.receive_packets(now);
        self.flush();
        self.session.tick(now);
        self.take_sent();
        while let Some(output) = self.leg.try_recv() {
            match output {
                LegOutput::Event(event) => {
                    if let LegEvent::Cleared { heard, .. } = &event {
                        self.cuts.push(Cut {
                            at_ms: self.ms(now),
                            heard: *heard,
                        });
                    }
                    events.push(Event::Leg(event));
                }
                LegOutput::Frame(frame) => {
                    self.frames += 1;
                    self.offset.get_or_insert(frame.position.0 as i64);
                    events.push(Event::Frame(frame));
                }
            }
        }
        let sent = u64::from(FRAME_RATE / 1000 * FRAME_MS);
        if !self.held {
            self.queued = self.queued.saturating_sub(sent);
        }
    }
}
