//! The carrier's side of a media stream: it plays what it is sent at real-time speed and echoes
//! marks when their audio has played or was cleared.

use std::collections::VecDeque;

/// A carrier's play queue, in bytes of the stream's encoding.
#[derive(Debug, Default)]
pub(super) struct CarrierPlayout {
    queue: VecDeque<u8>,
    /// Bytes ever queued.
    queued: u64,
    /// Bytes ever played or cleared.
    played: u64,
    /// Marks by the byte count at which they are due.
    marks: VecDeque<(u64, String)>,
    /// Bytes dropped by `clear`.
    pub(super) cleared: u64,
}

impl CarrierPlayout {
    pub(super) fn push_audio(&mut self, bytes: &[u8]) {
        self.queue.extend(bytes);
        self.queued += bytes.len() as u64;
    }

    pub(super) fn push_mark(&mut self, name: String) {
        self.marks.push_back((self.queued, name));
    }

    /// Drops what is queued; every outstanding mark becomes due.
    pub(super) fn clear(&mut self) {
        self.cleared += self.queue.len() as u64;
        self.queue.clear();
        self.played = self.queued;
    }

    /// Plays up to `out.len()` bytes, returns how many there were.
    pub(super) fn play(&mut self, out: &mut [u8]) -> usize {
        let len = out.len().min(self.queue.len());
        for (slot, byte) in out.iter_mut().zip(self.queue.drain(..len)) {
            *slot = byte;
        }
        self.played += len as u64;
        len
    }

    /// The next mark that is due.
    pub(super) fn due_mark(&mut self) -> Option<String> {
        let (at, _) = self.marks.front()?;
        if *at > self.played {
            return None;
        }
        self.marks.pop_front().map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_due_when_the_audio_before_it_has_played() {
        let mut playout = CarrierPlayout::default();
        playout.push_audio(&[1; 160]);
        playout.push_mark("a".into());
        playout.push_audio(&[2; 160]);
        playout.push_mark("b".into());
        assert_eq!(playout.due_mark(), None);
        let mut out = [0; 160];
        assert_eq!(playout.play(&mut out), 160);
        assert_eq!(out, [1; 160]);
        assert_eq!(playout.due_mark().as_deref(), Some("a"));
        assert_eq!(playout.due_mark(), None);
    }

    #[test]
    fn clear_drops_audio_and_returns_all_marks() {
        let mut playout = CarrierPlayout::default();
        playout.push_audio(&[1; 480]);
        playout.push_mark("a".into());
        playout.play(&mut [0; 160]);
        playout.clear();
        assert_eq!(playout.cleared, 320);
        assert_eq!(playout.due_mark().as_deref(), Some("a"));
        assert_eq!(playout.play(&mut [0; 160]), 0);
    }
}
