//! The websocket of a carrier's stream: joins a [`CarrierAdapter`] with a stream leg.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use media::leg_queue::MediaLeg;
use media::net::control::LegControl;
use media::protocol::MediaLimits;
use media::protocol::stream::{MarkId, StreamInput, StreamLegConfig, StreamOutput, StreamPort};
use pipeline::call::{CarrierActions, TransferFailure};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::adapter::{
    CarrierAdapter, CarrierCommand, CarrierEvent, CarrierMessageError, StreamStart,
};
use super::piece_numberer::PieceNumberer;
use super::stream_token::AnnouncedCall;
use crate::calls::admission::Refusal;
use crate::calls::controller::{CallOrigin, OpenCall};
use crate::calls::registry::Admission;
use crate::services::Services;
use crate::telemetry::metrics as meters;

/// Largest message taken; carriers send 100 ms of audio at most.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Messages that were not understood before the stream is closed.
const REJECTED_MAX: u32 = 100;
/// How long a carrier may take to begin its stream.
const START_MAX: Duration = Duration::from_secs(10);
/// How long the carrier may leave a message of ours untaken.
const SEND_MAX: Duration = Duration::from_secs(5);
/// How often the line is tried.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Wait before a leg whose input queue was full is tried again; it empties its queue every 5 ms.
const INPUT_RETRY: Duration = Duration::from_millis(5);

/// What was known of the stream before its first message.
#[derive(Debug)]
pub(crate) struct StreamRequest {
    pub(crate) services: Arc<Services>,
    pub(crate) carrier: &'static str,
    pub(crate) agent_id: String,
    /// The announced call if the request itself proved it.
    pub(crate) announced: Option<AnnouncedCall>,
    /// Whether a token in the start message is still needed.
    pub(crate) needs_token: bool,
}

/// Why a stream was closed by us, as a websocket close code (RFC 6455 §7.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Closing {
    code: u16,
    reason: &'static str,
}

const NOT_TEXT: Closing = Closing {
    code: close_code::UNSUPPORTED,
    reason: "messages must be JSON text",
};
const MISUSE: Closing = Closing {
    code: close_code::POLICY,
    reason: "too many messages were not understood",
};
const NO_START: Closing = Closing {
    code: close_code::POLICY,
    reason: "no start message within 10 s",
};
const NO_TOKEN: Closing = Closing {
    code: close_code::POLICY,
    reason: "missing or spent token",
};
const TOO_BIG: Closing = Closing {
    code: close_code::SIZE,
    reason: "message is too big",
};
const DONE: Closing = Closing {
    code: close_code::NORMAL,
    reason: "",
};

/// Serves one stream to its end.
pub(crate) async fn serve(
    mut socket: WebSocket,
    mut adapter: Box<dyn CarrierAdapter>,
    mut request: StreamRequest,
) {
    let start = match timeout(START_MAX, await_start(&mut socket, adapter.as_mut())).await {
        Ok(Ok(start)) => start,
        Ok(Err(Some(closing))) => return close(socket, closing).await,
        Ok(Err(None)) => return,
        Err(_) => return close(socket, NO_START).await,
    };
    if request.needs_token && !redeem(&mut request, &start) {
        return close(socket, NO_TOKEN).await;
    }
    match accept(socket, adapter, request, start).await {
        Ok(()) => {}
        Err((socket, closing)) => close(*socket, closing).await,
    }
}

/// Reads up to the start message; `None` when the carrier has gone.
async fn await_start(
    socket: &mut WebSocket,
    adapter: &mut dyn CarrierAdapter,
) -> Result<StreamStart, Option<Closing>> {
    loop {
        let text = match socket.recv().await {
            None => return Err(None),
            Some(Err(error)) => return Err(closing_for(&error)),
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Binary(_))) => return Err(Some(NOT_TEXT)),
            Some(Ok(Message::Close(_))) => return Err(None),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
        };
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(Some(TOO_BIG));
        }
        match adapter.read(&text) {
            Ok(Some(CarrierEvent::Started(start))) => return Ok(start),
            Ok(Some(CarrierEvent::Ended { .. })) => return Err(None),
            Ok(_) => {}
            Err(CarrierMessageError::NotAMessage | CarrierMessageError::Format) => {
                return Err(Some(NOT_TEXT));
            }
            Err(_) => {
                return Err(Some(Closing {
                    code: close_code::POLICY,
                    reason: "expected a start message",
                }));
            }
        }
    }
}

fn redeem(request: &mut StreamRequest, start: &StreamStart) -> bool {
    let Some(token) = start.params.get("token") else {
        return false;
    };
    let announced = request.services.tokens.redeem(super::now(), token);
    match announced {
        Some(call) if call.agent_id == request.agent_id => {
            request.announced = Some(call);
            true
        }
        _ => false,
    }
}

/// Admits the call and hands it to a task of its own; gives the socket back when it cannot.
async fn accept(
    socket: WebSocket,
    adapter: Box<dyn CarrierAdapter>,
    request: StreamRequest,
    start: StreamStart,
) -> Result<(), (Box<WebSocket>, Closing)> {
    let services = Arc::clone(&request.services);
    let controller = &services.controller;
    let (agent, admission) = match controller.admit(&request.agent_id, request.carrier).await {
        Ok(admitted) => admitted,
        Err(refusal) => return Err((Box::new(socket), refused(refusal))),
    };
    let id = admission.id();
    let mut config = StreamLegConfig::new(start.receive, start.send);
    config.lead_ms = adapter.capabilities().lead_ms;
    config.limits = MediaLimits {
        stopped: services.config.media.silence_timeout,
        ..MediaLimits::default()
    };
    config.recording = controller.recording_path(id);
    config.echo_control = services.config.media.echo_control;
    let recorded = config.recording.is_some();
    let (leg, control, port) = match services.engine.open_stream_leg(config) {
        Ok(opened) => opened,
        Err(error) => {
            tracing::warn!(%error, "no media leg for the stream");
            meters::call_refused(request.carrier, Refusal::NoMedia);
            return Err((Box::new(socket), refused(Refusal::NoMedia)));
        }
    };
    let announced = request.announced;
    let mut variables = start.params.clone();
    variables.remove("token");
    let origin = CallOrigin {
        agent,
        carrier: request.carrier,
        carrier_call_id: start.call_ref.clone().or(Some(start.stream_ref.clone())),
        caller: start
            .from
            .clone()
            .or_else(|| announced.as_ref().and_then(|call| call.from.clone())),
        called: start
            .to
            .clone()
            .or_else(|| announced.and_then(|call| call.to)),
        codec: Some(start.receive.name().to_owned()),
        variables,
    };
    let line = Line {
        socket,
        adapter,
        port,
        numberer: PieceNumberer::new(start.receive),
        waiting: VecDeque::new(),
        messages: Vec::new(),
        rejected: 0,
        carrier: request.carrier,
    };
    let streamed = StreamedCall {
        services: Arc::clone(&services),
        admission,
        origin,
        recorded,
        line,
        leg,
        control,
    };
    services
        .controller
        .supervise(id, request.carrier, streamed.run());
    Ok(())
}

struct StreamedCall {
    services: Arc<Services>,
    admission: Admission,
    origin: CallOrigin,
    recorded: bool,
    line: Line,
    leg: MediaLeg,
    control: LegControl,
}

impl StreamedCall {
    async fn run(self) {
        let Self {
            services,
            admission,
            origin,
            recorded,
            mut line,
            leg,
            control,
        } = self;
        let controller = &services.controller;
        let mut call: OpenCall = controller.open(admission, origin, recorded).await;
        // The carrier has answered the caller before it opens a stream.
        call.answered().await;
        tracing::info!("call began");
        let reason = {
            let conversation = call.converse(leg, Arc::new(NoTransfer));
            tokio::pin!(conversation);
            tokio::select! {
                reason = &mut conversation => {
                    line.close(DONE).await;
                    reason
                }
                closing = line.run() => {
                    if let Some(closing) = closing {
                        line.close(closing).await;
                    }
                    // Without its port the leg ends, and with it the conversation.
                    drop(line);
                    conversation.await
                }
            }
        };
        call.finish(reason.into(), Some(control)).await;
    }
}

/// The carrier's line while the call goes on.
struct Line {
    socket: WebSocket,
    adapter: Box<dyn CarrierAdapter>,
    port: StreamPort,
    numberer: PieceNumberer,
    /// Input the leg had no room for; while there is some, the socket is not read, so that a
    /// carrier that sends too fast is slowed down by its own connection.
    waiting: VecDeque<StreamInput>,
    messages: Vec<String>,
    rejected: u32,
    carrier: &'static str,
}

impl Line {
    /// Carries audio both ways until one side ends; returns how to close the socket, if it is
    /// still there.
    async fn run(&mut self) -> Option<Closing> {
        let mut ping = interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = self.socket.recv(), if self.waiting.is_empty() => match message {
                    None => return None,
                    Some(Err(error)) => return closing_for(&error),
                    Some(Ok(message)) => match self.take(message) {
                        Taken::More => {}
                        Taken::Ended => return Some(DONE),
                        Taken::Misused(closing) => return Some(closing),
                    },
                },
                () = sleep(INPUT_RETRY), if !self.waiting.is_empty() => self.feed(),
                output = self.port.recv() => match output {
                    None | Some(StreamOutput::End(_)) => return Some(DONE),
                    Some(output) => {
                        self.write(output);
                        // What else is ready goes out in the same turn.
                        while let Some(output) = self.port.try_recv() {
                            if matches!(output, StreamOutput::End(_)) {
                                self.send().await?;
                                return Some(DONE);
                            }
                            self.write(output);
                        }
                        self.send().await?;
                    }
                },
                _ = ping.tick() => {
                    let sent = self.socket.send(Message::Ping(Vec::new().into()));
                    if !matches!(timeout(SEND_MAX, sent).await, Ok(Ok(()))) {
                        return None;
                    }
                }
            }
        }
    }

    fn take(&mut self, message: Message) -> Taken {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return Taken::Misused(NOT_TEXT),
            Message::Close(_) => return Taken::Ended,
            Message::Ping(_) | Message::Pong(_) => return Taken::More,
        };
        if text.len() > MESSAGE_BYTES_MAX {
            return Taken::Misused(TOO_BIG);
        }
        match self.adapter.read(&text) {
            Ok(Some(CarrierEvent::Audio {
                chunk,
                timestamp_ms,
                payload,
            })) => {
                let waiting = &mut self.waiting;
                self.numberer.split(chunk, timestamp_ms, &payload, |piece| {
                    waiting.push_back(StreamInput::Packet(piece));
                });
            }
            Ok(Some(CarrierEvent::Dtmf { digit })) => {
                self.waiting.push_back(StreamInput::Digit(digit));
            }
            Ok(Some(CarrierEvent::Played { name })) => {
                // Names that are not ours mean nothing to the leg.
                if let Ok(mark) = name.parse::<MarkId>() {
                    self.waiting.push_back(StreamInput::Mark(mark));
                }
            }
            Ok(Some(CarrierEvent::Ended { reason })) => {
                tracing::debug!(?reason, "carrier ended the stream");
                return Taken::Ended;
            }
            Ok(Some(CarrierEvent::Fault { code, text })) => {
                tracing::warn!(code, text, "carrier reports a fault");
            }
            Ok(Some(CarrierEvent::Cleared | CarrierEvent::Started(_)) | None) => {}
            Err(error) => {
                tracing::debug!(%error, "carrier message was not understood");
                meters::stream_message_rejected(self.carrier);
                self.rejected += 1;
                if self.rejected >= REJECTED_MAX {
                    return Taken::Misused(MISUSE);
                }
            }
        }
        self.feed();
        Taken::More
    }

    /// Hands the leg what waits for it, as far as it has room.
    fn feed(&mut self) {
        while let Some(input) = self.waiting.pop_front() {
            if let Err(input) = self.port.send(input) {
                if self.port.is_closed() {
                    self.waiting.clear();
                } else {
                    self.waiting.push_front(input);
                }
                return;
            }
        }
    }

    fn write(&mut self, output: StreamOutput) {
        let name;
        let command = match &output {
            StreamOutput::Audio(payload) => CarrierCommand::Play(payload.as_bytes()),
            StreamOutput::Mark { id, segment_end } => {
                name = id.to_string();
                CarrierCommand::Fence {
                    name: &name,
                    segment_end: *segment_end,
                }
            }
            StreamOutput::Clear => {
                // Nothing older may follow the clear.
                CarrierCommand::Clear
            }
            StreamOutput::End(_) => return,
        };
        self.adapter.write(command, &mut self.messages);
    }

    /// Sends what was written; `None` when the carrier does not take it.
    async fn send(&mut self) -> Option<()> {
        for message in self.messages.drain(..) {
            let sent = self.socket.send(Message::Text(message.into()));
            match timeout(SEND_MAX, sent).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => {
                    tracing::warn!("carrier does not take our audio");
                    return None;
                }
            }
        }
        Some(())
    }

    async fn close(&mut self, closing: Closing) {
        send_close(&mut self.socket, closing).await;
    }
}

/// What became of a message.
enum Taken {
    More,
    Ended,
    Misused(Closing),
}

fn refused(refusal: Refusal) -> Closing {
    match refusal {
        Refusal::TrunkFull
        | Refusal::TrunkRate
        | Refusal::AtCapacity
        | Refusal::Draining
        | Refusal::BillingUnavailable
        | Refusal::NoMedia => Closing {
            code: close_code::AGAIN,
            reason: "no capacity, try again later",
        },
        Refusal::NoCredit => Closing {
            code: close_code::POLICY,
            reason: "no credit",
        },
        Refusal::UnknownAgent | Refusal::AgentUnavailable | Refusal::NoCodec => Closing {
            code: close_code::POLICY,
            reason: "the agent is not available",
        },
    }
}

/// How to answer a failing socket: only a message that was too big leaves one to answer on.
fn closing_for(error: &axum::Error) -> Option<Closing> {
    let text = error.to_string();
    text.contains("too long").then_some(TOO_BIG)
}

async fn close(mut socket: WebSocket, closing: Closing) {
    send_close(&mut socket, closing).await;
}

async fn send_close(socket: &mut WebSocket, closing: Closing) {
    let frame = CloseFrame {
        code: closing.code,
        reason: closing.reason.into(),
    };
    // The carrier may have gone; then there is nobody to tell.
    let _ = timeout(SEND_MAX, socket.send(Message::Close(Some(frame)))).await;
}

/// Streams carry no transfer: it is the carrier's next instruction after the socket closes.
struct NoTransfer;

#[async_trait]
impl CarrierActions for NoTransfer {
    async fn transfer(&self, _target: &str) -> Result<(), TransferFailure> {
        Err(TransferFailure::Unsupported)
    }
}
