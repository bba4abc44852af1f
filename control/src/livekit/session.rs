//! One client from join to leave: signalling, connection and conversation in one task.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use livekit_protocol as proto;
use pipeline::call::{CallOrder, CarrierActions, EndReason, TransferFailure};
use prost::Message as _;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::grant::Grant;
use super::packets::{
    self, Numberer, RELIABLE, Sender, Transcription, legacy_transcription, transcription,
};
use super::room::Room;
use crate::agents::Agent;
use crate::calls::admission::Refusal;
use crate::calls::controller::{CallOrigin, OpenCall};
use crate::calls::events::NumberedEvent;
use crate::calls::outcome::SetupEnd;
use crate::clock::now_us;
use crate::services::Services;
use crate::telemetry::metrics as meters;
use crate::webrtc::connection::{Connection, ConnectionEvent, ConnectionRequest};

/// What brought the call, in records and metrics.
pub(super) const CARRIER: &str = "livekit";
/// Largest signalling message.
pub(super) const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// How long a client may take to make its first offer.
const OFFER_MAX: Duration = Duration::from_secs(15);
/// After the connection stands, data channels are waited for this long before the agent speaks.
const CHANNELS_MAX: Duration = Duration::from_secs(2);
/// Between pings of the websocket.
const PING_EVERY: Duration = Duration::from_secs(10);
/// How long a client may take to accept a message.
const SEND_MAX: Duration = Duration::from_secs(5);
/// From the last data to the farewell.
const FAREWELL_AFTER: Duration = Duration::from_millis(300);
/// Messages that make no sense before the client is shown out.
const REJECTED_MAX: u32 = 20;

/// A client that was let in.
pub(super) struct Joining {
    pub(super) services: Arc<Services>,
    pub(super) peer: IpAddr,
    pub(super) grant: Grant,
    pub(super) agent: Arc<Agent>,
    pub(super) join: proto::JoinRequest,
}

/// Serves a client to its end.
pub(super) async fn serve(socket: WebSocket, joining: Joining) {
    let mut line = Line {
        socket,
        rejected: 0,
    };
    if joining.join.reconnect {
        // There is nothing to resume: the client joins anew.
        let leave = leave(
            proto::DisconnectReason::StateMismatch,
            proto::leave_request::Action::Reconnect,
        );
        line.send(leave).await;
        return line.close().await;
    }
    let Joining {
        services,
        peer,
        grant,
        agent,
        mut join,
    } = joining;
    let room = Room::new(grant, &agent.id, &agent.name, now_us() / 1_000);
    if line
        .send(Response::Join(room.join_response()))
        .await
        .is_none()
    {
        return;
    }
    let first = match join.publisher_offer.take() {
        Some(offer) => Some(offer),
        None => timeout(OFFER_MAX, line.first_offer()).await.ok().flatten(),
    };
    let Some(offer) = first else {
        return line.close().await;
    };
    let admission = services.registry.admit();
    let admission = match admission {
        Ok(admission) => admission,
        Err(refusal) => {
            meters::call_refused(CARRIER, refusal);
            line.send(leave(
                proto::DisconnectReason::JoinFailure,
                proto::leave_request::Action::Disconnect,
            ))
            .await;
            return line.close().await;
        }
    };
    let id = admission.id();
    let request = ConnectionRequest {
        peer,
        offer: &offer.sdp,
        recording: services.controller.recording_path(id),
        cname: id.to_string(),
        voice: room.voice_names(),
    };
    let recorded = request.recording.is_some();
    let (connection, leg, control, answer) = match Connection::open(&services, request) {
        Ok(opened) => opened,
        Err(error) => {
            tracing::info!(%error, "client cannot be connected");
            meters::call_refused(CARRIER, Refusal::NoMedia);
            line.send(leave(
                proto::DisconnectReason::JoinFailure,
                proto::leave_request::Action::Disconnect,
            ))
            .await;
            return line.close().await;
        }
    };
    let answer = description(&room, answer, offer.id);
    if line.send(Response::Answer(answer)).await.is_none() {
        return;
    }
    let grant = room.grant();
    let mut variables: std::collections::BTreeMap<String, String> =
        grant.attributes.iter().cloned().collect();
    variables.insert("room".to_owned(), grant.room.clone());
    let origin = CallOrigin {
        agent,
        carrier: CARRIER,
        carrier_call_id: Some(room.caller_sid.clone()),
        caller: Some(grant.caller().to_owned()),
        called: Some(grant.room.clone()),
        codec: Some("opus".to_owned()),
        variables,
    };
    let viewers = admission.viewers().subscribe();
    let orders = admission.orders();
    let (start, started) = oneshot::channel();
    let mut session = Session {
        line,
        room,
        connection,
        numberer: Numberer::default(),
        viewers,
        orders,
        leg_over: false,
        start: Some(start),
        connected: false,
        caller_segment: 1,
        agent_segment: 1,
    };
    for request in join.add_track_requests {
        session.add_track(&request).await;
    }
    let supervisor = services.controller.clone();
    let call = async move {
        let mut call: OpenCall = services.controller.open(admission, origin, recorded).await;
        let outcome = {
            let conversation = async {
                // Dropped with the session when the client leaves before audio flows.
                started.await.ok()?;
                call.answered().await;
                Some(call.converse(leg, Arc::new(NoTransfer)).await)
            };
            tokio::pin!(conversation);
            tokio::select! {
                reason = &mut conversation => {
                    session.farewell(reason).await;
                    reason
                }
                () = session.run() => {
                    session.hang_up();
                    drop(session);
                    conversation.await
                }
            }
        };
        let outcome = outcome.map_or_else(|| SetupEnd::CallerCancelled.into(), Into::into);
        call.finish(outcome, Some(control)).await;
    };
    supervisor.supervise(id, CARRIER, call);
}

struct Session {
    line: Line,
    room: Room,
    connection: Connection,
    numberer: Numberer,
    viewers: broadcast::Receiver<NumberedEvent>,
    orders: mpsc::Sender<CallOrder>,
    /// The leg has ended: so has the conversation, which tells the rest.
    leg_over: bool,
    /// Lets the conversation begin.
    start: Option<oneshot::Sender<()>>,
    connected: bool,
    caller_segment: u32,
    agent_segment: u32,
}

impl Session {
    /// Serves the client until it leaves or its connection ends.
    async fn run(&mut self) {
        let mut ping = interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let channels = tokio::time::sleep(Duration::MAX);
        tokio::pin!(channels);
        loop {
            tokio::select! {
                message = self.line.recv() => match message {
                    Some(request) => if self.take(request).await.is_none() {
                        return;
                    },
                    None => return,
                },
                event = self.connection.next(), if !self.leg_over => match event {
                    ConnectionEvent::Connected => {
                        self.connected = true;
                        let until = tokio::time::Instant::now() + CHANNELS_MAX;
                        channels.as_mut().reset(until);
                        let track = self.room.voice.clone();
                        let told = Response::TrackSubscribed(proto::TrackSubscribed {
                            track_sid: self.room.caller_track().to_owned(),
                        });
                        tracing::debug!(track, "audio flows");
                        if !self.room.caller_track().is_empty() && self.line.send(told).await.is_none() {
                            return;
                        }
                    }
                    ConnectionEvent::ChannelOpen(label) => {
                        if label == RELIABLE {
                            self.begin();
                        }
                    }
                    ConnectionEvent::Message { label, data } => self.take_packet(&label, &data),
                    ConnectionEvent::Closed(None) => self.leg_over = true,
                    ConnectionEvent::Closed(end) => {
                        tracing::info!(?end, "connection ended");
                        return;
                    }
                },
                event = self.viewers.recv() => match event {
                    Ok(event) => if self.show(&event.data).await.is_none() {
                        return;
                    },
                    // What was missed is shown by the record.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                () = &mut channels, if self.connected && self.start.is_some() => self.begin(),
                _ = ping.tick() => {
                    if self.line.ping().await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Lets the agent speak.
    fn begin(&mut self) {
        if self.connected
            && let Some(start) = self.start.take()
        {
            // Whoever waited has gone; then the call is over anyway.
            let _ = start.send(());
        }
    }

    fn hang_up(&mut self) {
        self.connection.shut_down();
        // A full queue holds orders to end already.
        let _ = self.orders.try_send(CallOrder::RemoteHungUp);
    }

    /// Tells the client that the call is over.
    async fn farewell(&mut self, reason: Option<EndReason>) {
        while let Ok(event) = self.viewers.try_recv() {
            if self.show(&event.data).await.is_none() {
                break;
            }
        }
        let reason = match reason {
            Some(EndReason::ServerShutdown) => proto::DisconnectReason::ServerShutdown,
            _ => proto::DisconnectReason::RoomDeleted,
        };
        // What was said last is still under way, on another path than the farewell.
        tokio::time::sleep(FAREWELL_AFTER).await;
        let told = leave(reason, proto::leave_request::Action::Disconnect);
        self.line.send(told).await;
        self.connection.shut_down();
        self.line.close().await;
    }

    /// Takes a message of the signalling; `None` when the client is gone or leaves.
    async fn take(&mut self, request: Request) -> Option<()> {
        match request {
            Request::Offer(offer) => match self.connection.answer(&offer.sdp) {
                Ok(answer) => {
                    let answer = description(&self.room, answer, offer.id);
                    self.line.send(Response::Answer(answer)).await
                }
                Err(error) => {
                    tracing::info!(%error, "offer was refused");
                    self.line.reject()
                }
            },
            Request::AddTrack(request) => self.add_track(&request).await,
            Request::Mute(request) => {
                if !self.room.mute(&request) {
                    return self.line.reject();
                }
                self.update(self.room.caller_info()).await
            }
            Request::Ping(timestamp) => self.line.send(Response::Pong(timestamp)).await,
            Request::PingReq(ping) => {
                let pong = proto::Pong {
                    last_ping_timestamp: ping.timestamp,
                    timestamp: now_us() / 1_000,
                };
                self.line.send(Response::PongResp(pong)).await
            }
            Request::UpdateMetadata(update) => {
                let response = proto::RequestResponse {
                    request_id: update.request_id,
                    reason: proto::request_response::Reason::NotAllowed.into(),
                    message: "does not have permission to update own metadata".to_owned(),
                    ..proto::RequestResponse::default()
                };
                self.line.send(Response::RequestResponse(response)).await
            }
            Request::Leave(_) => None,
            // We are ICE lite: the peer's candidates tell us nothing. Of the rest nothing concerns
            // a room of one caller and one agent.
            _ => Some(()),
        }
    }

    async fn add_track(&mut self, request: &proto::AddTrackRequest) -> Option<()> {
        let Some(published) = self.room.publish(request) else {
            let refused = proto::RequestResponse {
                reason: proto::request_response::Reason::NotAllowed.into(),
                message: "only audio is taken here".to_owned(),
                request: Some(proto::request_response::Request::AddTrack(request.clone())),
                ..proto::RequestResponse::default()
            };
            return self.line.send(Response::RequestResponse(refused)).await;
        };
        let sid = published.track.as_ref().map(|track| track.sid.clone());
        self.line.send(Response::TrackPublished(published)).await?;
        self.update(self.room.caller_info()).await?;
        if self.connected {
            let told = proto::TrackSubscribed {
                track_sid: sid.unwrap_or_default(),
            };
            self.line.send(Response::TrackSubscribed(told)).await?;
        }
        Some(())
    }

    async fn update(&mut self, participant: proto::ParticipantInfo) -> Option<()> {
        let update = proto::ParticipantUpdate {
            participants: vec![participant],
        };
        self.line.send(Response::Update(update)).await
    }

    /// Takes a packet of a data channel.
    fn take_packet(&mut self, label: &str, data: &[u8]) {
        let allowed = self.room.grant().can_publish_data;
        let Ok(packet) = proto::DataPacket::decode(data) else {
            tracing::debug!(label, "data packet was not understood");
            return;
        };
        match packet.value {
            Some(proto::data_packet::Value::SipDtmf(key)) if allowed => {
                let key = key.digit.bytes().next().map(|key| key.to_ascii_uppercase());
                if let Some(key @ (b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D')) = key {
                    self.connection.press(key);
                }
            }
            Some(proto::data_packet::Value::RpcRequest(request)) if allowed => {
                for value in packets::refuse_rpc(&request) {
                    let packet = self.numberer.packet(self.room.agent(), value);
                    self.connection.send(RELIABLE, &packet);
                }
            }
            _ => {}
        }
    }

    /// Shows the client what happens in the conversation; `None` when it is gone.
    async fn show(&mut self, event: &Value) -> Option<()> {
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        match text("type") {
            "state" if self.room.set_state(text("state")) => {
                self.update(self.room.agent_info()).await?;
            }
            "caller_partial" => self.transcribe("caller", text("text"), false),
            "turn" => self.transcribe(text("speaker"), text("text"), true),
            _ => {}
        }
        Some(())
    }

    fn transcribe(&mut self, speaker: &str, text: &str, is_final: bool) {
        let is_caller = speaker == "caller";
        let number = if is_caller {
            self.caller_segment
        } else {
            self.agent_segment
        };
        let segment = format!("SG_{speaker}_{number}");
        let (sender, track): (Sender<'_>, &str) = if is_caller {
            (self.room.caller(), self.room.caller_track())
        } else {
            (self.room.agent(), &self.room.voice)
        };
        let piece = Transcription {
            text,
            segment: &segment,
            track,
            is_final,
        };
        // The stream speaks in the speaker's name, the older packet in the agent's.
        let mut values: Vec<_> = transcription(&piece, now_us() / 1_000)
            .into_iter()
            .map(|value| (sender, value))
            .collect();
        let legacy = legacy_transcription(&piece, sender.identity);
        values.push((self.room.agent(), legacy));
        for (sender, value) in values {
            let packet = self.numberer.packet(sender, value);
            if !self.connection.send(RELIABLE, &packet) {
                tracing::debug!("client takes no data");
                break;
            }
        }
        if is_final && is_caller {
            self.caller_segment += 1;
        } else if is_final {
            self.agent_segment += 1;
        }
    }
}

/// The websocket.
struct Line {
    socket: WebSocket,
    rejected: u32,
}

impl Line {
    /// The next message that makes sense; `None` when the client is gone or talks rubbish.
    async fn recv(&mut self) -> Option<Request> {
        loop {
            let decoded = match self.socket.recv().await?.ok()? {
                Message::Binary(bytes) => proto::SignalRequest::decode(bytes).ok(),
                Message::Text(text) => serde_json::from_str(&text).ok(),
                Message::Close(_) => return None,
                Message::Ping(_) | Message::Pong(_) => continue,
            };
            match decoded.map(|request| request.message) {
                Some(Some(request)) => return Some(request),
                // A message of a later protocol.
                Some(None) => {}
                None => self.reject()?,
            }
        }
    }

    /// The first offer.
    async fn first_offer(&mut self) -> Option<proto::SessionDescription> {
        loop {
            match self.recv().await? {
                Request::Offer(offer) => return Some(offer),
                Request::Leave(_) => return None,
                _ => {}
            }
        }
    }

    /// Counts a message that made no sense; `None` when it was one too many.
    fn reject(&mut self) -> Option<()> {
        meters::stream_message_rejected(CARRIER);
        self.rejected += 1;
        (self.rejected < REJECTED_MAX).then_some(())
    }

    async fn send(&mut self, message: Response) -> Option<()> {
        let response = proto::SignalResponse {
            message: Some(message),
        };
        let bytes = response.encode_to_vec();
        self.put(Message::Binary(bytes.into())).await
    }

    async fn ping(&mut self) -> Option<()> {
        self.put(Message::Ping(Vec::new().into())).await
    }

    async fn put(&mut self, message: Message) -> Option<()> {
        timeout(SEND_MAX, self.socket.send(message))
            .await
            .ok()?
            .ok()
    }

    async fn close(&mut self) {
        let frame = CloseFrame {
            code: close_code::NORMAL,
            reason: "".into(),
        };
        self.put(Message::Close(Some(frame))).await;
    }
}

fn description(
    room: &Room,
    answer: crate::webrtc::connection::Answer,
    id: u32,
) -> proto::SessionDescription {
    let mids = answer.voice_mid.into_iter();
    proto::SessionDescription {
        r#type: "answer".to_owned(),
        sdp: answer.sdp,
        id,
        mid_to_track_id: mids.map(|mid| (mid, room.voice.clone())).collect(),
    }
}

fn leave(reason: proto::DisconnectReason, action: proto::leave_request::Action) -> Response {
    Response::Leave(proto::LeaveRequest {
        can_reconnect: action != proto::leave_request::Action::Disconnect,
        reason: reason.into(),
        action: action.into(),
        regions: None,
    })
}

/// Rooms of one caller and one agent have nobody to hand over to.
struct NoTransfer;

#[async_trait]
impl CarrierActions for NoTransfer {
    async fn transfer(&self, _target: &str) -> Result<(), TransferFailure> {
        Err(TransferFailure::Unsupported)
    }
}
