//! Twilio Media Streams, bidirectional (Twilio docs: "Media Streams - WebSocket Messages").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use media::codec::Codec;
use serde_json::{Value, json};

use crate::numbers::routing::SipDestination;

use super::adapter::{
    Capabilities, CarrierAdapter, CarrierCommand, CarrierEvent, CarrierMessageError, StreamStart,
    dtmf_key, number, params,
};

/// Messages of one Twilio stream.
#[derive(Debug, Default)]
pub struct TwilioAdapter {
    stream_sid: Option<String>,
}

impl TwilioAdapter {
    /// For a stream that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn start(&mut self, message: &Value) -> Result<CarrierEvent, CarrierMessageError> {
        if self.stream_sid.is_some() {
            return Err(CarrierMessageError::OutOfOrder);
        }
        let start = &message["start"];
        let stream_ref = message["streamSid"]
            .as_str()
            .or_else(|| start["streamSid"].as_str())
            .ok_or(CarrierMessageError::Field("streamSid"))?
            .to_owned();
        let format = &start["mediaFormat"];
        if format["encoding"].as_str() != Some("audio/x-mulaw")
            || number(format.get("sampleRate")) != Some(8_000)
        {
            return Err(CarrierMessageError::Format);
        }
        self.stream_sid = Some(stream_ref.clone());
        Ok(CarrierEvent::Started(StreamStart {
            call_ref: start["callSid"].as_str().map(str::to_owned),
            stream_ref,
            from: None,
            to: None,
            params: params(start.get("customParameters")),
            receive: Codec::Pcmu,
            send: Codec::Pcmu,
        }))
    }

    fn check_stream(&self, message: &Value) -> Result<(), CarrierMessageError> {
        match (&self.stream_sid, message["streamSid"].as_str()) {
            (None, _) => Err(CarrierMessageError::OutOfOrder),
            (Some(ours), Some(theirs)) if ours == theirs => Ok(()),
            (Some(_), _) => Err(CarrierMessageError::UnknownStream),
        }
    }
}

impl CarrierAdapter for TwilioAdapter {
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
                // Only the caller's track is ours to hear.
                if media["track"].as_str().is_some_and(|t| t != "inbound") {
                    return Ok(None);
                }
                let payload = media["payload"]
                    .as_str()
                    .ok_or(CarrierMessageError::Field("media.payload"))?;
                CarrierEvent::Audio {
                    chunk: number(media.get("chunk")),
                    timestamp_ms: number(media.get("timestamp")),
                    payload: BASE64
                        .decode(payload)
                        .map_err(|_| CarrierMessageError::Audio)?,
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
            "stop" => CarrierEvent::Ended { reason: None },
            _ => return Ok(None),
        }))
    }

    fn write(&mut self, command: CarrierCommand<'_>, messages: &mut Vec<String>) {
        let Some(stream_sid) = &self.stream_sid else {
            return;
        };
        let message = match command {
            CarrierCommand::Play(audio) => json!({
                "event": "media",
                "streamSid": stream_sid,
                "media": { "payload": BASE64.encode(audio) },
            }),
            CarrierCommand::Fence { name, .. } => json!({
                "event": "mark",
                "streamSid": stream_sid,
                "mark": { "name": name },
            }),
            CarrierCommand::Clear => json!({ "event": "clear", "streamSid": stream_sid }),
        };
        messages.push(message.to_string());
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            lead_ms: 200,
            ordered: true,
            clear_echoes_fences: true,
        }
    }
}

/// TwiML that connects the call to `stream_url` both ways, with parameters for its `start`.
#[must_use]
pub fn connect_stream(stream_url: &str, parameters: &[(&str, &str)]) -> String {
    let mut twiml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Connect>");
    twiml.push_str(&format!("<Stream url=\"{}\">", xml(stream_url)));
    for (name, value) in parameters {
        twiml.push_str(&format!(
            "<Parameter name=\"{}\" value=\"{}\"/>",
            xml(name),
            xml(value)
        ));
    }
    twiml.push_str("</Stream></Connect></Response>");
    twiml
}

/// TwiML that has Twilio call a SIP address and bridge the two. Header fields go as parameters of
/// the address, as Twilio has it.
#[must_use]
pub fn dial_sip(address: &SipDestination) -> String {
    let mut uri = address.uri.clone();
    for (at, (name, value)) in address.headers.iter().enumerate() {
        uri.push(if at == 0 { '?' } else { '&' });
        let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        uri.push_str(&format!("{name}={}", value.replace('+', "%20")));
    }
    let credentials = address
        .credentials
        .as_ref()
        .map(|(user, password)| {
            format!(
                " username=\"{}\" password=\"{}\"",
                xml(user),
                xml(password.reveal())
            )
        })
        .unwrap_or_default();
    dial(&format!("<Sip{credentials}>{}</Sip>", xml(&uri)))
}

/// TwiML that has Twilio call a number and bridge the two.
#[must_use]
pub fn dial_number(number: &str) -> String {
    dial(&format!("<Number>{}</Number>", xml(number)))
}

fn dial(noun: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Dial>{noun}</Dial></Response>")
}

/// TwiML that refuses the call.
#[must_use]
pub fn reject(busy: bool) -> String {
    let reason = if busy { "busy" } else { "rejected" };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Reject reason=\"{reason}\"/></Response>"
    )
}

fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // XML 1.0 has no other control characters, escaped or not.
            c if c.is_control() && !matches!(c, '\t' | '\n' | '\r') => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTED: &str = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
    const START: &str = r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"FirstName":"Jane","token":"t"}},"streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0"}"#;
    const MEDIA: &str = r#"{"event":"media","sequenceNumber":"3","media":{"track":"inbound","chunk":"1","timestamp":"5","payload":"no+JhoaJjpzS"},"streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0"}"#;
    const DTMF: &str = r#"{"event":"dtmf","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"1"}}"#;
    const MARK: &str = r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0","mark":{"name":"my label"}}"#;
    const STOP: &str = r#"{"event":"stop","sequenceNumber":"5","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0","stop":{"accountSid":"AC1","callSid":"CA1"}}"#;

    fn started() -> TwilioAdapter {
        let mut adapter = TwilioAdapter::new();
        adapter.read(START).unwrap();
        adapter
    }

    #[test]
    fn a_stream_is_read_as_documented() {
        let mut adapter = TwilioAdapter::new();
        assert_eq!(adapter.read(CONNECTED), Ok(None));
        let Ok(Some(CarrierEvent::Started(start))) = adapter.read(START) else {
            panic!("no start");
        };
        assert_eq!(start.call_ref.as_deref(), Some("CA1"));
        assert_eq!(start.params["FirstName"], "Jane");
        assert_eq!(start.receive, Codec::Pcmu);
        assert_eq!(
            adapter.read(MEDIA),
            Ok(Some(CarrierEvent::Audio {
                chunk: Some(1),
                timestamp_ms: Some(5),
                payload: vec![0x9e, 0x8f, 0x89, 0x86, 0x86, 0x89, 0x8e, 0x9c, 0xd2],
            }))
        );
        assert_eq!(
            adapter.read(DTMF),
            Ok(Some(CarrierEvent::Dtmf { digit: b'1' }))
        );
        assert_eq!(
            adapter.read(MARK),
            Ok(Some(CarrierEvent::Played {
                name: "my label".to_owned()
            }))
        );
        assert_eq!(
            adapter.read(STOP),
            Ok(Some(CarrierEvent::Ended { reason: None }))
        );
    }

    #[test]
    fn misuse_is_an_error_not_a_panic() {
        use CarrierMessageError as E;
        let mut adapter = TwilioAdapter::new();
        assert_eq!(adapter.read(MEDIA), Err(E::OutOfOrder));
        assert_eq!(adapter.read("{"), Err(E::NotAMessage));
        assert_eq!(adapter.read("[]"), Err(E::NotAMessage));
        assert_eq!(adapter.read(r#"{"event":7}"#), Err(E::NotAMessage));
        let linear = START.replace("x-mulaw", "x-l16");
        assert_eq!(adapter.read(&linear), Err(E::Format));
        let mut adapter = started();
        assert_eq!(adapter.read(START), Err(E::OutOfOrder));
        assert_eq!(
            adapter.read(&MEDIA.replace("MZ", "XX")),
            Err(E::UnknownStream)
        );
        assert_eq!(adapter.read(&MEDIA.replace("no+J", "****")), Err(E::Audio));
        let wrong_key = DTMF.replace("\"1\"", "\"12\"");
        assert_eq!(adapter.read(&wrong_key), Err(E::Field("dtmf.digit")));
        let other_track = MEDIA.replace("inbound", "outbound");
        assert_eq!(adapter.read(&other_track), Ok(None));
        assert_eq!(adapter.read(&MARK.replace("\"mark\"", "\"new\"")), Ok(None));
    }

    #[test]
    fn commands_are_written_as_documented() {
        let mut adapter = started();
        let mut messages = Vec::new();
        adapter.write(CarrierCommand::Play(&[0xff, 0x7f]), &mut messages);
        let fence = CarrierCommand::Fence {
            name: "1-2",
            segment_end: true,
        };
        adapter.write(fence, &mut messages);
        adapter.write(CarrierCommand::Clear, &mut messages);
        let sid = "MZ18ad3ab5a668481ce02b83e7395059f0";
        let read: Vec<Value> = messages
            .iter()
            .map(|m| serde_json::from_str(m).unwrap())
            .collect();
        assert_eq!(
            read,
            [
                json!({"event": "media", "streamSid": sid, "media": {"payload": "/38="}}),
                json!({"event": "mark", "streamSid": sid, "mark": {"name": "1-2"}}),
                json!({"event": "clear", "streamSid": sid}),
            ]
        );
    }

    #[test]
    fn twiml_is_escaped() {
        let twiml = connect_stream("wss://h/x?a=1&b=\"", &[("token", "<\u{1}>")]);
        assert!(
            twiml.contains("url=\"wss://h/x?a=1&amp;b=&quot;\""),
            "{twiml}"
        );
        assert!(twiml.contains("value=\"&lt;&gt;\""), "{twiml}");
        assert!(reject(true).contains("reason=\"busy\""));
        let address = SipDestination {
            uri: "sip:a@b".to_owned(),
            credentials: Some(("u".to_owned(), crate::config::Secret::new("<p>"))),
            headers: [("X-Id".to_owned(), "a b".to_owned())].into(),
        };
        let expected =
            "<Dial><Sip username=\"u\" password=\"&lt;p&gt;\">sip:a@b?X-Id=a%20b</Sip></Dial>";
        assert!(dial_sip(&address).contains(expected));
    }
}
