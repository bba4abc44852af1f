//! The agent's direction up to a frame of PCM: speech, key tones or silence, gain, and what was
//! heard.

use std::collections::VecDeque;
use std::time::Instant;

use crate::dsp::gain::Gain;
use crate::dsp::tone::KeyTones;
use crate::frame::{FRAME_RATE, FRAME_SAMPLES, SamplePosition};
use crate::leg::{DigitString, Generation, Heard, LegEvent};
use crate::playout::{Playout, Said};
use crate::relay::RelayedVoice;
use crate::session_events::EventBacklog;
use crate::speech_journal::{SpeechJournal, WirePosition};

/// Length of a key's tone in ms.
pub(crate) const KEY_TONE_MS: u32 = 100;
/// Silence after a key's tone in ms.
pub(crate) const KEY_GAP_MS: u32 = 80;

/// Strings of keys that may wait to be sent as tones.
const TONES_WAITING_MAX: usize = 4;

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    Speech,
    Tone,
    Silence,
}

/// When and where a frame goes out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    pub(crate) position: SamplePosition,
    pub(crate) wire: WirePosition,
}

#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) playout: Playout,
    journal: SpeechJournal,
    gain: Gain,
    /// Tones for keys that cannot be sent as events.
    tones: Option<KeyTones>,
    tones_waiting: VecDeque<DigitString>,
    /// A clear that has been asked for; what is said in this tick fades out.
    cutting: Option<Generation>,
    held: bool,
    /// What the other party of a joined call says.
    pub(crate) relayed: Option<RelayedVoice>,
    underruns: u64,
}

impl Outbound {
    pub(crate) fn new() -> Self {
        Self {
            playout: Playout::new(),
            journal: SpeechJournal::new(),
            gain: Gain::new(FRAME_RATE),
            tones: None,
            tones_waiting: VecDeque::with_capacity(TONES_WAITING_MAX),
            cutting: None,
            held: false,
            relayed: None,
            underruns: 0,
        }
    }

    /// Writes the next 20 ms into `frame`.
    pub(crate) fn next_frame(
        &mut self,
        frame: &mut [i16; FRAME_SAMPLES],
        moment: Moment,
        events: &mut EventBacklog,
    ) -> Content {
        frame.fill(0);
        if self.held {
            return Content::Silence;
        }
        if let Some(tones) = &mut self.tones {
            tones.fill(frame);
            if tones.is_finished() {
                self.tones = None;
                self.start_tones();
            }
            return Content::Tone;
        }
        let mut said_samples = 0;
        // Each segment in the frame may need two events; without room for them speech waits.
        if events.has_room() {
            let journal = &mut self.journal;
            self.playout.fill(frame, |said| {
                said_samples += said.len;
                note(journal, events, moment, said);
            });
        }
        self.gain.apply(frame);
        if said_samples < FRAME_SAMPLES && self.playout.in_segment() {
            self.underruns += 1;
        }
        if said_samples > 0 {
            return Content::Speech;
        }
        let relayed = self.relayed.as_mut().is_some_and(|voice| voice.next(frame));
        if relayed {
            Content::Speech
        } else {
            Content::Silence
        }
    }

    /// Writes the end of what is being said into `frame`, faded out, and drops the rest. What
    /// fades is not noted in the journal: it cannot be understood.
    pub(crate) fn cut(&mut self, frame: &mut [i16; FRAME_SAMPLES], generation: Generation) {
        frame.fill(0);
        if !self.held && self.tones.is_none() && self.playout.in_segment() {
            self.playout.cut(frame);
            self.gain.apply(frame);
        }
        self.drop_speech(generation);
    }

    /// Drops all speech older than `generation`.
    pub(crate) fn drop_speech(&mut self, generation: Generation) {
        self.playout.clear(generation);
    }

    /// Forgets what lies behind `heard` on the wire: it was dropped there.
    pub(crate) fn truncate(&mut self, heard: WirePosition) {
        self.journal.truncate(heard);
    }

    /// Reports segments that have been heard to their end.
    pub(crate) fn report_played(&mut self, heard: WirePosition, events: &mut EventBacklog) {
        while events.has_room()
            && let Some(end) = self.journal.pop_heard(heard)
        {
            events.push(LegEvent::Played {
                segment: end.segment,
                position: end.position,
            });
        }
    }

    /// Asks for a clear, to be done at this tick's frame. The newest generation wins.
    pub(crate) fn ask_clear(&mut self, generation: Generation) {
        self.cutting = Some(self.cutting.map_or(generation, |g| g.max(generation)));
    }

    /// The clear that was asked for.
    pub(crate) const fn take_clear(&mut self) -> Option<Generation> {
        self.cutting.take()
    }

    /// Moves the gain.
    pub(crate) fn set_gain(&mut self, decibel: f32, ramp_ms: u32) {
        self.gain.set(decibel, ramp_ms);
    }

    /// Sends `keys` as tones, after those asked for before; what exceeds [`TONES_WAITING_MAX`]
    /// strings is dropped.
    pub(crate) fn send_tones(&mut self, keys: DigitString) {
        if self.tones_waiting.len() < TONES_WAITING_MAX {
            self.tones_waiting.push_back(keys);
        }
        self.start_tones();
    }

    /// Suppresses our audio; speech waits.
    pub(crate) const fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Whether a whole frame of speech, or a tone, is there to be sent.
    pub(crate) fn is_ready(&self) -> bool {
        !self.held && (self.tones.is_some() || self.playout.has_frame())
    }

    /// Counts a tick without the speech that was due.
    pub(crate) const fn count_underrun(&mut self) {
        self.underruns += 1;
    }

    /// What was heard, now that the wire was heard up to `heard`.
    pub(crate) fn heard(&self, heard: WirePosition) -> Option<Heard> {
        self.journal.heard_at(heard)
    }

    pub(crate) const fn underruns(&self) -> u64 {
        self.underruns
    }

    fn start_tones(&mut self) {
        if self.tones.is_none()
            && let Some(keys) = self.tones_waiting.pop_front()
        {
            self.tones = Some(KeyTones::new(FRAME_RATE, keys, KEY_TONE_MS, KEY_GAP_MS));
        }
    }
}

fn note(journal: &mut SpeechJournal, events: &mut EventBacklog, moment: Moment, said: Said) {
    let offset = said.offset as u64;
    let position = moment.position.plus(offset);
    let wire = moment.wire + offset;
    if said.begins {
        events.push(LegEvent::Playing {
            segment: said.segment,
            position,
            at: moment.now,
        });
    }
    let len = said.len as u64;
    if said.len > 0 {
        journal.sent(said.segment, said.first, wire, len);
    }
    if said.ends
        && let Some(overdue) = journal.ended(said.segment, wire + len, position.plus(len))
    {
        events.push(LegEvent::Played {
            segment: overdue.segment,
            position: overdue.position,
        });
    }
}
