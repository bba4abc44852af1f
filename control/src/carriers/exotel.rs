//! Exotel AgentStream, Voicebot applet (Exotel docs: "Working with the Stream and Voicebot
//! applet").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use media::codec::Codec;
use serde_json::{Value, json};

use super::adapter::{
    Capabilities, CarrierAdapter, CarrierCommand, CarrierEvent, CarrierMessageError, StreamStart,
    dtmf_key, number, params,
};

/// Chunks we send are a multiple of this many bytes; else the platform waits 20 ms, a gap.
pub const CHUNK_MULTIPLE: usize = 320;
/// Smallest chunk the platform wants.
pub const CHUNK_MIN: usize = 3_200;
/// Largest chunk the platform takes without timing out.
pub const CHUNK_MAX: usize = 100_000;
/// Largest chunk we send: the most whole multiples below [`CHUNK_MAX`].
const CHUNK_LIMIT: usize = CHUNK_MAX / CHUNK_MULTIPLE * CHUNK_MULTIPLE;

/// Messages of one Exotel stream.
#[derive(Debug)]
pub struct ExotelAdapter {
    stream_sid: Option<String>,
    rate: u32,
    /// Audio gathered towards the next chunk.
    gathered: Vec<u8>,
    sequence: u64,
}

impl ExotelAdapter {
    /// For a stream that has not begun; `rate` is what `?sample-rate=` asked for.
    ///
    /// Only 8000, 16000 and 24000 are spoken; others give `None`.
    #[must_use]
    pub fn new(rate: u32) -> Option<Self> {
        matches!(rate, 8_000 | 16_000 | 24_000).then(|| Self {
            stream_sid: None,
            rate,
            gathered: Vec::with_capacity(2 * CHUNK_MIN),
            sequence: 0,
        })
    }

    fn start(&mut self, message: &Value) -> Result<CarrierEvent, CarrierMessageError> {
        if self.stream_sid.is_some() {
            return Err(CarrierMessageError::OutOfOrder);
        }
        let start = &message["start"];
        let text = |key: &str| start[key].as_str().map(str::to_owned);
        let stream_ref = message["stream_sid"]
            .as_str()
            .or_else(|| start["stream_sid"].as_str())
            .ok_or(CarrierMessageError::Field("stream_sid"))?
            .to_owned();
        // What the platform says it sends wins over what the URL asked for.
        let format = &start["media_format"];
        if let Some(rate) = number(format.get("sample_rate")) {
            self.rate = match rate {
                8_000 => 8_000,
                16_000 => 16_000,
                24_000 => 24_000,
                _ => return Err(CarrierMessageError::Format),
            };
        }
        if number(format.get("bit_rate")).is_some_and(|bits| bits == 8) {
            return Err(CarrierMessageError::Format);
        }
        self.stream_sid = Some(stream_ref.clone());
        let codec = Codec::L16Le(self.rate);
        Ok(CarrierEvent::Started(StreamStart {
            call_ref: text("call_sid"),
            stream_ref,
            from: text("from"),
            to: text("to"),
            params: params(start.get("custom_parameters")),
            receive: codec,
            send: codec,
        }))
    }

    fn check_stream(&self, message: &Value) -> Result<(), CarrierMessageError> {
        match (&self.stream_sid, message["stream_sid"].as_str()) {
            (None, _) => Err(CarrierMessageError::OutOfOrder),
            (Some(ours), Some(theirs)) if ours == theirs => Ok(()),
            (Some(_), _) => Err(CarrierMessageError::UnknownStream),
        }
    }

    /// Sends what has been gathered, padded with silence to a size the platform plays without
    /// a gap.
    fn flush(&mut self, stream_sid: &str, messages: &mut Vec<String>) {
        if self.gathered.is_empty() {
            return;
        }
        for chunk in self.gathered.chunks(CHUNK_LIMIT) {
            let mut chunk = chunk.to_vec();
            chunk.resize(
                chunk.len().next_multiple_of(CHUNK_MULTIPLE).max(CHUNK_MIN),
                0,
            );
            self.sequence += 1;
            messages.push(
                json!({
                    "event": "media",
                    "sequence_number": self.sequence,
                    "stream_sid": stream_sid,
                    "media": { "chunk": self.sequence, "payload": BASE64.encode(chunk) },
                })
                .to_string(),
            );
        }
        self.gathered.clear();
    }
}

impl CarrierAdapter for ExotelAdapter {
    fn read(&mut self, text: &str) -> Result<Option<CarrierEvent>, CarrierMessageError> {
        let message: Value =
            serde_json::from_str(text).map_err(|_| CarrierMessageError::NotAMessage)?;
        let event = message["event"]
            .as_str()
            .ok_or(CarrierMessageError::NotAMessage)?;
        match event {
            "connected" => return Ok(None),
            "start" => return self.start(&message).map(Some),
            _ => self.check_stream(&message)?,
        }
        Ok(Some(match event {
            "media" => {
                let media = &message["media"];
                let payload = media["payload"]
                    .as_str()
                    .ok_or(CarrierMessageError::Field("media.payload"))?;
                let payload = BASE64
                    .decode(payload)
                    .map_err(|_| CarrierMessageError::Audio)?;
                if payload.len() % 2 != 0 {
                    return Err(CarrierMessageError::Audio);
                }
                CarrierEvent::Audio {
                    chunk: number(media.get("chunk")),
                    timestamp_ms: number(media.get("timestamp")),
                    payload,
                }
            }
            "dtmf" => CarrierEvent::Dtmf {
                digit: message["dtmf"]["digit"]
                    .as_str()
                    .and_then(dtmf_key)
                    .ok_or(CarrierMessageError::Field("dtmf.digit"))?,
            },
            "mark" => CarrierEvent::Played {
                name: message["mark"]["name"]
                    .as_str()
                    .ok_or(CarrierMessageError::Field("mark.name"))?
                    .to_owned(),
            },
            "clear" => CarrierEvent::Cleared,
            "stop" => CarrierEvent::Ended {
                reason: message["stop"]["reason"].as_str().map(str::to_owned),
            },
            _ => return Ok(None),
        }))
    }

    fn write(&mut self, command: CarrierCommand<'_>, messages: &mut Vec<String>) {
        let Some(stream_sid) = self.stream_sid.clone() else {
            return;
        };
        match command {
            CarrierCommand::Play(audio) => {
                self.gathered.extend_from_slice(audio);
                // Fences come long before this; it only bounds the memory.
                if self.gathered.len() >= CHUNK_LIMIT {
                    self.flush(&stream_sid, messages);
                }
            }
            CarrierCommand::Fence { name, .. } => {
                self.flush(&stream_sid, messages);
                self.sequence += 1;
                messages.push(
                    json!({
                        "event": "mark",
                        "sequence_number": self.sequence,
                        "stream_sid": stream_sid,
                        "mark": { "name": name },
                    })
                    .to_string(),
                );
            }
            CarrierCommand::Clear => {
                self.gathered.clear();
                messages.push(json!({ "event": "clear", "stream_sid": stream_sid }).to_string());
            }
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            // Chunks of 200 ms: one playing, one waiting, one being gathered.
            lead_ms: 500,
            ordered: true,
            clear_echoes_fences: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = r#"{"event":"start","sequence_number":"1","stream_sid":"s1","start":{"stream_sid":"s1","call_sid":"c1","account_sid":"a1","from":"09876543210","to":"08012345678","custom_parameters":{"k":"v"},"media_format":{"encoding":"audio/x-raw","sample_rate":"8000","bit_rate":"16"}}}"#;

    fn started(rate: u32) -> ExotelAdapter {
        let mut adapter = ExotelAdapter::new(rate).unwrap();
        let start = START.replace("8000", &rate.to_string());
        adapter.read(&start).unwrap();
        adapter
    }

    fn chunks(messages: &[String]) -> Vec<Vec<u8>> {
        messages
            .iter()
            .map(|m| serde_json::from_str::<Value>(m).unwrap())
            .filter(|m| m["event"] == "media")
            .map(|m| {
                BASE64
                    .decode(m["media"]["payload"].as_str().unwrap())
                    .unwrap()
            })
            .collect()
    }

    #[test]
    fn a_stream_is_read_as_documented() {
        let mut adapter = ExotelAdapter::new(8_000).unwrap();
        assert_eq!(adapter.read(r#"{"event":"connected"}"#), Ok(None));
        let Ok(Some(CarrierEvent::Started(start))) = adapter.read(START) else {
            panic!("no start");
        };
        assert_eq!(start.from.as_deref(), Some("09876543210"));
        assert_eq!(start.call_ref.as_deref(), Some("c1"));
        assert_eq!(start.receive, Codec::L16Le(8_000));
        assert_eq!(start.params["k"], "v");
        let media = r#"{"event":"media","sequence_number":3,"stream_sid":"s1","media":{"chunk":2,"timestamp":"100","payload":"AAEC/w=="}}"#;
        assert_eq!(
            adapter.read(media),
            Ok(Some(CarrierEvent::Audio {
                chunk: Some(2),
                timestamp_ms: Some(100),
                payload: vec![0, 1, 2, 255],
            }))
        );
        let odd = media.replace("AAEC/w==", "AAEC");
        assert_eq!(adapter.read(&odd), Err(CarrierMessageError::Audio));
        let dtmf = r##"{"event":"dtmf","stream_sid":"s1","dtmf":{"duration":"100","digit":"#"}}"##;
        assert_eq!(
            adapter.read(dtmf),
            Ok(Some(CarrierEvent::Dtmf { digit: b'#' }))
        );
        let stop = r#"{"event":"stop","stream_sid":"s1","stop":{"call_sid":"c1","account_sid":"a1","reason":"callended"}}"#;
        assert_eq!(
            adapter.read(stop),
            Ok(Some(CarrierEvent::Ended {
                reason: Some("callended".to_owned())
            }))
        );
    }

    #[test]
    fn the_rate_of_the_start_message_is_used() {
        for rate in [8_000, 16_000, 24_000] {
            assert_eq!(started(rate).rate, rate);
        }
        assert!(ExotelAdapter::new(11_025).is_none());
        let mut adapter = ExotelAdapter::new(8_000).unwrap();
        let start = START.replace("8000", "44100");
        assert_eq!(adapter.read(&start), Err(CarrierMessageError::Format));
    }

    #[test]
    fn chunks_have_the_documented_sizes_whatever_is_gathered() {
        for gathered in [
            2, 318, 320, 640, 3_198, 3_200, 3_202, 6_400, 99_998, 250_000,
        ] {
            let mut adapter = started(8_000);
            let mut messages = Vec::new();
            adapter.write(CarrierCommand::Play(&vec![7; gathered]), &mut messages);
            let fence = CarrierCommand::Fence {
                name: "0-1",
                segment_end: true,
            };
            adapter.write(fence, &mut messages);
            let chunks = chunks(&messages);
            for chunk in &chunks {
                assert_eq!(chunk.len() % CHUNK_MULTIPLE, 0, "{gathered}");
                assert!((CHUNK_MIN..=CHUNK_MAX).contains(&chunk.len()), "{gathered}");
            }
            let sent = chunks.concat();
            assert!(sent.len() - gathered < CHUNK_MIN, "{gathered}");
            assert!(sent[..gathered].iter().all(|b| *b == 7), "{gathered}");
            assert!(sent[gathered..].iter().all(|b| *b == 0), "{gathered}");
            assert!(messages.last().unwrap().contains("\"0-1\""));
        }
    }

    #[test]
    fn what_was_gathered_before_a_clear_is_never_sent() {
        let mut adapter = started(16_000);
        let mut messages = Vec::new();
        adapter.write(CarrierCommand::Play(&[1; 640]), &mut messages);
        adapter.write(CarrierCommand::Clear, &mut messages);
        let fence = CarrierCommand::Fence {
            name: "1-1",
            segment_end: true,
        };
        adapter.write(fence, &mut messages);
        assert!(chunks(&messages).is_empty());
        assert_eq!(messages.len(), 2);
    }
}
