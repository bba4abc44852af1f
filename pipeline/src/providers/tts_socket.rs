//! The driver under all streaming voices: warm connections shared by requests, one task each.
//!
//! A request has a context of its own; what carries the context of a request given up is dropped
//! here. A connection that nobody has used for [`IDLE_MAX`] is closed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::provider_error::ProviderError;
use crate::providers::socket::{Incoming, Socket};
use crate::providers::tts_codec::{Cancel, RATE, Spoken, TtsCodec};
use crate::providers::tts_speech::{FIRST_MAX, STALL_MAX, Speech, conclude};
use crate::tts::{TextToSpeech, TtsEvent, TtsRequest};

/// Longest time to a connection.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// A connection without a request is kept this long.
const IDLE_MAX: Duration = Duration::from_secs(90);
/// Messages of a request that wait to be taken; a request that lets more wait fails.
const SPOKEN_MAX: usize = 1_024;
/// Events that wait for the conversation.
const EVENTS_MAX: usize = 64;
/// Orders that wait for a connection.
const ORDERS_MAX: usize = 32;

/// Makes the codec of a request's connection.
pub(crate) type MakeCodec =
    Box<dyn Fn(&TtsRequest) -> Result<Box<dyn TtsCodec>, ProviderError> + Send + Sync>;

/// A voice over websockets.
pub(crate) struct StreamingVoice {
    name: &'static str,
    pool: Arc<Pool>,
}

impl StreamingVoice {
    pub(crate) fn new(name: &'static str, make: MakeCodec) -> Self {
        Self {
            name,
            pool: Arc::new(Pool {
                make,
                connections: Mutex::default(),
                contexts: AtomicU64::new(0),
            }),
        }
    }
}

#[async_trait]
impl TextToSpeech for StreamingVoice {
    fn name(&self) -> &str {
        self.name
    }

    async fn synthesize(
        &self,
        request: TtsRequest,
    ) -> Result<mpsc::Receiver<TtsEvent>, ProviderError> {
        // A wrong setting is told at once; everything else comes as an event.
        (self.pool.make)(&request)?;
        let speech = Speech::new(&request.text, RATE)?;
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        tokio::spawn(Arc::clone(&self.pool).speak(request, speech, sender));
        Ok(receiver)
    }
}

struct Pool {
    make: MakeCodec,
    connections: Mutex<Vec<Handle>>,
    contexts: AtomicU64,
}

#[derive(Clone)]
struct Handle {
    key: String,
    orders: mpsc::Sender<Order>,
    /// Requests that run on it.
    busy: Arc<AtomicUsize>,
    contexts_max: usize,
}

enum Order {
    Speak {
        context: String,
        request: TtsRequest,
        spoken: mpsc::Sender<Spoken>,
    },
    Cancel {
        context: String,
    },
}

/// Whether a failed request may be tried on another connection.
enum Failure {
    /// The connection had been kept, and nothing was heard on it.
    Stale(ProviderError),
    Final(ProviderError),
}

impl Pool {
    async fn speak(
        self: Arc<Self>,
        request: TtsRequest,
        mut speech: Speech,
        sender: mpsc::Sender<TtsEvent>,
    ) {
        let deadline = Instant::now() + FIRST_MAX;
        let outcome = match self
            .attempt(&request, &mut speech, &sender, deadline, true)
            .await
        {
            // A kept connection may have died unnoticed.
            Err(Failure::Stale(error)) => {
                tracing::debug!(%error, "voice is connected anew");
                self.attempt(&request, &mut speech, &sender, deadline, false)
                    .await
            }
            outcome => outcome,
        };
        let outcome = outcome.map_err(|failure| match failure {
            Failure::Stale(error) | Failure::Final(error) => error,
        });
        conclude(&sender, outcome).await;
    }

    async fn attempt(
        &self,
        request: &TtsRequest,
        speech: &mut Speech,
        sender: &mpsc::Sender<TtsEvent>,
        first: Instant,
        kept_allowed: bool,
    ) -> Result<(), Failure> {
        let codec = (self.make)(request).map_err(Failure::Final)?;
        let key = format!("{} {:?}", codec.address().url, codec.opening());
        let kept = if kept_allowed { self.free(&key) } else { None };
        let is_kept = kept.is_some();
        let handle = match kept {
            Some(handle) => handle,
            None => {
                let connecting = self.connect(key, codec);
                timeout_at(first, connecting)
                    .await
                    .unwrap_or(Err(ProviderError::TimedOut))
                    .map_err(Failure::Final)?
            }
        };
        let fail = |error, heard: bool| {
            if is_kept && !heard {
                Failure::Stale(error)
            } else {
                Failure::Final(error)
            }
        };
        let number = self.contexts.fetch_add(1, Ordering::Relaxed);
        let context = format!("c{number}");
        let (spoken, mut heard) = mpsc::channel(SPOKEN_MAX);
        let order = Order::Speak {
            context: context.clone(),
            request: request.clone(),
            spoken,
        };
        if handle.orders.send(order).await.is_err() {
            let error = ProviderError::Connection("closed".to_owned());
            return Err(fail(error, false));
        }
        let mut any = false;
        let mut deadline = first;
        let outcome = loop {
            let next = tokio::select! {
                () = sender.closed() => break Ok(()),
                next = timeout_at(deadline, heard.recv()) => next,
            };
            let event = match next {
                Err(_) => break Err(Failure::Final(ProviderError::TimedOut)),
                Ok(None) => {
                    let error = ProviderError::Connection("closed in mid-speech".to_owned());
                    return Err(fail(error, any));
                }
                Ok(Some(Spoken::Audio(bytes))) => {
                    any = true;
                    speech.audio(&bytes)
                }
                Ok(Some(Spoken::Words(words))) => speech.words(&words),
                Ok(Some(Spoken::Done)) => return Ok(()),
                Ok(Some(Spoken::Fault(error))) => return Err(fail(error, any)),
                Ok(Some(Spoken::Cleared)) => None,
            };
            if let Some(event) = event {
                if sender.send(event).await.is_err() {
                    break Ok(());
                }
                // Our own reader's slowness is none of the voice's.
                deadline = first.max(Instant::now() + STALL_MAX);
                if any {
                    deadline = Instant::now() + STALL_MAX;
                }
            }
        };
        // Given up: by the reader, or because nothing came.
        let _ = handle.orders.send(Order::Cancel { context }).await;
        outcome
    }

    /// A kept connection with room.
    fn free(&self, key: &str) -> Option<Handle> {
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        connections.retain(|handle| !handle.orders.is_closed());
        let handle = connections.iter().find(|handle| {
            handle.key == key && handle.busy.load(Ordering::Acquire) < handle.contexts_max
        })?;
        handle.busy.fetch_add(1, Ordering::AcqRel);
        Some(handle.clone())
    }

    async fn connect(
        &self,
        key: String,
        codec: Box<dyn TtsCodec>,
    ) -> Result<Handle, ProviderError> {
        let mut socket = Socket::connect(&codec.address(), CONNECT_MAX).await?;
        for message in codec.opening() {
            socket.send(message).await?;
        }
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let handle = Handle {
            key,
            orders,
            busy: Arc::new(AtomicUsize::new(1)),
            contexts_max: codec.contexts_max(),
        };
        let connection = Connection {
            socket,
            codec,
            busy: Arc::clone(&handle.busy),
            running: HashMap::new(),
            clearing: None,
            used: Instant::now(),
            sent: Instant::now(),
        };
        tokio::spawn(connection.run(inbox));
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        connections.push(handle.clone());
        Ok(handle)
    }
}

struct Connection {
    socket: Socket,
    codec: Box<dyn TtsCodec>,
    busy: Arc<AtomicUsize>,
    running: HashMap<String, mpsc::Sender<Spoken>>,
    /// A cancelled request whose end the provider still owes.
    clearing: Option<Instant>,
    used: Instant,
    sent: Instant,
}

impl Connection {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        let error = loop {
            let keep = self
                .codec
                .keep_alive()
                .map(|(after, message)| (self.sent + after, message));
            let idle = self.running.is_empty() && self.clearing.is_none();
            let end = match self.clearing {
                Some(until) => Some(until),
                None if idle => Some(self.used + IDLE_MAX),
                None => None,
            };
            let outcome = tokio::select! {
                order = inbox.recv() => match order {
                    Some(order) => self.order(order).await,
                    None => break None,
                },
                message = self.socket.receive() => match message {
                    Ok(message) => self.message(message),
                    Err(error) => Err(error),
                },
                () = at(keep.as_ref().map(|(when, _)| *when)) => {
                    self.sent = Instant::now();
                    match keep {
                        Some((_, message)) => self.socket.send(message).await,
                        None => Ok(()),
                    }
                }
                () = at(end) => break None,
            };
            match outcome {
                Ok(()) => {}
                Err(error) => break Some(error),
            }
        };
        // Requests that come now find the queue closed and go elsewhere.
        inbox.close();
        if let Some(error) = error {
            for spoken in self.running.values() {
                let _ = spoken.try_send(Spoken::Fault(error.clone()));
            }
        } else {
            let last = self.codec.closing();
            self.socket.close(last).await;
        }
    }

    async fn order(&mut self, order: Order) -> Result<(), ProviderError> {
        self.used = Instant::now();
        self.sent = Instant::now();
        let messages = match order {
            Order::Speak {
                context,
                request,
                spoken,
            } => {
                let messages = self.codec.begin(&context, &request);
                self.running.insert(context, spoken);
                messages
            }
            Order::Cancel { context } => {
                if self.running.remove(&context).is_none() {
                    return Ok(());
                }
                match self.codec.cancel(&context) {
                    Cancel::Send(messages) => {
                        self.busy.fetch_sub(1, Ordering::AcqRel);
                        messages
                    }
                    Cancel::Await(messages) => {
                        self.clearing = Some(Instant::now() + STALL_MAX);
                        messages
                    }
                    Cancel::Close => {
                        return Err(ProviderError::Connection("cancelled".to_owned()));
                    }
                }
            }
        };
        for message in messages {
            self.socket.send(message).await?;
        }
        Ok(())
    }

    fn message(&mut self, message: Incoming) -> Result<(), ProviderError> {
        for (context, spoken) in self.codec.take(message)? {
            if matches!(spoken, Spoken::Cleared) {
                if self.clearing.take().is_some() {
                    self.busy.fetch_sub(1, Ordering::AcqRel);
                }
                continue;
            }
            let context = match context {
                Some(context) => context,
                // What still comes of a cancelled request is nobody's.
                None if self.clearing.is_some() => continue,
                None => match self.running.keys().next() {
                    Some(only) => only.clone(),
                    None => continue,
                },
            };
            let Some(sender) = self.running.get(&context) else {
                continue;
            };
            let last = matches!(spoken, Spoken::Done | Spoken::Fault(_));
            // A reader that has gone cancels; one that is a thousand messages behind has failed.
            let full = sender.try_send(spoken).is_err();
            if last || full {
                self.running.remove(&context);
                self.busy.fetch_sub(1, Ordering::AcqRel);
                self.used = Instant::now();
            }
        }
        Ok(())
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
