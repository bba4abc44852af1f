//! `/calls/outbound_call`: places a call by the number of an agent.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::super::failure::Failure;
use super::super::kupe::{speaker_refused, variables};
use super::super::route::{Context, Fields as _, Route, reply, route};
use super::super::schema::{Kind, Shape, may, need, shape};
use crate::calls::id::CallId;
use crate::numbers::lines;
use crate::outbound::budget::Payer;
use crate::outbound::outcome::DialDetail;
use crate::outbound::place::{PlaceCall, place};

static OUTBOUND: Shape = shape(
    "OutboundCall",
    &[
        need("agent_phone_number", Kind::Phone),
        need("phone_number_to_dial", Kind::Phone),
        may("dynamic_variables", Kind::Map),
    ],
);
static PLACED: Shape = shape(
    "PlacedCall",
    &[
        need("call_id", Kind::Uuid),
        need("status", Kind::OneOf(&["dialing", "failed"])),
    ],
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Vaani POST "/calls/outbound_call", Cookie "any" 200, create)
            .does("Places a call; the agent is the one that answers agent_phone_number")
            .takes(&OUTBOUND)
            .answers(Kind::Object(&PLACED))
            .idempotent(),
    ]
}

async fn create(cx: Context) -> Result<Response, Failure> {
    let services = &cx.services;
    let who = cx.who()?;
    let variables = match cx
        .body
        .value("dynamic_variables")
        .and_then(|v| v.as_object())
    {
        Some(values) => variables(values, "dynamic_variables")?,
        None => std::collections::BTreeMap::new(),
    };
    let number = cx.body.phone("agent_phone_number").unwrap_or_default();
    let line = {
        let mut conn = services.store.read().await?;
        lines::find_by_number(&mut conn, who.tenant, &number).await?
    };
    let line = line
        .filter(|line| line.active)
        .ok_or_else(Failure::not_found)?;
    let speaker = line.target.ok_or_else(|| {
        Failure::field(
            "agent_phone_number",
            "unmapped",
            "no agent answers this number; map one to it",
        )
    })?;
    let factory = services.agents.factory().ok_or_else(Failure::internal)?;
    let agent = factory.speaking(who.tenant, speaker).await;
    let placed = place(
        services,
        PlaceCall {
            id: CallId::generate(),
            agent: agent.map_err(speaker_refused)?,
            line,
            to: cx.body.phone("phone_number_to_dial").unwrap_or_default(),
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
    let mut body = json!({ "call_id": placed.id, "status": "dialing" });
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
            body["detail"] = json!(message);
        }
    }
    Ok(reply(&cx, body))
}
