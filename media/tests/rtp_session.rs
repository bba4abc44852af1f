//! RTP legs back to back in virtual time.

mod support;

use std::time::Duration;

use fixtures::network_emulator::PathConditions;
use fixtures::tone;
use media::codec::Codec;
use media::frame::{FrameOrigin, SamplePosition};
use media::leg::{DigitString, Generation, LegCommand, LegEnd, LegEvent, SegmentId};
use media::protocol::MediaLimits;
use media::protocol::rtp_media::PreparedMedia;
use media::protocol::transmit::RtpPort;
use media::recording::tap::recording_queue;
use media::recording::timeline::StereoTimeline;
use media::rtp::RtpPacket;
use support::{A, B, Call, Party, address, media as description};

const LEVEL: f64 = -20.0;

fn speech(ms: u64) -> Vec<i16> {
    tone::sine(16_000, 440.0, LEVEL, 16 * ms as usize)
}

fn perfect() -> PathConditions {
    PathConditions::default()
}

fn bad() -> PathConditions {
    PathConditions {
        loss: 0.02,
        loss_continues: 0.3,
        duplicate: 0.02,
        delay: Duration::from_millis(40),
        jitter: Duration::from_millis(20),
        reorder: 0.03,
        reorder_delay: Duration::from_millis(35),
    }
}

#[test]
fn a_tone_passes_both_ways_at_its_level() {
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus] {
        let mut call = Call::new(codec, 11, perfect());
        call.a.say(1, 0, speech(2_000));
        let other = tone::sine(16_000, 1_000.0, LEVEL, 32_000);
        call.b.say(1, 0, other);
        call.run(2_000);
        for (heard, frequency) in [(call.b.heard(), 440.0), (call.a.heard(), 1_000.0)] {
            let level = tone::level_dbfs(&heard[8_000..24_000], 16_000, frequency);
            assert!((level - LEVEL).abs() < 1.0, "{codec:?}: {level} dBFS");
        }
    }
}

#[test]
fn frames_follow_without_a_hole_over_a_bad_path() {
    for seed in 0..3 {
        let mut call = Call::new(Codec::Pcmu, seed, bad());
        call.a.say(1, 0, speech(5_000));
        call.run(5_200);
        let frames = &call.b.frames;
        assert!(frames.len() > 240, "seed {seed}: {} frames", frames.len());
        for pair in frames.windows(2) {
            assert_eq!(pair[0].end(), pair[1].position, "seed {seed}");
        }
        let statistics = call.b.session.statistics();
        assert!(statistics.packets_lost > 0, "seed {seed}");
        let concealed = frames
            .iter()
            .filter(|f| f.origin == FrameOrigin::Concealed)
            .count();
        assert!(concealed > 0, "seed {seed}");
        assert!(statistics.concealed_ms > 0, "seed {seed}");
        let level = tone::level_dbfs(&call.b.heard()[16_000..64_000], 16_000, 440.0);
        assert!((level - LEVEL).abs() < 2.0, "seed {seed}: {level} dBFS");
    }
}

#[test]
fn an_idle_leg_sends_fifty_packets_a_second() {
    let mut call = Call::new(Codec::Pcma, 3, perfect());
    call.run(2_000);
    assert_eq!(call.a.sent.len(), 100);
    let stamps: Vec<u32> = call
        .a
        .sent
        .iter()
        .map(|(_, packet)| RtpPacket::parse(packet).expect("RTP").header.timestamp.0)
        .collect();
    assert!(stamps.windows(2).all(|p| p[1].wrapping_sub(p[0]) == 160));
}

#[test]
fn any_packet_time_arrives_as_frames_of_twenty_ms() {
    for ptime in [10, 20, 30, 40, 60] {
        let mut call = Call::with(Codec::Pcmu, 5, perfect(), |a, _| a.media.ptime_ms = ptime);
        call.a.say(1, 0, speech(1_500));
        call.run(1_600);
        assert_eq!(call.a.sent.len() as u32, 1_600 / ptime, "{ptime} ms");
        let frames = &call.b.frames;
        assert!(frames.len() >= 76, "{ptime} ms: {}", frames.len());
        assert!(frames.iter().all(|f| f.origin == FrameOrigin::Received));
        assert!(frames.windows(2).all(|p| p[0].end() == p[1].position));
        let level = tone::level_dbfs(&call.b.heard()[3_200..19_200], 16_000, 440.0);
        assert!((level - LEVEL).abs() < 1.0, "{ptime} ms: {level}");
    }
}

/// PCM of everything A sent, at 8 kHz.
fn sent_pcm(party: &Party) -> Vec<i16> {
    let mut decoder = Codec::Pcmu.decoder().expect("G.711");
    let mut all = Vec::new();
    for (_, packet) in &party.sent {
        let packet = RtpPacket::parse(packet).expect("RTP");
        let mut pcm = [0; 480];
        let len = decoder.decode(packet.payload, &mut pcm).expect("G.711");
        all.extend_from_slice(&pcm[..len]);
    }
    all
}

#[test]
fn a_clear_is_silent_within_ten_ms_and_heard_is_exact() {
    let mut call = Call::new(Codec::Pcmu, 7, perfect());
    call.run(100);
    call.a.say(1, 0, speech(300));
    call.a.say(2, 0, speech(5_000));
    call.run(1_000);
    call.a.send(LegCommand::Clear {
        generation: Generation(1),
    });
    // Late synthesis of the old generation, and the new one.
    call.a.say(3, 0, speech(1_000));
    call.run(200);
    let sent = sent_pcm(&call.a);
    // The clear was taken at the tick of 1100 ms: at most 10 ms of fading follow.
    let cleared = 1_100 * 8;
    assert!(tone::rms_dbfs(&sent[cleared - 800..cleared]) > -25.0);
    assert!(tone::rms_dbfs(&sent[cleared..cleared + 40]) > -30.0);
    assert!(sent[cleared + 80..].iter().all(|s| s.abs() <= 8));
    let cleared_events: Vec<_> = call
        .a
        .events
        .iter()
        .filter_map(|event| match event {
            LegEvent::Cleared {
                generation, heard, ..
            } => Some((*generation, *heard)),
            _ => None,
        })
        .collect();
    assert_eq!(cleared_events.len(), 1);
    let (generation, heard) = cleared_events[0];
    assert_eq!(generation, Generation(1));
    let heard = heard.expect("something was heard");
    // Speech began at 100 ms; 1000 ms were sent, of which 60 ms are under way; 300 ms were
    // segment 1.
    assert_eq!(heard.segment, SegmentId(2));
    assert_eq!(heard.samples, (1_000 - 60 - 300) * 16);
    // The new generation plays.
    call.a.say(4, 1, speech(200));
    call.run(400);
    let playing: Vec<_> = call
        .a
        .events
        .iter()
        .filter_map(|event| match event {
            LegEvent::Playing { segment, .. } => Some(segment.0),
            _ => None,
        })
        .collect();
    assert_eq!(playing, [1, 2, 4]);
    let played: Vec<_> = call
        .a
        .events
        .iter()
        .filter_map(|event| match event {
            LegEvent::Played { segment, position } => Some((segment.0, position.as_ms())),
            _ => None,
        })
        .collect();
    assert_eq!(played, [(1, 400), (4, 1_500)]);
}

#[test]
fn a_clear_overtakes_speech_that_finds_no_room() {
    let mut call = Call::new(Codec::Pcmu, 7, perfect());
    for _ in 0..5 {
        for _ in 0..60 {
            call.a.say(1, 0, speech(100));
        }
        call.run(20);
    }
    let mut refused = 0;
    while call.a.ends.leg.send(support::play(1, 0, speech(1))).is_ok() {
        refused += 1;
        assert!(refused < 100);
        if refused == 5 {
            let clear = LegCommand::Clear {
                generation: Generation(1),
            };
            call.a.send(clear);
        }
    }
    call.run(20);
    let count = |call: &Call| {
        let cleared = |e: &&LegEvent| matches!(e, LegEvent::Cleared { .. });
        call.a.events.iter().filter(cleared).count()
    };
    assert_eq!(count(&call), 1);
    call.run(500);
    assert_eq!(count(&call), 1);
    let silent = sent_pcm(&call.a);
    assert!(silent[silent.len() - 3_200..].iter().all(|s| s.abs() <= 8));
}

#[test]
fn ducking_lowers_and_restores_what_is_sent() {
    let mut call = Call::new(Codec::Pcmu, 9, perfect());
    call.a.say(1, 0, speech(3_000));
    call.run(1_000);
    call.a.send(LegCommand::Gain {
        decibel: -12.0,
        ramp_ms: 20,
    });
    call.run(1_000);
    call.a.send(LegCommand::Gain {
        decibel: 0.0,
        ramp_ms: 20,
    });
    call.run(1_000);
    let sent = sent_pcm(&call.a);
    for (from_ms, level) in [(500, LEVEL), (1_500, LEVEL - 12.0), (2_500, LEVEL)] {
        let part = &sent[from_ms * 8..from_ms * 8 + 3_200];
        let measured = tone::level_dbfs(part, 8_000, 440.0);
        assert!((measured - level).abs() < 1.0, "{from_ms} ms: {measured}");
    }
}

#[test]
fn keys_pass_both_ways_as_events_over_a_bad_path() {
    for seed in 20..22 {
        let mut call = Call::new(Codec::Pcmu, seed, bad());
        call.run(500);
        call.a
            .send(LegCommand::SendDigits(DigitString::new("1905*#")));
        call.b.send(LegCommand::SendDigits(DigitString::new("42A")));
        call.run(3_000);
        assert_eq!(call.b.keys(), "1905*#", "seed {seed}");
        assert_eq!(call.a.keys(), "42A", "seed {seed}");
    }
}

#[test]
fn keys_are_tones_when_the_peer_takes_no_events() {
    let mut call = Call::with(Codec::Pcmu, 1, perfect(), |a, _| a.media.send_events = None);
    call.run(200);
    call.a.send(LegCommand::SendDigits(DigitString::new("5")));
    call.run(400);
    let sent = sent_pcm(&call.a);
    let tone_part = &sent[200 * 8 + 160..200 * 8 + 640];
    for frequency in [770.0, 1_336.0] {
        let level = tone::level_dbfs(tone_part, 8_000, frequency);
        assert!(level > -20.0, "{frequency} Hz: {level} dBFS");
    }
    assert_eq!(call.b.keys(), "");
    assert!(sent[400 * 8..].iter().all(|s| s.abs() <= 8));
}

#[test]
fn the_peer_is_followed_to_its_real_address_but_no_stranger_is() {
    let mut call = Call::new(Codec::Pcmu, 2, perfect());
    call.a_seen_as = 6_000;
    call.run(500);
    assert_eq!(call.b.session.peer(), Some(address(6_000)));
    let frames = call.b.frames.len();
    assert!(frames >= 20, "{frames}");
    // A stranger sends well-formed packets in between.
    let mut stranger = Party::new(
        9_000,
        &media::protocol::rtp::RtpLegConfig::new(description(Codec::Pcmu, B), "x", 99),
        call.clock.now(),
    );
    for _ in 0..50 {
        call.run(20);
        let now = call.clock.now();
        stranger.session.tick(now);
        while let Some(transmit) = stranger.session.poll_transmit() {
            let session = &mut call.b.session;
            session.handle_packet(now, transmit.port, address(9_000), transmit.packet);
        }
    }
    assert_eq!(call.b.session.peer(), Some(address(6_000)));
    let statistics = call.b.session.statistics();
    assert_eq!(statistics.packets_rejected, 50);
    assert_eq!(statistics.packets_lost, 0);
    // The peer moves: after a second of silence from the old place the new one is taken.
    call.a_seen_as = 7_000;
    call.run(1_500);
    assert_eq!(call.b.session.peer(), Some(address(7_000)));
    let frames = call.b.frames.len();
    call.run(1_000);
    assert_eq!(call.b.frames.len() - frames, 50);
}

#[test]
fn garbage_is_counted_and_changes_nothing() {
    let mut call = Call::new(Codec::Pcmu, 4, perfect());
    call.run(200);
    let now = call.clock.now();
    let unknown = {
        let mut packet = call.a.sent[0].1.clone();
        packet[1] = 99;
        packet
    };
    let garbage: [&[u8]; 6] = [
        &[],
        &[0x80],
        &[0xff; 40],
        &[0; 1_500],
        &[0x80, 200, 0, 9],
        &unknown,
    ];
    for packet in garbage {
        for port in [RtpPort::Rtp, RtpPort::Rtcp] {
            call.b.session.handle_packet(now, port, address(A), packet);
        }
    }
    let statistics = call.b.session.statistics();
    assert_eq!(statistics.packets_rejected, 12);
    assert_eq!(call.b.session.peer(), Some(address(A)));
    call.run(1_000);
    assert_eq!(call.b.session.statistics().packets_lost, 0);
}

fn closed(party: &Party) -> Option<LegEnd> {
    party.events.iter().find_map(|event| match event {
        LegEvent::Closed { end, .. } => Some(*end),
        _ => None,
    })
}

#[test]
fn a_leg_without_media_ends_by_the_limit_that_applies() {
    let limits = MediaLimits {
        never_came: Duration::from_secs(3),
        stopped: Duration::from_secs(2),
    };
    let dead = PathConditions {
        loss: 1.0,
        loss_continues: 1.0,
        ..PathConditions::default()
    };
    let mut call = Call::with(Codec::Pcmu, 1, dead, |_, b| b.limits = limits);
    call.run(2_980);
    assert_eq!(closed(&call.b), None);
    call.run(60);
    assert_eq!(closed(&call.b), Some(LegEnd::MediaTimeout));
    assert!(call.b.session.is_finished());

    let mut call = Call::with(Codec::Pcmu, 1, perfect(), |_, b| b.limits = limits);
    call.run(5_000);
    assert_eq!(closed(&call.b), None);
    call.to_b.set_conditions(dead);
    call.run(1_900);
    assert_eq!(closed(&call.b), None);
    call.run(200);
    assert_eq!(closed(&call.b), Some(LegEnd::MediaTimeout));
}

#[test]
fn hold_stops_the_clock_and_resume_is_not_heard_as_loss() {
    let limits = MediaLimits {
        never_came: Duration::from_secs(3),
        stopped: Duration::from_secs(2),
    };
    let mut call = Call::with(Codec::Pcmu, 1, perfect(), |_, b| b.limits = limits);
    call.run(1_000);
    let reinvite = |call: &mut Call, active: bool| {
        for (party, remote) in [(&mut call.a, B), (&mut call.b, A)] {
            let mut media = description(Codec::Pcmu, remote);
            media.sending = active;
            media.receiving = active;
            let origin = call.clock.origin();
            let prepared = PreparedMedia::new(media, origin).expect("usable");
            party.ends.orders.send(Box::new(prepared)).expect("room");
        }
    };
    reinvite(&mut call, false);
    call.run(10_000);
    assert_eq!(closed(&call.b), None);
    assert_eq!(call.a.sent.len(), 50);
    reinvite(&mut call, true);
    call.run(1_000);
    assert_eq!(closed(&call.b), None);
    assert!(call.a.sent.len() >= 99);
    let statistics = call.b.session.statistics();
    assert_eq!(statistics.packets_lost, 0);
    call.a.say(1, 0, speech(500));
    call.run(600);
    let heard = call.b.heard();
    let level = tone::level_dbfs(
        &heard[heard.len() - 6_400..heard.len() - 3_200],
        16_000,
        440.0,
    );
    assert!((level - LEVEL).abs() < 1.0, "{level}");
}

#[test]
fn a_reinvite_can_change_the_codec_in_the_middle_of_speech() {
    let mut call = Call::new(Codec::Pcmu, 1, perfect());
    call.a.say(1, 0, speech(3_000));
    call.run(1_000);
    let origin = call.clock.origin();
    // The receiver first, as an answer is sent before it is read.
    let mut both = description(Codec::G722, A);
    both.receive.push(support::payload(Codec::Pcmu));
    let prepared = PreparedMedia::new(both, origin).expect("usable");
    call.b.ends.orders.send(Box::new(prepared)).expect("room");
    call.run(40);
    let prepared = PreparedMedia::new(description(Codec::G722, B), origin).expect("usable");
    call.a.ends.orders.send(Box::new(prepared)).expect("room");
    call.run(1_500);
    assert_eq!(call.b.session.statistics().packets_rejected, 0);
    assert!(
        call.b
            .frames
            .windows(2)
            .all(|p| p[0].end() == p[1].position)
    );
    let heard = call.b.heard();
    let level = tone::level_dbfs(&heard[20_000..36_000], 16_000, 440.0);
    assert!((level - LEVEL).abs() < 1.0, "{level}");
}

#[test]
fn reports_tell_the_round_trip_and_the_loss() {
    let path = PathConditions {
        delay: Duration::from_millis(60),
        loss: 0.1,
        ..PathConditions::default()
    };
    let mut call = Call::new(Codec::Pcmu, 31, path);
    call.run(25_000);
    let statistics = call.a.session.statistics();
    let trip = statistics.round_trip_us;
    assert!((100_000..=150_000).contains(&trip), "{trip} us");
    assert!(statistics.remote_fraction_lost > 5);
    let lost = statistics.packets_lost as f64 / statistics.packets_received as f64;
    assert!((0.06..0.16).contains(&lost), "{lost}");
}

#[test]
fn closing_says_goodbye_and_reports_once() {
    let mut call = Call::new(Codec::Pcmu, 1, perfect());
    call.a.say(1, 0, speech(2_000));
    call.run(500);
    call.a.ends.switches.close();
    call.run(100);
    assert_eq!(closed(&call.a), Some(LegEnd::Closed));
    assert!(call.a.session.is_finished());
    let Some(LegEvent::Closed {
        heard, statistics, ..
    }) = call.a.events.last()
    else {
        panic!("closed comes last: {:?}", call.a.events.last());
    };
    assert_eq!(heard.map(|h| h.samples), Some((500 - 60) * 16));
    assert_eq!(statistics.packets_sent, 26);
    assert_eq!(call.a.sent.len(), 26);
}

#[test]
fn dropping_the_handle_ends_the_leg() {
    let mut call = Call::new(Codec::Pcmu, 1, perfect());
    call.run(100);
    let other = Call::new(Codec::Pcmu, 2, perfect());
    drop(std::mem::replace(&mut call.a.ends, other.a.ends));
    call.run(40);
    assert!(call.a.session.is_finished());
    assert_eq!(call.a.session.ended(), Some(LegEnd::Closed));
}

#[test]
fn both_channels_of_a_recording_lie_where_they_passed() {
    let (tap, mut source) = recording_queue(8_000);
    let mut call = Call::new(Codec::Pcmu, 1, perfect());
    let config = media::protocol::rtp::RtpLegConfig::new(description(Codec::Pcmu, B), "a", 1);
    call.a = Party::recorded(A, &config, call.clock.origin(), Some(tap));
    let mut timeline = StereoTimeline::new(8_000);
    let mut file: Vec<i16> = Vec::new();
    for ms in (0..4_000).step_by(100) {
        if ms == 1_000 {
            call.a.say(1, 0, speech(500));
            call.b.say(1, 0, speech(500));
        }
        call.run(100);
        while let Some(block) = source.pop() {
            timeline.place(&block, |run| file.extend_from_slice(run));
        }
    }
    timeline.finish(|run| file.extend_from_slice(run));
    let side = |n: usize| -> Vec<i16> { file.iter().copied().skip(n).step_by(2).collect() };
    let onset = |pcm: &[i16]| pcm.iter().position(|s| s.abs() > 500).expect("a tone") / 8;
    let (caller, agent) = (onset(&side(0)), onset(&side(1)));
    assert!((1_000..1_003).contains(&agent), "{agent} ms");
    // B's packet is read in the slot after the tick in which it was sent.
    assert!((1_000..1_020).contains(&caller), "{caller} ms");
    let tail = &side(1)[1_510 * 8..];
    assert!(tail.iter().all(|s| s.abs() <= 8));
    assert_eq!(timeline.late(), 0);
}

#[test]
fn a_stall_of_the_machine_leaves_time_out_of_both_directions() {
    let mut call = Call::new(Codec::Pcmu, 1, perfect());
    call.run(1_000);
    let sent = call.a.sent.len();
    call.a.session.skip(50);
    call.clock.advance(Duration::from_secs(1));
    call.a.say(1, 0, speech(100));
    call.run(100);
    assert!(call.a.sent.len() - sent <= 6);
    let before = RtpPacket::parse(&call.a.sent[sent - 1].1)
        .expect("RTP")
        .header;
    let after = RtpPacket::parse(&call.a.sent[sent].1).expect("RTP").header;
    assert_eq!(after.timestamp.ticks_since(before.timestamp), 160 * 51);
    assert!(after.marker);
    let position = call.a.events.iter().find_map(|event| match event {
        LegEvent::Playing { position, .. } => Some(*position),
        _ => None,
    });
    assert_eq!(position, Some(SamplePosition::from_ms(2_000)));
}
