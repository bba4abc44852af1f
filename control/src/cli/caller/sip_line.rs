//! Calls an agent over SIP and RTP with the engine's own user agent and media.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::{Context, bail};
use media::codec::Codec;
use media::leg::{DigitString, Generation, LegCommand, LegEvent, SegmentId, SpeechChunk};
use media::leg_queue::{LegOutput, MediaLeg};
use media::net::control::LegControl;
use media::net::engine::{MediaConfig, MediaEngine};
use media::protocol::rtp::RtpLegConfig;
use sip::event::{InviteRequest, SessionEnd};
use sip::message::{NameAddr, Uri};
use sip::net::{Dialog, DialogEvent, OutgoingCall, OutgoingEvent, UserAgent, UserAgentConfig};
use sip::sdp::{CodecPreference, Direction, LocalMedia, SessionDescription, accept_answer, offer};
use tokio::sync::mpsc;

use super::line::{EVENT_CAPACITY, Line, LineEvent, LineOrder, ORDER_CAPACITY, ServerCall};
use crate::sip_line::rtp_media;

/// Ports for the caller's own media, apart from the server's default range.
const RTP_PORTS: RangeInclusive<u16> = 18_000..=18_999;

/// What is needed to place the call.
#[derive(Clone, Debug)]
pub struct SipCall {
    /// Agent id, number or whole URI.
    pub target: String,
    /// Where the INVITE goes unless the target is a URI with an address.
    pub server: SocketAddr,
    /// The caller's number or user name.
    pub from: String,
    /// The one codec that is offered.
    pub codec: String,
    /// Where the stereo recording goes.
    pub record: Option<PathBuf>,
}

/// Places the call; the line is up when this returns.
///
/// # Errors
/// When the address or codec is not one, or the call is not answered.
pub async fn dial(call: SipCall) -> anyhow::Result<Line> {
    let (target, destination) = address(&call)?;
    let codec = codec_named(&call.codec)?;
    let local_ip = local_ip_towards(destination)?;
    let engine = MediaEngine::start(MediaConfig {
        workers: 1,
        rtp_ports: RTP_PORTS,
        ..MediaConfig::default()
    })?;
    let (agent, _incoming) = UserAgent::bind(UserAgentConfig::new(SocketAddr::new(local_ip, 0)))
        .await
        .context("cannot open a SIP socket")?;
    let ports = engine.reserve_rtp(local_ip)?;
    let our_offer = offer(&LocalMedia {
        address: local_ip,
        rtp_port: ports.rtp_address().port(),
        rtcp_port: None,
        rtcp_mux: false,
        codecs: vec![codec],
        preference: CodecPreference::Ours,
        telephone_event: true,
        ptime_ms: 20,
        direction: Direction::SendRecv,
        session_id: rand::random::<u32>().into(),
        session_version: 1,
        srtp: None,
    });
    let from = Uri::parse(&format!("sip:{}@{}", call.from, agent.local_addr()))
        .with_context(|| format!("{} cannot be a caller", call.from))?;
    let mut invite = InviteRequest::new(target, destination, NameAddr::new(from));
    invite.offer = Some(our_offer.clone());
    let attempt = agent.invite(invite).await?;
    let (answer, server_call, dialog) = wait_for_answer(attempt, destination).await?;
    let audio = accept_answer(&our_offer, &answer)?;
    let mut config = RtpLegConfig::new(rtp_media(&audio), "samvad-call", rand::random());
    config.recording.clone_from(&call.record);
    let (leg, control) = engine.open_rtp_leg(ports, config)?;

    let (orders_in, orders) = mpsc::channel(ORDER_CAPACITY);
    let (events_in, events) = mpsc::channel(EVENT_CAPACITY);
    let line = SipLine {
        leg,
        control,
        dialog,
        next_segment: 0,
        _engine: engine,
        _agent: agent,
    };
    tokio::spawn(line.run(orders, events_in));
    Ok(Line {
        server_call,
        orders: orders_in,
        events,
    })
}

async fn wait_for_answer(
    mut attempt: OutgoingCall,
    destination: SocketAddr,
) -> anyhow::Result<(SessionDescription, ServerCall, Dialog)> {
    loop {
        match attempt.next_event().await {
            Some(OutgoingEvent::Answered {
                sdp: Some(sdp),
                headers,
                dialog,
            }) => {
                let id = headers.named("X-Samvad-Call-Id").map(str::to_owned);
                let call = id.map_or(ServerCall::Unknown, ServerCall::Id);
                return Ok((sdp, call, dialog));
            }
            Some(OutgoingEvent::Answered { sdp: None, .. }) => {
                bail!("{destination} accepted the call without a session description")
            }
            Some(OutgoingEvent::Failed(SessionEnd::Refused { status, reason, .. })) => {
                bail!("{destination} refused the call: {status} {reason}")
            }
            Some(OutgoingEvent::Failed(SessionEnd::Timeout)) => {
                bail!("{destination} does not answer SIP; is the server running there?")
            }
            Some(OutgoingEvent::Failed(end)) => bail!("the call did not come about: {end:?}"),
            Some(_) => {}
            None => bail!("the call was lost while it was set up"),
        }
    }
}

struct SipLine {
    leg: MediaLeg,
    control: LegControl,
    dialog: Dialog,
    next_segment: u64,
    // Both must outlive the call.
    _engine: MediaEngine,
    _agent: UserAgent,
}

impl SipLine {
    async fn run(mut self, mut orders: mpsc::Receiver<LineOrder>, events: mpsc::Sender<LineEvent>) {
        let (how, failed) = self.talk(&mut orders, &events).await;
        self.control.close();
        self.control.closed().await;
        self.control.recording_finished().await;
        let how = how.to_owned();
        let _ = events.send(LineEvent::Ended { how, failed }).await;
    }

    async fn talk(
        &mut self,
        orders: &mut mpsc::Receiver<LineOrder>,
        events: &mpsc::Sender<LineEvent>,
    ) -> (&'static str, bool) {
        loop {
            tokio::select! {
                output = self.leg.recv() => match output {
                    Some(LegOutput::Frame(frame)) => {
                        let heard = LineEvent::Heard { voice: frame.voice, at: frame.received_at };
                        // A caller that does not listen loses audio, the call goes on.
                        let _ = events.try_send(heard);
                    }
                    Some(LegOutput::Event(LegEvent::Played { .. })) => {
                        let _ = events.send(LineEvent::Said { at: super::now() }).await;
                    }
                    Some(LegOutput::Event(LegEvent::Closed { .. })) | None => {
                        let _ = self.dialog.bye(None).await;
                        return ("the agent's media stopped", true);
                    }
                    Some(LegOutput::Event(_)) => {}
                },
                event = self.dialog.next_event() => match event {
                    DialogEvent::Ended(SessionEnd::RemoteBye { .. }) => {
                        return ("the agent hung up", false);
                    }
                    DialogEvent::Ended(_) => return ("the dialog broke", true),
                    // Without an answer the responder refuses the offer, which a caller may do.
                    _ => {}
                },
                order = orders.recv() => match order {
                    Some(LineOrder::Speak(pcm)) => self.speak(pcm),
                    Some(LineOrder::Digits(digits)) => {
                        let _ = self.leg.send(LegCommand::SendDigits(DigitString::new(&digits)));
                        let _ = events.send(LineEvent::Said { at: super::now() }).await;
                    }
                    Some(LineOrder::HangUp) | None => {
                        let _ = self.dialog.bye(None).await;
                        return ("the caller hung up", false);
                    }
                },
            }
        }
    }

    fn speak(&mut self, pcm: std::sync::Arc<[i16]>) {
        self.next_segment += 1;
        let _ = self.leg.send(LegCommand::Play(SpeechChunk {
            segment: SegmentId(self.next_segment),
            generation: Generation::default(),
            pcm,
            start: 0,
            last: true,
        }));
    }
}

/// The Request-URI and where to send it.
fn address(call: &SipCall) -> anyhow::Result<(Uri, SocketAddr)> {
    if !call.target.starts_with("sip:") {
        let uri = format!("sip:{}@{}", call.target, call.server);
        let uri = Uri::parse(&uri).with_context(|| format!("{} is no SIP user", call.target))?;
        return Ok((uri, call.server));
    }
    let uri =
        Uri::parse(&call.target).with_context(|| format!("{} is not a SIP URI", call.target))?;
    let host = call.target.split_once('@').map_or("", |(_, host)| host);
    let host = host.split(['?', ';']).next().unwrap_or("");
    let destination = host
        .parse::<SocketAddr>()
        .ok()
        .or_else(|| Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, 5060)))
        .unwrap_or(call.server);
    Ok((uri, destination))
}

fn codec_named(name: &str) -> anyhow::Result<Codec> {
    [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus]
        .into_iter()
        .find(|codec| codec.name().eq_ignore_ascii_case(name))
        .with_context(|| format!("{name} is no codec of ours: PCMU, PCMA, G722 or opus"))
}

/// Our address on the way to `destination`, found without sending anything.
fn local_ip_towards(destination: SocketAddr) -> anyhow::Result<IpAddr> {
    let any = if destination.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any)?;
    socket
        .connect(destination)
        .with_context(|| format!("there is no way to {destination}"))?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(target: &str) -> SipCall {
        SipCall {
            target: target.to_owned(),
            server: "127.0.0.1:5060".parse().unwrap(),
            from: "+15550100".to_owned(),
            codec: "PCMU".to_owned(),
            record: None,
        }
    }

    #[test]
    fn a_target_is_an_agent_or_a_uri() {
        let (_, to) = address(&call("clinic")).unwrap();
        assert_eq!(to, "127.0.0.1:5060".parse().unwrap());
        let (_, to) = address(&call("sip:clinic@127.0.0.2:5070")).unwrap();
        assert_eq!(to, "127.0.0.2:5070".parse().unwrap());
        let (_, to) = address(&call("sip:clinic@127.0.0.2")).unwrap();
        assert_eq!(to, "127.0.0.2:5060".parse().unwrap());
    }

    #[test]
    fn codecs_are_found_whatever_the_case() {
        assert_eq!(codec_named("g722").unwrap(), Codec::G722);
        assert!(codec_named("GSM").is_err());
    }
}
