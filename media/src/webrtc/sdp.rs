//! Session descriptions of browsers (RFC 8829): an offer is read, an answer is written.
//!
//! Everything is bundled on one transport (RFC 9143). Of the offered sections one audio section
//! carries our voice, those that send bring the caller's, the data section the channels; video is
//! answered as inactive, so that sections and their order stay as the browser has them.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::data_channels::MESSAGE_BYTES_MAX;
use super::stun::IceCredentials;

/// Longest description that is read.
pub const SDP_BYTES_MAX: usize = 128 * 1024;
/// Most sections that are read.
const SECTIONS_MAX: usize = 32;

/// Why an offer cannot be answered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// Longer than [`SDP_BYTES_MAX`] or of too many sections.
    #[error("the description is too long")]
    TooLong,
    /// Not a session description.
    #[error("this is not a session description: {0}")]
    Malformed(&'static str),
    /// A thing is missing without which there is no connection.
    #[error("the offer has no {0}")]
    Missing(&'static str),
    /// Something in it is not supported.
    #[error("{0}")]
    Unsupported(&'static str),
}

/// Which way the media of a section goes, seen from the describer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Direction {
    /// It sends.
    pub sends: bool,
    /// It receives.
    pub receives: bool,
}

/// What a section is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SectionKind {
    /// `m=audio`.
    Audio,
    /// `m=video`.
    Video,
    /// `m=application` with data channels.
    Data,
}

/// A section of an offer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// What it is about.
    pub kind: SectionKind,
    /// `a=mid`.
    pub mid: String,
    /// Direction as offered.
    pub direction: Direction,
    /// Payload types with their `a=rtpmap`, in the order of the section's first line.
    pub payloads: Vec<(u8, String)>,
    /// Track id of `a=msid`.
    pub track: Option<String>,
    /// Port zero: the section is not in use.
    pub rejected: bool,
}

/// An offer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// Its sections.
    pub sections: Vec<Section>,
    /// The peer's credentials.
    pub ice: IceCredentials,
    /// SHA-256 of the peer's certificate.
    pub fingerprint: [u8; 32],
}

/// Payload types of audio that both know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AudioPayloads {
    /// Opus.
    pub opus: u8,
    /// Telephone events at 48 kHz.
    pub telephone_event: Option<u8>,
}

impl Offer {
    /// Reads an offer.
    ///
    /// # Errors
    /// See [`OfferError`].
    pub fn read(text: &str) -> Result<Self, OfferError> {
        if text.len() > SDP_BYTES_MAX {
            return Err(OfferError::TooLong);
        }
        let mut reader = Reader::default();
        let mut lines = text.lines();
        if lines.next() != Some("v=0") {
            return Err(OfferError::Malformed("it does not begin with v=0"));
        }
        for line in lines {
            let Some((kind, value)) = line.split_once('=') else {
                continue;
            };
            match kind {
                "m" => reader.section(value)?,
                "a" => reader.attribute(value)?,
                _ => {}
            }
        }
        reader.finish()
    }

    /// The payload types of Opus and telephone events, by the first audio section that has Opus.
    #[must_use]
    pub fn audio_payloads(&self) -> Option<AudioPayloads> {
        self.sections
            .iter()
            .filter(|section| section.kind == SectionKind::Audio && !section.rejected)
            .find_map(|section| {
                let find = |name: &str| {
                    let named = |map: &str| map.eq_ignore_ascii_case(name);
                    let found = section.payloads.iter().find(|(_, map)| named(map));
                    found.map(|(payload_type, _)| *payload_type)
                };
                Some(AudioPayloads {
                    opus: find("opus/48000/2")?,
                    telephone_event: find("telephone-event/48000"),
                })
            })
    }

    /// The section for our voice: one that only receives, if there is one, else one both ways.
    #[must_use]
    pub fn voice_section(&self) -> Option<usize> {
        let receives = |section: &Section| {
            section.kind == SectionKind::Audio && !section.rejected && section.direction.receives
        };
        let only = |s: &Section| receives(s) && !s.direction.sends;
        let position = self.sections.iter().position(only);
        position.or_else(|| self.sections.iter().position(receives))
    }

    /// Whether the peer sends audio.
    #[must_use]
    pub fn sends_audio(&self) -> bool {
        self.sections.iter().any(|section| {
            section.kind == SectionKind::Audio && !section.rejected && section.direction.sends
        })
    }
}

#[derive(Default)]
struct Reader {
    sections: Vec<Section>,
    ufrag: Option<String>,
    password: Option<String>,
    fingerprint: Option<[u8; 32]>,
}

impl Reader {
    fn section(&mut self, value: &str) -> Result<(), OfferError> {
        let mut words = value.split_ascii_whitespace();
        let kind = match words.next() {
            Some("audio") => SectionKind::Audio,
            Some("video") => SectionKind::Video,
            Some("application") => SectionKind::Data,
            _ => {
                return Err(OfferError::Unsupported(
                    "only audio, video and data are known",
                ));
            }
        };
        let port = words
            .next()
            .ok_or(OfferError::Malformed("m= without a port"))?;
        let _protocol = words.next();
        let payloads = words.filter_map(|word| word.parse().ok());
        if self.sections.len() >= SECTIONS_MAX {
            return Err(OfferError::TooLong);
        }
        self.sections.push(Section {
            kind,
            mid: String::new(),
            direction: Direction {
                sends: true,
                receives: true,
            },
            payloads: payloads.map(|payload| (payload, String::new())).collect(),
            track: None,
            rejected: port == "0",
        });
        Ok(())
    }

    fn attribute(&mut self, value: &str) -> Result<(), OfferError> {
        let (name, value) = value.split_once(':').unwrap_or((value, ""));
        let value = value.trim();
        match name {
            "ice-ufrag" => drop(self.ufrag.get_or_insert_with(|| value.to_owned())),
            "ice-pwd" => drop(self.password.get_or_insert_with(|| value.to_owned())),
            "fingerprint" => {
                if let Some(digest) = sha256(value) {
                    self.fingerprint.get_or_insert(digest);
                }
            }
            "setup" if value == "passive" => {
                return Err(OfferError::Unsupported(
                    "the offer wants us to open DTLS; a=setup:actpass or active is answered",
                ));
            }
            _ => self.section_attribute(name, value),
        }
        Ok(())
    }

    fn section_attribute(&mut self, name: &str, value: &str) {
        let Some(section) = self.sections.last_mut() else {
            return;
        };
        let direction = |sends, receives| Direction { sends, receives };
        match name {
            "mid" => section.mid = value.to_owned(),
            "sendrecv" => section.direction = direction(true, true),
            "sendonly" => section.direction = direction(true, false),
            "recvonly" => section.direction = direction(false, true),
            "inactive" => section.direction = direction(false, false),
            "msid" => {
                let track = value.split_ascii_whitespace().nth(1);
                section.track = track.map(str::to_owned);
            }
            "rtpmap" => {
                if let Some((payload_type, map)) = value.split_once(' ')
                    && let Ok(payload_type) = payload_type.parse::<u8>()
                    && let Some(own) = section.payloads.iter_mut().find(|p| p.0 == payload_type)
                {
                    own.1 = map.to_owned();
                }
            }
            _ => {}
        }
    }

    fn finish(self) -> Result<Offer, OfferError> {
        let Self {
            sections,
            ufrag,
            password,
            fingerprint,
        } = self;
        if sections.is_empty() {
            return Err(OfferError::Missing("section"));
        }
        // A mid is written into our answer; a browser's is a short token (RFC 5888 §4).
        let token = |c: char| c.is_ascii_graphic();
        let fine = |mid: &str| !mid.is_empty() && mid.len() <= 64 && mid.chars().all(token);
        if !sections.iter().all(|section| fine(&section.mid)) {
            return Err(OfferError::Missing("a=mid in each section"));
        }
        Ok(Offer {
            sections,
            ice: IceCredentials {
                ufrag: ufrag.ok_or(OfferError::Missing("a=ice-ufrag"))?,
                password: password.ok_or(OfferError::Missing("a=ice-pwd"))?,
            },
            fingerprint: fingerprint.ok_or(OfferError::Missing("a=fingerprint with sha-256"))?,
        })
    }
}

/// Our side of a connection, as an answer tells it.
#[derive(Clone, Copy, Debug)]
pub struct Answering<'a> {
    /// Our credentials.
    pub ice: &'a IceCredentials,
    /// Fingerprint of our certificate.
    pub fingerprint: &'a str,
    /// Where we can be reached, best first.
    pub candidates: &'a [SocketAddr],
    /// SSRC of our voice.
    pub ssrc: u32,
    /// Canonical name.
    pub cname: &'a str,
    /// Stream and track of our voice, as the page is to see them.
    pub voice: (&'a str, &'a str),
    /// Section that carries our voice.
    pub voice_section: Option<usize>,
    /// Counts the answers of a connection.
    pub version: u32,
}

/// Writes the answer to `offer`.
#[must_use]
pub fn write_answer(offer: &Offer, ours: &Answering<'_>, payloads: AudioPayloads) -> String {
    let mut out = String::with_capacity(2_048);
    let mids = offer.sections.iter().filter(|section| !section.rejected);
    let mids: String = mids.map(|section| format!(" {}", section.mid)).collect();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "v=0\r\no=- {} {} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE{mids}\r\n\
         a=ice-lite\r\na=msid-semantic: WMS *\r\n",
        ours.ssrc, ours.version
    );
    for (index, section) in offer.sections.iter().enumerate() {
        let speaks = ours.voice_section == Some(index);
        write_section(&mut out, section, speaks, ours, payloads);
    }
    out
}

fn write_section(
    out: &mut String,
    section: &Section,
    speaks: bool,
    ours: &Answering<'_>,
    payloads: AudioPayloads,
) {
    let port = if section.rejected { 0 } else { 9 };
    let formats = match section.kind {
        SectionKind::Audio => match payloads.telephone_event {
            Some(event) => format!("{} {event}", payloads.opus),
            None => payloads.opus.to_string(),
        },
        SectionKind::Video => section.payloads.first().map_or(0, |p| p.0).to_string(),
        SectionKind::Data => "webrtc-datachannel".to_owned(),
    };
    let (media, protocol) = match section.kind {
        SectionKind::Audio => ("audio", "UDP/TLS/RTP/SAVPF"),
        SectionKind::Video => ("video", "UDP/TLS/RTP/SAVPF"),
        SectionKind::Data => ("application", "UDP/DTLS/SCTP"),
    };
    let _ = write!(
        out,
        "m={media} {port} {protocol} {formats}\r\nc=IN IP4 0.0.0.0\r\na=mid:{}\r\n",
        section.mid
    );
    if section.rejected {
        return;
    }
    let _ = write!(
        out,
        "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:sha-256 {}\r\na=setup:passive\r\n",
        ours.ice.ufrag, ours.ice.password, ours.fingerprint
    );
    match section.kind {
        SectionKind::Data => {
            let _ = write!(
                out,
                "a=sctp-port:5000\r\na=max-message-size:{MESSAGE_BYTES_MAX}\r\n"
            );
        }
        SectionKind::Video => {
            let map = section.payloads.first().filter(|p| !p.1.is_empty());
            if let Some((payload_type, map)) = map {
                let _ = write!(out, "a=rtpmap:{payload_type} {map}\r\n");
            }
            out.push_str("a=rtcp-mux\r\na=inactive\r\n");
        }
        SectionKind::Audio => {
            let direction = match (speaks, section.direction.sends) {
                (true, true) => "sendrecv",
                (true, false) => "sendonly",
                (false, true) => "recvonly",
                (false, false) => "inactive",
            };
            // Without `usedtx` the peer sends through pauses, which turn-taking wants to hear.
            let opus = payloads.opus;
            let _ = write!(
                out,
                "a=rtcp-mux\r\na={direction}\r\na=rtpmap:{opus} opus/48000/2\r\n\
                 a=fmtp:{opus} minptime=10;useinbandfec=1\r\n"
            );
            if let Some(event) = payloads.telephone_event {
                let _ = write!(out, "a=rtpmap:{event} telephone-event/48000\r\n");
            }
            if speaks {
                let ((stream, track), ssrc) = (ours.voice, ours.ssrc);
                let _ = write!(
                    out,
                    "a=msid:{stream} {track}\r\na=ssrc:{ssrc} cname:{}\r\n\
                     a=ssrc:{ssrc} msid:{stream} {track}\r\n",
                    ours.cname
                );
            }
        }
    }
    for (foundation, address) in (1..).zip(ours.candidates) {
        let _ = write!(out, "a={}\r\n", candidate(foundation, *address));
    }
    if !ours.candidates.is_empty() {
        out.push_str("a=end-of-candidates\r\n");
    }
}

/// A host candidate over UDP (RFC 8839 §5.1); the earlier ones are preferred (RFC 8445 §5.1.2).
fn candidate(foundation: u32, address: SocketAddr) -> String {
    let priority = (126 << 24) | ((65_535 - foundation) << 8) | 255;
    let (ip, port) = (address.ip(), address.port());
    format!("candidate:{foundation} 1 udp {priority} {ip} {port} typ host")
}

fn sha256(value: &str) -> Option<[u8; 32]> {
    let (algorithm, digest) = value.split_once(' ')?;
    if !algorithm.eq_ignore_ascii_case("sha-256") {
        return None;
    }
    let mut out = [0; 32];
    let mut pairs = digest.trim().split(':');
    for byte in &mut out {
        *byte = u8::from_str_radix(pairs.next()?, 16).ok()?;
    }
    pairs.next().is_none().then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OFFER: &str = "v=0\r\no=- 4611 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        a=group:BUNDLE 0 1 2 3\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
        a=ice-ufrag:ABCD\r\na=ice-pwd:0123456789012345678901\r\n\
        a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
        a=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111 63 110\r\na=mid:1\r\na=recvonly\r\n\
        a=rtpmap:111 opus/48000/2\r\na=rtpmap:63 red/48000/2\r\na=rtpmap:110 telephone-event/48000\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:2\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111 63 110\r\na=mid:3\r\na=sendonly\r\na=msid:- track-7\r\n\
        a=rtpmap:111 opus/48000/2\r\na=rtpmap:63 red/48000/2\r\na=rtpmap:110 telephone-event/48000\r\n";

    #[test]
    fn an_offer_is_read_as_a_browser_writes_it() {
        let offer = Offer::read(OFFER).expect("an offer");
        assert_eq!(offer.sections.len(), 4);
        assert_eq!(offer.fingerprint[31], 0x1f);
        assert_eq!(offer.ice.ufrag, "ABCD");
        assert_eq!(offer.voice_section(), Some(1));
        assert_eq!(offer.sections[3].track.as_deref(), Some("track-7"));
        assert!(offer.sends_audio());
        let payloads = AudioPayloads {
            opus: 111,
            telephone_event: Some(110),
        };
        assert_eq!(offer.audio_payloads(), Some(payloads));
    }

    fn answer() -> String {
        let offer = Offer::read(OFFER).expect("an offer");
        let ours = Answering {
            ice: &IceCredentials {
                ufrag: "ours".to_owned(),
                password: "password".to_owned(),
            },
            fingerprint: "AA:BB",
            candidates: &["192.0.2.1:4000".parse().expect("an address")],
            ssrc: 77,
            cname: "call",
            voice: ("PA_1|TR_1", "TR_1"),
            voice_section: offer.voice_section(),
            version: 1,
        };
        write_answer(&offer, &ours, offer.audio_payloads().expect("opus"))
    }

    #[test]
    fn an_answer_keeps_sections_and_their_order() {
        let text = answer();
        let sections: Vec<&str> = text.split("\r\nm=").skip(1).collect();
        let kinds = ["application 9", "audio 9", "video 9", "audio 9"];
        assert_eq!(sections.len(), kinds.len());
        for (at, (section, kind)) in sections.iter().zip(kinds).enumerate() {
            assert!(section.starts_with(kind), "{section}");
            assert!(section.contains(&format!("a=mid:{at}\r\n")));
            assert!(section.contains("a=setup:passive"));
            assert!(section.contains("192.0.2.1 4000 typ host"));
        }
        assert!(
            sections[1].contains("a=sendonly") && sections[1].contains("a=msid:PA_1|TR_1 TR_1")
        );
        assert!(sections[2].contains("a=inactive") && sections[2].contains("VP8"));
        assert!(sections[3].contains("a=recvonly") && !sections[3].contains("msid"));
        assert!(!text.contains("red/48000"));
        assert!(text.contains("a=group:BUNDLE 0 1 2 3\r\n"));
    }

    #[test]
    fn offers_without_what_a_connection_needs_are_refused_by_name() {
        for (drop, missing) in [
            ("a=ice-ufrag", "a=ice-ufrag"),
            ("a=ice-pwd", "a=ice-pwd"),
            ("a=fingerprint", "a=fingerprint with sha-256"),
            ("a=mid", "a=mid in each section"),
        ] {
            let without: Vec<&str> = OFFER.lines().filter(|l| !l.starts_with(drop)).collect();
            let refused = Offer::read(&without.join("\r\n"));
            assert_eq!(refused, Err(OfferError::Missing(missing)));
        }
        assert!(matches!(
            Offer::read("hello"),
            Err(OfferError::Malformed(_))
        ));
        let many = format!("v=0\r\n{}", "m=audio 9 X 0\r\n".repeat(40));
        assert_eq!(Offer::read(&many), Err(OfferError::TooLong));
        let long = format!("v=0\r\n{}", "a".repeat(SDP_BYTES_MAX));
        assert_eq!(Offer::read(&long), Err(OfferError::TooLong));
    }

    proptest! {
        #[test]
        fn no_description_breaks_the_reader(
            cuts in prop::collection::vec((0usize..OFFER.len(), 0usize..OFFER.len()), 1..4),
            noise in "[ -~\r\n=:]{0,60}",
        ) {
            let mut text = OFFER.to_owned();
            for (from, to) in cuts {
                let (from, to) = (from.min(text.len()), to.min(text.len()));
                text = format!("{}{noise}{}", &text[..from], &text[to..]);
            }
            if let Ok(offer) = Offer::read(&text) {
                prop_assert!(offer.sections.len() <= SECTIONS_MAX);
                let _ = (offer.audio_payloads(), offer.voice_section(), offer.sends_audio());
            }
        }
    }
}
