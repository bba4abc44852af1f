//! `a=crypto` (RFC 4568): keys of SRTP in a session description.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use media::rtp::srtp::{SrtpKey, SrtpKeys, SrtpSuite};

use super::{Attribute, MediaDescription};

/// Longest tag number.
const TAG_DIGITS_MAX: usize = 9;

/// Our wish and our key.
#[derive(Clone, PartialEq, Eq)]
pub struct LocalSrtp {
    /// Whether a stream that is not encrypted is refused; offers are then encrypted.
    pub required: bool,
    /// Fresh random octets for each call; keys are cut from it, so it must stay the same during
    /// the call.
    pub material: [u8; SrtpKey::MATERIAL_MAX],
}

impl std::fmt::Debug for LocalSrtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalSrtp")
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}

impl LocalSrtp {
    fn key(&self, suite: SrtpSuite) -> Option<SrtpKey> {
        SrtpKey::new(suite, self.material.get(..suite.material_len())?).ok()
    }

    /// Lines of an offer: the suite every peer knows, then the others.
    pub(super) fn offered(&self) -> Vec<Attribute> {
        OFFERED
            .into_iter()
            .zip(1_u32..)
            .filter_map(|(suite, tag)| Some(line(&tag.to_string(), &self.key(suite)?)))
            .collect()
    }

    /// Chooses among the lines of an offer: our line, and the keys.
    pub(super) fn answer(&self, stream: &MediaDescription) -> Option<(Attribute, SrtpKeys)> {
        let (tag, receive) = lines(stream).next()?;
        let send = self.key(receive.suite())?;
        Some((line(&tag, &send), SrtpKeys { send, receive }))
    }
}

/// Suites we offer, best known first.
const OFFERED: [SrtpSuite; 4] = [
    SrtpSuite::AesCm128HmacSha1_80,
    SrtpSuite::AesCm128HmacSha1_32,
    SrtpSuite::AeadAes128Gcm,
    SrtpSuite::AeadAes256Gcm,
];

/// The keys that an answer chose out of our offer.
pub(super) fn chosen(ours: &MediaDescription, theirs: &MediaDescription) -> Option<SrtpKeys> {
    let (tag, receive) = lines(theirs).next()?;
    let (_, send) = lines(ours).find(|(offered, key)| {
        offered.trim_start_matches('0') == tag.trim_start_matches('0')
            && key.suite() == receive.suite()
    })?;
    Some(SrtpKeys { send, receive })
}

/// Usable lines in order: tag and key. Lines of other suites, with several keys, with a key of
/// the wrong length or session parameters that change the protection are passed over.
fn lines(stream: &MediaDescription) -> impl Iterator<Item = (String, SrtpKey)> {
    stream
        .attributes
        .iter()
        .filter(|attribute| attribute.name.eq_ignore_ascii_case("crypto"))
        .filter_map(|attribute| read(attribute.value.as_deref()?))
}

fn read(value: &str) -> Option<(String, SrtpKey)> {
    let mut fields = value.split_ascii_whitespace();
    let tag = fields.next()?;
    let is_tag = tag.len() <= TAG_DIGITS_MAX && tag.bytes().all(|b| b.is_ascii_digit());
    let suite = SrtpSuite::from_name(fields.next()?).filter(|_| is_tag)?;
    let inline = fields.next()?;
    let (method, parameters) = inline.split_once(':')?;
    if !method.eq_ignore_ascii_case("inline") || parameters.contains(';') {
        return None;
    }
    // RFC 4568 §6.3: these are not negotiated but declared, and we do not do them.
    let weakens = |field: &str| {
        [
            "UNENCRYPTED_SRTP",
            "UNENCRYPTED_SRTCP",
            "UNAUTHENTICATED_SRTP",
            "FEC_KEY",
        ]
        .iter()
        .any(|word| field.to_ascii_uppercase().starts_with(word))
    };
    if fields.any(weakens) {
        return None;
    }
    // Lifetime is of no concern at fifty packets a second. An MKI would stand in every packet.
    let mut parts = parameters.split('|');
    let key = parts.next()?;
    if parts.any(|part| part.contains(':')) {
        return None;
    }
    let key = key.trim_end_matches('=');
    let material = STANDARD_NO_PAD.decode(key).ok()?;
    Some((tag.to_owned(), SrtpKey::new(suite, &material).ok()?))
}

fn line(tag: &str, key: &SrtpKey) -> Attribute {
    let value = format!(
        "{tag} {} inline:{}",
        key.suite().name(),
        STANDARD.encode(key.material())
    );
    Attribute::new("crypto", value)
}
