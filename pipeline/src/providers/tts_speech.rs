//! From what a voice sends to [`TtsEvent`]: samples, places of words, deadlines.

use std::sync::Arc;
use std::time::Duration;

use media::dsp::resample::Resampler;
use media::frame::FRAME_RATE;
use tokio::sync::mpsc;

use crate::provider_error::ProviderError;
use crate::providers::tts_codec::SpokenWord;
use crate::tts::{TtsEvent, WordTiming};

/// Longest wait for the first sample, connection included.
pub(crate) const FIRST_MAX: Duration = Duration::from_millis(3_000);
/// Longest pause within a request.
pub(crate) const STALL_MAX: Duration = Duration::from_millis(2_000);

/// Turns the bytes and words of one request into events.
pub(crate) struct Speech {
    text: String,
    /// Where in `text` the next word is looked for.
    at: usize,
    odd: Option<u8>,
    resampler: Option<Resampler>,
}

impl Speech {
    /// For a request with this text whose PCM has this rate.
    pub(crate) fn new(text: &str, rate: u32) -> Result<Self, ProviderError> {
        let resampler = (rate != FRAME_RATE)
            .then(|| Resampler::new(rate, FRAME_RATE))
            .transpose()
            .map_err(|error| ProviderError::Rejected(error.to_string()))?;
        Ok(Self {
            text: text.to_owned(),
            at: 0,
            odd: None,
            resampler,
        })
    }

    /// Takes PCM cut anywhere, also inside a sample.
    pub(crate) fn audio(&mut self, bytes: &[u8]) -> Option<TtsEvent> {
        let mut samples = Vec::with_capacity(bytes.len() / 2 + 1);
        for &byte in bytes {
            match self.odd.take() {
                None => self.odd = Some(byte),
                Some(low) => samples.push(i16::from_le_bytes([low, byte])),
            }
        }
        if let Some(resampler) = &mut self.resampler {
            let mut converted = vec![0; resampler.output_len_max(samples.len())];
            // The buffer is as long as the resampler asked for.
            let length = resampler.process(&samples, &mut converted).unwrap_or(0);
            converted.truncate(length);
            samples = converted;
        }
        (!samples.is_empty()).then(|| TtsEvent::Audio(samples.into()))
    }

    /// Finds words in the text, in order. What is not there (a number that was spelled out) is
    /// left out: its neighbours' times bound it.
    pub(crate) fn words(&mut self, words: &[SpokenWord]) -> Option<TtsEvent> {
        let mut timings = Vec::new();
        for word in words {
            let wanted = word.text.trim();
            let found = self.text[self.at..].find(wanted);
            let Some(start) = found.filter(|_| !wanted.is_empty()).map(|at| self.at + at) else {
                continue;
            };
            self.at = start + wanted.len();
            timings.push(WordTiming {
                text_range: start..self.at,
                end: Duration::from_millis(word.end_ms),
            });
        }
        (!timings.is_empty()).then_some(TtsEvent::Words(timings))
    }
}

/// Sends the last event of a request.
pub(crate) async fn conclude(sender: &mpsc::Sender<TtsEvent>, outcome: Result<(), ProviderError>) {
    let last = match outcome {
        Ok(()) => TtsEvent::Done,
        Err(error) => TtsEvent::Fault {
            retryable: error.is_retryable(),
            message: error.to_string(),
        },
    };
    // A reader that has gone wants nothing more.
    let _ = sender.send(last).await;
}

/// Audio that a decoder gives at once, for voices that answer whole.
pub(crate) fn chunked(samples: &[i16]) -> impl Iterator<Item = TtsEvent> + '_ {
    samples
        .chunks(FRAME_RATE as usize / 5)
        .map(|chunk| TtsEvent::Audio(Arc::from(chunk)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_survive_any_cut() {
        let bytes: Vec<u8> = [1i16, -2, 300, -400]
            .iter()
            .flat_map(|s| s.to_le_bytes())
            .collect();
        for size in 1..=bytes.len() {
            let mut speech = Speech::new("", FRAME_RATE).unwrap();
            let mut out = Vec::new();
            for piece in bytes.chunks(size) {
                if let Some(TtsEvent::Audio(pcm)) = speech.audio(piece) {
                    out.extend_from_slice(&pcm);
                }
            }
            assert_eq!(out, [1, -2, 300, -400], "pieces of {size}");
        }
    }

    #[test]
    fn words_are_found_in_order_and_unknown_ones_left_out() {
        let mut speech = Speech::new("It is 5, it is late.", FRAME_RATE).unwrap();
        let word = |text: &str, end_ms| SpokenWord {
            text: text.into(),
            end_ms,
        };
        let Some(TtsEvent::Words(found)) = speech.words(&[
            word("It", 100),
            word("is", 200),
            word("five", 300),
            word("it", 400),
            word("is", 500),
        ]) else {
            panic!("words are there");
        };
        let ranges: Vec<_> = found.iter().map(|w| w.text_range.clone()).collect();
        assert_eq!(ranges, [0..2, 3..5, 9..11, 12..14]);
        assert_eq!(found[3].end, Duration::from_millis(500));
    }
}
