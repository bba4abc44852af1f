//! Connections: TCP, TLS and websockets. One task a connection; the driver hears messages and
//! sends through a bounded queue.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message as WsMessage, http};

use super::TlsSettings;
use crate::message::MESSAGE_BYTES_MAX;
use crate::transport::{Frame, Framer, Hop, Transport};

/// Messages that may wait for a slow peer; then its connection is closed.
const WRITES_MAX: usize = 64;
/// How long a connection, a TLS handshake and a websocket upgrade may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// A peer that says nothing for so long is gone; keep-alives count.
const IDLE_MAX: Duration = Duration::from_secs(900);
/// A message must be complete so long after its first byte.
const MESSAGE_MAX: Duration = Duration::from_secs(30);
/// Our keep-alives on connections we opened, and the wait for the answer (RFC 5626 §4.4.1).
const PING_EVERY: Duration = Duration::from_secs(95);
const PONG_MAX: Duration = Duration::from_secs(10);
/// Connections that peers opened, at a time.
const ACCEPTED_MAX: usize = 4_096;

/// What a connection tells the driver.
#[derive(Debug)]
pub(super) enum StreamEvent {
    /// A peer connected, or a connection of ours is up.
    Opened { hop: Hop, writer: Writer },
    /// A message came.
    Message { hop: Hop, bytes: Vec<u8> },
    /// The connection ended, or could not be opened.
    Closed { hop: Hop, connection: u64 },
}

/// The driver's end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) connection: u64,
    queue: mpsc::Sender<Arc<[u8]>>,
}

impl Writer {
    /// Queues a message; `false` if the connection is gone or does not keep up.
    pub(super) fn send(&self, message: Arc<[u8]>) -> bool {
        self.queue.try_send(message).is_ok()
    }
}

fn connection(number: u64) -> (Writer, mpsc::Receiver<Arc<[u8]>>) {
    let (queue, receiver) = mpsc::channel(WRITES_MAX);
    let writer = Writer {
        connection: number,
        queue,
    };
    (writer, receiver)
}

/// Accepts connections of one transport until the driver is gone.
pub(super) async fn listen(
    listener: TcpListener,
    transport: Transport,
    tls: Option<TlsAcceptor>,
    events: mpsc::Sender<StreamEvent>,
    numbers: Arc<std::sync::atomic::AtomicU64>,
) {
    let places = Arc::new(Semaphore::new(ACCEPTED_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = events.closed() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors: wait for some to come back.
                tracing::debug!(%error, "sip accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::debug!(%address, "too many sip connections");
            continue;
        };
        let number = numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (tls, events) = (tls.clone(), events.clone());
        tokio::spawn(async move {
            let hop = Hop::new(transport, address);
            let served = accept(stream, hop, tls, number, events, place).await;
            if let Err(error) = served {
                tracing::debug!(%error, %hop, "sip connection failed");
            }
        });
    }
}

async fn accept(
    stream: TcpStream,
    hop: Hop,
    tls: Option<TlsAcceptor>,
    number: u64,
    events: mpsc::Sender<StreamEvent>,
    _place: OwnedSemaphorePermit,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let task = Connection {
        hop,
        number,
        events,
        pings: false,
    };
    let Some(tls) = tls else {
        return match hop.transport {
            Transport::Ws => task.serve_websocket(stream).await,
            _ => task.serve_accepted(stream).await,
        };
    };
    let stream = timeout(HANDSHAKE_MAX, tls.accept(stream)).await??;
    match hop.transport {
        Transport::Wss => task.serve_websocket(stream).await,
        _ => task.serve_accepted(stream).await,
    }
}

/// Opens a connection; the writer can be used at once, what it is given is sent when it is up.
pub(super) fn open(
    hop: Hop,
    name: Option<String>,
    tls: Option<&TlsSettings>,
    number: u64,
    events: mpsc::Sender<StreamEvent>,
) -> Writer {
    let (writer, queue) = connection(number);
    let connector = tls.map(|tls| TlsConnector::from(Arc::clone(&tls.client)));
    tokio::spawn(async move {
        let task = Connection {
            hop,
            number,
            events: events.clone(),
            pings: true,
        };
        if let Err(error) = connect(task, queue, name, connector).await {
            tracing::info!(%error, %hop, "sip connection could not be used");
        }
        let closed = StreamEvent::Closed {
            hop,
            connection: number,
        };
        let _ = events.send(closed).await;
    });
    writer
}

async fn connect(
    task: Connection,
    queue: mpsc::Receiver<Arc<[u8]>>,
    name: Option<String>,
    tls: Option<TlsConnector>,
) -> io::Result<()> {
    let hop = task.hop;
    let stream = timeout(CONNECT_MAX, TcpStream::connect(hop.address)).await??;
    stream.set_nodelay(true)?;
    match hop.transport {
        Transport::Tcp => task.serve(stream, queue).await,
        Transport::Tls => {
            let tls = tls.ok_or_else(|| io::Error::other("no TLS is configured"))?;
            let name = name.unwrap_or_else(|| hop.address.ip().to_string());
            let name = rustls::pki_types::ServerName::try_from(name).map_err(io::Error::other)?;
            let stream = timeout(HANDSHAKE_MAX, tls.connect(name, stream)).await??;
            task.serve(stream, queue).await
        }
        Transport::Udp | Transport::Ws | Transport::Wss => Err(io::Error::other(
            "connections of this transport are only taken",
        )),
    }
}

/// One connection.
struct Connection {
    hop: Hop,
    number: u64,
    events: mpsc::Sender<StreamEvent>,
    /// Whether we keep it alive: we opened it.
    pings: bool,
}

impl Connection {
    async fn serve_accepted<S>(self, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (hop, number, events) = (self.hop, self.number, self.events.clone());
        let (writer, queue) = connection(number);
        self.tell(StreamEvent::Opened { hop, writer }).await?;
        let served = self.serve(stream, queue).await;
        let closed = StreamEvent::Closed {
            hop,
            connection: number,
        };
        let _ = events.send(closed).await;
        served
    }

    async fn tell(&self, event: StreamEvent) -> io::Result<()> {
        self.events
            .send(event)
            .await
            .map_err(|_| io::Error::other("driver has stopped"))
    }

    async fn serve<S>(self, mut stream: S, mut queue: mpsc::Receiver<Arc<[u8]>>) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut framer = Framer::new();
        let mut buffer = vec![0_u8; 8_192];
        let mut heard = Instant::now();
        let mut begun: Option<Instant> = None;
        let mut ping = Instant::now() + PING_EVERY;
        let mut pong: Option<Instant> = None;
        loop {
            let mut deadline = heard + IDLE_MAX;
            if let Some(begun) = begun {
                deadline = deadline.min(begun + MESSAGE_MAX);
            }
            if let Some(pong) = pong {
                deadline = deadline.min(pong);
            }
            tokio::select! {
                read = stream.read(&mut buffer) => {
                    let length = read?;
                    if length == 0 {
                        return Ok(());
                    }
                    heard = Instant::now();
                    // Any byte proves that the peer is there.
                    pong = None;
                    framer.push(buffer.get(..length).unwrap_or_default());
                    let mut answers = 0;
                    while let Some(frame) = framer.next_frame().map_err(io::Error::other)? {
                        begun = None;
                        match frame {
                            Frame::Message(bytes) => {
                                let hop = self.hop;
                                self.tell(StreamEvent::Message { hop, bytes }).await?;
                            }
                            Frame::Ping => answers += 1,
                            Frame::Pong => {}
                        }
                    }
                    if framer.is_empty() {
                        begun = None;
                    } else {
                        begun.get_or_insert(heard);
                    }
                    for _ in 0..answers {
                        stream.write_all(b"\r\n").await?;
                    }
                }
                message = queue.recv() => match message {
                    Some(message) => {
                        stream.write_all(&message).await?;
                        stream.flush().await?;
                    }
                    // The driver let go of the connection.
                    None => {
                        let _ = timeout(HANDSHAKE_MAX, stream.shutdown()).await;
                        return Ok(());
                    }
                },
                () = tokio::time::sleep_until(ping), if self.pings => {
                    ping = Instant::now() + PING_EVERY;
                    pong = Some(Instant::now() + PONG_MAX);
                    stream.write_all(b"\r\n\r\n").await?;
                    stream.flush().await?;
                }
                () = tokio::time::sleep_until(deadline) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "peer is silent"));
                }
            }
        }
    }

    async fn serve_websocket<S>(self, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let upgrade =
            tokio_tungstenite::accept_hdr_async_with_config(stream, choose_sip, Some(limits));
        let mut socket = timeout(HANDSHAKE_MAX, upgrade)
            .await?
            .map_err(io::Error::other)?;
        let (hop, number, events) = (self.hop, self.number, self.events.clone());
        let (writer, mut queue) = connection(number);
        self.tell(StreamEvent::Opened { hop, writer }).await?;
        let served = self.exchange(&mut socket, &mut queue).await;
        let closed = StreamEvent::Closed {
            hop,
            connection: number,
        };
        let _ = events.send(closed).await;
        served
    }

    async fn exchange<S>(
        &self,
        socket: &mut WebSocketStream<S>,
        queue: &mut mpsc::Receiver<Arc<[u8]>>,
    ) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            tokio::select! {
                received = timeout(IDLE_MAX, socket.next()) => {
                    let Some(message) = received? else {
                        return Ok(());
                    };
                    let bytes = match message.map_err(io::Error::other)? {
                        WsMessage::Text(text) => text.as_bytes().to_vec(),
                        WsMessage::Binary(bytes) => bytes.to_vec(),
                        WsMessage::Close(_) => return Ok(()),
                        // The library answers pings.
                        WsMessage::Ping(_) | WsMessage::Pong(_) | WsMessage::Frame(_) => continue,
                    };
                    let hop = self.hop;
                    self.tell(StreamEvent::Message { hop, bytes }).await?;
                }
                message = queue.recv() => {
                    let Some(message) = message else {
                        let _ = timeout(HANDSHAKE_MAX, socket.close(None)).await;
                        return Ok(());
                    };
                    // RFC 7118 §5.1: text if it is UTF-8.
                    let message = match std::str::from_utf8(&message) {
                        Ok(text) => WsMessage::text(text),
                        Err(_) => WsMessage::binary(message.to_vec()),
                    };
                    socket.send(message).await.map_err(io::Error::other)?;
                }
            }
        }
    }
}

/// RFC 7118 §4: only for clients that speak the `sip` subprotocol.
#[expect(clippy::result_large_err, reason = "the signature is the library's")]
fn choose_sip(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let speaks_sip = request
        .headers()
        .get_all(http::header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|protocol| protocol.trim().eq_ignore_ascii_case("sip"));
    if !speaks_sip {
        let mut refusal = ErrorResponse::new(Some("subprotocol sip is needed".to_owned()));
        *refusal.status_mut() = http::StatusCode::BAD_REQUEST;
        return Err(refusal);
    }
    response.headers_mut().insert(
        http::header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static("sip"),
    );
    Ok(response)
}

/// Binds a listener for connections.
pub(super) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}
