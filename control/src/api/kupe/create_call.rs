//! `/api/call/create_call`: places a call.

use std::collections::BTreeMap;

use axum::http::{StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::super::failure::Failure;
use super::super::json as strict_json;
use super::super::route::{Context, Fields as _, Route, reply, route};
use super::super::schema::{Kind, Shape, may, need, shape};
use crate::calls::admission::Refusal;
use crate::calls::id::CallId;
use crate::numbers::lines::Target;
use crate::outbound::budget::Payer;
use crate::outbound::line::{self, Wanted};
use crate::outbound::outcome::DialDetail;
use crate::outbound::place::{PlaceCall, place};

/// Most variables of a call.
const VARIABLES_MAX: usize = 100;
/// Longest value of a variable.
const VALUE_BYTES_MAX: usize = 4_000;

static CREATED: Shape = shape(
    "CreatedCall",
    &[
        need("status", Kind::OneOf(&["success", "failed"])),
        need("request_id", Kind::Uuid),
        need("call_session_id", Kind::Uuid),
        need("user_id", Kind::Uuid),
        need("telephony_provider", Kind::OneOf(&["pstn"])),
        need("target_number", Kind::Phone),
    ],
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Kupe POST "/api/call/create_call", KeyOrBearer "any" 200, create)
            .does("Places a call; a body, if sent, is {\"variable_values\": {}}")
            .query(
                const {
                    &[
                        need("phoneNumber", Kind::Phone),
                        may("agent_id", Kind::Uuid),
                        may("workflow_id", Kind::Uuid),
                        may("phone_number_id", Kind::Uuid),
                    ]
                },
            )
            .raw()
            .answers(Kind::Object(&CREATED))
            .idempotent(),
    ]
}

async fn create(cx: Context) -> Result<Response, Failure> {
    let services = &cx.services;
    check_origin(&cx)?;
    let who = cx.who()?;
    let variables = body_variables(&cx)?;
    let target = match (cx.query.uuid("agent_id"), cx.query.uuid("workflow_id")) {
        (Some(_), Some(_)) => {
            let message = "send either agent_id or workflow_id";
            return Err(Failure::field("agent_id", "exactly_one", message));
        }
        (Some(agent), None) => Some(Target::Agent(agent)),
        (None, Some(workflow)) => Some(Target::Workflow(workflow)),
        (None, None) => None,
    };
    let wanted = Wanted {
        line: cx.query.uuid("phone_number_id"),
        target,
    };
    let line = line::choose(&services.store, who.tenant, wanted).await?;
    let line = line.ok_or_else(|| {
        let message = "there is no usable line; register a number, or name one of yours";
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "no_line", message)
    })?;
    let speaker = target.or(line.target).ok_or_else(|| {
        let message = "name an agent or a workflow, or map one to the line";
        Failure::field("agent_id", "missing", message)
    })?;
    let factory = services.agents.factory().ok_or_else(Failure::internal)?;
    let agent = factory.speaking(who.tenant, speaker).await;
    let agent = agent.map_err(speaker_refused)?;
    let to = cx.query.phone("phoneNumber").unwrap_or_default();
    let from = line.number.clone();
    let placed = place(
        services,
        PlaceCall {
            id: CallId::generate(),
            agent,
            line,
            to: to.clone(),
            variables,
            batch_id: None,
            payer: Payer {
                organisation: who.tenant.organisation(),
                user: Some(who.user),
            },
            ring_max: services.config.outbound.ring_max,
        },
    )
    .await;
    let mut body = json!({
        "status": "success",
        "request_id": placed.id,
        "call_session_id": placed.id,
        "user_id": who.user,
        "telephony_provider": "pstn",
        "target_number": to,
        "from_phone_number": from,
        "telephony_leg_id": placed.id,
    });
    match placed.refused {
        None => {}
        Some((DialDetail::NoCredit, message)) => {
            return Err(Failure::new(
                StatusCode::PAYMENT_REQUIRED,
                "no_credit",
                message,
            ));
        }
        Some((_, message)) => {
            body["status"] = json!("failed");
            body["telephony_leg_id"] = Value::Null;
            body["detail"] = json!(message);
        }
    }
    Ok(reply(&cx, body))
}

/// Why an agent or workflow that was named cannot speak.
pub(in crate::api) fn speaker_refused(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::UnknownAgent => Failure::not_found(),
        refusal => Failure::conflict(refusal.to_string()),
    }
}

/// Pages of other sites may not place calls with what a browser remembers.
fn check_origin(cx: &Context) -> Result<(), Failure> {
    let Some(origin) = cx.headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let allowed = &cx.services.config.outbound.allowed_origins;
    if allowed
        .iter()
        .any(|known| known.as_bytes() == origin.as_bytes())
    {
        return Ok(());
    }
    Err(Failure::forbidden(
        "this origin may not place calls; see outbound.allowed_origins",
    ))
}

fn body_variables(cx: &Context) -> Result<BTreeMap<String, String>, Failure> {
    if cx.raw.is_empty() {
        return Ok(BTreeMap::new());
    }
    let body = strict_json::parse(&cx.raw).map_err(|error| Failure::bad_request("json", error))?;
    let Value::Object(body) = body else {
        return Err(Failure::field("body", "type", "must be an object"));
    };
    match body.value("variable_values") {
        None => Ok(BTreeMap::new()),
        Some(Value::Object(values)) => variables(values, "variable_values"),
        Some(_) => Err(Failure::field(
            "variable_values",
            "type",
            "must be an object",
        )),
    }
}

/// Values of variables as text: numbers and truth values as they are written, null as nothing.
pub(in crate::api) fn variables(
    values: &Map<String, Value>,
    place: &str,
) -> Result<BTreeMap<String, String>, Failure> {
    if values.len() > VARIABLES_MAX {
        let message = format!("must have at most {VARIABLES_MAX} entries");
        return Err(Failure::field(place, "too_long", message));
    }
    let mut variables = BTreeMap::new();
    for (name, value) in values {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                let message = "must be a text, a number or a truth value";
                return Err(Failure::field(&format!("{place}.{name}"), "type", message));
            }
        };
        if text.len() > VALUE_BYTES_MAX {
            let message = format!("must have at most {VALUE_BYTES_MAX} bytes");
            return Err(Failure::field(
                &format!("{place}.{name}"),
                "length",
                message,
            ));
        }
        variables.insert(name.clone(), text);
    }
    Ok(variables)
}
