//! Offer and answer between us and the peers of the field.

use std::net::SocketAddr;

use media::codec::Codec;

use super::*;

fn local(codecs: &[Codec]) -> LocalMedia {
    LocalMedia {
        address: [192, 0, 2, 1].into(),
        rtp_port: 40_000,
        rtcp_port: None,
        rtcp_mux: true,
        codecs: codecs.to_vec(),
        preference: CodecPreference::Ours,
        telephone_event: true,
        ptime_ms: 20,
        direction: Direction::SendRecv,
        session_id: 5,
        session_version: 1,
        srtp: None,
    }
}

/// A peer's description with these lines from `m=` on.
fn peer(media: &str) -> SessionDescription {
    let text = format!("v=0\no=- 1 1 IN IP4 192.0.2.2\ns=-\nc=IN IP4 192.0.2.2\nt=0 0\n{media}");
    SessionDescription::parse(text.as_bytes()).unwrap()
}

fn agreed(media: &str, codecs: &[Codec]) -> (SessionDescription, NegotiatedAudio) {
    negotiate(&peer(media), &local(codecs)).unwrap()
}

const ALL: [Codec; 4] = [Codec::Opus, Codec::G722, Codec::Pcmu, Codec::Pcma];

#[test]
fn our_offer_lists_every_codec_and_both_event_clocks() {
    let text = offer(&local(&ALL)).to_string();
    for line in [
        "m=audio 40000 RTP/AVP 96 9 0 8 101 102",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 useinbandfec=1",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:102 telephone-event/48000",
        "a=ptime:20",
        "a=rtcp-mux",
        "a=sendrecv",
        "o=- 5 1 IN IP4 192.0.2.1",
        "c=IN IP4 192.0.2.1",
    ] {
        assert!(text.contains(&format!("{line}\r\n")), "{line} in {text}");
    }
    let narrow = offer(&local(&[Codec::Pcmu])).to_string();
    assert!(
        narrow.contains("m=audio 40000 RTP/AVP 0 101\r\n"),
        "{narrow}"
    );
}

#[test]
fn linear_pcm_is_never_offered() {
    let text = offer(&local(&[Codec::L16Le(16_000), Codec::Pcmu])).to_string();
    assert!(text.contains("RTP/AVP 0 101\r\n"), "{text}");
}

#[test]
fn preference_decides_between_several_codecs() {
    let media = "m=audio 4000 RTP/AVP 8 0 9\n";
    let mut ours = local(&[Codec::G722, Codec::Pcmu, Codec::Pcma]);
    let chosen = |local: &LocalMedia| negotiate(&peer(media), local).unwrap().1.codec;
    assert_eq!(chosen(&ours), Codec::G722);
    ours.preference = CodecPreference::Theirs;
    assert_eq!(chosen(&ours), Codec::Pcma);
}

#[test]
fn answer_uses_the_numbers_of_the_offerer() {
    let (answer, audio) = agreed(
        "m=audio 4000 RTP/AVP 111 0 126 110\na=rtpmap:111 OPUS/48000/2\n\
         a=fmtp:111 minptime=10; useinbandfec=1\na=rtpmap:126 telephone-event/8000\n\
         a=rtpmap:110 telephone-event/48000\n",
        &ALL,
    );
    assert_eq!(audio.codec, Codec::Opus);
    assert_eq!(audio.send_payload_type, 111);
    assert_eq!(audio.receive_payload_types, [(111, Codec::Opus)]);
    let event = TelephoneEvent {
        payload_type: 110,
        clock: 48_000,
    };
    assert_eq!(audio.telephone_event_send, [event]);
    assert!(audio.opus_inband_fec);
    assert_eq!(answer.media[0].formats, ["111", "110"]);
}

#[test]
fn opus_falls_back_to_events_at_8_khz_if_that_is_all_there_is() {
    let (_, audio) = agreed(
        "m=audio 4000 RTP/AVP 111 101\na=rtpmap:111 opus/48000/2\na=rtpmap:101 telephone-event/8000\n",
        &ALL,
    );
    let event = TelephoneEvent {
        payload_type: 101,
        clock: 8_000,
    };
    assert_eq!(audio.telephone_event_receive, [event]);
}

#[test]
fn static_types_need_no_rtpmap_and_dynamic_ones_do() {
    assert_eq!(
        agreed("m=audio 4000 RTP/AVP 8\n", &ALL).1.codec,
        Codec::Pcma
    );
    let unmapped = negotiate(&peer("m=audio 4000 RTP/AVP 97 300 x\n"), &local(&ALL));
    assert_eq!(unmapped.unwrap_err(), NegotiationError::NoCommonCodec);
    // A static number may be mapped to something else; the map wins.
    let remapped = negotiate(
        &peer("m=audio 4000 RTP/AVP 0\na=rtpmap:0 G726-32/8000\n"),
        &local(&ALL),
    );
    assert_eq!(remapped.unwrap_err(), NegotiationError::NoCommonCodec);
}

#[test]
fn answer_keeps_the_order_of_streams_and_refuses_all_but_one() {
    let (answer, audio) = agreed(
        "m=video 5000 RTP/AVP 31\nm=audio 0 RTP/AVP 0\nm=audio 5004 RTP/SAVP 0\n\
         m=audio 5006 RTP/AVP 0\nm=audio 5008 RTP/AVP 8\n",
        &ALL,
    );
    let ports: Vec<(&str, u16)> = answer
        .media
        .iter()
        .map(|media| (media.kind.as_str(), media.port))
        .collect();
    assert_eq!(
        ports,
        [
            ("video", 0),
            ("audio", 0),
            ("audio", 0),
            ("audio", 40_000),
            ("audio", 0)
        ]
    );
    assert_eq!(
        audio.remote_rtp,
        "192.0.2.2:5006".parse::<SocketAddr>().unwrap()
    );
}

#[test]
fn nothing_in_common_names_the_reason() {
    let error = |media: &str| negotiate(&peer(media), &local(&ALL)).unwrap_err();
    assert_eq!(error(""), NegotiationError::NoAudio);
    assert_eq!(
        error("m=video 5000 RTP/AVP 31\n"),
        NegotiationError::NoAudio
    );
    assert_eq!(
        error("m=audio 5000 RTP/SAVP 0\n"),
        NegotiationError::Profile
    );
    assert_eq!(
        error("m=audio 5000 RTP/AVP 18\n"),
        NegotiationError::NoCommonCodec
    );
    assert_eq!(
        error("m=audio 5000 RTP/AVP 0\nc=IN IP4 media.example.com\n"),
        NegotiationError::Address
    );
}

#[test]
fn directions_are_mirrored_and_narrowed() {
    for (offered, answered) in [
        ("sendrecv", Direction::SendRecv),
        ("sendonly", Direction::RecvOnly),
        ("recvonly", Direction::SendOnly),
        ("inactive", Direction::Inactive),
    ] {
        let media = format!("m=audio 4000 RTP/AVP 0\na={offered}\n");
        let (answer, audio) = agreed(&media, &ALL);
        assert_eq!(audio.direction, answered, "{offered}");
        assert!(answer.media[0].has(answered.as_str()));
        // The same written for the whole session counts as well.
        let session = peer("m=audio 4000 RTP/AVP 0\n").to_string();
        let session = session.replace("t=0 0\r\n", &format!("t=0 0\r\na={offered}\r\n"));
        let session = SessionDescription::parse(session.as_bytes()).unwrap();
        let (_, audio) = negotiate(&session, &local(&ALL)).unwrap();
        assert_eq!(audio.direction, answered, "{offered}");
    }
    let mut holding = local(&ALL);
    holding.direction = Direction::SendOnly;
    let (_, audio) = negotiate(&peer("m=audio 4000 RTP/AVP 0\n"), &holding).unwrap();
    assert_eq!(audio.direction, Direction::SendOnly);
}

#[test]
fn old_style_hold_stops_our_sending() {
    let (_, audio) = agreed("m=audio 4000 RTP/AVP 0\nc=IN IP4 0.0.0.0\n", &ALL);
    assert_eq!(audio.direction, Direction::RecvOnly);
    assert!(audio.remote_rtp.ip().is_unspecified());
}

#[test]
fn rtcp_goes_where_the_peer_says() {
    let rtcp = |lines: &str| {
        let (_, audio) = agreed(&format!("m=audio 4000 RTP/AVP 0\n{lines}"), &ALL);
        (audio.remote_rtcp.to_string(), audio.rtcp_mux)
    };
    assert_eq!(rtcp(""), ("192.0.2.2:4001".to_owned(), false));
    assert_eq!(rtcp("a=rtcp:4100\n"), ("192.0.2.2:4100".to_owned(), false));
    assert_eq!(
        rtcp("a=rtcp:4100 IN IP4 192.0.2.3\n"),
        ("192.0.2.3:4100".to_owned(), false)
    );
    assert_eq!(rtcp("a=rtcp-mux\n"), ("192.0.2.2:4000".to_owned(), true));
    // Without multiplexing on our side the next port it is, even if the peer would.
    let mut split = local(&ALL);
    split.rtcp_mux = false;
    let (answer, audio) = negotiate(&peer("m=audio 4000 RTP/AVP 0\na=rtcp-mux\n"), &split).unwrap();
    assert!(!audio.rtcp_mux);
    assert!(!answer.media[0].has("rtcp-mux"));
    assert_eq!(audio.remote_rtcp.port(), 4001);
}

#[test]
fn packet_time_follows_the_peer_within_bounds() {
    let ptime = |lines: &str| {
        agreed(&format!("m=audio 4000 RTP/AVP 0\n{lines}"), &ALL)
            .1
            .ptime_ms
    };
    assert_eq!(ptime(""), 20);
    assert_eq!(ptime("a=ptime:30\n"), 30);
    assert_eq!(ptime("a=ptime:240\n"), 60);
    assert_eq!(ptime("a=ptime:40\na=maxptime:20\n"), 20);
    assert_eq!(ptime("a=ptime:25\n"), 20);
    assert_eq!(ptime("a=ptime:0\n"), 10);
    assert_eq!(ptime("a=ptime:x\n"), 20);
}

#[test]
fn answer_to_our_offer_is_read_from_our_side() {
    let ours = offer(&local(&ALL));
    let answer = peer(
        "m=audio 6000 RTP/AVP 0 8 100\na=rtpmap:100 telephone-event/8000\na=sendonly\na=ptime:30\n",
    );
    let audio = accept_answer(&ours, &answer).unwrap();
    assert_eq!(audio.codec, Codec::Pcmu);
    assert_eq!(audio.send_payload_type, 0);
    assert_eq!(
        audio.receive_payload_types,
        [(0, Codec::Pcmu), (8, Codec::Pcma)]
    );
    // We send with the peer's number and receive with our own.
    assert_eq!(audio.telephone_event_send[0].payload_type, 100);
    assert_eq!(audio.telephone_event_receive[0].payload_type, 101);
    assert_eq!(audio.telephone_event_receive.len(), 1);
    assert_eq!(audio.direction, Direction::RecvOnly);
    assert_eq!(audio.ptime_ms, 30);
    assert_eq!(
        audio.remote_rtp,
        "192.0.2.2:6000".parse::<SocketAddr>().unwrap()
    );
}

#[test]
fn unusable_answers_are_told_apart() {
    let ours = offer(&local(&ALL));
    let error = |media: &str| accept_answer(&ours, &peer(media)).unwrap_err();
    assert_eq!(error(""), NegotiationError::Mismatch);
    assert_eq!(
        error("m=video 5000 RTP/AVP 31\n"),
        NegotiationError::Mismatch
    );
    assert_eq!(error("m=audio 0 RTP/AVP 0\n"), NegotiationError::NoAudio);
    assert_eq!(
        error("m=audio 5000 RTP/AVP 18\n"),
        NegotiationError::NoCommonCodec
    );
}

#[test]
fn both_sides_of_an_exchange_agree() {
    for codec in ALL {
        let caller = local(&ALL);
        let mut callee = local(&[codec]);
        callee.address = [192, 0, 2, 2].into();
        let ours = offer(&caller);
        let (answer, theirs) = negotiate(&ours, &callee).unwrap();
        let audio = accept_answer(&ours, &answer).unwrap();
        assert_eq!(audio.codec, theirs.codec);
        assert_eq!(audio.send_payload_type, theirs.receive_payload_types[0].0);
        assert_eq!(audio.telephone_event_send, theirs.telephone_event_receive);
        assert_eq!(audio.telephone_event_send[0].clock, codec.rtp_clock());
        assert_eq!(audio.rtcp_mux, theirs.rtcp_mux);
    }
}

fn srtp(required: bool) -> Option<LocalSrtp> {
    let mut material = [0; 46];
    for (byte, number) in material.iter_mut().zip(1..) {
        *byte = number;
    }
    Some(LocalSrtp { required, material })
}

fn secured(lines: &str, profile: &str) -> SessionDescription {
    let text = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n\
         m=audio 4000 {profile} 0\r\n{lines}"
    );
    SessionDescription::parse(text.as_bytes()).unwrap()
}

const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

#[test]
fn an_encrypted_offer_is_answered_with_its_tag_and_our_key() {
    let lines = format!(
        "a=crypto:1 F8_128_HMAC_SHA1_80 inline:{KEY}\r\n\
         a=crypto:07 aes_cm_128_hmac_sha1_80 inline:{KEY}|2^20|1:4\r\n\
         a=crypto:9 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|2^48\r\n"
    );
    for profile in ["RTP/SAVP", "RTP/AVP"] {
        let mut us = local(&[Codec::Pcmu]);
        us.srtp = srtp(false);
        let (answer, audio) = negotiate(&secured(&lines, profile), &us).unwrap();
        let keys = audio.srtp.unwrap();
        assert_eq!(keys.receive.material().len(), 30);
        let stream = &answer.media[0];
        assert_eq!(stream.protocol, profile);
        let ours = stream.attribute("crypto").unwrap();
        assert!(
            ours.starts_with("9 AES_CM_128_HMAC_SHA1_32 inline:AQIDBA"),
            "{ours}"
        );
    }
}

#[test]
fn both_sides_of_an_encrypted_call_have_each_others_keys() {
    let mut caller = local(&[Codec::Pcmu]);
    caller.srtp = srtp(true);
    let mut callee = local(&[Codec::Pcmu]);
    callee.srtp = srtp(false).map(|mut srtp| {
        srtp.material[0] = 99;
        srtp
    });
    let ours = offer(&caller);
    assert_eq!(ours.media[0].protocol, "RTP/SAVP");
    let (answer, theirs) = negotiate(&ours, &callee).unwrap();
    let accepted = accept_answer(&ours, &answer).unwrap();
    let (a, b) = (accepted.srtp.unwrap(), theirs.srtp.unwrap());
    assert_eq!(a.send, b.receive);
    assert_eq!(a.receive, b.send);
    assert_ne!(a.send, a.receive);
}

#[test]
fn encryption_policy_decides_what_is_refused() {
    let plain = secured("", "RTP/AVP");
    let short = secured(
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n",
        "RTP/SAVP",
    );
    let weak = secured(
        &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP\r\n"),
        "RTP/SAVP",
    );
    let good = secured(
        &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n"),
        "RTP/SAVP",
    );
    let outcome = |offer: &SessionDescription, wish| {
        let mut us = local(&[Codec::Pcmu]);
        us.srtp = wish;
        negotiate(offer, &us).map(|(_, audio)| audio.srtp.is_some())
    };
    let refused = Err(NegotiationError::Profile);
    assert_eq!(outcome(&plain, srtp(false)), Ok(false));
    assert_eq!(outcome(&plain, srtp(true)), refused);
    assert_eq!(outcome(&good, srtp(true)), Ok(true));
    for offer in [&short, &weak] {
        assert_eq!(outcome(offer, srtp(false)), refused);
    }
    assert_eq!(outcome(&good, None), refused);
    let mut us = local(&[Codec::Pcmu]);
    us.srtp = srtp(true);
    let ours = offer(&us);
    let unanswered = secured("", "RTP/SAVP");
    assert_eq!(
        accept_answer(&ours, &unanswered).unwrap_err(),
        NegotiationError::Profile
    );
}
