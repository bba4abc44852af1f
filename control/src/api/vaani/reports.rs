//! `/reports`: sums over calls, and the workload for a metrics collector.

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::super::failure::Failure;
use super::super::route::{Answer, Context, Fields as _, Rate, Route, is_local, reply, route};
use super::super::schema::{Field, Kind, Shape, may, need, parse_time, shape};
use crate::calls::history::{self, HistoryFilter};
use crate::store::sql;

const COUNT: Kind = Kind::Integer(0, i64::MAX);
const RANGE: [Field; 5] = [
    may("start_date", Kind::Text(1, 40)),
    may("end_date", Kind::Text(1, 40)),
    may("start_datetime", Kind::Text(1, 40)),
    may("end_datetime", Kind::Text(1, 40)),
    may("agent_id", Kind::Text(1, 64)),
];
static TOTALS: Shape = shape(
    "CallTotals",
    &[
        need("total_calls", COUNT),
        need("active_calls", COUNT),
        need("inbound_calls", COUNT),
        need("outbound_calls", COUNT),
        need("answered_calls", COUNT),
        need("completed_calls", COUNT),
        need("total_duration_seconds", COUNT),
        need("average_duration_seconds", COUNT),
    ],
);
static DAY: Shape = shape(
    "CallDay",
    &[
        need("date", Kind::Date),
        need("calls", COUNT),
        need("duration_seconds", COUNT),
    ],
);
static DASHBOARD: Shape = shape(
    "Dashboard",
    &[
        need("totals", Kind::Object(&TOTALS)),
        need("trend", Kind::List(&Kind::Object(&DAY), 0)),
    ],
);
static DISPOSITION: Shape = shape(
    "DispositionCount",
    &[need("disposition", Kind::Text(0, 0)), need("count", COUNT)],
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Vaani GET "/reports/dashboard", CookieOrKey "M|D|A" 200, dashboard)
            .does("Totals and the trend by day (UTC)")
            .query(&RANGE)
            .answers(Kind::Object(&DASHBOARD)),
        route!(Vaani GET "/reports/call-summary", CookieOrKey "M|D|A" 200, call_summary)
            .does("Counts and durations")
            .query(&RANGE)
            .answers(Kind::Object(&TOTALS)),
        route!(Vaani GET "/reports/disposition-summary", CookieOrKey "M|D|A" 200, dispositions)
            .does("How calls came out")
            .query(&RANGE)
            .answers(const { Kind::List(&Kind::Object(&DISPOSITION), 0) }),
        route!(Vaani GET "/reports/workload", None "" 200, workload)
            .does("Gauges in Prometheus text; for this machine unless opened")
            .answers_with(Answer::Other("text/plain"))
            .rate(Rate::Open),
    ]
}

fn filter(cx: &Context) -> Result<HistoryFilter, Failure> {
    let time = |names: [&str; 2]| {
        let given = names
            .into_iter()
            .find_map(|name| Some((name, cx.query.text(name)?)));
        let Some((name, text)) = given else {
            return Ok(None);
        };
        let wrong = || Failure::field(name, "time", "must be a date or a time");
        parse_time(text).map(Some).ok_or_else(wrong)
    };
    let mut filter = HistoryFilter {
        from: time(["start_datetime", "start_date"])?,
        until: time(["end_datetime", "end_date"])?,
        agent: cx.query.owned("agent_id"),
        ..HistoryFilter::default()
    };
    // A last day is meant as a whole.
    if cx
        .query
        .text("end_datetime")
        .or_else(|| cx.query.text("end_date"))
        .is_some_and(|t| t.len() == 10)
    {
        filter.until = filter
            .until
            .map(|until| until.saturating_add(86_400_000_000));
    }
    Ok(filter)
}

async fn dashboard(cx: Context) -> Result<Response, Failure> {
    let (store, tenant, filter) = (&cx.services.store, cx.who()?.tenant, filter(&cx)?);
    let body = json!({
        "totals": history::totals(store, tenant, &filter).await?,
        "trend": history::trend(store, tenant, &filter).await?,
    });
    Ok(reply(&cx, body))
}

async fn call_summary(cx: Context) -> Result<Response, Failure> {
    let totals = history::totals(&cx.services.store, cx.who()?.tenant, &filter(&cx)?).await?;
    Ok(reply(&cx, totals))
}

async fn dispositions(cx: Context) -> Result<Response, Failure> {
    let (store, tenant, filter) = (&cx.services.store, cx.who()?.tenant, filter(&cx)?);
    let counts = history::dispositions(store, tenant, &filter).await?;
    Ok(reply(&cx, json!(counts)))
}

async fn workload(cx: Context) -> Result<Response, Failure> {
    if !is_local(&cx) && !cx.services.config.openness.vaani {
        return Err(Failure::forbidden(
            "the workload is shown to this machine only; see openness.vaani",
        ));
    }
    let rooms = cx
        .services
        .store
        .fetch_one(sql("SELECT count(*) AS n FROM livekit_rooms"))
        .await?;
    let rooms: i64 = rooms.get("n")?;
    let calls = cx.services.registry.len();
    let most = cx.services.config.server.calls_max;
    let text = format!(
        "# TYPE samvad_workload_active_calls gauge\nsamvad_workload_active_calls {calls}\n\
         # TYPE samvad_workload_calls_max gauge\nsamvad_workload_calls_max {most}\n\
         # TYPE samvad_workload_livekit_rooms gauge\nsamvad_workload_livekit_rooms {rooms}\n"
    );
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
