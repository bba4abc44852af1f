//! Sends what is due: takes deliveries by lease, a few of each endpoint at a time, and notes what
//! became of them.
//!
//! A process that dies leaves a lease behind that runs out; the delivery is then sent again under
//! the same id, by which its receiver knows it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pipeline::guarded_http::{GuardedClient, Limits};
use reqwest::Method;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use url::Url;
use uuid::Uuid;

use super::endpoints::{WebhookEndpoint, endpoint};
use super::message::{self, StoredEvent};
use super::schedule::{FAILING_MAX, wait};
use super::signature::{sign, sign_body};
use crate::clock::now_us;
use crate::identity::accounts::uuid;
use crate::identity::vault::Vault;
use crate::store::{Row, Store, StoreError, sql};

/// How often the table is looked at when nobody calls.
const ROUND: Duration = Duration::from_secs(1);
/// Deliveries in flight in all, and to one endpoint.
const IN_FLIGHT_MAX: usize = 64;
const PER_ENDPOINT_MAX: i64 = 4;
/// How long a delivery belongs to who took it: longer than one may take.
const LEASE_US: i64 = 60 * 1_000_000;
const LIMITS: Limits = Limits {
    total: Duration::from_secs(15),
    response_bytes_max: 64 * 1024,
    // A redirect is a failure: the address is to be corrected.
    redirects_max: 0,
};
/// Most characters of an error that are kept.
const ERROR_CHARS_MAX: usize = 300;

/// Sends webhooks; [`Sender::wake`] has it look at once.
#[derive(Clone, Debug)]
pub struct Sender {
    store: Store,
    vault: Vault,
    client: GuardedClient,
    wake: Arc<Notify>,
}

struct Due {
    id: Uuid,
    attempts: u32,
    endpoint: WebhookEndpoint,
    event: StoredEvent,
}

/// What became of one try.
enum Outcome {
    Delivered(u16),
    /// The receiver does not want it any more (410).
    Gone,
    Failed {
        status: Option<u16>,
        error: String,
        retry_after: Option<Duration>,
    },
    /// The call it tells of has been deleted.
    Nothing,
}

impl Sender {
    /// Over the client for addresses that users write.
    #[must_use]
    pub fn new(store: Store, vault: Vault, client: GuardedClient) -> Self {
        Self {
            store,
            vault,
            client,
            wake: Arc::default(),
        }
    }

    /// Has the table looked at now.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Runs until its task is ended.
    pub(crate) async fn run(self) {
        let mut sending = JoinSet::new();
        let mut in_flight: HashMap<Uuid, i64> = HashMap::new();
        loop {
            while sending.len() < IN_FLIGHT_MAX {
                let room = IN_FLIGHT_MAX - sending.len();
                let due = match self.take(room, &in_flight).await {
                    Ok(due) if due.is_empty() => break,
                    Ok(due) => due,
                    Err(error) => {
                        tracing::error!(%error, "due webhooks cannot be read");
                        break;
                    }
                };
                for delivery in due {
                    let endpoint = delivery.endpoint.id;
                    *in_flight.entry(endpoint).or_default() += 1;
                    let sender = self.clone();
                    sending.spawn(async move {
                        sender.deliver(delivery).await;
                        endpoint
                    });
                }
            }
            tokio::select! {
                Some(done) = sending.join_next() => {
                    let Ok(endpoint) = done else {
                        // A delivery that panicked keeps its lease; its count is lost with it.
                        in_flight.clear();
                        continue;
                    };
                    if let Some(count) = in_flight.get_mut(&endpoint) {
                        *count -= 1;
                        if *count <= 0 {
                            in_flight.remove(&endpoint);
                        }
                    }
                }
                () = self.wake.notified() => {}
                () = tokio::time::sleep(ROUND) => {}
            }
        }
    }

    /// Takes due deliveries, the oldest of every endpoint first.
    async fn take(
        &self,
        room: usize,
        in_flight: &HashMap<Uuid, i64>,
    ) -> Result<Vec<Due>, StoreError> {
        let now = now_us();
        // By the event's id, which sorts by time: what happened first is told first.
        let rows = sql(
            "SELECT id, endpoint_id FROM (SELECT d.id, d.endpoint_id, d.event_id, ROW_NUMBER() OVER \
               (PARTITION BY d.endpoint_id ORDER BY d.event_id) AS place \
             FROM webhook_deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint_id \
             WHERE d.state = 'pending' AND e.enabled = 1 AND d.not_before <= $1 \
               AND d.lease_until < $1) AS due \
             WHERE place <= $2 ORDER BY event_id LIMIT $3",
        )
        .bind(now)
        .bind(PER_ENDPOINT_MAX)
        .bind(i64::try_from(room).unwrap_or(1));
        let rows = self.store.fetch_all(rows).await?;
        let mut counts = in_flight.clone();
        let mut wanted = Vec::new();
        for row in &rows {
            let count = counts.entry(uuid(row, "endpoint_id")?).or_default();
            if *count < PER_ENDPOINT_MAX {
                *count += 1;
                wanted.push(uuid(row, "id")?);
            }
        }
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let taken = self.store.write(move |conn| {
            Box::pin(async move {
                let mut taken = Vec::new();
                for id in wanted {
                    let claimed = sql("UPDATE webhook_deliveries SET lease_until = $3 \
                         WHERE id = $1 AND state = 'pending' AND lease_until < $2")
                    .bind(id)
                    .bind(now)
                    .bind(now + LEASE_US)
                    .execute(conn)
                    .await?;
                    if claimed == 0 {
                        continue;
                    }
                    let row = sql(
                        "SELECT d.id AS delivery_id, d.attempts, v.id AS event_id, v.kind, \
                           v.call_id, v.sequence, v.at, e.* FROM webhook_deliveries d \
                         JOIN webhook_events v ON v.id = d.event_id \
                         JOIN webhook_endpoints e ON e.id = d.endpoint_id WHERE d.id = $1",
                    )
                    .bind(id)
                    .fetch_one(conn)
                    .await?;
                    taken.push(due(&row)?);
                }
                Ok(taken)
            })
        });
        taken.await
    }

    async fn deliver(&self, due: Due) {
        let outcome = match self.send(&due).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed {
                status: None,
                error: error.to_string(),
                retry_after: None,
            },
        };
        if let Err(error) = self.note(&due, outcome).await {
            // The lease runs out and it is sent again, under the same id.
            tracing::error!(delivery = %due.id, %error, "delivery was not noted");
        }
    }

    async fn send(&self, due: &Due) -> Result<Outcome, StoreError> {
        let (endpoint, event) = (&due.endpoint, &due.event);
        let Some(body) = message::body(&self.store, event, &endpoint.format).await? else {
            return Ok(Outcome::Nothing);
        };
        let failed = |error: String| Outcome::Failed {
            status: None,
            error,
            retry_after: None,
        };
        let now = now_us();
        let secrets = match endpoint.secrets(&self.vault, now) {
            Ok(secrets) => secrets,
            Err(error) => return Ok(failed(error.to_string())),
        };
        let Ok(url) = Url::parse(&endpoint.url) else {
            return Ok(failed("the address is malformed".to_owned()));
        };
        let body = body.to_string();
        let (id, timestamp) = (event.id.to_string(), now / 1_000_000);
        let keys: Vec<&str> = secrets.iter().map(crate::config::Secret::reveal).collect();
        let request = self
            .client
            .request(Method::POST, url)
            .header("content-type", "application/json")
            .header("user-agent", concat!("samvad/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp.to_string())
            .header(
                "webhook-signature",
                sign(&keys, &id, timestamp, body.as_bytes()),
            )
            .header("x-webhook-signature", sign_body(keys[0], body.as_bytes()))
            .body(body)
            .build();
        let request = match request {
            Ok(request) => request,
            Err(error) => return Ok(failed(error.without_url().to_string())),
        };
        Ok(match self.client.send(request, &LIMITS).await {
            Ok(answer) if answer.status.is_success() => Outcome::Delivered(answer.status.as_u16()),
            Ok(answer) if answer.status.as_u16() == 410 => Outcome::Gone,
            Ok(answer) => Outcome::Failed {
                status: Some(answer.status.as_u16()),
                error: format!("status {}", answer.status),
                retry_after: match answer.status.as_u16() {
                    429 | 503 => answer.retry_after(),
                    _ => None,
                },
            },
            Err(error) => failed(error.to_string()),
        })
    }

    async fn note(&self, due: &Due, outcome: Outcome) -> Result<(), StoreError> {
        let now = now_us();
        let (id, endpoint) = (due.id, due.endpoint.id);
        let tries = due.attempts + 1;
        let (state, status, error, next, off) = match outcome {
            Outcome::Delivered(status) => ("delivered", Some(status), None, now, None),
            Outcome::Nothing => (
                "failed",
                None,
                Some("the call is gone".to_owned()),
                now,
                None,
            ),
            Outcome::Gone => {
                let reason = "the receiver answered 410";
                (
                    "failed",
                    Some(410),
                    Some(reason.to_owned()),
                    now,
                    Some(reason),
                )
            }
            Outcome::Failed {
                status,
                error,
                retry_after,
            } => {
                let error = error
                    .chars()
                    .filter(|c| *c != '\0')
                    .take(ERROR_CHARS_MAX)
                    .collect();
                let since = due.endpoint.failing_since.unwrap_or(now);
                let failing = i64::try_from(FAILING_MAX.as_micros()).unwrap_or(i64::MAX);
                let off = (now - since > failing).then_some("it has failed for five days");
                match wait(tries, rand::random::<f64>(), retry_after) {
                    Some(wait) => {
                        let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
                        (
                            "pending",
                            status,
                            Some(error),
                            now.saturating_add(wait),
                            off,
                        )
                    }
                    None => ("failed", status, Some(error), now, off),
                }
            }
        };
        if let Some(reason) = off {
            tracing::warn!(webhook = %endpoint, reason, "webhook was switched off");
        }
        let (delivered, failed) = (state == "delivered", error.is_some());
        self.store
            .write(move |conn| {
                Box::pin(async move {
                    sql(
                        "UPDATE webhook_deliveries SET state = $2, attempts = $3, not_before = $4, \
                           lease_until = 0, last_status = $5, last_error = $6, last_at = $7 \
                         WHERE id = $1",
                    )
                    .bind(id)
                    .bind(state)
                    .bind(tries)
                    .bind(next)
                    .bind(status.map(i64::from))
                    .bind(error)
                    .bind(now)
                    .execute(conn)
                    .await?;
                    if delivered {
                        sql("UPDATE webhook_endpoints SET failing_since = NULL, \
                               last_success_at = $2 WHERE id = $1")
                        .bind(endpoint)
                        .bind(now)
                        .execute(conn)
                        .await?;
                    } else if failed {
                        sql("UPDATE webhook_endpoints SET \
                               failing_since = COALESCE(failing_since, $2), \
                               enabled = CASE WHEN $3 IS NULL THEN enabled ELSE 0 END, \
                               disabled_reason = COALESCE($3, disabled_reason) WHERE id = $1")
                        .bind(endpoint)
                        .bind(now)
                        .bind(off.map(str::to_owned))
                        .execute(conn)
                        .await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}

fn due(row: &Row) -> Result<Due, StoreError> {
    let attempts: i64 = row.get("attempts")?;
    Ok(Due {
        id: uuid(row, "delivery_id")?,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX - 1),
        event: StoredEvent {
            id: uuid(row, "event_id")?,
            org: uuid(row, "org_id")?,
            kind: row.get("kind")?,
            call: row.get("call_id")?,
            sequence: row.get("sequence")?,
            at: row.get("at")?,
        },
        endpoint: endpoint(row)?,
    })
}
