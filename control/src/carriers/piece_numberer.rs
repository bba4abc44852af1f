//! Cuts carriers' audio messages into the pieces a stream leg takes.

use media::codec::Codec;
use media::protocol::stream::{STREAM_PAYLOAD_MAX, StreamPacket, StreamPayload};

/// Largest gap in a carrier's numbering that is believed.
const GAP_MAX: u64 = 500;

/// Numbers pieces of 20 ms (10 ms where 20 do not fit) without a gap, except where the carrier's
/// own numbers show that messages were lost.
#[derive(Debug)]
pub struct PieceNumberer {
    piece_bytes: usize,
    piece_ms: u64,
    bytes_per_ms: usize,
    next_sequence: u64,
    next_timestamp_ms: u64,
    last_chunk: Option<u64>,
}

impl PieceNumberer {
    /// For audio encoded as `codec`.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        let bytes_per_ms = match codec {
            Codec::L16Le(rate) => rate as usize / 500,
            Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Opus => 8,
        };
        let piece_ms = if bytes_per_ms * 20 <= STREAM_PAYLOAD_MAX {
            20
        } else {
            10
        };
        Self {
            piece_bytes: bytes_per_ms * piece_ms,
            piece_ms: piece_ms as u64,
            bytes_per_ms,
            next_sequence: 0,
            next_timestamp_ms: 0,
            last_chunk: None,
        }
    }

    /// Gives the pieces of one message to `take`, in order. A message the carrier repeats is
    /// left out.
    pub fn split(
        &mut self,
        chunk: Option<u64>,
        timestamp_ms: Option<u64>,
        payload: &[u8],
        mut take: impl FnMut(StreamPacket),
    ) {
        if let Some(chunk) = chunk {
            match self.last_chunk {
                Some(last) if chunk <= last => return,
                Some(last) => {
                    let lost = (chunk - last - 1).min(GAP_MAX);
                    let pieces = payload.len().div_ceil(self.piece_bytes).max(1) as u64;
                    self.next_sequence += lost * pieces;
                }
                None => {}
            }
            self.last_chunk = Some(chunk);
        }
        if let Some(timestamp_ms) = timestamp_ms {
            self.next_timestamp_ms = timestamp_ms;
        }
        for piece in payload.chunks(self.piece_bytes) {
            let Some(payload) = StreamPayload::new(piece) else {
                continue;
            };
            take(StreamPacket {
                sequence: self.next_sequence,
                timestamp_ms: self.next_timestamp_ms,
                payload,
            });
            self.next_sequence += 1;
            let ms = (piece.len() / self.bytes_per_ms) as u64;
            self.next_timestamp_ms = self.next_timestamp_ms.saturating_add(ms.min(self.piece_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(
        numberer: &mut PieceNumberer,
        chunk: Option<u64>,
        timestamp_ms: Option<u64>,
        len: usize,
    ) -> Vec<(u64, u64, usize)> {
        let mut pieces = Vec::new();
        numberer.split(chunk, timestamp_ms, &vec![0; len], |p| {
            pieces.push((p.sequence, p.timestamp_ms, p.payload.as_bytes().len()));
        });
        pieces
    }

    #[test]
    fn long_messages_become_pieces_of_one_frame() {
        let mut numberer = PieceNumberer::new(Codec::L16Le(8_000));
        assert_eq!(
            pieces(&mut numberer, Some(1), Some(100), 1_600),
            [
                (0, 100, 320),
                (1, 120, 320),
                (2, 140, 320),
                (3, 160, 320),
                (4, 180, 320)
            ]
        );
        let mut numberer = PieceNumberer::new(Codec::L16Le(24_000));
        assert_eq!(
            pieces(&mut numberer, None, None, 960),
            [(0, 0, 480), (1, 10, 480)]
        );
    }

    #[test]
    fn lost_messages_leave_a_gap_and_repeated_ones_nothing() {
        let mut numberer = PieceNumberer::new(Codec::Pcmu);
        assert_eq!(pieces(&mut numberer, Some(1), Some(0), 160), [(0, 0, 160)]);
        assert_eq!(
            pieces(&mut numberer, Some(4), Some(60), 160),
            [(3, 60, 160)]
        );
        assert_eq!(pieces(&mut numberer, Some(4), Some(60), 160), []);
        let far = pieces(&mut numberer, Some(u64::MAX), Some(u64::MAX), 320);
        assert_eq!(far.len(), 2);
        assert_eq!(pieces(&mut numberer, Some(5), None, 160), []);
        assert!(pieces(&mut numberer, None, None, 0).is_empty());
    }
}
