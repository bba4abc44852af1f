//! Data packets: what goes over the data channels of a room.

use std::collections::HashMap;

use livekit_protocol as proto;
use prost::Message as _;
use proto::data_packet::Value;
use uuid::Uuid;

/// Channel of packets that must arrive, in order.
pub(super) const RELIABLE: &str = "_reliable";
/// Topic of transcriptions.
const TRANSCRIPTION: &str = "lk.transcription";
/// Octets of text in one packet of a stream.
const CHUNK_BYTES_MAX: usize = 15_000;

/// Who speaks in a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender<'a> {
    pub(super) identity: &'a str,
    pub(super) sid: &'a str,
}

/// Numbers packets as receivers expect it.
#[derive(Debug, Default)]
pub(super) struct Numberer {
    /// Last number for each sender: receivers drop what does not count up.
    last: u32,
}

/// A piece of the transcript.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transcription<'a> {
    pub(super) text: &'a str,
    /// Replaces what came before under the same name.
    pub(super) segment: &'a str,
    pub(super) track: &'a str,
    pub(super) is_final: bool,
}

impl Numberer {
    /// A packet ready to be sent.
    pub(super) fn packet(&mut self, sender: Sender<'_>, value: Value) -> Vec<u8> {
        self.last += 1;
        let packet = proto::DataPacket {
            participant_identity: sender.identity.to_owned(),
            participant_sid: sender.sid.to_owned(),
            sequence: self.last,
            value: Some(value),
            ..proto::DataPacket::default()
        };
        packet.encode_to_vec()
    }
}

/// The packets of a transcription: a text stream, as livekit-agents sends it.
pub(super) fn transcription(piece: &Transcription<'_>, now_ms: i64) -> Vec<Value> {
    let attributes = HashMap::from([
        ("lk.segment_id".to_owned(), piece.segment.to_owned()),
        ("lk.transcribed_track_id".to_owned(), piece.track.to_owned()),
        (
            "lk.transcription_final".to_owned(),
            piece.is_final.to_string(),
        ),
    ]);
    text_stream(TRANSCRIPTION, piece.text, attributes, now_ms)
}

/// The packet that front ends before text streams read.
pub(super) fn legacy_transcription(piece: &Transcription<'_>, identity: &str) -> Value {
    Value::Transcription(proto::Transcription {
        transcribed_participant_identity: identity.to_owned(),
        track_id: piece.track.to_owned(),
        segments: vec![proto::TranscriptionSegment {
            id: piece.segment.to_owned(),
            text: piece.text.to_owned(),
            r#final: piece.is_final,
            ..proto::TranscriptionSegment::default()
        }],
    })
}

/// Answers a remote procedure call: we have no methods for callers.
pub(super) fn refuse_rpc(request: &proto::RpcRequest) -> [Value; 2] {
    /// `UNSUPPORTED_METHOD` of LiveKit's RPC.
    const UNSUPPORTED_METHOD: u32 = 1400;
    let error = proto::RpcError {
        code: UNSUPPORTED_METHOD,
        message: "Method not supported at destination".to_owned(),
        data: String::new(),
    };
    [
        Value::RpcAck(proto::RpcAck {
            request_id: request.id.clone(),
        }),
        Value::RpcResponse(proto::RpcResponse {
            request_id: request.id.clone(),
            value: Some(proto::rpc_response::Value::Error(error)),
        }),
    ]
}

fn text_stream(
    topic: &str,
    text: &str,
    attributes: HashMap<String, String>,
    now_ms: i64,
) -> Vec<Value> {
    let stream_id = Uuid::now_v7().to_string();
    let header = proto::data_stream::Header {
        stream_id: stream_id.clone(),
        timestamp: now_ms,
        topic: topic.to_owned(),
        mime_type: "text/plain".to_owned(),
        total_length: Some(text.len() as u64),
        attributes,
        content_header: Some(proto::data_stream::header::ContentHeader::TextHeader(
            proto::data_stream::TextHeader::default(),
        )),
        ..proto::data_stream::Header::default()
    };
    let mut packets = vec![Value::StreamHeader(header)];
    for (index, chunk) in (0..).zip(chunks(text)) {
        packets.push(Value::StreamChunk(proto::data_stream::Chunk {
            stream_id: stream_id.clone(),
            chunk_index: index,
            content: chunk.as_bytes().to_vec(),
            ..proto::data_stream::Chunk::default()
        }));
    }
    packets.push(Value::StreamTrailer(proto::data_stream::Trailer {
        stream_id,
        ..proto::data_stream::Trailer::default()
    }));
    packets
}

/// Cuts text where characters end.
fn chunks(mut text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    while !text.is_empty() {
        let (chunk, rest) = text.split_at(text.floor_char_boundary(CHUNK_BYTES_MAX));
        out.push(chunk);
        text = rest;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_nothing_is_lost() {
        let text = "नमस्ते ".repeat(3_000);
        let piece = Transcription {
            text: &text,
            segment: "SG_1",
            track: "TR_1",
            is_final: true,
        };
        let packets = transcription(&piece, 5);
        let mut joined = Vec::new();
        for (at, packet) in packets.iter().enumerate() {
            match packet {
                Value::StreamHeader(header) => {
                    assert_eq!((at, header.topic.as_str()), (0, "lk.transcription"));
                    assert_eq!(header.total_length, Some(text.len() as u64));
                    assert_eq!(header.attributes["lk.transcription_final"], "true");
                }
                Value::StreamChunk(chunk) => {
                    assert_eq!(chunk.chunk_index as usize, at - 1);
                    assert!(chunk.content.len() <= CHUNK_BYTES_MAX);
                    assert!(std::str::from_utf8(&chunk.content).is_ok());
                    joined.extend_from_slice(&chunk.content);
                }
                Value::StreamTrailer(_) => assert_eq!(at, packets.len() - 1),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(joined, text.as_bytes());
    }

    #[test]
    fn packets_of_a_room_count_up() {
        let mut numberer = Numberer::default();
        let sender = Sender {
            identity: "agent",
            sid: "PA_1",
        };
        for number in 1..4 {
            let value = Value::RpcAck(proto::RpcAck::default());
            let packet = numberer.packet(sender, value);
            let read = proto::DataPacket::decode(&packet[..]).expect("a packet");
            assert_eq!(
                (read.sequence, read.participant_sid.as_str()),
                (number, "PA_1")
            );
        }
    }
}
