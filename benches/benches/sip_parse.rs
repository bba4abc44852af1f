//! Reading a SIP message: our parser beside the `rsip` crate.
//!
//! Both sides deliver the same: the message and its typed Via, From, To, Call-ID and CSeq, which
//! every message needs before it can be matched to a transaction.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rsip::headers::ToTypedHeader as _;
use rsip::prelude::{HeadersExt as _, UntypedHeader as _};

const INVITE: &str = "INVITE sip:+15550100@192.0.2.10:5060 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.20:5060;rport;branch=z9hG4bK87asdks7\r\n\
    Max-Forwards: 70\r\n\
    From: \"Caller\" <sip:+15550111@example.com>;tag=a73kszlfl\r\n\
    To: <sip:+15550100@example.com>\r\n\
    Call-ID: 1j9FpLxk3uxtm8tn@192.0.2.20\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:+15550111@192.0.2.20:5060;transport=udp>\r\n\
    Record-Route: <sip:192.0.2.30;lr>\r\n\
    Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE\r\n\
    Supported: timer, 100rel\r\n\
    P-Asserted-Identity: <sip:+15550111@example.com>\r\n\
    User-Agent: Carrier/4.2\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: BODY\r\n\r\n\
    v=0\r\no=- 3899 3899 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

const OK: &str = "SIP/2.0 200 OK\r\n\
    Via: SIP/2.0/UDP 192.0.2.20:5060;rport=5060;branch=z9hG4bK87asdks7;received=192.0.2.20\r\n\
    From: \"Caller\" <sip:+15550111@example.com>;tag=a73kszlfl\r\n\
    To: <sip:+15550100@example.com>;tag=1928301774\r\n\
    Call-ID: 1j9FpLxk3uxtm8tn@192.0.2.20\r\n\
    CSeq: 2 BYE\r\n\
    Content-Length: 0\r\n\r\n";

fn with_rsip(bytes: &[u8]) -> usize {
    let message = rsip::SipMessage::try_from(bytes).expect("message is valid");
    let via = message.via_header().expect("has Via");
    let from = message.from_header().expect("has From");
    let to = message.to_header().expect("has To");
    let cseq = message.cseq_header().expect("has CSeq");
    let call_id = message.call_id_header().expect("has Call-ID");
    via.typed().expect("valid").params.len()
        + from.typed().expect("valid").params.len()
        + to.typed().expect("valid").params.len()
        + cseq.typed().expect("valid").seq as usize
        + call_id.value().len()
}

fn with_ours(bytes: &[u8]) -> usize {
    let parsed = sip::message::parse(bytes)
        .expect("message is valid")
        .expect("message is not empty");
    parsed.essentials.call_id.len() + parsed.essentials.cseq.number as usize
}

fn sip_parse(criterion: &mut Criterion) {
    let body = INVITE.split_once("\r\n\r\n").expect("has a body").1;
    let invite = INVITE.replace("BODY", &body.len().to_string());
    for (name, message) in [("invite", invite.as_str()), ("response", OK)] {
        let mut group = criterion.benchmark_group(format!("sip_parse/{name}"));
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function("ours", |bencher| {
            bencher.iter(|| with_ours(std::hint::black_box(message.as_bytes())));
        });
        group.bench_function("rsip", |bencher| {
            bencher.iter(|| with_rsip(std::hint::black_box(message.as_bytes())));
        });
        group.finish();
    }
}

criterion_group!(benches, sip_parse);
criterion_main!(benches);
