//! Messages that open a data channel (RFC 8832).

/// PPID 50 marks these messages; the first octet tells which one it is.
const OPEN: u8 = 0x03;
const ACK: u8 = 0x02;
const OPEN_BYTES: usize = 12;
/// Bit of the channel type that allows reordering.
const UNORDERED: u8 = 0x80;
/// Longest label that is read.
const LABEL_BYTES_MAX: usize = 256;

/// How a channel delivers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ChannelOpen {
    /// Name.
    pub(crate) label: String,
    /// Whether messages may overtake one another.
    pub(crate) unordered: bool,
    /// 0 reliable, 1 limited retransmissions, 2 limited life (RFC 8832 §5.1).
    pub(crate) reliability: u8,
    /// Retransmissions or milliseconds.
    pub(crate) parameter: u32,
}

/// The answer to an open message.
pub(crate) const ACKNOWLEDGED: [u8; 1] = [ACK];

impl ChannelOpen {
    /// Reads an open message; `None` if it is none.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<OPEN_BYTES>()?;
        let label_len = usize::from(u16::from_be_bytes([head[8], head[9]]));
        let reliability = head[1] & !UNORDERED;
        if head[0] != OPEN || reliability > 2 || label_len > LABEL_BYTES_MAX {
            return None;
        }
        Some(Self {
            label: std::str::from_utf8(rest.get(..label_len)?).ok()?.to_owned(),
            unordered: head[1] & UNORDERED != 0,
            reliability,
            parameter: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        })
    }

    /// Writes the open message.
    #[cfg(test)]
    pub(crate) fn write(&self) -> Vec<u8> {
        let unordered = if self.unordered { UNORDERED } else { 0 };
        let mut out = vec![OPEN, self.reliability | unordered, 0, 0];
        out.extend_from_slice(&self.parameter.to_be_bytes());
        out.extend_from_slice(&(self.label.len() as u16).to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(self.label.as_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(label in "[a-z_]{0,40}", unordered: bool, reliability in 0u8..3, parameter: u32) {
            let open = ChannelOpen { label, unordered, reliability, parameter };
            prop_assert_eq!(ChannelOpen::read(&open.write()), Some(open));
        }

        #[test]
        fn rubbish_is_refused_or_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = ChannelOpen::read(&bytes);
        }
    }
}
