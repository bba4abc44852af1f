//! `X-Twilio-Signature` (Twilio docs: "Webhooks Security").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::Secret;

/// The signature of `url` followed by the fields, sorted by name.
#[must_use]
pub fn sign(auth_token: &Secret, url: &str, fields: &[(String, String)]) -> String {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort();
    // A field sent twice with the same value counts once.
    sorted.dedup();
    let mut mac = Hmac::<Sha1>::new_from_slice(auth_token.reveal().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    BASE64.encode(mac.finalize().into_bytes())
}

/// What a signed request carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignedBody<'a> {
    /// No body, or none that is signed: GET, websocket upgrade.
    None,
    /// Decoded form fields.
    Form(&'a [(String, String)]),
    /// Anything else: its SHA-256 stands in the query as `bodySHA256`.
    Raw(&'a [u8]),
}

/// Whether `signature` is right for a request to `url`, with or without the scheme's default
/// port written out.
#[must_use]
pub fn verify(auth_token: &Secret, signature: &str, url: &str, body: SignedBody<'_>) -> bool {
    let fields = match body {
        SignedBody::None => &[],
        SignedBody::Form(fields) => fields,
        SignedBody::Raw(raw) => {
            if !body_hash_matches(url, raw) {
                return false;
            }
            &[]
        }
    };
    let mut fine = false;
    for variant in port_variants(url) {
        let expected = sign(auth_token, &variant, fields);
        // Every variant is looked at, so that time tells nothing about which one fits.
        fine |= bool::from(expected.as_bytes().ct_eq(signature.as_bytes()));
    }
    fine
}

fn body_hash_matches(url: &str, raw: &[u8]) -> bool {
    let Ok(url) = url::Url::parse(url) else {
        return false;
    };
    let Some((_, given)) = url.query_pairs().find(|(name, _)| name == "bodySHA256") else {
        return false;
    };
    let digest = Sha256::digest(raw);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.as_bytes()
        .ct_eq(given.to_ascii_lowercase().as_bytes())
        .into()
}

/// The URL as written, and with the default port added or taken away.
fn port_variants(url: &str) -> Vec<String> {
    let mut variants = vec![url.to_owned()];
    let Some((scheme, rest)) = url.split_once("://") else {
        return variants;
    };
    let port = match scheme {
        "https" | "wss" => ":443",
        _ => ":80",
    };
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    if let Some(bare) = authority.strip_suffix(port) {
        variants.push(format!("{scheme}://{bare}{path}"));
    } else if !has_port(authority) {
        variants.push(format!("{scheme}://{authority}{port}{path}"));
    }
    variants
}

fn has_port(authority: &str) -> bool {
    authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of Twilio's documentation.
    const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
    const SIGNATURE: &str = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";

    fn token() -> Secret {
        Secret::new("12345")
    }

    fn fields() -> Vec<(String, String)> {
        [
            ("To", "+18005551212"),
            ("Digits", "1234"),
            ("CallSid", "CA1234567890ABCDE"),
            ("From", "+14158675309"),
            ("Caller", "+14158675309"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    #[test]
    fn the_documented_example_is_reproduced() {
        assert_eq!(sign(&token(), URL, &fields()), SIGNATURE);
        assert!(verify(
            &token(),
            SIGNATURE,
            URL,
            SignedBody::Form(&fields())
        ));
    }

    #[test]
    fn any_change_is_noticed() {
        let form = fields();
        let other_token = Secret::new("12346");
        assert!(!verify(
            &other_token,
            SIGNATURE,
            URL,
            SignedBody::Form(&form)
        ));
        assert!(!verify(&token(), "", URL, SignedBody::Form(&form)));
        assert!(!verify(&token(), SIGNATURE, URL, SignedBody::None));
        let other_url = URL.replace("foo=1", "foo=2");
        assert!(!verify(
            &token(),
            SIGNATURE,
            &other_url,
            SignedBody::Form(&form)
        ));
        let mut more = form.clone();
        more.push(("Extra".to_owned(), String::new()));
        assert!(!verify(&token(), SIGNATURE, URL, SignedBody::Form(&more)));
    }

    #[test]
    fn a_default_port_may_be_written_or_not() {
        for (signed, seen) in [
            ("https://a.example:443/x", "https://a.example/x"),
            ("https://a.example/x", "https://a.example:443/x"),
            ("wss://a.example:443/x?y=1", "wss://a.example/x?y=1"),
            ("http://[::1]:80/", "http://[::1]/"),
        ] {
            let signature = sign(&token(), signed, &[]);
            assert!(
                verify(&token(), &signature, seen, SignedBody::None),
                "{signed}"
            );
        }
        let signature = sign(&token(), "https://a.example:8443/x", &[]);
        let plain = "https://a.example/x";
        assert!(!verify(&token(), &signature, plain, SignedBody::None));
    }

    #[test]
    fn a_raw_body_is_covered_by_its_hash_in_the_url() {
        let body = br#"{"a":1}"#;
        let hex: String = Sha256::digest(body)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let url = format!("https://a.example/x?bodySHA256={hex}");
        let signature = sign(&token(), &url, &[]);
        assert!(verify(&token(), &signature, &url, SignedBody::Raw(body)));
        assert!(!verify(&token(), &signature, &url, SignedBody::Raw(b"{}")));
        let bare = "https://a.example/x";
        let signature = sign(&token(), bare, &[]);
        assert!(!verify(&token(), &signature, bare, SignedBody::Raw(body)));
    }
}
