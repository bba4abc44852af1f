//! What a client asks for when it opens the signalling (`join_request` of protocol v1).

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use flate2::read::GzDecoder;
use livekit_protocol as proto;
use prost::Message as _;

/// Longest request, unpacked.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// Why a request is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum JoinError {
    #[error("join_request is not base64 of a WrappedJoinRequest")]
    Malformed,
    #[error("join_request is longer than 1 MiB")]
    TooLong,
}

/// Reads the value of `join_request`.
pub(super) fn read(value: &str) -> Result<proto::JoinRequest, JoinError> {
    if value.len() > 2 * REQUEST_BYTES_MAX {
        return Err(JoinError::TooLong);
    }
    // Clients differ in alphabet and padding.
    let engines = [&URL_SAFE, &URL_SAFE_NO_PAD, &STANDARD, &STANDARD_NO_PAD];
    let bytes = engines.iter().find_map(|engine| engine.decode(value).ok());
    let wrapped = proto::WrappedJoinRequest::decode(&bytes.ok_or(JoinError::Malformed)?[..]);
    let wrapped = wrapped.map_err(|_| JoinError::Malformed)?;
    let bytes = match wrapped.compression() {
        proto::wrapped_join_request::Compression::None => wrapped.join_request,
        proto::wrapped_join_request::Compression::Gzip => unpack(&wrapped.join_request)?,
    };
    proto::JoinRequest::decode(&bytes[..]).map_err(|_| JoinError::Malformed)
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, JoinError> {
    let mut out = Vec::new();
    let limit = REQUEST_BYTES_MAX as u64 + 1;
    let read = GzDecoder::new(packed).take(limit).read_to_end(&mut out);
    read.map_err(|_| JoinError::Malformed)?;
    if out.len() > REQUEST_BYTES_MAX {
        return Err(JoinError::TooLong);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn request() -> proto::JoinRequest {
        proto::JoinRequest {
            metadata: "hello".to_owned(),
            ..proto::JoinRequest::default()
        }
    }

    fn wrapped(compression: proto::wrapped_join_request::Compression, inner: Vec<u8>) -> Vec<u8> {
        let mut wrapped = proto::WrappedJoinRequest {
            join_request: inner,
            ..proto::WrappedJoinRequest::default()
        };
        wrapped.set_compression(compression);
        wrapped.encode_to_vec()
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn requests_are_read_in_every_alphabet_packed_or_not() {
        use proto::wrapped_join_request::Compression::{Gzip, None};
        let plain = wrapped(None, request().encode_to_vec());
        let gzip = wrapped(Gzip, packed(&request().encode_to_vec()));
        for bytes in [plain, gzip] {
            for text in [URL_SAFE.encode(&bytes), STANDARD_NO_PAD.encode(&bytes)] {
                assert_eq!(read(&text), Ok(request()), "{text}");
            }
        }
    }

    #[test]
    fn a_small_request_that_unpacks_to_a_huge_one_is_refused() {
        let bomb = wrapped(
            proto::wrapped_join_request::Compression::Gzip,
            packed(&vec![0; 4 * REQUEST_BYTES_MAX]),
        );
        assert_eq!(read(&URL_SAFE.encode(bomb)), Err(JoinError::TooLong));
    }

    #[test]
    fn seeded_rubbish_is_refused_without_a_panic() {
        let good = wrapped(
            proto::wrapped_join_request::Compression::Gzip,
            packed(&request().encode_to_vec()),
        );
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as usize
        };
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..1 + next() % 6 {
                let at = next() % bytes.len();
                match next() % 3 {
                    0 => bytes[at] = next() as u8,
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, next() as u8),
                }
            }
            let _ = read(&URL_SAFE.encode(&bytes));
            let _ = proto::SignalRequest::decode(&bytes[..]);
            let _ = proto::DataPacket::decode(&bytes[..]);
        }
        assert_eq!(read("%%%"), Err(JoinError::Malformed));
    }
}
