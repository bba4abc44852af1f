//! What the caller has really heard: segments of speech and the words in them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::frame::{FRAME_RATE, SamplePosition};
use media::leg::{Generation, Heard, SegmentId, SpeechChunk};

use crate::tts::WordTiming;

/// Amplitude up to which a sample counts as silence.
const SILENCE_AMPLITUDE: u16 = 64;
/// Leading silence of an answer is cut, except for this much before the first sound.
const LEAD_KEPT: usize = (FRAME_RATE / 100) as usize;
/// Window of the energy alignment.
const WINDOW: usize = (FRAME_RATE / 50) as usize;
/// Syllables per second of a voice at speed 1.0, used while a segment's length is not known.
const SYLLABLES_PER_SECOND: f32 = 3.8;

/// One chunk of text and its speech.
#[derive(Clone, Debug)]
struct Segment {
    /// The id the leg knows it by; a new one each time it is queued again.
    id: SegmentId,
    /// The id it was requested from the voice with.
    job: SegmentId,
    part: usize,
    text: String,
    pcm: Vec<Arc<[i16]>>,
    /// Length of `pcm`.
    samples: usize,
    words: Vec<WordTiming>,
    complete: bool,
    /// Chunks of `pcm` handed to the leg, and whether the end mark was.
    sent: usize,
    sent_last: bool,
    /// Leading samples cut from what the voice delivered.
    trimmed: usize,
    /// Samples of `pcm` that an earlier playing has covered.
    base: usize,
    playing: Option<(SamplePosition, Instant)>,
    /// It has sounded, perhaps before it was queued again.
    begun: bool,
    played: bool,
}

/// How far an answer was heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HeardUpTo {
    index: usize,
    samples: usize,
}

/// Keeps the speech of one answer until it has been heard, and knows its text.
#[derive(Clone, Debug, Default)]
pub struct Playout {
    segments: Vec<Segment>,
    speed: f32,
    began: Option<SamplePosition>,
    outbox: VecDeque<SpeechChunk>,
}

impl Playout {
    /// An empty playout for a voice of this rate.
    #[must_use]
    pub fn new(speed: f32) -> Self {
        Self {
            speed: if speed > 0.0 { speed } else { 1.0 },
            ..Self::default()
        }
    }

    /// Adds a chunk of text that is being synthesized; `part` groups the chunks of one model answer.
    pub fn add(&mut self, job: SegmentId, part: usize, text: String) {
        self.segments.push(Segment {
            id: job,
            job,
            part,
            text,
            pcm: Vec::new(),
            samples: 0,
            words: Vec::new(),
            complete: false,
            sent: 0,
            sent_last: false,
            trimmed: 0,
            base: 0,
            playing: None,
            begun: false,
            played: false,
        });
    }

    /// Takes speech for a chunk. The leading silence of the whole answer is cut.
    pub fn audio(&mut self, job: SegmentId, pcm: Arc<[i16]>) {
        let lead = self
            .segments
            .first()
            .is_some_and(|s| s.job == job && s.pcm.is_empty());
        let Some(segment) = self.segments.iter_mut().find(|s| s.job == job) else {
            return;
        };
        if pcm.is_empty() || segment.complete {
            return;
        }
        if !lead {
            segment.push(pcm);
            return;
        }
        let Some(first) = pcm
            .iter()
            .position(|s| s.unsigned_abs() > SILENCE_AMPLITUDE)
        else {
            segment.trimmed += pcm.len();
            return;
        };
        let cut = first.saturating_sub(LEAD_KEPT);
        segment.trimmed += cut;
        segment.push(if cut == 0 {
            pcm
        } else {
            Arc::from(&pcm[cut..])
        });
    }

    /// Takes word timings for a chunk.
    pub fn words(&mut self, job: SegmentId, words: Vec<WordTiming>) {
        if let Some(segment) = self.segments.iter_mut().find(|s| s.job == job) {
            let len = segment.text.len();
            segment.words.extend(words.into_iter().filter(|w| {
                w.text_range.end <= len && segment.text.is_char_boundary(w.text_range.end)
            }));
        }
    }

    /// The chunk is synthesized. One without any sound counts as played.
    pub fn complete(&mut self, job: SegmentId) {
        if let Some(segment) = self.segments.iter_mut().find(|s| s.job == job) {
            segment.complete = true;
            if segment.pcm.is_empty() {
                segment.played = true;
                segment.sent_last = true;
            }
        }
    }

    /// The next speech to hand to the leg, in order.
    pub fn next_chunk(&mut self, generation: Generation) -> Option<SpeechChunk> {
        if let Some(chunk) = self.outbox.pop_front() {
            return Some(SpeechChunk {
                generation,
                ..chunk
            });
        }
        let segment = self.segments.iter_mut().find(|s| !s.sent_last)?;
        let (pcm, last) = if segment.sent < segment.pcm.len() {
            segment.sent += 1;
            let last = segment.complete && segment.sent == segment.pcm.len();
            (Arc::clone(&segment.pcm[segment.sent - 1]), last)
        } else if segment.complete {
            (Arc::from([]), true)
        } else {
            return None;
        };
        segment.sent_last = last;
        Some(SpeechChunk {
            segment: segment.id,
            generation,
            pcm,
            start: 0,
            last,
        })
    }

    /// The leg has begun to play a segment; `false` for one that is not ours.
    pub fn playing(&mut self, id: SegmentId, position: SamplePosition, at: Instant) -> bool {
        let Some(index) = self.segments.iter().position(|s| s.id == id) else {
            return false;
        };
        // A segment begins when those before it are over, whether or not their end was reported.
        for earlier in &mut self.segments[..index] {
            earlier.finish();
        }
        self.segments[index].playing = Some((position, at));
        self.segments[index].begun = true;
        self.began.get_or_insert(position);
        true
    }

    /// The leg has played a segment to its end; `false` for one that is not ours, or that has
    /// not begun.
    pub fn played(&mut self, id: SegmentId) -> bool {
        let mut segments = self.segments.iter();
        let Some(index) = segments.position(|s| s.id == id && s.playing.is_some()) else {
            return false;
        };
        for segment in &mut self.segments[..=index] {
            segment.finish();
        }
        true
    }

    /// Everything handed over counts as played: used when a leg's reports stay out.
    pub fn assume_played(&mut self) {
        for segment in self.segments.iter_mut().filter(|s| s.sent_last) {
            segment.finish();
        }
    }

    /// Nothing more will come: what has not been synthesized drops out, what has is played.
    pub fn drop_unspoken(&mut self) {
        for segment in &mut self.segments {
            segment.complete = true;
            segment.sent_last &= !segment.pcm.is_empty();
        }
        self.segments.retain(|s| !s.pcm.is_empty());
    }

    /// Prepares to play on from the start of the word that was cut at `from`: what is behind it
    /// gets new ids and is handed over again by [`Self::next_chunk`].
    pub fn resume(&mut self, from: HeardUpTo, mut next_id: impl FnMut() -> SegmentId) {
        self.outbox.clear();
        for (index, segment) in self.segments.iter_mut().enumerate().skip(from.index) {
            let base = if index == from.index {
                segment.word_start(from.samples, self.speed)
            } else {
                0
            };
            segment.id = next_id();
            segment.base = base;
            segment.playing = None;
            segment.played = segment.complete && base >= segment.samples;
            segment.sent = 0;
            segment.sent_last = segment.played;
            if segment.played {
                continue;
            }
            // Skip whole chunks, then cut the one that the word begins in.
            let mut skip = base;
            while segment.sent < segment.pcm.len() && skip >= segment.pcm[segment.sent].len() {
                skip -= segment.pcm[segment.sent].len();
                segment.sent += 1;
            }
            if skip > 0 && segment.sent < segment.pcm.len() {
                let rest: Arc<[i16]> = Arc::from(&segment.pcm[segment.sent][skip..]);
                segment.sent += 1;
                let last = segment.complete && segment.sent == segment.pcm.len();
                segment.sent_last = last;
                self.outbox.push_back(SpeechChunk {
                    segment: segment.id,
                    generation: Generation::default(),
                    pcm: rest,
                    start: 0,
                    last,
                });
            }
        }
    }

    /// Place in the answer for what a leg says was heard. `None` when nothing of it was.
    #[must_use]
    pub fn locate(&self, heard: Option<Heard>) -> Option<HeardUpTo> {
        let heard = heard.and_then(|heard| {
            let index = self.segments.iter().position(|s| s.id == heard.segment)?;
            let samples = usize::try_from(heard.samples).unwrap_or(usize::MAX);
            let samples = self.segments[index].base.saturating_add(samples);
            Some(HeardUpTo { index, samples })
        });
        // A played segment was heard whole, even if the leg speaks of an earlier one.
        let played = self
            .segments
            .iter()
            .rposition(|s| s.played)
            .map(|index| HeardUpTo {
                index,
                samples: self.segments[index].samples,
            });
        match (heard, played) {
            (Some(heard), Some(played)) if played.index > heard.index => Some(played),
            (Some(heard), _) => Some(heard),
            (None, played) => played,
        }
    }

    /// Place in the answer by the clock, for when the leg has not said.
    #[must_use]
    pub fn estimate(&self, now: Instant) -> Option<HeardUpTo> {
        let playing = self.segments.iter().rposition(|s| s.playing.is_some());
        let heard = playing.and_then(|index| {
            let segment = &self.segments[index];
            let (_, at) = segment.playing?;
            let ran = duration_samples(now.saturating_duration_since(at));
            let samples = (segment.base + ran).min(segment.samples);
            Some(HeardUpTo { index, samples })
        });
        heard.or_else(|| self.locate(None))
    }

    /// The words of `part` that were heard whole, and whether that is all of the part's text.
    #[must_use]
    pub fn heard_text(&self, part: usize, upto: Option<HeardUpTo>) -> (String, bool) {
        let mut text = String::new();
        let mut all = true;
        for (index, segment) in self
            .segments
            .iter()
            .enumerate()
            .filter(|(_, s)| s.part == part)
        {
            let piece = match upto {
                Some(upto) if index < upto.index || segment.played => segment.text.as_str(),
                Some(upto) if index == upto.index => {
                    let end = segment.heard_bytes(upto.samples, self.speed);
                    segment.text[..end].trim_end()
                }
                _ if segment.played => segment.text.as_str(),
                _ => "",
            };
            all &= piece.len() == segment.text.len();
            if !piece.is_empty() {
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(piece);
            }
        }
        (text, all)
    }

    /// The whole text of a part, heard or not.
    #[must_use]
    pub fn text(&self, part: usize) -> String {
        let texts: Vec<&str> = self
            .segments
            .iter()
            .filter(|s| s.part == part)
            .map(|s| s.text.as_str())
            .collect();
        texts.join(" ")
    }

    /// Where on the timeline the answer began to sound.
    #[must_use]
    pub const fn began(&self) -> Option<SamplePosition> {
        self.began
    }

    /// Where on the timeline the answer had got when it had been heard up to `upto`.
    #[must_use]
    pub fn position_of(&self, upto: HeardUpTo) -> Option<SamplePosition> {
        let segment = self.segments.get(upto.index)?;
        let (position, _) = segment.playing?;
        Some(position.plus(upto.samples.saturating_sub(segment.base) as u64))
    }

    /// Whether any of it has begun to sound.
    #[must_use]
    pub const fn started(&self) -> bool {
        self.began.is_some()
    }

    /// Whether a segment of `part` has begun to sound.
    #[must_use]
    pub fn part_started(&self, part: usize) -> bool {
        self.segments.iter().any(|s| s.part == part && s.begun)
    }

    /// Whether some segment sounds at this moment.
    #[must_use]
    pub fn sounding(&self) -> bool {
        self.segments
            .iter()
            .any(|s| s.playing.is_some() && !s.played)
    }

    /// Whether any speech is at hand.
    #[must_use]
    pub fn has_sound(&self) -> bool {
        self.segments.iter().any(|s| s.samples > 0)
    }

    /// Whether every segment has been played.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.segments.iter().all(|s| s.played)
    }

    /// Whether anything has been handed to the leg that has not been played.
    #[must_use]
    pub fn handed_over(&self) -> bool {
        self.segments.iter().any(|s| s.sent > 0 && !s.played)
    }

    /// Length of the speech at hand that has not been played.
    #[must_use]
    pub fn unplayed(&self) -> Duration {
        let samples: usize = self
            .segments
            .iter()
            .filter(|s| !s.played)
            .map(|s| s.samples - s.base.min(s.samples))
            .sum();
        Duration::from_secs_f64(samples as f64 / f64::from(FRAME_RATE))
    }

    /// Whether the text heard up to `upto` ends in a question.
    #[must_use]
    pub fn asked_a_question(&self, upto: Option<HeardUpTo>) -> bool {
        let Some(upto) = upto else { return false };
        let Some(segment) = self.segments.get(upto.index) else {
            return false;
        };
        let heard = &segment.text[..segment.heard_bytes(upto.samples, self.speed)];
        let before = upto.index.checked_sub(1).map(|at| &self.segments[at].text);
        // The last sentence that ended, whether or not the next one is under way.
        let last_end = |text: &str| {
            text.chars()
                .rev()
                .find(|c| matches!(c, '.' | '!' | '?' | '।'))
        };
        last_end(heard).or_else(|| before.and_then(|text| last_end(text))) == Some('?')
    }
}

impl Segment {
    fn finish(&mut self) {
        self.played = true;
        self.sent_last = true;
        self.sent = self.pcm.len();
    }

    fn push(&mut self, pcm: Arc<[i16]>) {
        self.samples += pcm.len();
        self.pcm.push(pcm);
    }

    /// Byte length of the text whose words lie whole within the first `samples`.
    fn heard_bytes(&self, samples: usize, speed: f32) -> usize {
        if self.complete && samples >= self.samples {
            return self.text.len();
        }
        self.word_ends(speed)
            .into_iter()
            .take_while(|&(_, end)| end <= samples)
            .last()
            .map_or(0, |(bytes, _)| bytes)
    }

    /// First sample of the word that is under way at `samples`.
    fn word_start(&self, samples: usize, speed: f32) -> usize {
        if self.complete && samples >= self.samples {
            return self.samples;
        }
        self.word_ends(speed)
            .into_iter()
            .map(|(_, end)| end)
            .take_while(|&end| end <= samples)
            .last()
            .unwrap_or(0)
    }

    /// End of each word: byte offset in the text, sample offset in the speech.
    fn word_ends(&self, speed: f32) -> Vec<(usize, usize)> {
        if !self.words.is_empty() {
            return self
                .words
                .iter()
                .map(|w| {
                    let end = duration_samples(w.end).saturating_sub(self.trimmed);
                    (w.text_range.end, end)
                })
                .collect();
        }
        let weights = word_weights(&self.text);
        let total: f32 = weights.iter().map(|&(_, weight)| weight).sum();
        if !self.complete {
            // The length is not known yet: count on the voice's rate.
            let per_syllable = FRAME_RATE as f32 / (SYLLABLES_PER_SECOND * speed);
            let mut done = 0.0;
            return weights
                .into_iter()
                .map(|(bytes, weight)| {
                    done += weight;
                    (bytes, (done * per_syllable) as usize)
                })
                .collect();
        }
        let voiced = voiced_windows(&self.pcm);
        let voiced_total = voiced.iter().filter(|v| **v).count() as f32;
        let mut ends = Vec::with_capacity(weights.len());
        let (mut done, mut window, mut passed) = (0.0, 0, 0.0);
        for (bytes, weight) in weights {
            done += weight;
            let target = done / total * voiced_total;
            while window < voiced.len() && passed + 0.5 < target {
                passed += f32::from(u8::from(voiced[window]));
                window += 1;
            }
            ends.push((bytes, (window * WINDOW).min(self.samples)));
        }
        ends
    }
}

/// Byte length of the words of `text` that a voice of this speed has said whole within so many
/// samples, by its rate.
pub(crate) fn words_within(text: &str, samples: usize, speed: f32) -> usize {
    let speed = if speed > 0.0 { speed } else { 1.0 };
    let per_syllable = FRAME_RATE as f32 / (SYLLABLES_PER_SECOND * speed);
    let mut done = 0.0;
    word_weights(text)
        .into_iter()
        .take_while(|&(_, weight)| {
            done += weight;
            done * per_syllable <= samples as f32
        })
        .last()
        .map_or(0, |(bytes, _)| bytes)
}

/// End and length, in syllables, of each word of a text.
fn word_weights(text: &str) -> Vec<(usize, f32)> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (c.is_whitespace(), start) {
            (false, None) => start = Some(at),
            (true, Some(from)) => {
                words.push((at, syllables(&text[from..at])));
                start = None;
            }
            _ => {}
        }
    }
    words
}

fn syllables(word: &str) -> f32 {
    let mut count = 0.0;
    let mut in_vowel = false;
    for c in word.chars().flat_map(char::to_lowercase) {
        let vowel = matches!(c, 'a' | 'e' | 'i' | 'o' | 'u' | 'y');
        if c.is_ascii_digit() {
            count += 1.3;
        } else if !c.is_ascii() && c.is_alphabetic() {
            count += 0.7;
        } else if vowel && !in_vowel {
            count += 1.0;
        }
        in_vowel = vowel;
    }
    // The silent e of "table" and "one".
    let mut tail = word
        .trim_end_matches(|c: char| !c.is_alphabetic())
        .chars()
        .rev();
    let ends_in_e = matches!(tail.next(), Some('e' | 'E'));
    if ends_in_e
        && tail
            .next()
            .is_some_and(|c| !matches!(c, 'a' | 'e' | 'i' | 'o' | 'u' | 'y'))
    {
        count -= 1.0;
    }
    f32::max(count, 1.0)
}

/// For each window of the speech, whether it holds sound.
fn voiced_windows(pcm: &[Arc<[i16]>]) -> Vec<bool> {
    let mut levels: Vec<u32> = Vec::new();
    let mut filled = WINDOW;
    for &sample in pcm.iter().flat_map(|chunk| chunk.iter()) {
        if filled == WINDOW {
            levels.push(0);
            filled = 0;
        }
        filled += 1;
        if let Some(level) = levels.last_mut() {
            *level = (*level).max(u32::from(sample.unsigned_abs()));
        }
    }
    // 26 dB below the loudest window is the gap between words, or breath.
    let floor = (levels.iter().copied().max().unwrap_or(0) / 20).max(u32::from(SILENCE_AMPLITUDE));
    levels.into_iter().map(|level| level > floor).collect()
}

fn duration_samples(duration: Duration) -> usize {
    let samples = duration.as_micros() * u128::from(FRAME_RATE) / 1_000_000;
    usize::try_from(samples).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
mod tests {
    use super::*;

    fn tone(ms: usize) -> Arc<[i16]> {
        (0..ms * 16)
            .map(|i| if i % 32 < 16 { 4000 } else { -4000 })
            .collect()
    }

    fn hush(ms: usize) -> Arc<[i16]> {
        vec![0; ms * 16].into()
    }

    fn heard(segment: u64, ms: u64) -> Option<Heard> {
        Some(Heard {
            segment: SegmentId(segment),
            samples: ms * 16,
        })
    }

    fn one(text: &str, pcm: &[Arc<[i16]>]) -> Playout {
        let mut playout = Playout::new(1.0);
        playout.add(SegmentId(1), 0, text.to_owned());
        for chunk in pcm {
            playout.audio(SegmentId(1), Arc::clone(chunk));
        }
        playout.complete(SegmentId(1));
        playout
    }

    #[test]
    fn half_heard_words_are_dropped_by_word_timings() {
        let mut playout = one("alpha beta gamma", &[tone(900)]);
        let timing = |range: std::ops::Range<usize>, ms| WordTiming {
            text_range: range,
            end: Duration::from_millis(ms),
        };
        playout.words(
            SegmentId(1),
            vec![timing(0..5, 100), timing(6..10, 600), timing(11..16, 900)],
        );
        let text = |ms| playout.heard_text(0, playout.locate(heard(1, ms))).0;
        assert_eq!(text(99), "");
        assert_eq!(text(599), "alpha");
        assert_eq!(text(600), "alpha beta");
        assert_eq!(text(900), "alpha beta gamma");
    }

    #[test]
    fn a_pause_in_the_speech_moves_the_words_behind_it() {
        let playout = one("one two", &[tone(300), hush(600), tone(300)]);
        let text = |ms| playout.heard_text(0, playout.locate(heard(1, ms))).0;
        assert_eq!(text(250), "");
        assert_eq!(text(320), "one");
        assert_eq!(text(1000), "one");
        assert_eq!(text(1200), "one two");
    }

    #[test]
    fn unfinished_synthesis_counts_on_the_rate() {
        let mut playout = Playout::new(1.0);
        playout.add(SegmentId(1), 0, "one two three four five".to_owned());
        playout.audio(SegmentId(1), tone(500));
        // A syllable takes 263 ms.
        assert_eq!(
            playout.heard_text(0, playout.locate(heard(1, 500))).0,
            "one"
        );
    }

    #[test]
    fn leading_silence_is_cut_once_and_timings_stay_true() {
        let mut playout = one("go now", &[hush(200), tone(400)]);
        playout.words(
            SegmentId(1),
            vec![WordTiming {
                text_range: 0..2,
                end: Duration::from_millis(400),
            }],
        );
        let chunk = playout.next_chunk(Generation(0)).unwrap();
        assert_eq!(chunk.pcm.len(), 400 * 16);
        assert!(chunk.last);
        assert_eq!(playout.heard_text(0, playout.locate(heard(1, 199))).0, "");
        assert_eq!(playout.heard_text(0, playout.locate(heard(1, 200))).0, "go");
    }

    #[test]
    fn resume_begins_with_the_cut_word_and_keeps_the_account() {
        let mut playout = one("one two", &[tone(300), hush(600), tone(300)]);
        while playout.next_chunk(Generation(0)).is_some() {}
        playout.playing(SegmentId(1), SamplePosition(0), Instant::now());
        let upto = playout.locate(heard(1, 1000)).unwrap();
        playout.resume(upto, || SegmentId(9));
        let mut samples = 0;
        while let Some(chunk) = playout.next_chunk(Generation(1)) {
            assert_eq!(
                (chunk.segment, chunk.generation),
                (SegmentId(9), Generation(1))
            );
            samples += chunk.pcm.len();
        }
        assert_eq!(samples, 900 * 16, "from the end of the first word on");
        assert_eq!(
            playout.heard_text(0, playout.locate(heard(9, 100))).0,
            "one"
        );
        assert!(!playout.played(SegmentId(9)), "it has not begun");
        playout.playing(SegmentId(9), SamplePosition(50_000), Instant::now());
        assert!(playout.played(SegmentId(9)));
        assert_eq!(
            playout.heard_text(0, playout.locate(None)),
            ("one two".to_owned(), true)
        );
    }

    #[test]
    fn segments_are_handed_over_in_order_whatever_the_voice_does() {
        let mut playout = Playout::new(1.0);
        playout.add(SegmentId(1), 0, "a".to_owned());
        playout.add(SegmentId(2), 0, "b".to_owned());
        playout.audio(SegmentId(2), tone(20));
        playout.complete(SegmentId(2));
        assert!(playout.next_chunk(Generation(0)).is_none());
        playout.audio(SegmentId(1), tone(20));
        assert_eq!(
            playout.next_chunk(Generation(0)).unwrap().segment,
            SegmentId(1)
        );
        assert!(playout.next_chunk(Generation(0)).is_none());
        playout.complete(SegmentId(1));
        let end = playout.next_chunk(Generation(0)).unwrap();
        assert!(end.last && end.pcm.is_empty());
        assert_eq!(
            playout.next_chunk(Generation(0)).unwrap().segment,
            SegmentId(2)
        );
    }

    #[test]
    fn a_question_is_known_while_the_next_sentence_begins() {
        let mut playout = one("Shall I book?", &[tone(400)]);
        playout.add(SegmentId(2), 0, "There is a table.".to_owned());
        playout.audio(SegmentId(2), tone(800));
        let at = Instant::now();
        playout.playing(SegmentId(2), SamplePosition(0), at);
        let early = playout.locate(heard(2, 10));
        assert!(playout.asked_a_question(early));
        assert!(!playout.asked_a_question(playout.locate(heard(1, 10))));
    }
}
