//! Header fields as an ordered list with lookups by name.

use std::fmt;

use super::scan::split_unquoted;
use super::{NameAddr, ParseError};

macro_rules! header_names {
    ($($variant:ident = $name:literal, $lower:literal $(, $compact:literal)?;)*) => {
        /// Name of a header field; comparison ignores case (RFC 3261 §7.3.1).
        #[derive(Clone, Debug)]
        pub enum HeaderName {
            $(#[doc = concat!("`", $name, "`.")] $variant,)*
            /// A field this crate has no name for, spelling kept.
            Other(Box<str>),
        }

        impl HeaderName {
            /// Name of a field from its long or compact form.
            #[must_use]
            pub fn new(name: &str) -> Self {
                let mut buffer = [0_u8; 32];
                if let Some(lower) = buffer.get_mut(..name.len()) {
                    lower.copy_from_slice(name.as_bytes());
                    lower.make_ascii_lowercase();
                    match &*lower {
                        $($lower $(| $compact)? => return Self::$variant,)*
                        _ => {}
                    }
                }
                Self::Other(name.into())
            }

            /// Long form on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }
        }
    };
}

header_names! {
    Accept = "Accept", b"accept";
    AcceptEncoding = "Accept-Encoding", b"accept-encoding";
    AcceptLanguage = "Accept-Language", b"accept-language";
    Allow = "Allow", b"allow";
    AllowEvents = "Allow-Events", b"allow-events", b"u";
    Authorization = "Authorization", b"authorization";
    CallId = "Call-ID", b"call-id", b"i";
    Contact = "Contact", b"contact", b"m";
    ContentDisposition = "Content-Disposition", b"content-disposition";
    ContentEncoding = "Content-Encoding", b"content-encoding", b"e";
    ContentLength = "Content-Length", b"content-length", b"l";
    ContentType = "Content-Type", b"content-type", b"c";
    CSeq = "CSeq", b"cseq";
    Date = "Date", b"date";
    Diversion = "Diversion", b"diversion";
    Event = "Event", b"event", b"o";
    Expires = "Expires", b"expires";
    From = "From", b"from", b"f";
    HistoryInfo = "History-Info", b"history-info";
    Identity = "Identity", b"identity", b"y";
    MaxForwards = "Max-Forwards", b"max-forwards";
    MinExpires = "Min-Expires", b"min-expires";
    MinSe = "Min-SE", b"min-se";
    PAssertedIdentity = "P-Asserted-Identity", b"p-asserted-identity";
    PCalledPartyId = "P-Called-Party-ID", b"p-called-party-id";
    Privacy = "Privacy", b"privacy";
    ProxyAuthenticate = "Proxy-Authenticate", b"proxy-authenticate";
    ProxyAuthorization = "Proxy-Authorization", b"proxy-authorization";
    ProxyRequire = "Proxy-Require", b"proxy-require";
    RAck = "RAck", b"rack";
    Reason = "Reason", b"reason";
    RecordRoute = "Record-Route", b"record-route";
    ReferSub = "Refer-Sub", b"refer-sub";
    ReferTo = "Refer-To", b"refer-to", b"r";
    ReferredBy = "Referred-By", b"referred-by", b"b";
    RemotePartyId = "Remote-Party-ID", b"remote-party-id";
    Replaces = "Replaces", b"replaces";
    Require = "Require", b"require";
    RetryAfter = "Retry-After", b"retry-after";
    Route = "Route", b"route";
    RSeq = "RSeq", b"rseq";
    Server = "Server", b"server";
    SessionExpires = "Session-Expires", b"session-expires", b"x";
    Subject = "Subject", b"subject", b"s";
    SubscriptionState = "Subscription-State", b"subscription-state";
    Supported = "Supported", b"supported", b"k";
    Timestamp = "Timestamp", b"timestamp";
    To = "To", b"to", b"t";
    Unsupported = "Unsupported", b"unsupported";
    UserAgent = "User-Agent", b"user-agent";
    UserToUser = "User-to-User", b"user-to-user";
    Via = "Via", b"via", b"v";
    Warning = "Warning", b"warning";
    WwwAuthenticate = "WWW-Authenticate", b"www-authenticate";
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other(a), Self::Other(b)) => a.eq_ignore_ascii_case(b),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Eq for HeaderName {}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One header field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Its name.
    pub name: HeaderName,
    value: String,
}

impl Header {
    /// A header field; line ends and other controls in `value` become spaces, so that no value
    /// can begin a header of its own.
    #[must_use]
    pub fn new(name: HeaderName, value: impl Into<String>) -> Self {
        let mut value = value.into();
        if value.bytes().any(|b| matches!(b, b'\r' | b'\n')) {
            value = value.replace(['\r', '\n'], " ");
        }
        Self { name, value }
    }

    /// Its value, unfolded.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// Header fields in message order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers(Vec<Header>);

impl Headers {
    /// No header fields.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Room for `count` fields.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// Appends a field.
    pub fn push(&mut self, name: HeaderName, value: impl Into<String>) {
        self.0.push(Header::new(name, value));
    }

    /// Appends a field.
    pub fn push_header(&mut self, header: Header) {
        self.0.push(header);
    }

    /// Removes every field of that name.
    pub fn remove(&mut self, name: &HeaderName) {
        self.0.retain(|header| header.name != *name);
    }

    /// Replaces every field of that name by one.
    pub fn set(&mut self, name: HeaderName, value: impl Into<String>) {
        self.remove(&name);
        self.push(name, value);
    }

    /// Replaces the value of the first field of that name, in place.
    pub fn replace_first(&mut self, name: &HeaderName, value: impl Into<String>) {
        if let Some(header) = self.0.iter_mut().find(|header| header.name == *name) {
            *header = Header::new(header.name.clone(), value);
        }
    }

    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fields in order.
    pub fn iter(&self) -> impl Iterator<Item = &Header> {
        self.0.iter()
    }

    /// Value of the first field of that name.
    #[must_use]
    pub fn first(&self, name: &HeaderName) -> Option<&str> {
        self.all(name).next()
    }

    /// Value of the first field with that name, given as text in long or compact form.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&str> {
        self.first(&HeaderName::new(name))
    }

    /// Values of all fields of that name, one per line of the message.
    pub fn all(&self, name: &HeaderName) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |header| header.name == *name)
            .map(Header::value)
    }

    /// Elements of a comma-separated list, over all lines of that name.
    pub fn list(&self, name: &HeaderName) -> impl Iterator<Item = &str> {
        self.all(name)
            .flat_map(|value| split_unquoted(value, b','))
            .filter_map(Result::ok)
            .map(str::trim)
            .filter(|element| !element.is_empty())
    }

    /// Whether a comma-separated list of tokens holds `token`, without case.
    #[must_use]
    pub fn lists(&self, name: &HeaderName, token: &str) -> bool {
        self.list(name)
            .any(|element| element.eq_ignore_ascii_case(token))
    }

    /// Addresses of a field that may have several (Contact, Route, Record-Route).
    ///
    /// # Errors
    /// If any of them is malformed.
    pub fn addresses(&self, name: &HeaderName) -> Result<Vec<NameAddr>, ParseError> {
        let mut addresses = Vec::new();
        for value in self.all(name) {
            for element in split_unquoted(value, b',') {
                addresses.push(NameAddr::parse(element?)?);
            }
        }
        Ok(addresses)
    }
}

impl FromIterator<Header> for Headers {
    fn from_iter<T: IntoIterator<Item = Header>>(headers: T) -> Self {
        Self(headers.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_and_odd_spelling_name_the_same_field() {
        assert_eq!(HeaderName::new("I"), HeaderName::CallId);
        assert_eq!(HeaderName::new("cAlL-iD"), HeaderName::CallId);
        assert_eq!(HeaderName::new("X-Tenant"), HeaderName::new("x-tenant"));
        assert_ne!(HeaderName::new("X-Tenant"), HeaderName::new("X-Other"));
    }

    #[test]
    fn values_cannot_smuggle_a_line() {
        let header = Header::new(HeaderName::Subject, "a\r\nVia: evil");
        assert_eq!(header.value(), "a  Via: evil");
    }

    #[test]
    fn lists_span_lines_and_respect_quotes() {
        let mut headers = Headers::new();
        headers.push(HeaderName::Supported, "timer, 100rel");
        headers.push(HeaderName::Supported, "replaces");
        assert!(headers.lists(&HeaderName::Supported, "100REL"));
        assert_eq!(headers.list(&HeaderName::Supported).count(), 3);
        headers.push(HeaderName::Contact, "\"a,b\" <sip:a,x@b>, <sip:c@d>");
        assert_eq!(headers.addresses(&HeaderName::Contact).unwrap().len(), 2);
    }
}
