//! Suites and master keys.

use std::fmt;

/// A protection profile, by its name in `a=crypto` (RFC 4568 §6.2, RFC 7714 §14.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SrtpSuite {
    /// AES-128 in counter mode, tag of 80 bits.
    AesCm128HmacSha1_80,
    /// AES-128 in counter mode, tag of 32 bits for RTP (80 for RTCP).
    AesCm128HmacSha1_32,
    /// AES-128 in Galois counter mode.
    AeadAes128Gcm,
    /// AES-256 in Galois counter mode.
    AeadAes256Gcm,
}

impl SrtpSuite {
    /// Every suite.
    pub const ALL: [Self; 4] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::AesCm128HmacSha1_80,
        Self::AesCm128HmacSha1_32,
    ];

    /// Name in `a=crypto`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of that name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|suite| name.eq_ignore_ascii_case(suite.name()))
    }

    /// Octets of the master key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Octets of the master salt.
    #[must_use]
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }

    /// Octets of key and salt together, as `inline:` carries them.
    #[must_use]
    pub const fn material_len(self) -> usize {
        self.key_len() + self.salt_len()
    }
}

/// The material does not have the length the suite wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("key material has the wrong length for its suite")]
pub struct SrtpKeyError;

/// A master key with its salt. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKey {
    suite: SrtpSuite,
    material: [u8; Self::MATERIAL_MAX],
}

impl SrtpKey {
    /// Most octets of key and salt together.
    pub const MATERIAL_MAX: usize = 46;

    /// Key and salt, one after the other.
    ///
    /// # Errors
    /// [`SrtpKeyError`].
    pub fn new(suite: SrtpSuite, material: &[u8]) -> Result<Self, SrtpKeyError> {
        if material.len() != suite.material_len() {
            return Err(SrtpKeyError);
        }
        let mut own = [0; Self::MATERIAL_MAX];
        own[..material.len()].copy_from_slice(material);
        Ok(Self {
            suite,
            material: own,
        })
    }

    /// Its suite.
    #[must_use]
    pub const fn suite(&self) -> SrtpSuite {
        self.suite
    }

    /// Key and salt, one after the other.
    #[must_use]
    pub fn material(&self) -> &[u8] {
        &self.material[..self.suite.material_len()]
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.material[..self.suite.key_len()]
    }

    /// The salt as 14 octets; that of GCM is padded at its end (RFC 7714 §11).
    pub(super) fn salt(&self) -> [u8; 14] {
        let mut salt = [0; 14];
        let from = self.suite.key_len();
        let len = self.suite.salt_len();
        salt[..len].copy_from_slice(&self.material[from..from + len]);
        salt
    }
}

impl fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SrtpKey({}, ***)", self.suite.name())
    }
}
