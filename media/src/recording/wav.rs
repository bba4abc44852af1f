//! 16-bit PCM WAV files that are playable at any moment.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Bytes before the samples: RIFF, `fmt ` and `data` headers.
pub const HEADER_BYTES: u32 = 44;
/// Most bytes of samples: RIFF sizes are 32 bits, less the header behind the size field and a
/// whole stereo sample.
pub const DATA_BYTES_MAX: u32 = u32::MAX - HEADER_BYTES - 3;

/// The header of a file with `data_bytes` of 16-bit samples.
#[must_use]
pub fn header(channels: u16, rate: u32, data_bytes: u32) -> [u8; HEADER_BYTES as usize] {
    let block_align = channels * 2;
    let mut header = [0; HEADER_BYTES as usize];
    header[0..4].copy_from_slice(b"RIFF");
    header[4..8].copy_from_slice(&(HEADER_BYTES - 8 + data_bytes).to_le_bytes());
    header[8..16].copy_from_slice(b"WAVEfmt ");
    header[16..20].copy_from_slice(&16u32.to_le_bytes());
    header[20..22].copy_from_slice(&1u16.to_le_bytes());
    header[22..24].copy_from_slice(&channels.to_le_bytes());
    header[24..28].copy_from_slice(&rate.to_le_bytes());
    header[28..32].copy_from_slice(&(rate * u32::from(block_align)).to_le_bytes());
    header[32..34].copy_from_slice(&block_align.to_le_bytes());
    header[34..36].copy_from_slice(&16u16.to_le_bytes());
    header[36..40].copy_from_slice(b"data");
    header[40..44].copy_from_slice(&data_bytes.to_le_bytes());
    header
}

/// Writes samples behind a header that is true after every [`Self::flush`].
#[derive(Debug)]
pub struct WavWriter<W: Write + Seek> {
    out: W,
    channels: u16,
    rate: u32,
    data_bytes: u32,
    pending: Vec<u8>,
}

impl<W: Write + Seek> WavWriter<W> {
    /// Writes the header of an empty file to `out`.
    ///
    /// # Errors
    /// What `out` reports.
    pub fn new(mut out: W, channels: u16, rate: u32) -> io::Result<Self> {
        out.seek(SeekFrom::Start(0))?;
        out.write_all(&header(channels, rate, 0))?;
        Ok(Self {
            out,
            channels,
            rate,
            data_bytes: 0,
            pending: Vec::new(),
        })
    }

    /// Appends interleaved samples; they reach the file with the next flush. What exceeds
    /// [`DATA_BYTES_MAX`] is left out.
    pub fn write(&mut self, samples: &[i16]) {
        let room = DATA_BYTES_MAX as usize - self.data_bytes as usize - self.pending.len();
        let fitting = samples.len().min(room / 2);
        self.pending
            .extend(samples[..fitting].iter().flat_map(|s| s.to_le_bytes()));
    }

    /// Writes what has been appended, then the header that covers it: a process killed between
    /// the two leaves a playable file that is a flush too short.
    ///
    /// # Errors
    /// What the output reports; the samples are kept for the next try.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let at = u64::from(HEADER_BYTES) + u64::from(self.data_bytes);
        self.out.seek(SeekFrom::Start(at))?;
        self.out.write_all(&self.pending)?;
        let data_bytes = self.data_bytes + self.pending.len() as u32;
        self.out.seek(SeekFrom::Start(0))?;
        self.out
            .write_all(&header(self.channels, self.rate, data_bytes))?;
        self.out.flush()?;
        self.data_bytes = data_bytes;
        self.pending.clear();
        Ok(())
    }

    /// Sample frames written or waiting for the next flush.
    #[must_use]
    pub fn frames(&self) -> u64 {
        (u64::from(self.data_bytes) + self.pending.len() as u64) / u64::from(self.channels * 2)
    }

    /// Bytes appended since the last flush.
    #[must_use]
    pub const fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// The output.
    #[must_use]
    pub const fn get_ref(&self) -> &W {
        &self.out
    }
}

/// What [`repair`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repair {
    /// The header covers the whole file.
    Intact,
    /// The header has been made to cover what the file holds.
    Fixed {
        /// Bytes of samples the header promised before.
        claimed: u32,
        /// Bytes of samples there are.
        found: u32,
    },
}

/// Makes the header of a recording cover the samples the file holds, whatever a crash left.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] when the file does not begin like one of ours, else what the
/// file system reports.
pub fn repair(path: &Path) -> io::Result<Repair> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut found = [0; HEADER_BYTES as usize];
    file.read_exact(&mut found)?;
    let field =
        |at: usize| u32::from_le_bytes([found[at], found[at + 1], found[at + 2], found[at + 3]]);
    let channels = u16::from_le_bytes([found[22], found[23]]);
    let claimed = field(40);
    let ours = (1..=2).contains(&channels)
        && field(24) <= 192_000
        && header(channels, field(24), claimed.min(DATA_BYTES_MAX))[8..40] == found[8..40]
        && &found[0..4] == b"RIFF";
    if !ours {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let length = file.metadata()?.len() - u64::from(HEADER_BYTES);
    let whole = length - length % u64::from(channels * 2);
    let data_bytes = u32::try_from(whole)
        .unwrap_or(DATA_BYTES_MAX)
        .min(DATA_BYTES_MAX);
    let right = header(channels, field(24), data_bytes);
    if right == found {
        return Ok(Repair::Intact);
    }
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&right)?;
    file.sync_data()?;
    Ok(Repair::Fixed {
        claimed,
        found: data_bytes,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn every_flush_leaves_a_file_that_reads_back() {
        let mut writer = WavWriter::new(Cursor::new(Vec::new()), 2, 8_000).expect("in memory");
        for round in 1..=3u32 {
            writer.write(&[round as i16, -(round as i16)]);
            writer.flush().expect("in memory");
            let bytes = writer.get_ref().get_ref().clone();
            let mut reader = hound::WavReader::new(Cursor::new(bytes)).expect("a WAV file");
            assert_eq!(reader.spec().channels, 2);
            assert_eq!(reader.spec().sample_rate, 8_000);
            assert_eq!(reader.duration(), round);
            let last = reader.samples::<i16>().last().expect("samples");
            assert_eq!(last.expect("readable"), -(round as i16));
        }
    }

    #[test]
    fn a_header_left_behind_by_a_crash_is_repaired() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("cut.wav");
        let mut bytes = header(2, 16_000, 8).to_vec();
        bytes.extend([1; 42]);
        std::fs::write(&path, &bytes).expect("written");
        assert_eq!(
            repair(&path).expect("ours"),
            Repair::Fixed {
                claimed: 8,
                found: 40
            }
        );
        assert_eq!(hound::WavReader::open(&path).expect("a WAV").duration(), 10);
        let again = repair(&path).expect("ours");
        assert_eq!(again, Repair::Intact);
    }

    #[test]
    fn repair_refuses_what_is_not_a_recording() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("text.wav");
        std::fs::write(&path, [b'x'; 100]).expect("written");
        let error = repair(&path).expect_err("not a WAV");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        std::fs::write(&path, b"RIFF").expect("written");
        assert!(repair(&path).is_err());
    }
}
