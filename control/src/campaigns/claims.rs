//! Intents and results as rows: what makes sure that nobody is dialled twice and nobody is lost.
//!
//! Every function here is one transaction. An intent is written, and is on disk, before its call
//! leaves; a result closes the attempt and moves the recipient in the same transaction. ADR 14.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::campaign::{self, Campaign, Kind, State};
use super::dialler::{DAY_US, Dialler, Due, Ended, Pause, Step, Verdict};
use crate::identity::accounts::uuid;
use crate::outbound::outcome::{DialDetail, DialEnd, DialOutcome};
use crate::store::{Connection, Dialect, Query, Row, StoreError, sql};

/// Most intents of one transaction.
pub const CLAIM_MAX: usize = 64;
/// Recipients looked at beyond the room: those are closed or put off.
const LOOK_BEYOND: usize = 64;
/// How much of a rate may be made up for at once, so that a late turn does not slow the rate.
const CATCH_UP_US: i64 = 250_000;
/// Lost attempts decided in one transaction.
const LOST_MAX: i64 = 200;

/// What limits a claim; counted over all servers of the database.
#[derive(Clone, PartialEq, Debug)]
pub struct Room {
    /// The process that claims.
    pub dialler: Uuid,
    /// Calls this server can take on now.
    pub server: usize,
    /// Name of the trunk.
    pub trunk: String,
    /// Calls at a time of the trunk; 0: any number.
    pub trunk_calls_max: u32,
    /// Calls a second of the trunk.
    pub trunk_per_second: f64,
    /// Calls of campaigns of the organisation at a time; 0: any number.
    pub organisation_calls_max: u32,
}

/// An intent: this call is to leave now.
#[derive(Clone, PartialEq, Debug)]
pub struct Intent {
    /// Id of the attempt, of the call and its Call-ID.
    pub attempt: Uuid,
    /// Whom.
    pub recipient: Uuid,
    /// Which attempt it is, from 1.
    pub number: u32,
    /// E.164 with its plus sign.
    pub phone: String,
    /// What the conversation gets to know.
    pub variables: BTreeMap<String, String>,
    /// When it was written.
    pub at: i64,
}

/// What a claim brought.
#[derive(Clone, PartialEq, Debug)]
pub enum Claim {
    /// These calls are to leave; perhaps none, for want of room or of recipients.
    Intents(Vec<Intent>),
    /// Every recipient is done.
    Completed,
    /// The campaign no longer runs.
    NotRunning,
    /// This process was taken for dead, or its lease has run out: it may not dial.
    Fenced,
}

/// Renews the lease of a dialler, making it if it is new. False once it was fenced.
///
/// # Errors
/// When the store fails.
pub async fn renew(
    conn: &mut Connection,
    dialler: Uuid,
    node: &str,
    until: i64,
) -> Result<bool, StoreError> {
    sql(
        "INSERT INTO diallers (id, node_id, lease_until, fenced) VALUES ($1, $2, $3, 0) \
         ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until \
           WHERE diallers.fenced = 0",
    )
    .bind(dialler)
    .bind(node)
    .bind(until)
    .execute(conn)
    .await
    .map(|changed| changed == 1)
}

/// Writes the intents of the calls that are to leave now, puts off and closes what `dialler`
/// says, and completes the campaign when nothing is left.
///
/// # Errors
/// When the store fails.
pub async fn claim(
    conn: &mut Connection,
    id: Uuid,
    dialler: &Dialler,
    room: &Room,
    now: i64,
) -> Result<Claim, StoreError> {
    let lease = format!(
        "SELECT lease_until, fenced FROM diallers WHERE id = $1{}",
        conn.for_update()
    );
    let lease = sql(lease).bind(room.dialler).fetch_optional(conn).await?;
    let alive = match lease {
        Some(row) => !row.flag("fenced")? && row.get::<i64>("lease_until")? > now,
        None => false,
    };
    if !alive {
        return Ok(Claim::Fenced);
    }
    // Another server that claims for this campaign right now is not waited for.
    let skip = match conn.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
    };
    let row = sql(format!("SELECT * FROM campaigns WHERE id = $1{skip}"))
        .bind(id)
        .fetch_optional(conn)
        .await?;
    let Some(row) = row else {
        return Ok(Claim::Intents(Vec::new()));
    };
    let found = campaign::campaign(&row)?;
    if found.state != State::Running {
        return Ok(Claim::NotRunning);
    }
    let open = count(conn, "campaign_id", &id.to_string()).await?;
    let mut free = room.server.min(CLAIM_MAX);
    free = free.min((found.rules.calls_max as usize).saturating_sub(open));
    if free == 0 {
        return Ok(Claim::Intents(Vec::new()));
    }
    let organisation = found.org.to_string();
    let mut rates = Vec::new();
    for (name, per_second) in [
        (format!("trunk:{}", room.trunk), room.trunk_per_second),
        (format!("campaign:{id}"), found.rules.calls_per_second),
    ] {
        // The row is also the lock under which the calls of the trunk are counted.
        let next_at = lock_pacing(conn, &name, now).await?;
        if per_second > 0.0 {
            let rate = Rate::new(next_at, per_second, now);
            free = free.min(rate.allowed(now));
            rates.push((name, rate));
        }
    }
    lock_pacing(conn, &format!("organisation:{organisation}"), now).await?;
    for (column, value, most) in [
        ("trunk", room.trunk.as_str(), room.trunk_calls_max),
        ("org_id", organisation.as_str(), room.organisation_calls_max),
    ] {
        if most > 0 {
            let open = count(conn, column, value).await?;
            free = free.min((most as usize).saturating_sub(open));
        }
    }
    if free == 0 {
        return Ok(Claim::Intents(Vec::new()));
    }
    let rows = due_rows(conn, id, now, free + LOOK_BEYOND).await?;
    if rows.is_empty() {
        return finish_if_done(conn, &found).await;
    }
    let due = judge(conn, &organisation, &rows, now).await?;
    let steps = dialler.plan(now, free, &due);
    let intents = write_steps(conn, &found, room, &rows, &steps, now).await?;
    for (name, rate) in rates {
        sql("UPDATE dial_pacing SET next_at = $2 WHERE name = $1")
            .bind(name)
            .bind(rate.after(intents.len()))
            .execute(conn)
            .await?;
    }
    Ok(Claim::Intents(intents))
}

async fn count(
    conn: &mut Connection,
    column: &'static str,
    value: &str,
) -> Result<usize, StoreError> {
    let text =
        format!("SELECT COUNT(*) AS n FROM dial_attempts WHERE {column} = $1 AND state = 'open'");
    let n: i64 = sql(text).bind(value).fetch_one(conn).await?.get("n")?;
    Ok(usize::try_from(n).unwrap_or(0))
}

async fn lock_pacing(conn: &mut Connection, name: &str, now: i64) -> Result<i64, StoreError> {
    sql("INSERT INTO dial_pacing (name, next_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(name)
        .bind(now)
        .execute(conn)
        .await?;
    let text = format!(
        "SELECT next_at FROM dial_pacing WHERE name = $1{}",
        conn.for_update()
    );
    sql(text).bind(name).fetch_one(conn).await?.get("next_at")
}

/// The generic cell rate algorithm: when the next call may begin, and how far apart calls are.
#[derive(Clone, Copy, Debug)]
struct Rate {
    next_at: i64,
    interval_us: i64,
}

impl Rate {
    fn new(next_at: i64, per_second: f64, now: i64) -> Self {
        Self {
            next_at: next_at.max(now - CATCH_UP_US),
            interval_us: ((1e6 / per_second) as i64).max(1),
        }
    }

    fn allowed(&self, now: i64) -> usize {
        if self.next_at > now {
            return 0;
        }
        let calls = (now - self.next_at) / self.interval_us + 1;
        usize::try_from(calls).unwrap_or(usize::MAX)
    }

    fn after(&self, calls: usize) -> i64 {
        self.next_at + i64::try_from(calls).unwrap_or(0) * self.interval_us
    }
}

async fn due_rows(
    conn: &mut Connection,
    id: Uuid,
    now: i64,
    most: usize,
) -> Result<Vec<Row>, StoreError> {
    sql(
        "SELECT id, phone, variables, time_zone, attempts FROM recipients \
         WHERE campaign_id = $1 AND state IN ('pending', 'retry') AND not_before <= $2 \
         ORDER BY not_before, id LIMIT $3",
    )
    .bind(id)
    .bind(now)
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_all(conn)
    .await
}

/// ` IN ($n, …)` of these values.
fn push_list<'a>(query: &mut Query, values: impl IntoIterator<Item = &'a str>) {
    query.push(" IN (");
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            query.push(", ");
        }
        query.push_bind(value);
    }
    query.push(")");
}

async fn judge(
    conn: &mut Connection,
    organisation: &str,
    rows: &[Row],
    now: i64,
) -> Result<Vec<Due>, StoreError> {
    let phones: Vec<String> = rows
        .iter()
        .map(|row| row.get("phone"))
        .collect::<Result<_, _>>()?;
    let mut query =
        sql("SELECT phone FROM do_not_call WHERE org_id IN ('', $1) AND phone").bind(organisation);
    push_list(&mut query, phones.iter().map(String::as_str));
    let barred: HashSet<String> = query
        .fetch_all(conn)
        .await?
        .iter()
        .map(|row| row.get("phone"))
        .collect::<Result<_, _>>()?;
    let mut query = sql(
        "SELECT phone, intent_at FROM dial_attempts WHERE org_id = $1 AND intent_at > $2 AND phone",
    )
    .bind(organisation)
    .bind(now - DAY_US);
    push_list(&mut query, phones.iter().map(String::as_str));
    query.push(" ORDER BY intent_at");
    let mut called: HashMap<String, Vec<i64>> = HashMap::new();
    for row in query.fetch_all(conn).await? {
        let phone: String = row.get("phone")?;
        called.entry(phone).or_default().push(row.get("intent_at")?);
    }
    rows.iter()
        .zip(phones)
        .map(|(row, phone)| {
            Ok(Due {
                recipient: uuid(row, "id")?,
                zone: row.get("time_zone")?,
                attempts: u32::try_from(row.get::<i64>("attempts")?).unwrap_or(0),
                called_at: called.get(&phone).cloned().unwrap_or_default(),
                do_not_call: barred.contains(&phone),
                phone,
            })
        })
        .collect()
}

async fn write_steps(
    conn: &mut Connection,
    found: &Campaign,
    room: &Room,
    rows: &[Row],
    steps: &[Step],
    now: i64,
) -> Result<Vec<Intent>, StoreError> {
    let by_id: HashMap<Uuid, &Row> = rows
        .iter()
        .map(|row| Ok((uuid(row, "id")?, row)))
        .collect::<Result<_, StoreError>>()?;
    let mut intents = Vec::new();
    for step in steps {
        match *step {
            Step::Dial { recipient, attempt } => {
                let Some(row) = by_id.get(&recipient) else {
                    continue;
                };
                let intent = Intent {
                    attempt: Uuid::now_v7(),
                    recipient,
                    number: attempt,
                    phone: row.get("phone")?,
                    variables: serde_json::from_value(row.json("variables")?)
                        .map_err(|_| StoreError::Malformed("variables"))?,
                    at: now,
                };
                sql(
                    "INSERT INTO dial_attempts (id, recipient_id, campaign_id, org_id, number, \
                       phone, trunk, dialler_id, state, intent_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'open', $9)",
                )
                .bind(intent.attempt)
                .bind(recipient)
                .bind(found.id)
                .bind(found.org)
                .bind(attempt)
                .bind(&intent.phone)
                .bind(&room.trunk)
                .bind(room.dialler)
                .bind(now)
                .execute(conn)
                .await?;
                sql(
                    "UPDATE recipients SET state = 'dialing', reason = NULL, call_id = $2, \
                       updated_at = $3 WHERE id = $1",
                )
                .bind(recipient)
                .bind(intent.attempt)
                .bind(now)
                .execute(conn)
                .await?;
                intents.push(intent);
            }
            Step::Defer {
                recipient,
                until,
                reason,
            } => {
                sql(
                    "UPDATE recipients SET not_before = $2, reason = $3, updated_at = $4 \
                     WHERE id = $1",
                )
                .bind(recipient)
                .bind(until)
                .bind(reason.name())
                .bind(now)
                .execute(conn)
                .await?;
            }
            Step::Close {
                recipient,
                status,
                reason,
            } => {
                sql(
                    "UPDATE recipients SET state = $2, reason = $3, error_message = $3, \
                       updated_at = $4 WHERE id = $1",
                )
                .bind(recipient)
                .bind(status.name())
                .bind(reason.name())
                .bind(now)
                .execute(conn)
                .await?;
            }
        }
    }
    Ok(intents)
}

async fn finish_if_done(conn: &mut Connection, found: &Campaign) -> Result<Claim, StoreError> {
    let left = sql("SELECT id FROM recipients WHERE campaign_id = $1 \
         AND state IN ('pending', 'retry', 'dialing', 'unknown') LIMIT 1")
    .bind(found.id)
    .fetch_optional(conn)
    .await?;
    if left.is_some() || found.kind == Kind::VaaniCampaign {
        return Ok(Claim::Intents(Vec::new()));
    }
    campaign::set_state(conn, found.id, State::Completed, None).await?;
    Ok(Claim::Completed)
}

/// Number of a still open or unknown attempt, with its campaign and recipient.
struct OpenAttempt {
    recipient: Uuid,
    campaign: Uuid,
    number: u32,
}

async fn open_attempt(
    conn: &mut Connection,
    attempt: Uuid,
) -> Result<Option<OpenAttempt>, StoreError> {
    let text = format!(
        "SELECT recipient_id, campaign_id, number FROM dial_attempts \
         WHERE id = $1 AND state IN ('open', 'unknown'){}",
        conn.for_update()
    );
    let row = sql(text).bind(attempt).fetch_optional(conn).await?;
    row.map(|row| {
        Ok(OpenAttempt {
            recipient: uuid(&row, "recipient_id")?,
            campaign: uuid(&row, "campaign_id")?,
            number: u32::try_from(row.get::<i64>("number")?).unwrap_or(1),
        })
    })
    .transpose()
}

/// Writes the result of an attempt and what [`Dialler::ended`] made of it. False when it was decided before:
/// then nothing is changed, so that a result that comes twice, or late, does no harm.
///
/// # Errors
/// When the store fails.
pub async fn settle(
    conn: &mut Connection,
    attempt: Uuid,
    end: &DialEnd,
    Ended { verdict, pause }: Ended,
    now: i64,
) -> Result<bool, StoreError> {
    let Some(open) = open_attempt(conn, attempt).await? else {
        return Ok(false);
    };
    if end.detail.is_some_and(DialDetail::is_unsent) {
        // Nothing left: as if it had never been tried.
        sql("DELETE FROM dial_attempts WHERE id = $1")
            .bind(attempt)
            .execute(conn)
            .await?;
    } else {
        close(conn, attempt, end, &verdict, now).await?;
    }
    move_recipient(conn, &open, &verdict, end, now).await?;
    if let Some(pause) = pause {
        pause_campaign(conn, open.campaign, pause).await?;
    }
    Ok(true)
}

async fn close(
    conn: &mut Connection,
    attempt: Uuid,
    end: &DialEnd,
    verdict: &Verdict,
    now: i64,
) -> Result<(), StoreError> {
    let decision = match verdict {
        Verdict::Done { reason, .. } => format!("done: {}", reason.name()),
        Verdict::Retry { reason, .. } => format!("retry: {}", reason.name()),
    };
    sql(
        "UPDATE dial_attempts SET state = 'closed', outcome = $2, detail = $3, decision = $4, \
           sip_status = $5, q850_cause = $6, closed_at = $7 WHERE id = $1",
    )
    .bind(attempt)
    .bind(end.outcome.name())
    .bind(end.detail.map(DialDetail::name))
    .bind(decision)
    .bind(end.sip_status.map(i32::from))
    .bind(end.q850.map(i32::from))
    .bind(now)
    .execute(conn)
    .await
    .map(drop)
}

async fn move_recipient(
    conn: &mut Connection,
    open: &OpenAttempt,
    verdict: &Verdict,
    end: &DialEnd,
    now: i64,
) -> Result<(), StoreError> {
    let row = sql("SELECT state FROM campaigns WHERE id = $1")
        .bind(open.campaign)
        .fetch_optional(conn)
        .await?;
    let state: Option<String> = row.map(|row| row.get("state")).transpose()?;
    let cancelled = state.as_deref() == Some(State::Cancelled.name());
    let (state, reason, not_before, attempts) = match *verdict {
        Verdict::Done { status, reason } => (status.name(), reason, now, open.number),
        Verdict::Retry { reason, counts, .. } if cancelled => {
            let attempts = open.number - u32::from(!counts);
            ("cancelled", reason, now, attempts)
        }
        Verdict::Retry {
            not_before,
            reason,
            counts,
        } => {
            let attempts = open.number - u32::from(!counts);
            ("retry", reason, not_before, attempts)
        }
    };
    let error = (state == "failed").then(|| match (end.sip_status, end.detail) {
        (Some(status), _) => format!("{} (SIP {status})", reason.name()),
        (None, Some(detail)) => format!("{} ({})", reason.name(), detail.name()),
        (None, None) => reason.name().to_owned(),
    });
    sql(
        "UPDATE recipients SET state = $2, reason = $3, error_message = $4, not_before = $5, \
           attempts = $6, updated_at = $7 WHERE id = $1 AND state IN ('dialing', 'unknown')",
    )
    .bind(open.recipient)
    .bind(state)
    .bind(reason.name())
    .bind(error)
    .bind(not_before)
    .bind(attempts)
    .bind(now)
    .execute(conn)
    .await
    .map(drop)
}

async fn pause_campaign(conn: &mut Connection, id: Uuid, pause: Pause) -> Result<(), StoreError> {
    let running = sql("SELECT state FROM campaigns WHERE id = $1 AND state = 'running'")
        .bind(id)
        .fetch_optional(conn)
        .await?;
    if running.is_some() {
        tracing::warn!(campaign = %id, reason = pause.name(), "campaign pauses");
        campaign::set_state(conn, id, State::Paused, Some(pause.name())).await?;
    }
    Ok(())
}

/// Fences every dialler whose lease ran out before `now`, and those of this node's earlier
/// processes; the results of their calls are unknown from here on. Returns how many attempts
/// those are.
///
/// # Errors
/// When the store fails.
pub async fn fence_dead(
    conn: &mut Connection,
    own: Uuid,
    node: &str,
    at_start: bool,
    now: i64,
) -> Result<u64, StoreError> {
    let skip = match conn.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
    };
    let text = format!(
        "SELECT id, node_id FROM diallers WHERE fenced = 0 AND id <> $1 \
         AND (lease_until < $2 OR (node_id = $3 AND $4 = 1)){skip}"
    );
    let dead = sql(text)
        .bind(own)
        .bind(now)
        .bind(node)
        .bind(i64::from(at_start))
        .fetch_all(conn)
        .await?;
    let mut lost = 0;
    for row in &dead {
        let id: String = row.get("id")?;
        // A process of this data directory that is not this one is gone for good: the directory
        // is locked. Of another one, nobody knows whether it will come back.
        let gone = at_start && row.get::<String>("node_id")? == node;
        sql("UPDATE diallers SET fenced = 1 WHERE id = $1")
            .bind(&id)
            .execute(conn)
            .await?;
        sql(
            "UPDATE recipients SET state = 'unknown', updated_at = $2 WHERE state = 'dialing' \
             AND id IN (SELECT recipient_id FROM dial_attempts WHERE dialler_id = $1 \
                          AND state = 'open')",
        )
        .bind(&id)
        .bind(now)
        .execute(conn)
        .await?;
        lost += sql(
            "UPDATE dial_attempts SET state = 'unknown', unknown_at = $2 \
             WHERE dialler_id = $1 AND state = 'open'",
        )
        .bind(&id)
        .bind(if gone { 0 } else { now })
        .execute(conn)
        .await?;
    }
    Ok(lost)
}

/// Marks an attempt of our own as lost: its call ended without a result (its task failed).
///
/// # Errors
/// When the store fails.
pub async fn lose(conn: &mut Connection, attempt: Uuid, now: i64) -> Result<(), StoreError> {
    sql("UPDATE dial_attempts SET state = 'unknown', unknown_at = 0 WHERE id = $1 AND state = 'open'")
        .bind(attempt)
        .execute(conn)
        .await?;
    sql(
        "UPDATE recipients SET state = 'unknown', updated_at = $2 WHERE state = 'dialing' \
         AND call_id = $1",
    )
    .bind(attempt)
    .bind(now)
    .execute(conn)
    .await
    .map(drop)
}

/// Decides about lost attempts: by the record of their call, if it says how the call was taken;
/// else, `reconcile_us` after they were lost, as interrupted. Returns how many were decided.
///
/// # Errors
/// When the store fails.
pub async fn reconcile(
    conn: &mut Connection,
    reconcile_us: i64,
    now: i64,
) -> Result<u64, StoreError> {
    let skip = match conn.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR UPDATE OF a SKIP LOCKED",
    };
    let text = format!(
        "SELECT a.id, a.number, a.unknown_at, c.dial_outcome, c.dial_detail, c.sip_status, \
           c.q850_cause, m.rules, m.time_zone \
         FROM dial_attempts a JOIN campaigns m ON m.id = a.campaign_id \
         LEFT JOIN calls c ON c.id = a.id \
         WHERE a.state = 'unknown' AND (c.dial_outcome IS NOT NULL OR a.unknown_at <= $1) \
         ORDER BY a.id LIMIT $2{skip}"
    );
    // A call that is still on the line elsewhere tells its result itself.
    let rows = sql(text)
        .bind(now - reconcile_us)
        .bind(LOST_MAX)
        .fetch_all(conn)
        .await;
    let rows = rows?;
    for row in &rows {
        let attempt = uuid(row, "id")?;
        let rules = serde_json::from_value(row.json("rules")?)
            .map_err(|_| StoreError::Malformed("rules"))?;
        let zone: Option<String> = row.get("time_zone")?;
        let mut dialler = Dialler::new(rules, zone.as_deref().unwrap_or("UTC"));
        let outcome: Option<String> = row.get("dial_outcome")?;
        let end = match outcome.as_deref().and_then(DialOutcome::named) {
            Some(outcome) => DialEnd {
                sip_status: code(row, "sip_status")?,
                q850: code(row, "q850_cause")?.and_then(|cause| u8::try_from(cause).ok()),
                ..DialEnd::of(outcome, detail(row)?)
            },
            None => DialEnd::failed(DialDetail::Interrupted),
        };
        tracing::warn!(%attempt, outcome = end.outcome.name(), "lost call was decided");
        let number = u32::try_from(row.get::<i64>("number")?).unwrap_or(1);
        let ended = dialler.ended(now, number, &end);
        settle(conn, attempt, &end, ended, now).await?;
    }
    Ok(rows.len() as u64)
}

fn code(row: &Row, column: &str) -> Result<Option<u16>, StoreError> {
    let code: Option<i64> = row.get(column)?;
    Ok(code.and_then(|code| u16::try_from(code).ok()))
}

fn detail(row: &Row) -> Result<Option<DialDetail>, StoreError> {
    let name: Option<String> = row.get("dial_detail")?;
    Ok(name.as_deref().and_then(DialDetail::named))
}

/// An attempt as stored.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Id, also of its call.
    pub id: Uuid,
    /// Whom.
    pub recipient: Uuid,
    /// Which attempt it is, from 1.
    pub number: i64,
    /// E.164 with its plus sign.
    pub phone: String,
    /// `open`, `unknown`, `closed`.
    pub state: String,
    /// How the call was taken.
    pub outcome: Option<String>,
    /// What exactly was wrong.
    pub detail: Option<String>,
    /// What was decided on the result.
    pub decision: Option<String>,
    /// Final SIP status.
    pub sip_status: Option<i64>,
    /// Cause of ITU-T Q.850.
    pub q850_cause: Option<i64>,
    /// Microseconds since 1970.
    pub intent_at: i64,
    /// Microseconds since 1970.
    pub closed_at: Option<i64>,
}

/// Attempts of a campaign after `after`, in the order of their intents.
///
/// # Errors
/// When the store fails.
pub async fn attempts(
    conn: &mut Connection,
    campaign: Uuid,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Attempt>, StoreError> {
    let mut query = sql("SELECT * FROM dial_attempts WHERE campaign_id = ");
    query.push_bind(campaign);
    if let Some(after) = after {
        query.push(" AND id > ").push_bind(after);
    }
    query.push(" ORDER BY id LIMIT ").push_bind(limit);
    let rows = query.fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            Ok(Attempt {
                id: uuid(row, "id")?,
                recipient: uuid(row, "recipient_id")?,
                number: row.get("number")?,
                phone: row.get("phone")?,
                state: row.get("state")?,
                outcome: row.get("outcome")?,
                detail: row.get("detail")?,
                decision: row.get("decision")?,
                sip_status: row.get("sip_status")?,
                q850_cause: row.get("q850_cause")?,
                intent_at: row.get("intent_at")?,
                closed_at: row.get("closed_at")?,
            })
        })
        .collect()
}
