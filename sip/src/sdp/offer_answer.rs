//! Offer and answer for one audio stream (RFC 3264, RFC 3551, RFC 4733, RFC 7587).

use std::net::{IpAddr, SocketAddr};

use media::codec::Codec;
use media::rtp::srtp::SrtpKeys;

use super::crypto::{self, LocalSrtp};
use super::{Attribute, Connection, Direction, MediaDescription, Origin, SessionDescription};

/// Payload type we give Opus in our offers.
const OPUS_PAYLOAD_TYPE: u8 = 96;
/// Payload type we give telephone events at 8 kHz in our offers; 101 is what everybody expects.
const EVENT_8000_PAYLOAD_TYPE: u8 = 101;
/// Payload type we give telephone events at 48 kHz in our offers.
const EVENT_48000_PAYLOAD_TYPE: u8 = 102;
/// Packet times we send, in ms.
const PTIME_MS: std::ops::RangeInclusive<u16> = 10..=60;

/// Whose order decides when several codecs fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CodecPreference {
    /// The order of [`LocalMedia::codecs`].
    #[default]
    Ours,
    /// The order of the offer.
    Theirs,
}

/// Our side of the stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalMedia {
    /// Address in `c=` and `o=`.
    pub address: IpAddr,
    /// RTP port.
    pub rtp_port: u16,
    /// RTCP port if it is not `rtp_port + 1`.
    pub rtcp_port: Option<u16>,
    /// Whether RTCP on the RTP port is offered and accepted (RFC 5761).
    pub rtcp_mux: bool,
    /// Codecs we speak, best first. `L16Le` is not an RTP codec and is left out.
    pub codecs: Vec<Codec>,
    /// Whose order decides in an answer.
    pub preference: CodecPreference,
    /// Whether telephone events (RFC 4733) are offered and accepted.
    pub telephone_event: bool,
    /// Packet time we ask for, in ms.
    pub ptime_ms: u16,
    /// What we want to do; a peer's hold narrows it further.
    pub direction: Direction,
    /// `o=` session id: constant during a call.
    pub session_id: u64,
    /// `o=` version: plus one whenever our description changes.
    pub session_version: u64,
    /// Encryption; `None` takes plain RTP only.
    pub srtp: Option<LocalSrtp>,
}

/// A telephone-event format.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TelephoneEvent {
    /// RTP payload type.
    pub payload_type: u8,
    /// RTP clock in Hz: 8000 or 48000.
    pub clock: u32,
}

/// What both sides agreed on, seen from ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NegotiatedAudio {
    /// Codec we send.
    pub codec: Codec,
    /// Payload type we send it with: the number the peer wrote.
    pub send_payload_type: u8,
    /// Payload types we may receive, with their codecs.
    pub receive_payload_types: Vec<(u8, Codec)>,
    /// Telephone events we may send, the one on the codec's clock first. Empty: none agreed.
    pub telephone_event_send: Vec<TelephoneEvent>,
    /// Telephone events we may receive.
    pub telephone_event_receive: Vec<TelephoneEvent>,
    /// Where our RTP goes; the unspecified address means nowhere for now (old-style hold).
    pub remote_rtp: SocketAddr,
    /// Where our RTCP goes.
    pub remote_rtcp: SocketAddr,
    /// Whether RTCP shares the RTP port.
    pub rtcp_mux: bool,
    /// Packet time to send, in ms.
    pub ptime_ms: u16,
    /// Whether we send and receive.
    pub direction: Direction,
    /// Whether the peer can use Opus in-band error correction (RFC 7587 §6.1 `useinbandfec`).
    pub opus_inband_fec: bool,
    /// Keys, if the stream is encrypted.
    pub srtp: Option<SrtpKeys>,
}

/// Why no audio could be agreed on; answered with 488.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// No audio stream, or all refused.
    #[error("no audio stream")]
    NoAudio,
    /// The transport profile is none of RTP, or does not fit our wish for encryption.
    #[error("transport profile is not supported")]
    Profile,
    /// No common codec.
    #[error("no common codec")]
    NoCommonCodec,
    /// No address, or a name where an address is needed.
    #[error("connection address is unusable")]
    Address,
    /// The answer does not have the streams of the offer.
    #[error("answer does not match the offer")]
    Mismatch,
}

/// The offer for our side: every codec we speak.
#[must_use]
pub fn offer(local: &LocalMedia) -> SessionDescription {
    let encrypts = local.srtp.as_ref().filter(|srtp| srtp.required);
    let profile = if encrypts.is_some() {
        "RTP/SAVP"
    } else {
        "RTP/AVP"
    };
    let mut stream = StreamWriter::new(profile, local);
    let opus = local.codecs.contains(&Codec::Opus);
    for &codec in &local.codecs {
        let number = match codec {
            Codec::Opus => OPUS_PAYLOAD_TYPE,
            other => match other.static_payload_type() {
                Some(number) => number,
                None => continue,
            },
        };
        stream.codec(number, codec);
    }
    if local.telephone_event {
        stream.telephone_event(TelephoneEvent {
            payload_type: EVENT_8000_PAYLOAD_TYPE,
            clock: 8_000,
        });
        if opus {
            stream.telephone_event(TelephoneEvent {
                payload_type: EVENT_48000_PAYLOAD_TYPE,
                clock: 48_000,
            });
        }
    }
    if let Some(srtp) = encrypts {
        stream.0.attributes.extend(srtp.offered());
    }
    let media = stream.finish(local, local.rtcp_mux, local.ptime_ms, local.direction);
    describe(local, vec![media])
}

/// Answers an offer: our description and what it means for our leg.
///
/// One codec is answered, with the offerer's number; streams other than the chosen audio are
/// refused in place (RFC 3264 §6).
///
/// # Errors
/// [`NegotiationError`] when the offer has to be refused with 488.
pub fn negotiate(
    offer: &SessionDescription,
    local: &LocalMedia,
) -> Result<(SessionDescription, NegotiatedAudio), NegotiationError> {
    let mut error = NegotiationError::NoAudio;
    for (index, stream) in offer.media.iter().enumerate() {
        if !stream.is_active_audio() {
            continue;
        }
        match negotiate_stream(offer, stream, local) {
            Ok((answered, audio)) => {
                let mut answered = Some(answered);
                let media = offer
                    .media
                    .iter()
                    .enumerate()
                    .map(|(at, stream)| match answered.take_if(|_| at == index) {
                        Some(answered) => answered,
                        None => refused(stream),
                    })
                    .collect();
                return Ok((describe(local, media), audio));
            }
            Err(reason) => error = reason,
        }
    }
    Err(error)
}

/// Reads the answer to our own offer.
///
/// # Errors
/// [`NegotiationError`] when the answer leaves no usable audio: the call has to end.
pub fn accept_answer(
    offer: &SessionDescription,
    answer: &SessionDescription,
) -> Result<NegotiatedAudio, NegotiationError> {
    let (index, ours) = offer.audio().ok_or(NegotiationError::NoAudio)?;
    let theirs = answer.media.get(index).ok_or(NegotiationError::Mismatch)?;
    if theirs.kind != ours.kind {
        return Err(NegotiationError::Mismatch);
    }
    if theirs.port == 0 {
        return Err(NegotiationError::NoAudio);
    }
    let srtp = crypto::chosen(ours, theirs);
    if is_secure(&ours.protocol) && srtp.is_none() {
        return Err(NegotiationError::Profile);
    }
    let (our_formats, their_formats) = (Formats::read(ours), Formats::read(theirs));
    let mut common = their_formats
        .codecs
        .iter()
        .filter_map(|&(number, codec)| Some((number, codec, our_formats.number_of(codec)?)));
    let (send_payload_type, codec, _) = common.next().ok_or(NegotiationError::NoCommonCodec)?;
    let answered = |codec| their_formats.number_of(codec).is_some();
    let remote = Remote::read(answer, theirs)?;
    let rtcp_mux = ours.has("rtcp-mux") && theirs.has("rtcp-mux");
    let events = |from: &Formats, other: &Formats| {
        let agreed = |event: &TelephoneEvent| other.has_event(event.clock);
        by_clock(from.events.iter().copied().filter(agreed), codec)
    };
    Ok(NegotiatedAudio {
        codec,
        send_payload_type,
        receive_payload_types: our_formats
            .codecs
            .iter()
            .copied()
            .filter(|&(_, codec)| answered(codec))
            .collect(),
        telephone_event_send: events(&their_formats, &our_formats),
        telephone_event_receive: events(&our_formats, &their_formats),
        remote_rtp: remote.rtp,
        remote_rtcp: remote.rtcp(rtcp_mux),
        rtcp_mux,
        ptime_ms: ptime(theirs).or_else(|| ptime(ours)).unwrap_or(20),
        direction: offer
            .direction_of(ours)
            .and(answer.direction_of(theirs).reversed()),
        opus_inband_fec: inband_fec(theirs, send_payload_type),
        srtp,
    })
}

fn negotiate_stream(
    offer: &SessionDescription,
    stream: &MediaDescription,
    local: &LocalMedia,
) -> Result<(MediaDescription, NegotiatedAudio), NegotiationError> {
    // Some peers offer keys with the plain profile: best effort.
    let encrypted = local.srtp.as_ref().and_then(|srtp| srtp.answer(stream));
    let must_encrypt = local.srtp.as_ref().is_some_and(|srtp| srtp.required);
    let is_known = match stream.protocol.as_str() {
        "RTP/AVP" | "RTP/AVPF" => encrypted.is_some() || !must_encrypt,
        profile => is_secure(profile) && encrypted.is_some(),
    };
    if !is_known {
        return Err(NegotiationError::Profile);
    }
    let (crypto_line, srtp) = encrypted.unzip();
    let formats = Formats::read(stream);
    let chosen = match local.preference {
        CodecPreference::Ours => local
            .codecs
            .iter()
            .find_map(|&codec| Some((formats.number_of(codec)?, codec))),
        CodecPreference::Theirs => formats
            .codecs
            .iter()
            .copied()
            .find(|(_, codec)| local.codecs.contains(codec)),
    };
    let (number, codec) = chosen.ok_or(NegotiationError::NoCommonCodec)?;
    let remote = Remote::read(offer, stream)?;
    let mut events = Vec::new();
    if local.telephone_event {
        events = by_clock(formats.events.iter().copied(), codec);
        if events
            .first()
            .is_some_and(|event| event.clock == codec.rtp_clock())
        {
            events.retain(|event| event.clock == codec.rtp_clock());
        }
    }
    let rtcp_mux = local.rtcp_mux && stream.has("rtcp-mux");
    let direction = local.direction.and(offer.direction_of(stream).reversed());
    // Our own packet time follows what the offerer wants to receive (RFC 4566 §6).
    let ptime_ms = ptime(stream).unwrap_or(local.ptime_ms);
    let mut writer = StreamWriter::new(&stream.protocol, local);
    writer.codec(number, codec);
    for &event in &events {
        writer.telephone_event(event);
    }
    writer.0.attributes.extend(crypto_line);
    let media = writer.finish(local, rtcp_mux, ptime_ms, direction);
    let audio = NegotiatedAudio {
        codec,
        send_payload_type: number,
        receive_payload_types: vec![(number, codec)],
        telephone_event_send: events.clone(),
        telephone_event_receive: events,
        remote_rtp: remote.rtp,
        remote_rtcp: remote.rtcp(rtcp_mux),
        rtcp_mux,
        ptime_ms,
        direction,
        opus_inband_fec: inband_fec(stream, number),
        srtp,
    };
    Ok((media, audio))
}

fn is_secure(profile: &str) -> bool {
    matches!(profile, "RTP/SAVP" | "RTP/SAVPF")
}

/// Payload types of a stream that we understand.
struct Formats {
    codecs: Vec<(u8, Codec)>,
    events: Vec<TelephoneEvent>,
}

impl Formats {
    fn read(stream: &MediaDescription) -> Self {
        let mut formats = Self {
            codecs: Vec::new(),
            events: Vec::new(),
        };
        let numbers = stream.formats.iter().filter_map(|f| f.parse::<u8>().ok());
        for number in numbers.filter(|&n| n < 128) {
            match stream.for_payload_type("rtpmap", number) {
                Some(map) => formats.read_map(number, map),
                None => {
                    // Static types need no rtpmap (RFC 3551 §6).
                    let codec = [Codec::Pcmu, Codec::Pcma, Codec::G722]
                        .into_iter()
                        .find(|codec| codec.static_payload_type() == Some(number));
                    formats.codecs.extend(codec.map(|codec| (number, codec)));
                }
            }
        }
        formats
    }

    fn read_map(&mut self, payload_type: u8, map: &str) {
        let mut fields = map.split('/').map(str::trim);
        let (Some(name), Some(Ok(clock))) = (fields.next(), fields.next().map(str::parse::<u32>))
        else {
            return;
        };
        let channels = fields.next().map_or(Ok(1), str::parse::<u8>);
        if name.eq_ignore_ascii_case("telephone-event") {
            if matches!(clock, 8_000 | 48_000) {
                self.events.push(TelephoneEvent {
                    payload_type,
                    clock,
                });
            }
            return;
        }
        let known = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus];
        let codec = known.into_iter().find(|codec| {
            name.eq_ignore_ascii_case(codec.name())
                && clock == codec.rtp_clock()
                && channels == Ok(codec.rtpmap_channels())
        });
        self.codecs.extend(codec.map(|codec| (payload_type, codec)));
    }

    fn number_of(&self, codec: Codec) -> Option<u8> {
        self.codecs
            .iter()
            .find(|(_, other)| *other == codec)
            .map(|(number, _)| *number)
    }

    fn has_event(&self, clock: u32) -> bool {
        self.events.iter().any(|event| event.clock == clock)
    }
}

/// Events with the codec's own clock first.
fn by_clock(events: impl Iterator<Item = TelephoneEvent>, codec: Codec) -> Vec<TelephoneEvent> {
    let mut events: Vec<_> = events.collect();
    events.sort_by_key(|event| event.clock != codec.rtp_clock());
    events
}

struct Remote {
    rtp: SocketAddr,
    /// RTCP unless it shares the RTP port.
    split_rtcp: SocketAddr,
}

impl Remote {
    fn read(
        session: &SessionDescription,
        stream: &MediaDescription,
    ) -> Result<Self, NegotiationError> {
        let ip = session
            .connection_of(stream)
            .and_then(Connection::ip)
            .ok_or(NegotiationError::Address)?;
        let rtp = SocketAddr::new(ip, stream.port);
        Ok(Self {
            rtp,
            split_rtcp: read_rtcp(stream, rtp),
        })
    }

    const fn rtcp(&self, rtcp_mux: bool) -> SocketAddr {
        if rtcp_mux { self.rtp } else { self.split_rtcp }
    }
}

/// `a=rtcp:port [IN IP4 address]` (RFC 3605), else the next port.
fn read_rtcp(stream: &MediaDescription, rtp: SocketAddr) -> SocketAddr {
    let written = stream.attribute("rtcp").and_then(|value| {
        let mut fields = value.split_ascii_whitespace();
        let port = fields.next()?.parse().ok()?;
        let ip = fields.nth(2).and_then(|ip| ip.parse().ok());
        Some(SocketAddr::new(ip.unwrap_or(rtp.ip()), port))
    });
    written.unwrap_or_else(|| SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1)))
}

/// The packet time the writer wants to receive, within what we send and its own maximum.
fn ptime(stream: &MediaDescription) -> Option<u16> {
    let read = |name| stream.attribute(name)?.trim().parse::<u16>().ok();
    let maximum = read("maxptime").unwrap_or(*PTIME_MS.end());
    let wanted = match read("ptime") {
        Some(ptime) => ptime,
        None if maximum < 20 => maximum,
        None => return None,
    };
    // Only whole tens can be packetised.
    let ptime = wanted.min(maximum) / 10 * 10;
    Some(ptime.clamp(*PTIME_MS.start(), *PTIME_MS.end()))
}

fn inband_fec(stream: &MediaDescription, payload_type: u8) -> bool {
    stream
        .for_payload_type("fmtp", payload_type)
        .is_some_and(|parameters| {
            parameters
                .split(';')
                .any(|p| p.trim().eq_ignore_ascii_case("useinbandfec=1"))
        })
}

fn refused(stream: &MediaDescription) -> MediaDescription {
    MediaDescription {
        kind: stream.kind.clone(),
        port: 0,
        port_count: None,
        protocol: stream.protocol.clone(),
        formats: stream.formats.clone(),
        connection: None,
        other: Vec::new(),
        attributes: Vec::new(),
    }
}

fn describe(local: &LocalMedia, media: Vec<MediaDescription>) -> SessionDescription {
    SessionDescription {
        origin: Origin {
            username: "-".to_owned(),
            session_id: local.session_id.to_string(),
            session_version: local.session_version.to_string(),
            address: Connection::Ip(local.address),
        },
        name: "-".to_owned(),
        connection: Some(Connection::Ip(local.address)),
        time: "0 0".to_owned(),
        other: Vec::new(),
        attributes: Vec::new(),
        media,
    }
}

/// Collects the formats of our audio stream.
struct StreamWriter(MediaDescription);

impl StreamWriter {
    fn new(protocol: &str, local: &LocalMedia) -> Self {
        Self(MediaDescription {
            kind: "audio".to_owned(),
            port: local.rtp_port,
            port_count: None,
            protocol: protocol.to_owned(),
            formats: Vec::new(),
            connection: None,
            other: Vec::new(),
            attributes: Vec::new(),
        })
    }

    fn codec(&mut self, number: u8, codec: Codec) {
        let channels = match codec.rtpmap_channels() {
            1 => String::new(),
            channels => format!("/{channels}"),
        };
        let map = format!("{number} {}/{}{channels}", codec.name(), codec.rtp_clock());
        self.0.formats.push(number.to_string());
        self.0.attributes.push(Attribute::new("rtpmap", map));
        if codec == Codec::Opus {
            let parameters = format!("{number} useinbandfec=1");
            self.0.attributes.push(Attribute::new("fmtp", parameters));
        }
    }

    fn telephone_event(&mut self, event: TelephoneEvent) {
        let number = event.payload_type;
        let map = format!("{number} telephone-event/{}", event.clock);
        self.0.formats.push(number.to_string());
        self.0.attributes.push(Attribute::new("rtpmap", map));
        let keys = format!("{number} 0-15");
        self.0.attributes.push(Attribute::new("fmtp", keys));
    }

    fn finish(
        mut self,
        local: &LocalMedia,
        rtcp_mux: bool,
        ptime_ms: u16,
        direction: Direction,
    ) -> MediaDescription {
        let attributes = &mut self.0.attributes;
        attributes.push(Attribute::new("ptime", ptime_ms.to_string()));
        if let Some(port) = local.rtcp_port {
            attributes.push(Attribute::new("rtcp", port.to_string()));
        }
        if rtcp_mux {
            attributes.push(Attribute::flag("rtcp-mux"));
        }
        attributes.push(Attribute::flag(direction.as_str()));
        self.0
    }
}
