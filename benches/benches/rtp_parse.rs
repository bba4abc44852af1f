//! Cost of reading and writing RTP headers and compound RTCP.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use media::rtp::packetizer::{Packetizer, PacketizerStart};
use media::rtp::rtcp::{ReportBlock, RtcpReader, RtcpWriter, SenderInfo};
use media::rtp::{RtpPacket, RtpTimestamp, SequenceNumber, Ssrc, classify};

fn packetizer() -> Packetizer {
    let start = PacketizerStart {
        ssrc: Ssrc(1),
        sequence: SequenceNumber(65_000),
        timestamp: RtpTimestamp(1),
    };
    Packetizer::new(start, 0)
}

fn rtp(criterion: &mut Criterion) {
    let mut datagram = [0; 172];
    let mut sender = packetizer();
    sender
        .packetize(&[0x7f; 160], 160, &mut datagram)
        .expect("the buffer holds a 20 ms packet");
    criterion.bench_function("rtp_parse", |bencher| {
        bencher.iter(|| {
            let datagram = black_box(&datagram);
            (classify(datagram), RtpPacket::parse(datagram))
        });
    });
    criterion.bench_function("rtp_packetize", |bencher| {
        bencher.iter(|| sender.packetize(black_box(&[0x7f; 160]), 160, &mut datagram));
    });
}

fn rtcp(criterion: &mut Criterion) {
    let mut out = [0; 128];
    let mut write = || {
        let mut writer = RtcpWriter::new(&mut out);
        let blocks = [ReportBlock::default()];
        writer
            .sender_report(Ssrc(1), SenderInfo::default(), &blocks)
            .and_then(|()| writer.source_description(Ssrc(1), b"leg@host.example"))
            .expect("the buffer holds a report");
        writer.len()
    };
    criterion.bench_function("rtcp_write", |bencher| bencher.iter(&mut write));
    let length = write();
    criterion.bench_function("rtcp_read", |bencher| {
        bencher.iter(|| RtcpReader::new(black_box(&out[..length])).count());
    });
}

criterion_group!(benches, rtp, rtcp);
criterion_main!(benches);
