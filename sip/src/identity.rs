//! Who calls whom, out of the header fields carriers use for it (RFC 3325, RFC 3323, RFC 5806,
//! RFC 7044, RFC 8224).

use crate::message::{Essentials, HeaderName, Headers, NameAddr, Uri};

/// Longest Identity header value passed on, in bytes.
const IDENTITY_BYTES_MAX: usize = 8_192;

/// Where a caller's identity was read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IdentitySource {
    /// P-Asserted-Identity, from a peer that is trusted.
    Asserted,
    /// Remote-Party-ID, from a peer that is trusted.
    RemoteParty,
    /// From, which anybody can write.
    From,
}

/// Who calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallerIdentity {
    /// User part or number without parameters; `None` if nobody is named.
    pub user: Option<String>,
    /// Display name.
    pub display: Option<String>,
    /// Where it was read.
    pub source: IdentitySource,
    /// Whether the caller asked not to be shown (Privacy, or an anonymous From).
    pub withheld: bool,
    /// What the carrier says of the number's signature: `TN-Validation-Passed` and the like
    /// (ATIS-1000074).
    pub verstat: Option<String>,
}

/// Reads who calls. Only a `trusted` peer's assertions count.
#[must_use]
pub fn caller(headers: &Headers, from: &NameAddr, trusted: bool) -> CallerIdentity {
    let asserted = || first_address(headers, &HeaderName::PAssertedIdentity);
    let remote = || first_address(headers, &HeaderName::RemotePartyId);
    let (address, source) = trusted
        .then(asserted)
        .flatten()
        .map(|address| (address, IdentitySource::Asserted))
        .or_else(|| {
            let remote = trusted.then(remote).flatten()?;
            Some((remote, IdentitySource::RemoteParty))
        })
        .unwrap_or_else(|| (from.clone(), IdentitySource::From));
    let user = address.uri.user().map(|user| plain_user(&user).to_owned());
    let anonymous = is_anonymous(from);
    let private = headers.all(&HeaderName::Privacy).any(|value| {
        value.split([';', ',']).map(str::trim).any(|word| {
            ["id", "user", "full", "header"]
                .iter()
                .any(|w| word.eq_ignore_ascii_case(w))
        })
    });
    let hidden_party = source == IdentitySource::RemoteParty
        && address
            .params
            .value("privacy")
            .is_some_and(|privacy| !privacy.eq_ignore_ascii_case("off"));
    CallerIdentity {
        user: user.filter(|user| !user.is_empty() && !is_anonymous_user(user)),
        display: address.display_name(),
        source,
        withheld: anonymous || private || hidden_party,
        verstat: verstat(&address.uri).or_else(|| verstat(&from.uri)),
    }
}

/// Where the called number stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum CalledRule {
    /// In the Request-URI.
    #[default]
    RequestUri,
    /// In P-Called-Party-ID, else as above.
    CalledParty,
    /// In To.
    To,
}

/// Reads who was called.
#[must_use]
pub fn called(
    uri: &Uri,
    headers: &Headers,
    essentials: &Essentials,
    rule: CalledRule,
) -> Option<String> {
    let by_rule = match rule {
        CalledRule::RequestUri => None,
        CalledRule::CalledParty => {
            first_address(headers, &HeaderName::PCalledPartyId).and_then(|a| a.uri.user())
        }
        CalledRule::To => essentials.to.uri.user(),
    };
    let user = by_rule.or_else(|| uri.user())?;
    let user = plain_user(&user).to_owned();
    (!user.is_empty()).then_some(user)
}

/// A diversion before the call came to us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diversion {
    /// Number that was called first.
    pub user: String,
    /// Why it was diverted, as written: `no-answer`, `unconditional`...
    pub reason: Option<String>,
}

/// The number that was called first, out of Diversion or History-Info.
#[must_use]
pub fn diversion(headers: &Headers) -> Option<Diversion> {
    // RFC 5806 §3.2: the topmost is the latest, so the last one was called first.
    let diversions = headers
        .addresses(&HeaderName::Diversion)
        .unwrap_or_default();
    if let Some(first) = diversions.last() {
        return Some(Diversion {
            user: plain_user(&first.uri.user()?).to_owned(),
            reason: first
                .params
                .value("reason")
                .map(|r| r.trim_matches('"').to_owned()),
        });
    }
    // RFC 7044 §5: in the order of calling; a single entry is the call itself.
    let history = headers
        .addresses(&HeaderName::HistoryInfo)
        .unwrap_or_default();
    let [first, _, ..] = history.as_slice() else {
        return None;
    };
    let reason = first
        .uri
        .as_sip()
        .and_then(|uri| uri.headers.as_deref())
        .and_then(|headers| headers.split('&').find_map(|h| h.strip_prefix("Reason=")));
    Some(Diversion {
        user: plain_user(&first.uri.user()?).to_owned(),
        reason: reason.map(str::to_owned),
    })
}

/// Identity header fields (STIR) byte for byte, for whoever judges them.
pub fn signatures(headers: &Headers) -> impl Iterator<Item = &str> {
    headers
        .all(&HeaderName::Identity)
        .filter(|value| value.len() <= IDENTITY_BYTES_MAX)
}

/// A user part without parameters (`;npdi;rn=...`, `;phone-context=...`).
#[must_use]
pub fn plain_user(user: &str) -> &str {
    user.split(';').next().unwrap_or(user)
}

fn first_address(headers: &Headers, name: &HeaderName) -> Option<NameAddr> {
    // A tel: value beside a sip: one carries the number in its plainest form.
    let addresses: Vec<NameAddr> = headers
        .list(name)
        .filter_map(|value| NameAddr::parse(value).ok())
        .collect();
    addresses
        .iter()
        .find(|address| matches!(address.uri, Uri::Other(_)))
        .or(addresses.first())
        .cloned()
}

fn verstat(uri: &Uri) -> Option<String> {
    let in_text = |text: &str| {
        text.split(';').find_map(|param| {
            let (name, value) = param.split_once('=')?;
            let value = value.split('@').next().unwrap_or(value);
            name.eq_ignore_ascii_case("verstat")
                .then(|| value.to_owned())
        })
    };
    match uri {
        Uri::Other(text) => in_text(text),
        Uri::Sip(uri) => uri
            .params
            .value("verstat")
            .map(str::to_owned)
            .or_else(|| in_text(uri.user.as_deref()?)),
    }
}

fn is_anonymous(from: &NameAddr) -> bool {
    let by_host = from.uri.as_sip().is_some_and(|uri| {
        uri.host
            .to_string()
            .eq_ignore_ascii_case("anonymous.invalid")
    });
    by_host || from.uri.user().is_some_and(|user| is_anonymous_user(&user))
}

fn is_anonymous_user(user: &str) -> bool {
    ["anonymous", "restricted", "unavailable", "unknown"]
        .iter()
        .any(|word| user.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Header;

    fn headers(fields: &[(&str, &str)]) -> Headers {
        fields
            .iter()
            .map(|(name, value)| Header::new(HeaderName::new(name), *value))
            .collect()
    }

    fn from(text: &str) -> NameAddr {
        NameAddr::parse(text).unwrap()
    }

    #[test]
    fn an_assertion_counts_only_from_a_trusted_peer() {
        let fields = headers(&[(
            "P-Asserted-Identity",
            "\"Ann\" <sip:+15550100@carrier.example>, <tel:+15550100;verstat=TN-Validation-Passed>",
        )]);
        let written = from("<sip:+15550999@x>");
        let trusted = caller(&fields, &written, true);
        assert_eq!(trusted.user.as_deref(), Some("+15550100"));
        assert_eq!(trusted.source, IdentitySource::Asserted);
        assert_eq!(trusted.verstat.as_deref(), Some("TN-Validation-Passed"));
        let stranger = caller(&fields, &written, false);
        assert_eq!(stranger.user.as_deref(), Some("+15550999"));
        assert_eq!(stranger.source, IdentitySource::From);
    }

    #[test]
    fn withheld_numbers_are_known_for_what_they_are() {
        let anonymous = from("\"Anonymous\" <sip:anonymous@anonymous.invalid>");
        let plain = caller(&Headers::new(), &anonymous, true);
        assert!(plain.withheld && plain.user.is_none());
        let asserted = headers(&[
            ("P-Asserted-Identity", "<sip:+15550100@c>"),
            ("Privacy", "id;critical"),
        ]);
        let private = caller(&asserted, &anonymous, true);
        assert!(private.withheld);
        assert_eq!(private.user.as_deref(), Some("+15550100"));
        let remote = headers(&[(
            "Remote-Party-ID",
            "<sip:100@pbx>;party=calling;privacy=full",
        )]);
        let hidden = caller(&remote, &from("<sip:x@y>"), true);
        assert!(hidden.withheld && hidden.source == IdentitySource::RemoteParty);
        let open = headers(&[("Remote-Party-ID", "<sip:100@pbx>;privacy=off;screen=yes")]);
        assert!(!caller(&open, &from("<sip:x@y>"), true).withheld);
    }

    #[test]
    fn user_parameters_are_no_part_of_a_number() {
        let odd = from("<sip:+15550100;npdi;rn=+15550000@c;user=phone>");
        assert_eq!(
            caller(&Headers::new(), &odd, true).user.as_deref(),
            Some("+15550100")
        );
    }

    #[test]
    fn the_number_called_first_is_found() {
        let fields = headers(&[
            ("Diversion", "<sip:+15550102@c>;reason=no-answer;counter=1"),
            ("Diversion", "<sip:+15550101@c>;reason=unconditional"),
        ]);
        let found = diversion(&fields).unwrap();
        assert_eq!(found.user, "+15550101");
        assert_eq!(found.reason.as_deref(), Some("unconditional"));
        let history = headers(&[(
            "History-Info",
            "<sip:+15550101@c?Reason=SIP%3Bcause%3D302>;index=1, <sip:bot@d>;index=1.1",
        )]);
        assert_eq!(diversion(&history).unwrap().user, "+15550101");
        assert_eq!(
            diversion(&headers(&[("History-Info", "<sip:a@b>;index=1")])),
            None
        );
    }

    #[test]
    fn signatures_pass_unchanged_in_long_and_compact_form() {
        let token =
            "eyJhbGciOiJFUzI1NiJ9..sig;info=<https://cert.example/a.pem>;alg=ES256;ppt=shaken";
        let fields = headers(&[("y", token), ("Identity", "second")]);
        assert_eq!(signatures(&fields).collect::<Vec<_>>(), [token, "second"]);
    }
}
