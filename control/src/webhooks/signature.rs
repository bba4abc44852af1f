//! Signatures as Standard Webhooks 1.0 has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// What secrets begin with.
const BRAND: &str = "whsec_";

/// A new secret of 32 random bytes.
#[must_use]
pub fn new_secret() -> String {
    format!("{BRAND}{}", STANDARD.encode(rand::random::<[u8; 32]>()))
}

/// The `webhook-signature` of a message under each of the secrets. A malformed secret signs
/// nothing.
#[must_use]
pub fn sign(secrets: &[&str], id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let signatures = secrets.iter().filter_map(|secret| {
        let key = STANDARD.decode(secret.strip_prefix(BRAND)?).ok()?;
        let mut mac = mac(&key)?;
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body);
        Some(format!(
            "v1,{}",
            STANDARD.encode(mac.finalize().into_bytes())
        ))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

/// Kupe's `X-Webhook-Signature` of a body: the whole secret is the key.
#[must_use]
pub fn sign_body(secret: &str, body: &[u8]) -> String {
    let Some(mut mac) = mac(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(body);
    format!("sha256={:x}", mac.finalize().into_bytes())
}

fn mac(key: &[u8]) -> Option<Hmac<Sha256>> {
    <Hmac<Sha256> as hmac::Mac>::new_from_slice(key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_signed_as_there() {
        // standard-webhooks, spec/standard-webhooks.md, "Verifying webhook authenticity".
        let signed = sign(
            &["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            b"{\"test\": 2432232314}",
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn during_a_rotation_both_secrets_sign() {
        let (old, new) = (new_secret(), new_secret());
        let signed = sign(&[&new, &old, "not one"], "a", 1, b"{}");
        assert_eq!(signed.split(' ').count(), 2, "{signed}");
        assert!(sign_body("k", b"{}").starts_with("sha256="));
    }
}
