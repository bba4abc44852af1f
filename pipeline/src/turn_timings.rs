//! The marks of one answer, and the spans between them.

use std::time::{Duration, Instant};

use crate::call::TurnTimings;

/// Marks t0 to t9 of one answer, each taken once on the way.
#[derive(Clone, Copy, Debug, Default)]
pub struct TurnMarks {
    /// t0: arrival of the last true speech sample.
    pub speech_end: Option<Instant>,
    /// t1: the detector's stop event.
    pub speech_stop: Option<Instant>,
    /// t2: the turn was decided to be over.
    pub commit: Option<Instant>,
    /// t3: the model was asked.
    pub request: Option<Instant>,
    /// t4: its first token.
    pub first_token: Option<Instant>,
    /// t5: the first speakable chunk.
    pub first_chunk: Option<Instant>,
    /// t6: first byte of speech.
    pub first_audio: Option<Instant>,
    /// t7: the first sample that is not silence was there.
    pub first_voice: Option<Instant>,
    /// It was handed to the leg.
    pub released: Option<Instant>,
    /// t8: that sample left.
    pub on_wire: Option<Instant>,
    /// Estimated way from the wire to the caller's ear.
    pub carrier: Duration,
    /// Arrival of the final transcript.
    pub transcript: Option<Instant>,
}

impl TurnMarks {
    /// The spans, once the answer is on the wire and there was something to answer. A missing
    /// mark takes the value of the next one, so the spans always add up.
    #[must_use]
    pub fn spans(&self) -> Option<TurnTimings> {
        let (Some(first), Some(on_wire)) = (self.speech_end.or(self.commit), self.on_wire) else {
            return None;
        };
        let mut marks = [
            Some(first),
            self.speech_stop,
            self.commit,
            self.request,
            self.first_token,
            self.first_chunk,
            self.first_audio,
            self.first_voice,
            self.released,
            Some(on_wire),
        ];
        for i in (0..marks.len() - 1).rev() {
            marks[i] = marks[i].or(marks[i + 1]);
        }
        let span = |i: usize| match (marks[i], marks[i + 1]) {
            (Some(from), Some(to)) => micros_between(from, to),
            _ => 0,
        };
        let carrier = micros(self.carrier);
        let timings = TurnTimings {
            vad_lag: span(0),
            endpoint_wait: span(1),
            dispatch: span(2),
            llm_ttft: span(3),
            chunking: span(4),
            tts_ttfb: span(5),
            lead_silence: span(6),
            gate_hold: span(7),
            out_queue: span(8),
            carrier,
            // Summed from the same roundings: the identity is exact, not to a microsecond.
            voice_to_voice: (0..9).map(span).sum::<i64>() + carrier,
            stt_ttfs: self.transcript.map(|at| micros_between(first, at)),
        };
        debug_assert!(adds_up(&timings));
        Some(timings)
    }
}

/// Whether the spans add up to `voice_to_voice`.
#[must_use]
pub const fn adds_up(timings: &TurnTimings) -> bool {
    timings.vad_lag
        + timings.endpoint_wait
        + timings.dispatch
        + timings.llm_ttft
        + timings.chunking
        + timings.tts_ttfb
        + timings.lead_silence
        + timings.gate_hold
        + timings.out_queue
        + timings.carrier
        == timings.voice_to_voice
}

fn micros_between(from: Instant, to: Instant) -> i64 {
    if to >= from {
        micros(to - from)
    } else {
        -micros(from - to)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
mod tests {
    use super::*;

    #[test]
    fn spans_add_up_and_missing_marks_take_the_next_value() {
        let t = Instant::now();
        let at = |us: u64| Some(t + Duration::from_micros(us));
        let marks = TurnMarks {
            speech_end: at(0),
            commit: at(600_000),
            request: at(600_100),
            first_token: at(800_000),
            first_audio: at(900_000),
            first_voice: at(910_000),
            on_wire: at(925_333),
            carrier: Duration::from_millis(40),
            transcript: at(450_000),
            ..TurnMarks::default()
        };
        let spans = marks.spans().unwrap();
        assert_eq!(
            spans.vad_lag, 600_000,
            "no stop event: it counts at the decision"
        );
        assert_eq!(spans.endpoint_wait, 0);
        assert_eq!(spans.chunking, 100_000);
        assert_eq!(spans.tts_ttfb, 0);
        assert_eq!(spans.voice_to_voice, 965_333);
        assert_eq!(spans.stt_ttfs, Some(450_000));
        assert!(adds_up(&spans));
    }

    #[test]
    fn speculation_makes_a_negative_span_and_the_sum_still_holds() {
        let t = Instant::now();
        let marks = TurnMarks {
            speech_end: Some(t),
            commit: Some(t + Duration::from_millis(500)),
            request: Some(t + Duration::from_millis(300)),
            on_wire: Some(t + Duration::from_millis(700)),
            ..TurnMarks::default()
        };
        let spans = marks.spans().unwrap();
        assert_eq!(spans.dispatch, -200_000);
        assert!(adds_up(&spans));
    }

    #[test]
    fn nothing_to_answer_gives_no_spans() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        let marks = TurnMarks {
            on_wire: Some(now),
            ..TurnMarks::default()
        };
        assert_eq!(marks.spans(), None);
    }
}
