//! The certificate by which we are known in DTLS handshakes: self-signed, told by its fingerprint
//! in the SDP (RFC 8122).

use std::fmt;

use sha2::{Digest, Sha256};

use super::WebRtcError;

/// A certificate and its key, made once for the process.
#[derive(Clone)]
pub struct Certificate {
    pub(crate) der: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Certificate {
    /// A new one: ECDSA on P-256.
    ///
    /// # Errors
    /// [`WebRtcError::Certificate`].
    pub fn generate() -> Result<Self, WebRtcError> {
        let made = rcgen::generate_simple_self_signed(vec!["samvad".to_owned()]);
        let made = made.map_err(|_| WebRtcError::Certificate)?;
        Ok(Self {
            der: made.cert.der().to_vec(),
            key: made.signing_key.serialize_der(),
        })
    }

    /// SHA-256 of the certificate, as `a=fingerprint` writes it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = fingerprint_of(&self.der);
        let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint())
    }
}

/// SHA-256 of a certificate in DER.
pub(crate) fn fingerprint_of(der: &[u8]) -> [u8; 32] {
    Sha256::digest(der).into()
}
