//! Session tokens (RFC 7519): our own, and those of an outside issuer.
//!
//! Which algorithm is right is decided by our settings, never by the token: an HS256 secret checks
//! HS256 only, a public key only the algorithm of its kind.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;

/// Clocks may differ by so much.
const LEEWAY_S: i64 = 30;
/// Longest token that is read.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Why a token is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JwtError {
    /// Not three parts of base64url JSON.
    #[error("the token is malformed")]
    Malformed,
    /// Another algorithm than the one that was set up.
    #[error("the token is signed with an algorithm that is not accepted here")]
    Algorithm,
    /// The signature is wrong, or no key fits it.
    #[error("the token's signature is wrong")]
    Signature,
    /// `exp` has passed, or is missing.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Not issued for us.
    #[error("the token is for another audience")]
    Audience,
    /// Not issued by whom we trust.
    #[error("the token is of another issuer")]
    Issuer,
}

/// What a token must say besides being signed.
#[derive(Clone, Debug)]
pub struct Expectation<'a> {
    /// `aud`, as text or one of several, where it matters.
    pub audience: Option<&'a str>,
    /// `iss`, where it matters.
    pub issuer: Option<&'a str>,
    /// Seconds since 1970-01-01 UTC.
    pub now_s: i64,
}

/// A public key of a JWKS (RFC 7517).
#[derive(Clone, Debug, Deserialize)]
pub struct Jwk {
    /// `RSA` or `EC`.
    pub kty: String,
    /// Which key it is.
    pub kid: Option<String>,
    /// Curve.
    pub crv: Option<String>,
    /// RSA modulus.
    pub n: Option<String>,
    /// RSA exponent.
    pub e: Option<String>,
    /// Point on the curve.
    pub x: Option<String>,
    /// Point on the curve.
    pub y: Option<String>,
}

/// Signs `claims` with HS256.
#[must_use]
pub fn sign_hs256(secret: &[u8], claims: &Value) -> String {
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let signature = hmac_sha256(secret, signed.as_bytes())
        .finalize()
        .into_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Claims of a token signed with this HS256 secret.
///
/// # Errors
/// [`JwtError`].
pub fn verify_hs256(
    secret: &[u8],
    token: &str,
    expectation: &Expectation<'_>,
) -> Result<Value, JwtError> {
    let parts = Parts::of(token)?;
    if parts.header["alg"] != "HS256" {
        return Err(JwtError::Algorithm);
    }
    hmac_sha256(secret, parts.signed.as_bytes())
        .verify_slice(&parts.signature)
        .map_err(|_| JwtError::Signature)?;
    parts.claims(expectation)
}

/// Claims of a token signed with one of these public keys, by RS256 or ES256.
///
/// # Errors
/// [`JwtError`].
pub fn verify_jwks(
    keys: &[Jwk],
    token: &str,
    expectation: &Expectation<'_>,
) -> Result<Value, JwtError> {
    let parts = Parts::of(token)?;
    let kid = parts.header["kid"].as_str();
    let kind = match parts.header["alg"].as_str() {
        Some("RS256") => "RSA",
        Some("ES256") => "EC",
        _ => return Err(JwtError::Algorithm),
    };
    let fits = |key: &&Jwk| key.kty == kind && (kid.is_none() || key.kid.as_deref() == kid);
    let fine = keys
        .iter()
        .filter(fits)
        .any(|key| key.verifies(parts.signed.as_bytes(), &parts.signature));
    if !fine {
        return Err(JwtError::Signature);
    }
    parts.claims(expectation)
}

impl Jwk {
    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let field = |value: &Option<String>| {
            let text = value.as_deref()?;
            URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
        };
        if self.kty == "RSA" {
            let (Some(n), Some(e)) = (field(&self.n), field(&self.e)) else {
                return false;
            };
            let key = RsaPublicKeyComponents { n, e };
            return key
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok();
        }
        let (Some(x), Some(y), Some("P-256")) =
            (field(&self.x), field(&self.y), self.crv.as_deref())
        else {
            return false;
        };
        // Uncompressed point (SEC 1 §2.3.3).
        let point = [&[4], &x[..], &y[..]].concat();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(message, signature)
            .is_ok()
    }
}

struct Parts<'a> {
    header: Value,
    payload: Value,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Result<Self, JwtError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(JwtError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(JwtError::Malformed)?;
        let decode = |text: &str| {
            URL_SAFE_NO_PAD
                .decode(text)
                .map_err(|_| JwtError::Malformed)
        };
        let object = |text: &str| -> Result<Value, JwtError> {
            let value: Value =
                serde_json::from_slice(&decode(text)?).map_err(|_| JwtError::Malformed)?;
            value
                .is_object()
                .then_some(value)
                .ok_or(JwtError::Malformed)
        };
        Ok(Self {
            header: object(header)?,
            payload: object(payload)?,
            signed,
            signature: decode(signature)?,
        })
    }

    fn claims(self, expectation: &Expectation<'_>) -> Result<Value, JwtError> {
        let claims = self.payload;
        let time = |name: &str| claims[name].as_f64();
        let now = expectation.now_s as f64;
        if time("exp").is_none_or(|exp| now >= exp + LEEWAY_S as f64) {
            return Err(JwtError::Expired);
        }
        if time("nbf").is_some_and(|nbf| now + (LEEWAY_S as f64) < nbf) {
            return Err(JwtError::NotYetValid);
        }
        let meant = |audience: &str| match &claims["aud"] {
            Value::Array(several) => several.iter().any(|one| one == audience),
            one => one == audience,
        };
        if !expectation.audience.is_none_or(meant) {
            return Err(JwtError::Audience);
        }
        if expectation
            .issuer
            .is_some_and(|issuer| claims["iss"] != issuer)
        {
            return Err(JwtError::Issuer);
        }
        Ok(claims)
    }
}

fn hmac_sha256(secret: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length is a key");
    mac.update(message);
    mac
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

    use super::*;

    const NOW: i64 = 1_900_000_000;

    fn expectation() -> Expectation<'static> {
        Expectation {
            audience: Some("authenticated"),
            issuer: Some("me"),
            now_s: NOW,
        }
    }

    fn claims() -> Value {
        json!({ "sub": "x", "aud": "authenticated", "iss": "me", "exp": NOW + 60 })
    }

    #[test]
    fn each_claim_counts() {
        let check = |claims: &Value| {
            verify_hs256(b"key", &sign_hs256(b"key", claims), &expectation()).map(drop)
        };
        assert_eq!(check(&claims()), Ok(()));
        for (name, value, expected) in [
            ("exp", json!(NOW - 31), Err(JwtError::Expired)),
            ("exp", json!(NOW - 29), Ok(())),
            ("exp", Value::Null, Err(JwtError::Expired)),
            ("nbf", json!(NOW + 31), Err(JwtError::NotYetValid)),
            ("aud", json!("other"), Err(JwtError::Audience)),
            ("aud", json!(["other", "authenticated"]), Ok(())),
            ("aud", Value::Null, Err(JwtError::Audience)),
            ("iss", json!("you"), Err(JwtError::Issuer)),
        ] {
            let mut claims = claims();
            claims[name] = value;
            assert_eq!(check(&claims), expected, "{claims}");
        }
    }

    #[test]
    fn no_other_key_and_no_other_algorithm_is_accepted() {
        let token = sign_hs256(b"key", &claims());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(
            verify_hs256(b"other", &token, &expectation()),
            Err(JwtError::Signature)
        );
        for header in ["{\"alg\":\"none\"}", "{\"alg\":\"HS512\"}", "{}"] {
            let payload = signed.split_once('.').unwrap().1;
            let forged = format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(header));
            assert_eq!(
                verify_hs256(b"key", &forged, &expectation()),
                Err(JwtError::Algorithm)
            );
        }
        assert_eq!(
            verify_jwks(&[], &token, &expectation()),
            Err(JwtError::Algorithm)
        );
        for wrong in [
            "",
            "a",
            "a.b",
            "a.b.c",
            "..",
            &format!("{signed}."),
            &format!("x{signed}.{signature}"),
        ] {
            assert!(
                verify_hs256(b"key", wrong, &expectation()).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn an_es256_token_is_checked_with_its_public_key() {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        let point = pair.public_key().as_ref();
        let key = Jwk {
            kty: "EC".to_owned(),
            kid: Some("k".to_owned()),
            crv: Some("P-256".to_owned()),
            n: None,
            e: None,
            x: Some(URL_SAFE_NO_PAD.encode(&point[1..33])),
            y: Some(URL_SAFE_NO_PAD.encode(&point[33..])),
        };
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"k"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims().to_string()));
        let signature = pair.sign(&random, signed.as_bytes()).unwrap();
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
        let keys = [key.clone()];
        assert_eq!(
            verify_jwks(&keys, &token, &expectation()).unwrap()["sub"],
            "x"
        );
        let stranger = Jwk {
            kid: Some("other".to_owned()),
            ..key
        };
        assert_eq!(
            verify_jwks(&[stranger], &token, &expectation()),
            Err(JwtError::Signature)
        );
        // The public key must not serve as an HS256 secret.
        let confused = sign_hs256(point, &claims());
        assert_eq!(
            verify_jwks(&keys, &confused, &expectation()),
            Err(JwtError::Algorithm)
        );
    }
}
