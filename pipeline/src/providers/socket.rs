//! The websocket that all streaming adapters share: connect, credentials, close codes.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::header::HeaderMap;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use url::Url;

use crate::provider_error::ProviderError;
use crate::providers::http::{refusal_of, retry_after};

/// Largest message taken from a provider.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A message that cannot be written within this breaks the connection.
const SEND_MAX: Duration = Duration::from_secs(2);

/// What is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outgoing {
    Text(String),
    Binary(Vec<u8>),
}

/// What comes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Incoming {
    Text(String),
    Binary(Vec<u8>),
}

/// Where to connect and with what headers.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
}

/// An open websocket to a provider.
#[derive(Debug)]
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Connects, with TLS where the address says so.
    ///
    /// # Errors
    /// [`ProviderError`] by what the vendor answered to the handshake.
    pub(crate) async fn connect(address: &Address, max: Duration) -> Result<Self, ProviderError> {
        let mut request = address
            .url
            .as_str()
            .into_client_request()
            .map_err(|error| ProviderError::Rejected(format!("base_url: {error}")))?;
        request.headers_mut().extend(address.headers.clone());
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let connecting = connect_async_with_config(request, Some(config), true);
        let (socket, _) = timeout(max, connecting)
            .await
            .map_err(|_| ProviderError::TimedOut)?
            .map_err(failure)?;
        Ok(Self(socket))
    }

    /// Sends one message.
    pub(crate) async fn send(&mut self, message: Outgoing) -> Result<(), ProviderError> {
        let message = match message {
            Outgoing::Text(text) => Message::text(text),
            Outgoing::Binary(bytes) => Message::binary(bytes),
        };
        timeout(SEND_MAX, self.0.send(message))
            .await
            .map_err(|_| ProviderError::TimedOut)?
            .map_err(failure)
    }

    /// The next message; a close and an end are errors. Safe to drop and to ask again.
    pub(crate) async fn receive(&mut self) -> Result<Incoming, ProviderError> {
        loop {
            return match self.0.next().await {
                Some(Ok(Message::Text(text))) => Ok(Incoming::Text(text.as_str().to_owned())),
                Some(Ok(Message::Binary(bytes))) => Ok(Incoming::Binary(bytes.to_vec())),
                Some(Ok(Message::Close(frame))) => Err(closed(frame.as_ref())),
                // Pings are answered by the library.
                Some(Ok(_)) => continue,
                Some(Err(error)) => Err(failure(error)),
                None => Err(closed(None)),
            };
        }
    }

    /// Says goodbye without waiting for the answer.
    pub(crate) async fn close(mut self, last: Option<Outgoing>) {
        if let Some(message) = last {
            let _ = self.send(message).await;
        }
        let _ = timeout(SEND_MAX, self.0.close(None)).await;
    }
}

fn failure(error: Error) -> ProviderError {
    match error {
        Error::Http(response) => refusal_of(
            response.status(),
            retry_after(response.headers()),
            response.body().as_deref().unwrap_or_default(),
        ),
        other => ProviderError::Connection(other.to_string()),
    }
}

/// RFC 6455 §7.4.1; codes from 4000 are the vendors', most of which follow HTTP's numbers.
fn closed(frame: Option<&CloseFrame>) -> ProviderError {
    let Some(frame) = frame else {
        return ProviderError::Connection("closed by the provider".to_owned());
    };
    let code = u16::from(frame.code);
    let text = format!("closed by the provider: {code} {}", frame.reason);
    match code {
        1000 | 1001 | 1005 | 1006 => ProviderError::Connection(text),
        4001 | 4003 | 4401 | 4403 => ProviderError::Unauthorized,
        4029 | 4429 => ProviderError::RateLimited { retry_after: None },
        1002 | 1003 | 1007..=1010 | 4400 | 4404 => ProviderError::Rejected(text),
        _ => ProviderError::Failed(text),
    }
}
