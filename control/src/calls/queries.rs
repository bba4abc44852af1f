//! The statements on calls, their turns and events.

use media::leg::LegStatistics;
use pipeline::call::{EndReason, Speaker, TranscriptTurn};
use serde_json::{Value, json};

use super::events::NumberedEvent;
use super::id::CallId;
use super::outcome::{CallOutcome, name};
use super::record::{
    CallDetail, CallRecord, NewCall, RecordedDial, RecordedOutcome, RecordingInfo,
};
use crate::clock::rfc3339;
use crate::outbound::outcome::{DialDetail, DialEnd};
use crate::store::{Row, Store, StoreError, sql};
use crate::webhooks::outbox;

pub(super) const COLUMNS: &str = "id, agent_id, direction, carrier, carrier_call_id, caller, called, codec, \
     status, started_at, answered_at, ended_at, outcome_class, outcome_reason, recording, \
     recording_ms, statistics, org_id, call_type, disposition, batch_id, dial_outcome, \
     dial_detail, sip_status, q850_cause, variables";

/// Which calls to list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CallFilter {
    /// `active` or `ended`.
    pub status: Option<String>,
    /// The carrier's own id.
    pub carrier_call_id: Option<String>,
    /// Only calls that began before this one.
    pub before: Option<CallId>,
}

/// A call an earlier process left unfinished.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterruptedCall {
    /// Its id.
    pub id: CallId,
    /// Its recording file.
    pub recording: Option<String>,
}

/// Notes that this process has begun.
///
/// # Errors
/// When the store fails.
pub async fn insert_boot(
    store: &Store,
    boot_id: &str,
    node_id: &str,
    now_us: i64,
) -> Result<(), StoreError> {
    let query = sql("INSERT INTO boots (id, node_id, started_at) VALUES ($1, $2, $3)")
        .bind(boot_id)
        .bind(node_id)
        .bind(now_us);
    store.execute(query).await.map(drop)
}

/// Ends, as interrupted, every active call of an earlier boot of the node that `boot_id` is one of. The end is the time of
/// the last thing known of the call, not the time of the restart.
///
/// # Errors
/// When the store fails.
pub async fn interrupt_calls_of_earlier_boots(
    store: &Store,
    boot_id: &str,
) -> Result<Vec<InterruptedCall>, StoreError> {
    let boot_id = boot_id.to_owned();
    let outcome = CallOutcome::from(EndReason::Interrupted);
    store
        .write(move |conn| {
            Box::pin(async move {
                let rows = sql(
                    "UPDATE calls SET status = 'ended', outcome_class = $2, outcome_reason = $3, \
                       ended_at = COALESCE((SELECT MAX(at) FROM call_events \
                                            WHERE call_id = calls.id), answered_at, started_at) \
                     WHERE status = 'active' AND boot_id IN (SELECT id FROM boots WHERE id <> $1 \
                       AND node_id IN (SELECT node_id FROM boots WHERE id = $1)) \
                     RETURNING id, recording",
                )
                .bind(boot_id)
                .bind(outcome.class_name())
                .bind(outcome.reason_name())
                .fetch_all(conn)
                .await?;
                for row in &rows {
                    let id: String = row.get("id")?;
                    outbox::call_ended(conn, &id, outbox::CALL_FAILED).await?;
                }
                rows.iter()
                    .map(|row| {
                        Ok(InterruptedCall {
                            id: call_id(row)?,
                            recording: row.get("recording")?,
                        })
                    })
                    .collect()
            })
        })
        .await
}

/// Stores a call that begins.
///
/// # Errors
/// When the store fails.
pub async fn insert_call(
    store: &Store,
    boot_id: &str,
    call: NewCall,
    started_at: i64,
) -> Result<(), StoreError> {
    let boot_id = boot_id.to_owned();
    let variables = (!call.variables.is_empty()).then(|| json!(call.variables).to_string());
    store
        .write(move |conn| {
            Box::pin(async move {
                sql(
                    "INSERT INTO calls (id, boot_id, agent_id, direction, carrier, \
                       carrier_call_id, caller, called, codec, recording, status, started_at, \
                       org_id, batch_id, variables) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'active', $11, $12, $13, $14)",
                )
                .bind(call.id.to_string())
                .bind(boot_id)
                .bind(call.agent_id)
                .bind(name(&call.direction))
                .bind(call.carrier)
                .bind(call.carrier_call_id)
                .bind(call.caller)
                .bind(call.called)
                .bind(call.codec)
                .bind(call.recording)
                .bind(started_at)
                .bind(call.organisation)
                .bind(call.batch_id.map(|id| id.to_string()))
                .bind(variables)
                .execute(conn)
                .await?;
                Ok(())
            })
        })
        .await
}

/// Notes that the call was answered.
///
/// # Errors
/// When the store fails.
pub async fn set_answered(store: &Store, id: CallId, at: i64) -> Result<(), StoreError> {
    store
        .write(move |conn| {
            Box::pin(async move {
                sql("UPDATE calls SET answered_at = $2 WHERE id = $1")
                    .bind(id.to_string())
                    .bind(at)
                    .execute(conn)
                    .await?;
                Ok(())
            })
        })
        .await
}

/// Notes how a call of ours was taken.
///
/// # Errors
/// When the store fails.
pub async fn set_dialled(store: &Store, id: CallId, end: DialEnd) -> Result<(), StoreError> {
    let query = sql(
        "UPDATE calls SET dial_outcome = $2, dial_detail = $3, sip_status = $4, q850_cause = $5 \
         WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(end.outcome.name())
    .bind(end.detail.map(DialDetail::name))
    .bind(end.sip_status.map(i32::from))
    .bind(end.q850.map(i32::from));
    store.execute(query).await.map(drop)
}

/// Stores an event and, when it is one, the turn in it, together.
///
/// # Errors
/// When the store fails.
pub async fn insert_event(
    store: &Store,
    id: CallId,
    event: NumberedEvent,
    turn: Option<TranscriptTurn>,
) -> Result<(), StoreError> {
    store
        .write(move |conn| {
            Box::pin(async move {
                let number = event.number.unwrap_or_default();
                sql("INSERT INTO call_events (call_id, number, at, data) VALUES ($1, $2, $3, $4)")
                    .bind(id.to_string())
                    .bind(number)
                    .bind(event.at)
                    .bind(event.data.to_string())
                    .execute(&mut *conn)
                    .await?;
                let Some(turn) = turn else { return Ok(()) };
                let timings = turn.timings.map(|t| json!(t).to_string());
                sql(
                    "INSERT INTO call_turns (call_id, number, speaker, text, start_ms, end_ms, \
                       interrupted, dtmf, timings) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                )
                .bind(id.to_string())
                .bind(number)
                .bind(name(&turn.speaker))
                .bind(turn.text)
                .bind(to_i64(turn.start_ms))
                .bind(to_i64(turn.end_ms))
                .bind(turn.interrupted)
                .bind(turn.dtmf)
                .bind(timings)
                .execute(conn)
                .await?;
                Ok(())
            })
        })
        .await
}

/// Ends the call, unless it has ended.
///
/// # Errors
/// When the store fails.
pub async fn finish_call(
    store: &Store,
    id: CallId,
    outcome: CallOutcome,
    ended_at: i64,
    statistics: Option<LegStatistics>,
) -> Result<(), StoreError> {
    let statistics = statistics.map(|s| statistics_json(&s).to_string());
    store
        .write(move |conn| {
            Box::pin(async move {
                let ended = sql(
                    "UPDATE calls SET status = 'ended', outcome_class = $2, outcome_reason = $3, \
                       ended_at = $4, statistics = $5 WHERE id = $1 AND status = 'active'",
                )
                .bind(id.to_string())
                .bind(outcome.class_name())
                .bind(outcome.reason_name())
                .bind(ended_at)
                .bind(statistics)
                .execute(conn)
                .await?;
                if ended > 0 {
                    outbox::call_ended(conn, &id.to_string(), outbox::kind_of(outcome)).await?;
                }
                Ok(())
            })
        })
        .await
}

/// Notes the length of a finished recording; `None` takes the recording off the call.
///
/// # Errors
/// When the store fails.
pub async fn set_recording_length(
    store: &Store,
    id: CallId,
    duration_ms: Option<u64>,
) -> Result<(), StoreError> {
    let duration_ms = duration_ms.map(to_i64);
    store
        .write(move |conn| {
            Box::pin(async move {
                sql("UPDATE calls SET recording_ms = $2, \
                       recording = CASE WHEN $2 IS NULL THEN NULL ELSE recording END \
                     WHERE id = $1")
                .bind(id.to_string())
                .bind(duration_ms)
                .execute(conn)
                .await?;
                Ok(())
            })
        })
        .await
}

/// Calls, newest first.
///
/// # Errors
/// When the store fails.
pub async fn list_calls(
    store: &Store,
    filter: &CallFilter,
    limit: u32,
) -> Result<Vec<CallRecord>, StoreError> {
    let mut query = sql("SELECT ");
    query.push(COLUMNS).push(" FROM calls WHERE 1 = 1");
    if let Some(status) = &filter.status {
        query.push(" AND status = ").push_bind(status);
    }
    if let Some(carrier_call_id) = &filter.carrier_call_id {
        query
            .push(" AND carrier_call_id = ")
            .push_bind(carrier_call_id);
    }
    if let Some(before) = filter.before {
        query.push(" AND id < ").push_bind(before.to_string());
    }
    query
        .push(" ORDER BY id DESC LIMIT ")
        .push_bind(i64::from(limit));
    let rows = store.fetch_all(query).await?;
    rows.iter().map(call_record).collect()
}

/// One call.
///
/// # Errors
/// When the store fails.
pub async fn find_call(store: &Store, id: CallId) -> Result<Option<CallRecord>, StoreError> {
    let mut query = sql("SELECT ");
    query
        .push(COLUMNS)
        .push(" FROM calls WHERE id = ")
        .push_bind(id.to_string());
    let row = store.fetch_optional(query).await?;
    row.as_ref().map(call_record).transpose()
}

/// One call with its transcript.
///
/// # Errors
/// When the store fails.
pub async fn find_call_detail(store: &Store, id: CallId) -> Result<Option<CallDetail>, StoreError> {
    let Some(call) = find_call(store, id).await? else {
        return Ok(None);
    };
    let rows = sql(
        "SELECT speaker, text, start_ms, end_ms, interrupted, dtmf, timings FROM call_turns \
         WHERE call_id = $1 ORDER BY number",
    )
    .bind(id.to_string())
    .fetch_all(&mut store.read().await?)
    .await?;
    let turns = rows.iter().map(turn).collect::<Result<_, _>>()?;
    Ok(Some(CallDetail { call, turns }))
}

/// Stored events of a call with a number above `after`, in order, at most `limit`.
///
/// # Errors
/// When the store fails.
pub async fn events_after(
    store: &Store,
    id: CallId,
    after: i64,
    limit: u32,
) -> Result<Vec<NumberedEvent>, StoreError> {
    let rows = sql(
        "SELECT number, at, data FROM call_events WHERE call_id = $1 AND number > $2 \
         ORDER BY number LIMIT $3",
    )
    .bind(id.to_string())
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(&mut store.read().await?)
    .await?;
    rows.iter()
        .map(|row| {
            let data: String = row.get("data")?;
            Ok(NumberedEvent {
                number: Some(row.get("number")?),
                at: row.get("at")?,
                data: serde_json::from_str(&data).map_err(|_| StoreError::Malformed("event"))?,
            })
        })
        .collect()
}

pub(super) fn call_record(row: &Row) -> Result<CallRecord, StoreError> {
    let answered_at: Option<i64> = row.get("answered_at")?;
    let ended_at: Option<i64> = row.get("ended_at")?;
    let class: Option<String> = row.get("outcome_class")?;
    let reason: Option<String> = row.get("outcome_reason")?;
    let recording: Option<String> = row.get("recording")?;
    let recording_ms = row.get("recording_ms")?;
    let statistics: Option<String> = row.get("statistics")?;
    Ok(CallRecord {
        id: call_id(row)?,
        agent_id: row.get("agent_id")?,
        direction: row.get("direction")?,
        carrier: row.get("carrier")?,
        carrier_call_id: row.get("carrier_call_id")?,
        caller: row.get("caller")?,
        called: row.get("called")?,
        codec: row.get("codec")?,
        status: row.get("status")?,
        started_at: rfc3339(row.get("started_at")?),
        answered_at: answered_at.map(rfc3339),
        ended_at: ended_at.map(rfc3339),
        duration_ms: answered_at
            .zip(ended_at)
            .map(|(answered, ended)| (ended - answered).max(0) / 1000),
        outcome: class
            .zip(reason)
            .map(|(class, reason)| RecordedOutcome { class, reason }),
        recording: recording.map(|file| RecordingInfo {
            file,
            duration_ms: recording_ms,
        }),
        recording_path: None,
        organisation: crate::identity::accounts::uuid(row, "org_id")?,
        call_type: row.get("call_type")?,
        disposition: row.get("disposition")?,
        batch_id: row.get("batch_id")?,
        dial: row
            .get::<Option<String>>("dial_outcome")?
            .map(|outcome| {
                Ok::<_, StoreError>(RecordedDial {
                    outcome,
                    detail: row.get("dial_detail")?,
                    sip_status: row.get("sip_status")?,
                    q850_cause: row.get("q850_cause")?,
                })
            })
            .transpose()?,
        variables: row.optional_json("variables")?,
        statistics: statistics
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|_| StoreError::Malformed("statistics"))?,
    })
}

pub(super) fn turn(row: &Row) -> Result<TranscriptTurn, StoreError> {
    let speaker: String = row.get("speaker")?;
    let timings: Option<String> = row.get("timings")?;
    Ok(TranscriptTurn {
        speaker: match speaker.as_str() {
            "caller" => Speaker::Caller,
            "agent" => Speaker::Agent,
            _ => return Err(StoreError::Malformed("speaker")),
        },
        text: row.get("text")?,
        start_ms: row.get::<i64>("start_ms")?.unsigned_abs(),
        end_ms: row.get::<i64>("end_ms")?.unsigned_abs(),
        interrupted: row.flag("interrupted")?,
        dtmf: row.flag("dtmf")?,
        timings: timings
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|_| StoreError::Malformed("timings"))?,
    })
}

fn call_id(row: &Row) -> Result<CallId, StoreError> {
    let text: String = row.get("id")?;
    text.parse().map_err(|_| StoreError::Malformed("call id"))
}

fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn statistics_json(statistics: &LegStatistics) -> Value {
    let echo = statistics.echo.map(|echo| {
        json!({
            "converged": echo.converged,
            "delay_ms": echo.delay_ms,
            "erle_db": echo.erle_db,
            "masked_ms": echo.masked_ms,
            "path_changes": echo.path_changes,
        })
    });
    json!({
        "packets_received": statistics.packets_received,
        "packets_sent": statistics.packets_sent,
        "packets_lost": statistics.packets_lost,
        "packets_late": statistics.packets_late,
        "packets_duplicate": statistics.packets_duplicate,
        "packets_rejected": statistics.packets_rejected,
        "concealed_ms": statistics.concealed_ms,
        "jitter_us": statistics.jitter_us,
        "round_trip_us": statistics.round_trip_us,
        "frames_dropped": statistics.frames_dropped,
        "underruns": statistics.underruns,
        "echo": echo,
    })
}

#[cfg(test)]
mod tests {
    use crate::store::testing::on_both_databases;
    use pipeline::call::TurnTimings;

    use super::super::record::Direction;
    use super::*;

    async fn begin(store: &Store, boot: &str, at: i64) -> CallId {
        let id = CallId::generate();
        let call = NewCall {
            id,
            agent_id: "clinic".to_owned(),
            organisation: crate::identity::principal::INSTALLATION,
            direction: Direction::Inbound,
            carrier: "sip",
            carrier_call_id: Some(format!("carrier-{id}")),
            caller: Some("+15550100".to_owned()),
            called: None,
            codec: Some("PCMU".to_owned()),
            recording: Some(format!("{id}.wav")),
            batch_id: None,
            variables: std::collections::BTreeMap::new(),
        };
        insert_call(store, boot, call, at).await.unwrap();
        id
    }

    fn event(number: i64, at: i64) -> NumberedEvent {
        NumberedEvent {
            number: Some(number),
            at,
            data: json!({"type": "state", "state": "listening"}),
        }
    }

    on_both_databases! {
        async fn calls_a_dead_process_left_are_interrupted_at_their_last_sign_of_life(store) {
            insert_boot(&store, "old", "node", 1).await.unwrap();
            insert_boot(&store, "new", "node", 2).await.unwrap();
            let left = begin(&store, "old", 1_000_000).await;
            let finished = begin(&store, "old", 1_000_000).await;
            let running = begin(&store, "new", 1_000_000).await;
            set_answered(&store, left, 2_000_000).await.unwrap();
            insert_event(&store, left, event(1, 7_000_000), None)
                .await
                .unwrap();
            let outcome = EndReason::CallerHungUp.into();
            finish_call(&store, finished, outcome, 3_000_000, None)
                .await
                .unwrap();

            let interrupted = interrupt_calls_of_earlier_boots(&store, "new").await.unwrap();
            assert_eq!(interrupted.len(), 1);
            assert_eq!(interrupted[0].id, left);
            assert_eq!(interrupted[0].recording, Some(format!("{left}.wav")));
            let call = find_call(&store, left).await.unwrap().unwrap();
            assert_eq!(call.status, "ended");
            assert_eq!(call.outcome.unwrap().reason, "interrupted");
            assert_eq!(call.duration_ms, Some(5_000));
            let call = find_call(&store, finished).await.unwrap().unwrap();
            assert_eq!(call.outcome.unwrap().reason, "caller_hung_up");
            let call = find_call(&store, running).await.unwrap().unwrap();
            assert_eq!(call.status, "active");
            let again = interrupt_calls_of_earlier_boots(&store, "new").await.unwrap();
            assert!(again.is_empty());
        }

        async fn a_call_ends_once(store) {
            insert_boot(&store, "b", "node", 1).await.unwrap();
            let id = begin(&store, "b", 1).await;
            for reason in [EndReason::Transferred, EndReason::InternalError] {
                finish_call(&store, id, reason.into(), 5, Some(LegStatistics::default()))
                    .await
                    .unwrap();
            }
            let call = find_call(&store, id).await.unwrap().unwrap();
            assert_eq!(call.outcome.unwrap().reason, "transferred");
            assert_eq!(call.statistics.unwrap()["packets_lost"], 0);
        }

        async fn turns_and_events_come_back_as_they_were(store) {
            insert_boot(&store, "b", "node", 1).await.unwrap();
            let id = begin(&store, "b", 1).await;
            let turn = TranscriptTurn {
                speaker: Speaker::Agent,
                text: "Good morning ☀".to_owned(),
                start_ms: 20,
                end_ms: 900,
                interrupted: true,
                dtmf: false,
                timings: Some(TurnTimings {
                    vad_lag: -3,
                    stt_ttfs: Some(7),
                    ..TurnTimings::default()
                }),
            };
            for number in 1..=5 {
                let turn = (number == 2).then(|| turn.clone());
                insert_event(&store, id, event(number, number), turn)
                    .await
                    .unwrap();
            }
            let detail = find_call_detail(&store, id).await.unwrap().unwrap();
            assert_eq!(detail.turns, [turn]);
            let events = events_after(&store, id, 2, 2).await.unwrap();
            assert_eq!(events, [event(3, 3), event(4, 4)]);
            let unknown = find_call_detail(&store, CallId::generate()).await.unwrap();
            assert!(unknown.is_none());
        }

        async fn lists_are_newest_first_and_page_by_id(store) {
            insert_boot(&store, "b", "node", 1).await.unwrap();
            let mut ids = Vec::new();
            for at in 0..5 {
                ids.push(begin(&store, "b", at).await);
            }
            ids.reverse();
            let outcome = EndReason::CallerHungUp.into();
            finish_call(&store, ids[1], outcome, 9, None).await.unwrap();
            let list = async |filter: CallFilter, limit| -> Vec<CallId> {
                let calls = list_calls(&store, &filter, limit).await.unwrap();
                calls.iter().map(|c| c.id).collect()
            };
            assert_eq!(list(CallFilter::default(), 2).await, ids[..2]);
            let before = CallFilter {
                before: Some(ids[1]),
                ..CallFilter::default()
            };
            assert_eq!(list(before, 10).await, ids[2..]);
            let ended = CallFilter {
                status: Some("ended".to_owned()),
                ..CallFilter::default()
            };
            assert_eq!(list(ended, 10).await, [ids[1]]);
            let carrier = CallFilter {
                carrier_call_id: Some(format!("carrier-{}", ids[3])),
                ..CallFilter::default()
            };
            assert_eq!(list(carrier, 10).await, [ids[3]]);
        }
    }
}
