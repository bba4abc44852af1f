//! The answering side of ICE as ICE lite wants it (RFC 8445 §2.5, RFC 8489): connectivity checks
//! are verified and answered, none are sent. A server with a reachable address needs no more, and
//! a call costs no timers for it.

use std::net::SocketAddr;

use hmac::{Hmac, Mac};
use sha1::Sha1;

const MAGIC: u32 = 0x2112_a442;
const HEADER_BYTES: usize = 20;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const FINGERPRINT_XOR: u32 = 0x5354_554e;
/// Octets of an attribute's header, of MESSAGE-INTEGRITY and of FINGERPRINT.
const ATTRIBUTE_BYTES: usize = 4;
const INTEGRITY_BYTES: usize = 20;

/// `a=ice-ufrag` and `a=ice-pwd` of one side (RFC 8839 §5.4).
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// User name fragment.
    pub ufrag: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IceCredentials({}, ***)", self.ufrag)
    }
}

/// An authentic connectivity check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Check {
    transaction: [u8; 12],
    /// Whether the peer wants the path it came by.
    pub(crate) use_candidate: bool,
}

/// Reads a binding request that is meant for `local` and signed with its password; `None` for
/// anything else.
pub(crate) fn read_check(datagram: &[u8], local: &IceCredentials) -> Option<Check> {
    let header = datagram.first_chunk::<HEADER_BYTES>()?;
    let kind = u16::from_be_bytes([header[0], header[1]]);
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let magic = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    if kind != BINDING_REQUEST || magic != MAGIC || datagram.len() != HEADER_BYTES + length {
        return None;
    }
    let (mut meant_for_us, mut use_candidate) = (false, false);
    let mut at = HEADER_BYTES;
    while let Some(head) = datagram.get(at..at + ATTRIBUTE_BYTES) {
        let name = u16::from_be_bytes([head[0], head[1]]);
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = datagram.get(at + ATTRIBUTE_BYTES..at + ATTRIBUTE_BYTES + len)?;
        match name {
            USERNAME => {
                let ours = value.split(|&byte| byte == b':').next()?;
                meant_for_us = ours == local.ufrag.as_bytes();
            }
            USE_CANDIDATE => use_candidate = true,
            // What follows the signature is not covered by it (RFC 8489 §14.5).
            MESSAGE_INTEGRITY => {
                let signed = meant_for_us && is_signed(&datagram[..at], value, &local.password);
                let transaction = *header.last_chunk::<12>()?;
                return signed.then_some(Check {
                    transaction,
                    use_candidate,
                });
            }
            _ => {}
        }
        at += ATTRIBUTE_BYTES + len.next_multiple_of(4);
    }
    None
}

/// The success response to `check`, which came from `from`.
pub(crate) fn write_success(check: &Check, from: SocketAddr, password: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    out.extend_from_slice(&BINDING_SUCCESS.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&MAGIC.to_be_bytes());
    out.extend_from_slice(&check.transaction);
    let mask = {
        let mut mask = [0; 16];
        mask[..4].copy_from_slice(&MAGIC.to_be_bytes());
        mask[4..].copy_from_slice(&check.transaction);
        mask
    };
    let port = from.port() ^ 0x2112;
    let mut value = vec![0, if from.is_ipv4() { 1 } else { 2 }];
    value.extend_from_slice(&port.to_be_bytes());
    let octets = match from.ip() {
        std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
        std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    value.extend(octets.iter().zip(mask).map(|(octet, mask)| octet ^ mask));
    attribute(&mut out, XOR_MAPPED_ADDRESS, &value);
    set_length(&mut out, ATTRIBUTE_BYTES + INTEGRITY_BYTES);
    let signature = sign(&out, password);
    attribute(&mut out, MESSAGE_INTEGRITY, &signature);
    set_length(&mut out, ATTRIBUTE_BYTES + 4);
    let crc = crc32(&out) ^ FINGERPRINT_XOR;
    attribute(&mut out, FINGERPRINT, &crc.to_be_bytes());
    out
}

fn attribute(out: &mut Vec<u8>, name: u16, value: &[u8]) {
    out.extend_from_slice(&name.to_be_bytes());
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Sets the length as if `more` octets followed, as signature and checksum want it.
fn set_length(out: &mut [u8], more: usize) {
    let length = (out.len() - HEADER_BYTES + more) as u16;
    out[2..4].copy_from_slice(&length.to_be_bytes());
}

fn keyed(message: &[u8], password: &str) -> Option<Hmac<Sha1>> {
    // The length counts up to the signature and no further (RFC 8489 §14.5).
    let length = (message.len() - HEADER_BYTES + ATTRIBUTE_BYTES + INTEGRITY_BYTES) as u16;
    let mut mac = Hmac::<Sha1>::new_from_slice(password.as_bytes()).ok()?;
    mac.update(&message[..2]);
    mac.update(&length.to_be_bytes());
    mac.update(&message[4..]);
    Some(mac)
}

fn is_signed(message: &[u8], signature: &[u8], password: &str) -> bool {
    keyed(message, password).is_some_and(|mac| mac.verify_slice(signature).is_ok())
}

fn sign(message: &[u8], password: &str) -> [u8; INTEGRITY_BYTES] {
    keyed(message, password).map_or([0; INTEGRITY_BYTES], |mac| {
        mac.finalize().into_bytes().into()
    })
}

/// The checksum of ISO 3309, bit by bit: one message of a hundred octets every few seconds.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// Writes the check a peer would send, for tests and for the load caller.
#[must_use]
pub fn write_check(remote: &IceCredentials, local_ufrag: &str, transaction: [u8; 12]) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    out.extend_from_slice(&BINDING_REQUEST.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&MAGIC.to_be_bytes());
    out.extend_from_slice(&transaction);
    let user = format!("{}:{local_ufrag}", remote.ufrag);
    attribute(&mut out, USERNAME, user.as_bytes());
    attribute(&mut out, USE_CANDIDATE, &[]);
    set_length(&mut out, ATTRIBUTE_BYTES + INTEGRITY_BYTES);
    let signature = sign(&out, &remote.password);
    attribute(&mut out, MESSAGE_INTEGRITY, &signature);
    set_length(&mut out, ATTRIBUTE_BYTES + 4);
    let crc = crc32(&out) ^ FINGERPRINT_XOR;
    attribute(&mut out, FINGERPRINT, &crc.to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ours() -> IceCredentials {
        IceCredentials {
            ufrag: "evtj".to_owned(),
            password: "VOkJxbRl1RmTxUk/WvJxBt".to_owned(),
        }
    }

    /// The request of RFC 5769 §2.1.
    const SAMPLE: [u8; 108] = [
        0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6,
        0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e, 0x20, 0x74,
        0x65, 0x73, 0x74, 0x20, 0x63, 0x6c, 0x69, 0x65, 0x6e, 0x74, 0x00, 0x24, 0x00, 0x04, 0x6e,
        0x00, 0x01, 0xff, 0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36,
        0x00, 0x06, 0x00, 0x09, 0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36, 0x76, 0x59, 0x20, 0x20,
        0x20, 0x00, 0x08, 0x00, 0x14, 0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e,
        0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49, 0xc1, 0xb5, 0x71, 0xa2, 0x80, 0x28, 0x00, 0x04, 0xe5,
        0x7a, 0x3b, 0xcf,
    ];

    #[test]
    fn the_rfc_sample_is_authentic_and_a_changed_bit_is_not() {
        let check = read_check(&SAMPLE, &ours()).expect("the sample");
        assert!(!check.use_candidate);
        for at in 0..SAMPLE.len() - 32 {
            let mut changed = SAMPLE;
            changed[at] ^= 1;
            assert_eq!(read_check(&changed, &ours()), None, "octet {at}");
        }
        let mut other = ours();
        other.password.push('x');
        assert_eq!(read_check(&SAMPLE, &other), None);
    }

    #[test]
    fn the_rfc_response_is_signed_as_ours() {
        // RFC 5769 §2.2: 192.0.2.1 port 32853, without its SOFTWARE attribute.
        let check = read_check(&SAMPLE, &ours()).expect("the sample");
        let from = "192.0.2.1:32853".parse().expect("an address");
        let response = write_success(&check, from, &ours().password);
        assert_eq!(&response[..2], &[1, 1]);
        assert_eq!(
            &response[20..32],
            &[0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]
        );
        assert_eq!(response.len(), 20 + 12 + 24 + 8);
        assert_eq!(usize::from(response[3]), response.len() - HEADER_BYTES);
        assert!(is_signed(
            &response[..32],
            &response[36..56],
            &ours().password
        ));
        let crc = crc32(&response[..56]) ^ FINGERPRINT_XOR;
        assert_eq!(&response[60..], &crc.to_be_bytes());
    }

    #[test]
    fn a_check_of_ours_is_read_back() {
        let check = read_check(&write_check(&ours(), "h6vY", [7; 12]), &ours());
        assert_eq!(
            check.map(|c| (c.transaction, c.use_candidate)),
            Some(([7; 12], true))
        );
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    proptest! {
        #[test]
        fn rubbish_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..108) {
            prop_assert_eq!(read_check(&bytes, &ours()), None);
            let mut spliced = SAMPLE[..cut].to_vec();
            spliced.extend_from_slice(&bytes);
            let _ = read_check(&spliced, &ours());
        }
    }
}
