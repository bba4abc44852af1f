//! What of an INVITE the conversation gets to know.

use std::collections::BTreeMap;

use sip::identity::{self, CallerIdentity};
use sip::message::Headers;

/// Longest header value that becomes a variable.
const VALUE_BYTES_MAX: usize = 512;
/// Longest Identity header field passed on whole.
const SIGNATURE_BYTES_MAX: usize = 8_192;
/// Most `X-` headers that become variables.
const HEADERS_MAX: usize = 16;

/// Custom header fields (`X-Customer-Id` becomes `customer_id`), and as `sip_...` what carriers
/// tell of the call: diversion, signature, whether the number is withheld, user-to-user data.
pub(super) fn variables(headers: &Headers, caller: &CallerIdentity) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> = headers
        .iter()
        .filter_map(|header| {
            let name = header.name.as_str();
            let prefix = name.get(..2)?;
            if !prefix.eq_ignore_ascii_case("x-") || header.value().len() > VALUE_BYTES_MAX {
                return None;
            }
            let name = name[2..].to_ascii_lowercase().replace('-', "_");
            Some((name, header.value().to_owned()))
        })
        .take(HEADERS_MAX)
        .collect();
    let mut tell = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| value.len() <= VALUE_BYTES_MAX) {
            variables.insert(format!("sip_{name}"), value);
        }
    };
    let diversion = identity::diversion(headers);
    tell("diverted_from", diversion.as_ref().map(|d| d.user.clone()));
    tell("diversion_reason", diversion.and_then(|d| d.reason));
    tell("caller_name", caller.display.clone());
    tell(
        "caller_withheld",
        caller.withheld.then(|| "true".to_owned()),
    );
    tell("verstat", caller.verstat.clone());
    tell(
        "user_to_user",
        headers.named("User-to-User").map(str::to_owned),
    );
    let signatures: Vec<&str> = identity::signatures(headers).collect();
    let identity = signatures.join(", ");
    if !identity.is_empty() && identity.len() <= SIGNATURE_BYTES_MAX {
        variables.insert("sip_identity".to_owned(), identity);
    }
    variables
}

#[cfg(test)]
mod tests {
    use sip::message::{Header, HeaderName, NameAddr};

    use super::*;

    #[test]
    fn headers_become_variables_within_limits() {
        let headers: Headers = [
            ("X-Customer-Id", "42".to_owned()),
            ("X-Long", "x".repeat(600)),
            ("Diversion", "<sip:+15550101@c>;reason=no-answer".to_owned()),
            ("Identity", "token;info=<https://c>".to_owned()),
            ("User-to-User", "abc;encoding=hex".to_owned()),
            ("Subject", "no".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| Header::new(HeaderName::new(name), value))
        .collect();
        let from = NameAddr::parse("\"Ann\" <sip:+15550100@c;verstat=No-TN-Validation>").unwrap();
        let caller = identity::caller(&headers, &from, true);
        let found = variables(&headers, &caller);
        let expected = [
            ("customer_id", "42"),
            ("sip_caller_name", "Ann"),
            ("sip_diverted_from", "+15550101"),
            ("sip_diversion_reason", "no-answer"),
            ("sip_identity", "token;info=<https://c>"),
            ("sip_user_to_user", "abc;encoding=hex"),
            ("sip_verstat", "No-TN-Validation"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found, BTreeMap::from(expected));
    }
}
