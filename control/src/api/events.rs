//! `/v1/calls/{id}/events`: what happened and what happens, as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::calls::parse_id;
use super::error::ApiError;
use crate::calls::events::NumberedEvent;
use crate::calls::id::CallId;
use crate::calls::queries;
use crate::services::Services;
use crate::store::Store;

/// Stored events read at a time.
const PAGE: u32 = 200;
/// How often an idle connection is kept alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Sends the stored events after `Last-Event-ID` (or all), then live ones until the call ends.
pub(crate) async fn stream_events(
    State(services): State<Arc<Services>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let after = match headers.get("last-event-id") {
        None => 0,
        Some(value) => value
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| ApiError::invalid("Last-Event-ID", "must be the id of an event"))?,
    };
    // Live events are collected from before the stored ones are read, so none falls between.
    let live = services.registry.watch(id);
    if live.is_none() && queries::find_call(&services.store, id).await?.is_none() {
        return Err(ApiError::not_found("call"));
    }
    let source = Source {
        store: services.store.clone(),
        id,
        after,
        page: VecDeque::new(),
        from_store: true,
        live,
    };
    let events = stream::unfold(source, |mut source| async move {
        let event = source.next().await?;
        Some((Ok::<_, Infallible>(event), source))
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

struct Source {
    store: Store,
    id: CallId,
    /// Number of the last event sent.
    after: i64,
    page: VecDeque<NumberedEvent>,
    from_store: bool,
    live: Option<broadcast::Receiver<NumberedEvent>>,
}

impl Source {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.page.pop_front() {
                self.after = event.number.unwrap_or(self.after);
                return Some(to_sse(&event));
            }
            if self.from_store {
                let page = queries::events_after(&self.store, self.id, self.after, PAGE).await;
                // The connection ends; the client resumes after the last event it has.
                self.page = page.ok()?.into();
                self.from_store = !self.page.is_empty();
                continue;
            }
            match self.live.as_mut()?.recv().await {
                Ok(event) => match event.number {
                    Some(number) if number <= self.after => {}
                    Some(number) => {
                        self.after = number;
                        return Some(to_sse(&event));
                    }
                    None => return Some(to_sse(&event)),
                },
                // What was missed is in the store.
                Err(RecvError::Lagged(_)) => self.from_store = true,
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

fn to_sse(event: &NumberedEvent) -> Event {
    let kind = event.data["type"].as_str().unwrap_or("event").to_owned();
    let data = serde_json::to_string(event).unwrap_or_default();
    let sse = Event::default().event(kind).data(data);
    match event.number {
        Some(number) => sse.id(number.to_string()),
        None => sse,
    }
}
