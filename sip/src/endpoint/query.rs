//! OPTIONS of ours: whether a peer is there (RFC 3261 §11).

use std::time::Instant;

use rand::RngExt as _;

use super::Endpoint;
use super::tables::Purpose;
use crate::event::{Event, QueryId};
use crate::message::{HeaderName, Headers, Method, NameAddr, Request, StatusCode, Uri};
use crate::sdp::SDP_MEDIA_TYPE;
use crate::transport::Hop;

impl Endpoint {
    /// Asks a peer by OPTIONS; [`Event::Queried`] follows.
    pub fn options(
        &mut self,
        now: Instant,
        target: Uri,
        destination: impl Into<Hop>,
        from: NameAddr,
    ) -> QueryId {
        let destination = destination.into();
        let id = self.random.random();
        let mut headers = Headers::with_capacity(8);
        headers.push(HeaderName::MaxForwards, "70");
        let tag = self.new_tag();
        headers.push(HeaderName::From, from.with_tag(&tag).to_string());
        headers.push(HeaderName::To, NameAddr::new(target.clone()).to_string());
        headers.push(HeaderName::CallId, self.new_call_id());
        headers.push(HeaderName::CSeq, "1 OPTIONS");
        headers.push(HeaderName::Contact, self.contact(destination.transport));
        headers.push(HeaderName::Accept, SDP_MEDIA_TYPE);
        let request = Request {
            method: Method::Options,
            uri: target,
            headers,
            body: Vec::new(),
        };
        self.send_request(now, request, destination, Purpose::Options(id));
        QueryId(id)
    }

    pub(super) fn on_query_result(&mut self, id: u64, result: Option<(StatusCode, &Headers)>) {
        self.events.push_back(Event::Queried {
            query: QueryId(id),
            status: result.map(|(status, _)| status),
            headers: result.map_or_else(Headers::new, |(_, headers)| headers.clone()),
        });
    }
}
