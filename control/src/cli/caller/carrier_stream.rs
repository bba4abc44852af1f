//! Calls an agent the way Twilio or Exotel does: answer webhook first, then the media stream.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{SinkExt, StreamExt};
use media::codec::{Codec, Decoder, Encoder, OpusSettings};
use media::dsp::resample::Resampler;
use media::frame::{FRAME_RATE, FRAME_SAMPLES};
use media::vad::VoiceActivityDetector;
use media::vad::neural::NeuralDetector;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use url::Url;

use super::carrier_playout::CarrierPlayout;
use super::line::{EVENT_CAPACITY, Line, LineEvent, LineOrder, ORDER_CAPACITY, ServerCall};
use super::stereo::StereoWriter;
use crate::carriers::twilio_signature::sign;
use crate::config::Secret;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Whose protocol is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CarrierKind {
    /// Twilio Media Streams: mu-law, 20 ms per message.
    Twilio,
    /// Exotel voice streaming: 16-bit PCM at 8 kHz, 100 ms per message.
    Exotel,
}

impl CarrierKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
            Self::Exotel => "exotel",
        }
    }

    const fn codec(self) -> Codec {
        match self {
            Self::Twilio => Codec::Pcmu,
            Self::Exotel => Codec::L16Le(8000),
        }
    }

    /// Messages are sent every this many 20 ms ticks.
    const fn ticks_per_message(self) -> usize {
        match self {
            Self::Twilio => 1,
            Self::Exotel => 5,
        }
    }

    /// Spelling of a field that Twilio writes in camel case and Exotel in snake case.
    const fn field(self, twilio: &'static str, exotel: &'static str) -> &'static str {
        match self {
            Self::Twilio => twilio,
            Self::Exotel => exotel,
        }
    }
}

/// What is needed to place the call.
#[derive(Clone, Debug)]
pub struct CarrierCall {
    /// Protocol.
    pub kind: CarrierKind,
    /// Base URL of the server, for example `http://127.0.0.1:8080`.
    pub server: Url,
    /// Agent id.
    pub agent: String,
    /// Caller's number, E.164.
    pub from: String,
    /// Called number, E.164.
    pub to: String,
    /// Credential the server expects of the carrier: Twilio's auth token or Exotel's
    /// `key:token`.
    pub secret: Option<Secret>,
    /// Where the stereo recording goes.
    pub record: Option<std::path::PathBuf>,
}

/// Where the webhook told the carrier to stream to.
struct StreamTarget {
    url: Url,
    parameters: Vec<(String, String)>,
}

/// Places the call; the line is up when this returns.
///
/// # Errors
/// When the webhook refuses, or the stream cannot be opened.
pub async fn dial(call: CarrierCall) -> anyhow::Result<Line> {
    let call_sid = format!("CA{}", uuid::Uuid::new_v4().simple());
    let stream_sid = format!("MZ{}", uuid::Uuid::new_v4().simple());
    let target = match call.kind {
        CarrierKind::Twilio => twilio_webhook(&call, &call_sid).await?,
        CarrierKind::Exotel => exotel_webhook(&call, &call_sid).await?,
    };
    let mut request = target
        .url
        .as_str()
        .into_client_request()
        .with_context(|| format!("the stream address {} is not one", target.url))?;
    match (&call.secret, call.kind) {
        (Some(token), CarrierKind::Twilio) => {
            let signature = sign(token, target.url.as_str(), &[]);
            request
                .headers_mut()
                .insert("x-twilio-signature", signature.parse()?);
        }
        (Some(pair), CarrierKind::Exotel) => {
            let basic = format!("Basic {}", BASE64.encode(pair.reveal()));
            request
                .headers_mut()
                .insert("authorization", basic.parse()?);
        }
        (None, _) => {}
    }
    let (mut socket, _) = connect_async(request)
        .await
        .with_context(|| format!("cannot open the media stream {}", target.url))?;

    for message in opening(&call, &target, &call_sid, &stream_sid) {
        socket.send(Message::text(message.to_string())).await?;
    }

    let (orders_in, orders) = mpsc::channel(ORDER_CAPACITY);
    let (events_in, events) = mpsc::channel(EVENT_CAPACITY);
    let recorder = call
        .record
        .as_deref()
        .map(|path| StereoWriter::create(path, 8000))
        .transpose()?;
    let stream = CarrierStream::new(call.kind, stream_sid, call_sid.clone(), socket, recorder)?;
    tokio::spawn(stream.run(orders, events_in));
    Ok(Line {
        server_call: ServerCall::Carrier(call_sid),
        orders: orders_in,
        events,
    })
}

async fn twilio_webhook(call: &CarrierCall, call_sid: &str) -> anyhow::Result<StreamTarget> {
    let url = call
        .server
        .join(&format!("carriers/twilio/{}/voice", call.agent))?;
    let form = [
        ("CallSid", call_sid),
        ("AccountSid", "AC00000000000000000000000000000000"),
        ("From", call.from.as_str()),
        ("To", call.to.as_str()),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("ApiVersion", "2010-04-01"),
    ];
    let body: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let mut request = reqwest::Client::new()
        .post(url.clone())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    if let Some(token) = &call.secret {
        let fields = form.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let signature = sign(token, url.as_str(), &fields);
        request = request.header("x-twilio-signature", signature);
    }
    let reply = request
        .send()
        .await
        .with_context(|| format!("the server does not answer at {url}"))?;
    let status = reply.status();
    let twiml = reply.text().await?;
    if !status.is_success() {
        bail!("the answer webhook refused the call with {status}: {twiml}");
    }
    let stream = xml_attribute(&twiml, "<Stream", "url")
        .with_context(|| format!("the answer webhook did not connect a stream: {twiml}"))?;
    let mut parameters = Vec::new();
    for piece in twiml.split("<Parameter").skip(1) {
        let piece = format!("<Parameter{piece}");
        if let (Some(name), Some(value)) = (
            xml_attribute(&piece, "<Parameter", "name"),
            xml_attribute(&piece, "<Parameter", "value"),
        ) {
            parameters.push((name, value));
        }
    }
    Ok(StreamTarget {
        url: local_scheme(&stream, &call.server)?,
        parameters,
    })
}

async fn exotel_webhook(call: &CarrierCall, call_sid: &str) -> anyhow::Result<StreamTarget> {
    let mut url = call
        .server
        .join(&format!("carriers/exotel/{}/voice", call.agent))?;
    url.query_pairs_mut().extend_pairs([
        ("CallSid", call_sid),
        ("CallFrom", call.from.as_str()),
        ("CallTo", call.to.as_str()),
        ("Direction", "incoming"),
    ]);
    let mut request = reqwest::Client::new().get(url.clone());
    if let Some((key, token)) = call
        .secret
        .as_ref()
        .and_then(|pair| pair.reveal().split_once(':'))
    {
        request = request.basic_auth(key, Some(token));
    }
    let reply = request
        .send()
        .await
        .with_context(|| format!("the server does not answer at {url}"))?;
    let status = reply.status();
    let text = reply.text().await?;
    if !status.is_success() {
        bail!("the answer webhook refused the call with {status}: {text}");
    }
    let body: Value = serde_json::from_str(&text)
        .with_context(|| format!("the answer webhook did not return JSON: {text}"))?;
    let stream = body["url"]
        .as_str()
        .with_context(|| format!("the answer webhook did not name a stream: {text}"))?;
    Ok(StreamTarget {
        url: local_scheme(stream, &call.server)?,
        parameters: Vec::new(),
    })
}

/// A stream announced under the server's public name is reached at the address we were given
/// when that one is plain HTTP, as a test or a developer's machine has it.
fn local_scheme(stream: &str, server: &Url) -> anyhow::Result<Url> {
    let mut url = Url::parse(stream).with_context(|| format!("{stream} is not an address"))?;
    if server.scheme() == "http" && url.host_str() == server.host_str() {
        // A websocket scheme can always be replaced by the other one.
        let _ = url.set_scheme("ws");
    }
    Ok(url)
}

/// Value of `attribute` in the first tag of `xml` that starts with `tag`.
fn xml_attribute(xml: &str, tag: &str, attribute: &str) -> Option<String> {
    let from = xml.find(tag)? + tag.len();
    let tag_text = &xml[from..from + xml[from..].find('>')?];
    let key = format!(" {attribute}=\"");
    let start = tag_text.find(&key)? + key.len();
    let end = start + tag_text[start..].find('"')?;
    Some(
        tag_text[start..end]
            .replace("&quot;", "\"")
            .replace("&apos;", "'")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&"),
    )
}

/// The messages a carrier opens a stream with.
fn opening(
    call: &CarrierCall,
    target: &StreamTarget,
    call_sid: &str,
    stream_sid: &str,
) -> [Value; 2] {
    let parameters: serde_json::Map<String, Value> = target
        .parameters
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    match call.kind {
        CarrierKind::Twilio => [
            json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}),
            json!({
                "event": "start",
                "sequenceNumber": "1",
                "streamSid": stream_sid,
                "start": {
                    "streamSid": stream_sid,
                    "accountSid": "AC00000000000000000000000000000000",
                    "callSid": call_sid,
                    "tracks": ["inbound"],
                    "customParameters": parameters,
                    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                },
            }),
        ],
        CarrierKind::Exotel => [
            json!({"event": "connected"}),
            json!({
                "event": "start",
                "sequence_number": "1",
                "stream_sid": stream_sid,
                "start": {
                    "stream_sid": stream_sid,
                    "call_sid": call_sid,
                    "account_sid": "samvad",
                    "from": call.from,
                    "to": call.to,
                    "custom_parameters": parameters,
                    "media_format": {
                        "encoding": "audio/x-raw", "sample_rate": "8000", "bit_rate": "16",
                    },
                },
            }),
        ],
    }
}

/// Samples of 20 ms at the carrier's 8 kHz.
const TICK_SAMPLES: usize = 160;

struct CarrierStream {
    kind: CarrierKind,
    stream_sid: String,
    call_sid: String,
    socket: Socket,
    playout: CarrierPlayout,
    speech: VecDeque<i16>,
    speaking: bool,
    /// Encoded caller audio waiting for a whole message.
    pending: Vec<u8>,
    ticks: u64,
    chunk: u64,
    sequence: u64,
    decoder: Box<dyn Decoder>,
    encoder: Box<dyn Encoder>,
    up: Resampler,
    down: Resampler,
    vad: NeuralDetector,
    recorder: Option<StereoWriter>,
}

impl CarrierStream {
    fn new(
        kind: CarrierKind,
        stream_sid: String,
        call_sid: String,
        socket: Socket,
        recorder: Option<StereoWriter>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            kind,
            stream_sid,
            call_sid,
            socket,
            playout: CarrierPlayout::default(),
            speech: VecDeque::new(),
            speaking: false,
            pending: Vec::new(),
            ticks: 0,
            chunk: 0,
            sequence: 1,
            decoder: kind.codec().decoder()?,
            encoder: kind.codec().encoder(&OpusSettings::default())?,
            up: Resampler::new(8000, FRAME_RATE)?,
            down: Resampler::new(FRAME_RATE, 8000)?,
            vad: NeuralDetector::new(),
            recorder,
        })
    }

    async fn run(mut self, mut orders: mpsc::Receiver<LineOrder>, events: mpsc::Sender<LineEvent>) {
        let (how, failed) = match self.talk(&mut orders, &events).await {
            Ok(how) => (how.to_owned(), false),
            Err(error) => (format!("the stream broke: {error}"), true),
        };
        if let Some(recorder) = self.recorder.take() {
            recorder.finish();
        }
        let _ = events.send(LineEvent::Ended { how, failed }).await;
    }

    async fn talk(
        &mut self,
        orders: &mut mpsc::Receiver<LineOrder>,
        events: &mpsc::Sender<LineEvent>,
    ) -> anyhow::Result<&'static str> {
        let mut ticks = interval(Duration::from_millis(20));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            tokio::select! {
                at = ticks.tick() => self.tick(at.into_std(), events).await?,
                message = self.socket.next() => match message {
                    None => return Ok("the agent closed the stream"),
                    Some(Ok(Message::Text(text))) => self.take_message(&text).await?,
                    Some(Ok(Message::Close(_))) => return Ok("the agent closed the stream"),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.into()),
                },
                order = orders.recv() => match order {
                    Some(LineOrder::Speak(pcm)) => {
                        self.speech.extend(pcm.iter());
                        self.speaking = true;
                    }
                    Some(LineOrder::Digits(digits)) => {
                        for key in digits.chars() {
                            self.send_digit(key).await?;
                        }
                        self.speaking = true;
                    }
                    Some(LineOrder::HangUp) | None => {
                        self.send_stop().await?;
                        self.socket.close(None).await?;
                        return Ok("the caller hung up");
                    }
                },
            }
        }
    }

    /// Sends and plays 20 ms.
    async fn tick(&mut self, now: Instant, events: &mpsc::Sender<LineEvent>) -> anyhow::Result<()> {
        let mut said = [0_i16; FRAME_SAMPLES];
        for slot in &mut said {
            *slot = self.speech.pop_front().unwrap_or(0);
        }
        let mut said_narrow = [0_i16; TICK_SAMPLES];
        self.down.process(&said, &mut said_narrow)?;
        let mut payload = [0_u8; TICK_SAMPLES * 2];
        let len = self.encoder.encode(&said_narrow, &mut payload)?;
        self.pending.extend_from_slice(&payload[..len]);
        self.ticks += 1;
        if self
            .ticks
            .is_multiple_of(self.kind.ticks_per_message() as u64)
        {
            self.send_media().await?;
        }
        if self.speaking && self.speech.is_empty() {
            self.speaking = false;
            let _ = events.send(LineEvent::Said { at: now }).await;
        }

        let bytes = len;
        let mut played = [0_u8; TICK_SAMPLES * 2];
        let got = self.playout.play(&mut played[..bytes]);
        let mut heard_narrow = [0_i16; TICK_SAMPLES];
        if got > 0 {
            self.decoder.decode(&played[..got], &mut heard_narrow)?;
        }
        let mut heard = [0_i16; FRAME_SAMPLES];
        self.up.process(&heard_narrow, &mut heard)?;
        while let Some(name) = self.playout.due_mark() {
            self.send_mark(&name).await?;
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.write(&said_narrow, &heard_narrow);
        }
        let voice = self.vad.process(&heard);
        let _ = events.send(LineEvent::Heard { voice, at: now }).await;
        Ok(())
    }

    async fn take_message(&mut self, text: &str) -> anyhow::Result<()> {
        let message: Value = serde_json::from_str(text).context("the agent sent bad JSON")?;
        let sid = self.kind.field("streamSid", "stream_sid");
        if message[sid] != json!(self.stream_sid) {
            bail!("the agent addressed another stream: {text}");
        }
        match message["event"].as_str() {
            Some("media") => {
                let payload = message["media"]["payload"]
                    .as_str()
                    .context("media without payload")?;
                let bytes = BASE64.decode(payload).context("media is not base64")?;
                if self.kind == CarrierKind::Exotel && bytes.len() % 320 != 0 {
                    bail!("a chunk of {} bytes is no multiple of 320", bytes.len());
                }
                self.playout.push_audio(&bytes);
            }
            Some("mark") => {
                let name = message["mark"]["name"].as_str().context("unnamed mark")?;
                self.playout.push_mark(name.to_owned());
            }
            Some("clear") => self.playout.clear(),
            other => bail!("the agent sent an unknown event {other:?}"),
        }
        Ok(())
    }

    async fn send_media(&mut self) -> anyhow::Result<()> {
        self.chunk += 1;
        let ms = (self.ticks - self.kind.ticks_per_message() as u64) * 20;
        let payload = BASE64.encode(std::mem::take(&mut self.pending));
        let media = match self.kind {
            CarrierKind::Twilio => json!({
                "track": "inbound", "chunk": self.chunk.to_string(),
                "timestamp": ms.to_string(), "payload": payload,
            }),
            CarrierKind::Exotel => json!({
                "chunk": self.chunk.to_string(), "timestamp": ms.to_string(), "payload": payload,
            }),
        };
        self.send("media", media).await
    }

    async fn send_digit(&mut self, key: char) -> anyhow::Result<()> {
        let dtmf = match self.kind {
            CarrierKind::Twilio => json!({"track": "inbound_track", "digit": key.to_string()}),
            CarrierKind::Exotel => json!({"digit": key.to_string(), "duration": "120"}),
        };
        self.send("dtmf", dtmf).await
    }

    async fn send_mark(&mut self, name: &str) -> anyhow::Result<()> {
        self.send("mark", json!({"name": name})).await
    }

    async fn send_stop(&mut self) -> anyhow::Result<()> {
        let stop = match self.kind {
            CarrierKind::Twilio => json!({"accountSid": "AC0", "callSid": self.call_sid}),
            CarrierKind::Exotel => {
                json!({"account_sid": "samvad", "call_sid": self.call_sid, "reason": "callended"})
            }
        };
        self.send("stop", stop).await
    }

    async fn send(&mut self, event: &str, body: Value) -> anyhow::Result<()> {
        self.sequence += 1;
        let mut message = serde_json::Map::new();
        message.insert("event".into(), json!(event));
        message.insert(
            self.kind.field("sequenceNumber", "sequence_number").into(),
            json!(self.sequence.to_string()),
        );
        message.insert(
            self.kind.field("streamSid", "stream_sid").into(),
            json!(self.stream_sid),
        );
        message.insert(event.into(), body);
        self.socket
            .send(Message::text(Value::Object(message).to_string()))
            .await
            .with_context(|| format!("{} stream", self.kind.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twiml_attributes_are_unescaped() {
        let xml = r#"<Response><Connect><Stream url="wss://h/x?a=1&amp;b=2"><Parameter name="token" value="t"/></Stream></Connect></Response>"#;
        assert_eq!(
            xml_attribute(xml, "<Stream", "url").as_deref(),
            Some("wss://h/x?a=1&b=2")
        );
        assert_eq!(
            xml_attribute(xml, "<Parameter", "value").as_deref(),
            Some("t")
        );
        assert_eq!(xml_attribute(xml, "<Dial", "url"), None);
    }
}
