//! What a dialog knows (RFC 3261 §12).

use crate::message::{
    Essentials, HeaderName, Headers, Method, NameAddr, ParseError, Request, Response, Uri,
};
use crate::transport::{Hop, Transport};

/// One dialog, seen from our side.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    /// Our address with our tag.
    pub(crate) local: NameAddr,
    /// The peer's address, with its tag as soon as it is known.
    pub(crate) remote: NameAddr,
    /// CSeq number of our last request.
    pub(crate) local_cseq: u32,
    /// Highest CSeq number seen from the peer.
    pub(crate) remote_cseq: Option<u32>,
    /// Where requests are addressed: the peer's Contact.
    pub(crate) remote_target: Uri,
    route_set: Vec<NameAddr>,
    /// Where the peer's last message came from, or where ours went: used when the next hop is a
    /// name, which the core cannot resolve.
    pub(crate) peer: Hop,
}

impl Dialog {
    /// The dialog of an INVITE we received (§12.1.1).
    pub(crate) fn from_request(
        request: &Request,
        essentials: &Essentials,
        local_tag: &str,
        source: Hop,
    ) -> Result<Self, ParseError> {
        let contact = request.headers.addresses(&HeaderName::Contact)?;
        Ok(Self {
            call_id: essentials.call_id.clone(),
            local: essentials.to.clone().with_tag(local_tag),
            remote: essentials.from.clone(),
            local_cseq: 0,
            remote_cseq: Some(essentials.cseq.number),
            // RFC 2543 callers may leave Contact out; From is all that is left then.
            remote_target: contact
                .into_iter()
                .next()
                .map_or_else(|| essentials.from.uri.clone(), |contact| contact.uri),
            route_set: request.headers.addresses(&HeaderName::RecordRoute)?,
            peer: source,
        })
    }

    /// The dialog to be, of an INVITE we send.
    pub(crate) fn outgoing(
        call_id: String,
        local: NameAddr,
        remote: NameAddr,
        remote_target: Uri,
        destination: Hop,
    ) -> Self {
        Self {
            call_id,
            local,
            remote,
            local_cseq: 0,
            remote_cseq: None,
            remote_target,
            route_set: Vec::new(),
            peer: destination,
        }
    }

    /// Takes what a 2xx to our INVITE says: tag, target and route set (§12.1.2, §13.2.2.4).
    /// Malformed parts are left as they were, so that the ACK can be sent anyway.
    pub(crate) fn confirm(&mut self, response: &Response, essentials: &Essentials, source: Hop) {
        self.remote = essentials.to.clone();
        self.peer = source;
        if let Ok(mut route_set) = response.headers.addresses(&HeaderName::RecordRoute) {
            route_set.reverse();
            self.route_set = route_set;
        }
        self.refresh_target(&response.headers);
    }

    /// Takes the Contact of a target refresh (§12.2).
    pub(crate) fn refresh_target(&mut self, headers: &Headers) {
        if let Ok(contacts) = headers.addresses(&HeaderName::Contact)
            && let Some(contact) = contacts.into_iter().next()
        {
            self.remote_target = contact.uri;
        }
    }

    /// Whether a request with these tags belongs here. An unknown remote tag matches any.
    pub(crate) fn matches(&self, essentials: &Essentials) -> bool {
        self.call_id == essentials.call_id
            && self
                .remote
                .tag()
                .is_none_or(|tag| essentials.from.tag() == Some(tag))
    }

    /// Takes the peer's CSeq number; `false` if it is lower than one seen (§12.2.2).
    pub(crate) fn accept_cseq(&mut self, number: u32) -> bool {
        if self.remote_cseq.is_some_and(|seen| number < seen) {
            return false;
        }
        self.remote_cseq = Some(number);
        true
    }

    /// A request within the dialog, without Via (§12.2.1.1). ACK takes `cseq` of its INVITE, all
    /// others the next number.
    pub(crate) fn request(&mut self, method: Method, cseq: Option<u32>) -> Request {
        let number = cseq.unwrap_or_else(|| {
            self.local_cseq += 1;
            self.local_cseq
        });
        let mut headers = Headers::with_capacity(14);
        headers.push(HeaderName::MaxForwards, "70");
        headers.push(HeaderName::From, self.local.to_string());
        headers.push(HeaderName::To, self.remote.to_string());
        headers.push(HeaderName::CallId, self.call_id.clone());
        headers.push(HeaderName::CSeq, format!("{number} {method}"));
        let (uri, routes) = self.routing();
        for route in routes {
            headers.push(HeaderName::Route, route);
        }
        Request {
            method,
            uri,
            headers,
            body: Vec::new(),
        }
    }

    /// Where the next request goes: the first route or the target, if it names an address. Peers
    /// on a stream are reached on it (RFC 5626 §5.3): behind NAT there is no other way, and a
    /// call must not wait for a connection to be opened. A proxy elsewhere in the route set is
    /// the exception.
    pub(crate) fn next_hop(&self) -> Hop {
        let uri = self
            .route_set
            .first()
            .map_or(&self.remote_target, |route| &route.uri);
        let Some(address) = uri.socket_addr() else {
            return self.peer;
        };
        let on_stream = self.peer.transport.is_reliable();
        if on_stream && (self.route_set.is_empty() || address.ip() == self.peer.address.ip()) {
            return self.peer;
        }
        Hop::new(Transport::of_uri(uri).unwrap_or_default(), address)
    }

    /// Request-URI and Route values; a strict router first in the set takes the place of the
    /// Request-URI.
    fn routing(&self) -> (Uri, Vec<String>) {
        let target = || self.remote_target.clone();
        match self.route_set.split_first() {
            None => (target(), Vec::new()),
            Some((first, _)) if first.uri.is_loose_router() => {
                (target(), self.route_set.iter().map(address).collect())
            }
            Some((first, rest)) => {
                let mut routes: Vec<String> = rest.iter().map(address).collect();
                routes.push(format!("<{}>", self.remote_target));
                (first.uri.clone(), routes)
            }
        }
    }
}

fn address(route: &NameAddr) -> String {
    route.to_string()
}
