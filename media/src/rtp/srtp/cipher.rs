//! Session keys and what is done with them.

use std::fmt;

use aes::cipher::KeyInit as _;
use aes::cipher::generic_array::GenericArray;
use aes::{Aes128, Aes256};
use aes_gcm::aead::AeadInPlace as _;
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use hmac::{Hmac, Mac as _};
use sha1::Sha1;

use super::key::{SrtpKey, SrtpSuite};

/// What a session key is for (RFC 3711 §4.3.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Rtp,
    Rtcp,
}

/// Octets of a GCM tag.
const GCM_TAG: usize = 16;

/// Session keys of RTP or RTCP in one direction.
#[derive(Clone)]
pub(super) enum Cipher {
    Counter {
        aes: Box<Aes128>,
        salt: [u8; 14],
        mac: Box<Hmac<Sha1>>,
        tag: usize,
    },
    Gcm128 {
        aead: Box<Aes128Gcm>,
        salt: [u8; 12],
    },
    Gcm256 {
        aead: Box<Aes256Gcm>,
        salt: [u8; 12],
    },
}

impl Cipher {
    pub(super) fn new(key: &SrtpKey, stream: Stream) -> Self {
        let label = match stream {
            Stream::Rtp => 0,
            Stream::Rtcp => 3,
        };
        let mut salt = [0; 14];
        derive(key, label + 2, &mut salt[..key.suite().salt_len()]);
        let mut short = [0; 12];
        short.copy_from_slice(&salt[..12]);
        let mut session = [0; 32];
        let session = &mut session[..key.suite().key_len()];
        derive(key, label, session);
        match key.suite() {
            SrtpSuite::AesCm128HmacSha1_80 | SrtpSuite::AesCm128HmacSha1_32 => {
                let mut auth = [0; 20];
                derive(key, label + 1, &mut auth);
                // RFC 4568 §6.2.2: the short tag is for RTP alone.
                let is_short = key.suite() == SrtpSuite::AesCm128HmacSha1_32;
                Self::Counter {
                    aes: Box::new(Aes128::new(GenericArray::from_slice(session))),
                    salt,
                    mac: Box::new(
                        <Hmac<Sha1> as hmac::Mac>::new_from_slice(&auth)
                            .expect("HMAC takes keys of any length"),
                    ),
                    tag: if is_short && stream == Stream::Rtp {
                        4
                    } else {
                        10
                    },
                }
            }
            SrtpSuite::AeadAes128Gcm => Self::Gcm128 {
                aead: Box::new(Aes128Gcm::new(GenericArray::from_slice(session))),
                salt: short,
            },
            SrtpSuite::AeadAes256Gcm => Self::Gcm256 {
                aead: Box::new(Aes256Gcm::new(GenericArray::from_slice(session))),
                salt: short,
            },
        }
    }

    /// Octets of the authentication tag.
    pub(super) const fn tag_len(&self) -> usize {
        match self {
            Self::Counter { tag, .. } => *tag,
            Self::Gcm128 { .. } | Self::Gcm256 { .. } => GCM_TAG,
        }
    }

    /// Whether the tag covers what follows the payload (counter mode) rather than standing right
    /// behind it (GCM).
    pub(super) const fn is_aead(&self) -> bool {
        !matches!(self, Self::Counter { .. })
    }

    /// Counter mode: encrypts or decrypts in place.
    pub(super) fn apply(&self, ssrc: u32, index: u64, data: &mut [u8]) {
        if let Self::Counter { aes, salt, .. } = self {
            counter_mode(aes, salt, ssrc, index, data);
        }
    }

    /// Counter mode: the tag over `parts`.
    pub(super) fn tag(&self, parts: &[&[u8]]) -> [u8; 20] {
        let Self::Counter { mac, .. } = self else {
            return [0; 20];
        };
        let mut mac = (**mac).clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// GCM: encrypts in place and returns the tag.
    pub(super) fn seal(&self, iv: &[u8; 12], aad: &[u8], data: &mut [u8]) -> Option<[u8; GCM_TAG]> {
        let nonce = GenericArray::from_slice(iv);
        let tag = match self {
            Self::Gcm128 { aead, .. } => aead.encrypt_in_place_detached(nonce, aad, data),
            Self::Gcm256 { aead, .. } => aead.encrypt_in_place_detached(nonce, aad, data),
            Self::Counter { .. } => return None,
        };
        tag.ok().map(Into::into)
    }

    /// GCM: decrypts in place; `false` if the tag is wrong.
    pub(super) fn open(&self, iv: &[u8; 12], aad: &[u8], data: &mut [u8], tag: &[u8]) -> bool {
        if tag.len() != GCM_TAG {
            return false;
        }
        let (nonce, tag) = (GenericArray::from_slice(iv), GenericArray::from_slice(tag));
        match self {
            Self::Gcm128 { aead, .. } => aead.decrypt_in_place_detached(nonce, aad, data, tag),
            Self::Gcm256 { aead, .. } => aead.decrypt_in_place_detached(nonce, aad, data, tag),
            Self::Counter { .. } => return false,
        }
        .is_ok()
    }

    /// GCM initialization vector (RFC 7714 §8.1, §9.1): of RTP with rollover counter and sequence
    /// number, of RTCP with its 31-bit index.
    pub(super) fn iv(&self, ssrc: u32, index: u64) -> [u8; 12] {
        let salt = match self {
            Self::Gcm128 { salt, .. } | Self::Gcm256 { salt, .. } => *salt,
            Self::Counter { .. } => [0; 12],
        };
        let mut iv = [0; 12];
        iv[2..6].copy_from_slice(&ssrc.to_be_bytes());
        iv[6..].copy_from_slice(&index.to_be_bytes()[2..]);
        for (byte, salt) in iv.iter_mut().zip(salt) {
            *byte ^= salt;
        }
        iv
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(***)")
    }
}

/// Key derivation with rate 0 (RFC 3711 §4.3.1): the pseudo-random function is AES in counter
/// mode under the master key.
fn derive(key: &SrtpKey, label: u8, out: &mut [u8]) {
    let mut block = [0; 16];
    block[..14].copy_from_slice(&key.salt());
    block[7] ^= label;
    out.fill(0);
    match key.key().len() {
        32 => stream_of(
            &Aes256::new(GenericArray::from_slice(key.key())),
            block,
            out,
        ),
        _ => stream_of(
            &Aes128::new(GenericArray::from_slice(key.key())),
            block,
            out,
        ),
    }
}

fn counter_mode(aes: &Aes128, salt: &[u8; 14], ssrc: u32, index: u64, data: &mut [u8]) {
    let mut block = [0; 16];
    block[4..8].copy_from_slice(&ssrc.to_be_bytes());
    block[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
    for (byte, salt) in block.iter_mut().zip(salt) {
        *byte ^= salt;
    }
    stream_of(aes, block, data);
}

/// XORs the key stream that begins with `block` into `data`.
fn stream_of<C>(aes: &C, mut block: [u8; 16], data: &mut [u8])
where
    C: aes::cipher::BlockEncrypt + aes::cipher::BlockSizeUser<BlockSize = aes::cipher::consts::U16>,
{
    for (number, chunk) in data.chunks_mut(16).enumerate() {
        // Packets are far shorter than 2^16 blocks.
        block[14..].copy_from_slice(&(number as u16).to_be_bytes());
        let mut stream = GenericArray::from(block);
        aes.encrypt_block(&mut stream);
        for (byte, key) in chunk.iter_mut().zip(stream) {
            *byte ^= key;
        }
    }
}
