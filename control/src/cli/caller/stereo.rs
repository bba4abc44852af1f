//! The caller's own recording: left what it said, right what it heard.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use hound::{SampleFormat, WavSpec, WavWriter};

/// Writes a stereo WAV file, 20 ms at a time.
pub(super) struct StereoWriter {
    wav: WavWriter<BufWriter<File>>,
}

impl StereoWriter {
    pub(super) fn create(path: &Path, rate: u32) -> anyhow::Result<Self> {
        let spec = WavSpec {
            channels: 2,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        Ok(Self {
            wav: WavWriter::create(path, spec)?,
        })
    }

    /// Appends samples of both directions. A full disk costs the recording, not the call.
    pub(super) fn write(&mut self, said: &[i16], heard: &[i16]) {
        for (said, heard) in said.iter().zip(heard) {
            if self.wav.write_sample(*said).is_err() || self.wav.write_sample(*heard).is_err() {
                return;
            }
        }
    }

    pub(super) fn finish(self) {
        if let Err(error) = self.wav.finalize() {
            tracing::warn!(%error, "the caller's recording could not be finished");
        }
    }
}
