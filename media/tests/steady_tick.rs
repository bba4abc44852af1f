//! A steady tick allocates nothing and frees nothing.
#![expect(unsafe_code, reason = "counting allocations takes a global allocator")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fixtures::virtual_clock::VirtualClock;
use media::codec::Codec;
use media::dsp::echo::{EchoBand, EchoControl};
use media::frame::SamplePosition;
use media::leg::{Generation, LegCommand, SegmentId, SpeechChunk};
use media::leg_queue::MediaLeg;
use media::protocol::rtp::RtpLegConfig;
use media::protocol::stream::{
    StreamInput, StreamLegConfig, StreamOutput, StreamPacket, StreamPayload,
};
use media::protocol::transmit::RtpPort;
use media::recording::tap::{RecordingSource, recording_queue};
use media::session::MediaSession;
use support::{A, B, Party, address, media as description, start};

struct Counting;

thread_local! {
    /// Per thread, because tests run side by side.
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: hands every request to the system allocator unchanged; the counters need neither
// allocation nor destructor. `realloc` and `alloc_zeroed` come from the trait and end here.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        BYTES.set(BYTES.get().wrapping_add(layout.size() as u64));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        COUNT.set(COUNT.get() + 1);
        BYTES.set(BYTES.get().wrapping_sub(layout.size() as u64));
        // SAFETY: `pointer` came from `alloc` above, thus from the system allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations and releases while `work` runs.
fn counted(work: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

/// Bytes kept from what `work` has allocated.
fn kept<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = BYTES.get();
    let result = work();
    (result, BYTES.get().wrapping_sub(before))
}

const TICK: Duration = Duration::from_millis(20);
const TICKS: u64 = 1_000;

/// The conversation's part, whose allocations are its own business.
fn converse(leg: &mut MediaLeg, tick: u64, speech: &Arc<[i16]>) {
    while leg.try_recv().is_some() {}
    let generation = Generation((tick / 300) as u32);
    let command = match tick % 300 {
        0 => LegCommand::Clear { generation },
        // A chunk of its own, so that a leg that dropped the last reference would free it.
        n if n % 40 == 1 => LegCommand::Play(SpeechChunk {
            segment: SegmentId(tick),
            generation,
            pcm: speech.iter().copied().collect(),
            start: 0,
            last: true,
        }),
        150 => LegCommand::Gain {
            decibel: -9.0,
            ramp_ms: 40,
        },
        200 => LegCommand::SendDigits(media::leg::DigitString::new("12")),
        _ => return,
    };
    leg.send(command).expect("room for commands");
}

fn drain(source: &mut RecordingSource) -> u64 {
    let mut blocks = 0;
    while source.pop().is_some() {
        blocks += 1;
    }
    blocks
}

#[test]
fn the_counter_counts() {
    assert_eq!(counted(|| drop(std::hint::black_box(vec![0u8; 10]))), 2);
}

fn rtp_ticks(codec: Codec) {
    let clock = VirtualClock::new();
    let origin = clock.origin();
    let config = RtpLegConfig::new(description(codec, B), "a", 1);
    let (tap, mut source) = recording_queue(if codec.pcm_rate() == 8_000 {
        8_000
    } else {
        16_000
    });
    let mut near = Party::recorded(A, &config, origin, Some(tap));
    let mut far = Party::new(B, &RtpLegConfig::new(description(codec, A), "b", 2), origin);
    let speech: Arc<[i16]> = fixtures::tone::sine(16_000, 300.0, -20.0, 9_600).into();
    let mut inside = 0;
    let mut recorded = 0;
    let mut packets: Vec<(RtpPort, Vec<u8>)> = Vec::new();
    let mut replies: Vec<(RtpPort, Vec<u8>)> = Vec::new();
    for tick in 0..TICKS {
        let now = origin + TICK * tick as u32;
        converse(&mut near.ends.leg, tick, &speech);
        converse(&mut far.ends.leg, tick, &speech);
        for (port, reply) in replies.drain(..) {
            far.session.handle_packet(now, port, address(A), &reply);
        }
        far.session.tick(now);
        packets.clear();
        while let Some(transmit) = far.session.poll_transmit() {
            // Some loss, so that concealment works too.
            if tick % 23 != 5 {
                packets.push((transmit.port, transmit.packet.to_vec()));
            }
        }
        let session = &mut near.session;
        let mut sent = [0; 2_048];
        inside += counted(|| {
            for (port, packet) in &packets {
                session.handle_packet(now, *port, address(B), packet);
            }
            session.tick(now);
        });
        while let Some(transmit) = session.poll_transmit() {
            sent[..transmit.packet.len()].copy_from_slice(transmit.packet);
            replies.push((transmit.port, sent[..transmit.packet.len()].to_vec()));
        }
        inside += counted(|| {
            std::hint::black_box(session.poll_wake());
        });
        recorded += drain(&mut source);
    }
    assert_eq!(inside, 0, "{codec:?}");
    let statistics = near.session.statistics();
    assert!(
        statistics.packets_received > 900,
        "{codec:?}: {statistics:?}"
    );
    assert!(statistics.concealed_ms > 0, "{codec:?}: {statistics:?}");
    assert!(statistics.round_trip_us < 1_000_000);
    assert!(statistics.echo.is_some(), "echo control is at work");
    assert!(recorded > 1_500, "{codec:?}: {recorded} blocks");
}

#[test]
fn an_rtp_leg_allocates_nothing() {
    rtp_ticks(Codec::Pcmu);
    rtp_ticks(Codec::G722);
    rtp_ticks(Codec::Opus);
}

#[test]
fn joined_legs_allocate_nothing() {
    let clock = VirtualClock::new();
    let origin = clock.origin();
    let mut config = RtpLegConfig::new(description(Codec::Pcmu, B), "a", 1);
    config.echo_control = false;
    let mut near = Party::new(A, &config, origin);
    let mut other = Party::new(A, &config, origin);
    let [of_near, of_other] = media::relay::relay();
    near.session = near.session.join(of_near);
    other.session = other.session.join(of_other);
    let mut far = Party::new(
        B,
        &RtpLegConfig::new(description(Codec::Pcmu, A), "b", 2),
        origin,
    );
    let speech: Arc<[i16]> = fixtures::tone::sine(16_000, 300.0, -20.0, 9_600).into();
    let mut inside = 0;
    let mut loudest = 0;
    for tick in 0..TICKS {
        let now = origin + TICK * tick as u32;
        converse(&mut far.ends.leg, tick, &speech);
        far.session.tick(now);
        let mut packets = Vec::new();
        while let Some(transmit) = far.session.poll_transmit() {
            if tick % 23 != 5 {
                packets.push((transmit.port, transmit.packet.to_vec()));
            }
        }
        inside += counted(|| {
            for (port, packet) in &packets {
                near.session.handle_packet(now, *port, address(B), packet);
            }
            near.session.tick(now);
            other.session.tick(now);
            while near.session.poll_transmit().is_some() {}
        });
        while near.ends.leg.try_recv().is_some() {}
        while other.ends.leg.try_recv().is_some() {}
        while let Some(transmit) = other.session.poll_transmit() {
            if transmit.port == RtpPort::Rtp && transmit.packet.len() == 172 {
                // Mu-law: the smaller the seven bits, the louder.
                let level = transmit.packet[12..]
                    .iter()
                    .map(|octet| 127 - (octet & 127));
                loudest = loudest.max(level.max().unwrap_or(0));
            }
        }
    }
    assert_eq!(inside, 0);
    assert!(loudest > 60, "what one hears the other says: {loudest}");
    assert!(near.session.statistics().packets_received > 900);
    assert_eq!(near.session.statistics().frames_dropped, 0);
}

#[test]
fn a_stream_leg_allocates_nothing() {
    let clock = VirtualClock::new();
    let origin = clock.origin();
    let mut config = StreamLegConfig::new(Codec::Pcmu, Codec::Pcmu);
    config.recording = Some("unused".into());
    let (tap, mut source) = recording_queue(8_000);
    let (mut session, mut ends) =
        MediaSession::stream(start(1, origin), &config, Some(tap)).expect("codecs");
    let speech: Arc<[i16]> = fixtures::tone::sine(16_000, 300.0, -20.0, 9_600).into();
    let mut inside = 0;
    let (mut pieces, mut marks, mut clears) = (0, 0, 0);
    for tick in 0..TICKS {
        let now: Instant = origin + TICK * tick as u32;
        converse(&mut ends.leg, tick, &speech);
        let packet = StreamPacket {
            sequence: tick,
            timestamp_ms: tick * 20,
            payload: StreamPayload::new(&[tick as u8; 160]).expect("fits"),
        };
        ends.port.send(StreamInput::Packet(packet)).expect("room");
        while let Some(output) = ends.port.try_recv() {
            match output {
                StreamOutput::Audio(_) => pieces += 1,
                StreamOutput::Mark { id, .. } => {
                    marks += 1;
                    ends.port.send(StreamInput::Mark(id)).expect("room");
                }
                StreamOutput::Clear => clears += 1,
                StreamOutput::End(end) => panic!("{end:?}"),
            }
        }
        inside += counted(|| {
            session.handle_stream(now);
            session.tick(now);
            std::hint::black_box(session.poll_wake());
        });
        drain(&mut source);
    }
    assert_eq!(inside, 0);
    assert!(
        pieces > 500 && marks > 50 && clears == 4,
        "{pieces} {marks} {clears}"
    );
    assert_eq!(session.statistics().frames_dropped, 0);
}

#[test]
fn echo_control_allocates_nothing_while_it_learns_and_loses_its_path() {
    let frame = 320;
    let far = fixtures::voice::speech(1, 16_000, 140.0, -20.0, 600 * frame);
    let mut control = EchoControl::new(EchoBand::Wide);
    let mut inside = 0;
    for n in 0..600 {
        // An echo of 60 ms, later of 200 ms; we are silent for a while in between.
        let silent = (250..320).contains(&n);
        let sent = if silent {
            [0; 320]
        } else {
            far[n * frame..][..frame].try_into().expect("a frame")
        };
        let delay = if n < 250 { 3 } else { 10 };
        let mut came = [0; 320];
        if n >= delay && !silent {
            for (came, far) in came.iter_mut().zip(&far[(n - delay) * frame..]) {
                *came = far / 4;
            }
        }
        let position = SamplePosition((n * frame) as u64);
        inside += counted(|| {
            control.sent(position, &sent);
            std::hint::black_box(control.process(&mut came, position, true));
        });
    }
    assert_eq!(inside, 0);
    let report = control.report();
    assert!(report.converged && report.path_changes > 0, "{report:?}");
}

#[test]
fn a_leg_with_all_its_queues_stays_below_its_budget() {
    let clock = VirtualClock::new();
    let mut config = RtpLegConfig::new(description(Codec::Pcmu, B), "a", 1);
    let (_echo, narrow) = kept(|| Box::new(EchoControl::new(EchoBand::Narrow)));
    let (_echo, wide) = kept(|| Box::new(EchoControl::new(EchoBand::Wide)));
    println!("echo control {narrow} B narrow, {wide} B wide");
    assert!(narrow <= 110 * 1_024, "{narrow} B");
    assert!(wide <= 125 * 1_024, "{wide} B");
    config.echo_control = false;
    let (_party, rtp) = kept(|| Box::new(Party::new(A, &config, clock.origin())));
    let mut stream = StreamLegConfig::new(Codec::Pcmu, Codec::Pcmu);
    stream.echo_control = false;
    let begin = start(1, clock.origin());
    let (_session, stream) = kept(|| Box::new(MediaSession::stream(begin, &stream, None)));
    let (_tap, tap) = kept(|| recording_queue(8_000));
    println!("RTP leg {rtp} B, stream leg {stream} B, recording {tap} B");
    assert!(rtp + tap <= 102 * 1_024, "{rtp} + {tap} B");
    assert!(stream + tap <= 107 * 1_024, "{stream} + {tap} B");
}
