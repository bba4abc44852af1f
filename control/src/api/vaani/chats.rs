//! `/chats`: text turns with the same agents that take calls.

use std::convert::Infallible;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::route::{Context, Fields as _, Route, reply, route};
use super::super::schema::{Kind, Shape, may, need, shape};
use crate::agents::stored;
use crate::chats::{self, ChatError, Turn};
use crate::clock::rfc3339;

static CHAT: Shape = shape(
    "ChatTurn",
    &[
        need("agent_id", Kind::Uuid),
        need("message", Kind::Text(1, 10_000)),
        may("session_id", Kind::Uuid),
        may("stream", Kind::Boolean),
    ],
);
static REPLY: Shape = shape(
    "ChatReply",
    &[
        need("session_id", Kind::Uuid),
        need("reply", Kind::Text(0, 0)),
    ],
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Vaani POST "/chats", CookieOrKey "M|D|A" 200, turn)
            .does("A text turn with an agent; `stream` answers as server-sent events")
            .takes(&CHAT)
            .answers(Kind::Object(&REPLY)),
        route!(Vaani GET "/chats", CookieOrKey "M|D|A" 200, list)
            .does("Chats of the workspace, newest first")
            .query(
                const {
                    &[
                        may("page", Kind::Integer(1, 1_000_000)),
                        may("page_size", Kind::Integer(1, 100)),
                    ]
                },
            )
            .answers(Kind::Map),
    ]
}

async fn turn(cx: Context) -> Result<Response, Failure> {
    let tenant = cx.who()?.tenant;
    let id = cx.body.uuid("agent_id").ok_or_else(Failure::not_found)?;
    let agent = stored::find(&mut cx.services.store.read().await?, tenant, id).await?;
    let agent = agent.ok_or_else(Failure::not_found)?;
    let unavailable = || {
        let status = axum::http::StatusCode::CONFLICT;
        Failure::new(
            status,
            "agent_unavailable",
            "the agent cannot work on this installation",
        )
    };
    let factory = cx.services.agents.factory().ok_or_else(unavailable)?;
    let workflow = factory.workflow_of(&agent).await?;
    let ready = factory
        .ready(agent, workflow)
        .await
        .map_err(|_| unavailable())?;
    let turn = Turn {
        agent: ready,
        session: cx.body.uuid("session_id"),
        message: cx.body.owned("message").unwrap_or_default(),
    };
    let answered = chats::take_turn(&cx.services.store, tenant, turn).await;
    let answered = answered.map_err(|error| match error {
        ChatError::UnknownSession => Failure::not_found(),
        ChatError::Ended => Failure::conflict("the conversation has ended; begin a new one"),
        ChatError::Changed => Failure::conflict("another message of this chat is being answered"),
        ChatError::Provider(message) => {
            tracing::warn!(message, "model failed in a chat");
            let status = axum::http::StatusCode::BAD_GATEWAY;
            Failure::new(status, "provider", "the agent's language model failed")
        }
        ChatError::Store(error) => error.into(),
    })?;
    if cx.body.flag("stream") != Some(true) {
        let body = json!({
            "session_id": answered.session,
            "reply": answered.reply.concat(),
            "ended": answered.ended,
        });
        return Ok(reply(&cx, body));
    }
    let done = json!({ "session_id": answered.session, "done": true, "ended": answered.ended });
    let pieces = answered
        .reply
        .into_iter()
        .map(|text| json!({ "text": text }));
    let events: Vec<Result<Event, Infallible>> = pieces
        .chain([done])
        .map(|data| Ok(Event::default().data(data.to_string())))
        .collect();
    Ok(Sse::new(stream::iter(events)).into_response())
}

async fn list(cx: Context) -> Result<Response, Failure> {
    let page = cx.query.integer("page").unwrap_or(1);
    let size = cx.query.integer("page_size").unwrap_or(25);
    let found = chats::list(
        &cx.services.store,
        cx.who()?.tenant,
        (page - 1) * size,
        size,
    )
    .await?;
    let (chats, total) = found;
    let items: Vec<Value> = chats
        .iter()
        .map(|chat| {
            json!({
                "session_id": chat.id,
                "agent_id": chat.agent_id,
                "messages": chat.messages(),
                "created_at": rfc3339(chat.created_at),
                "updated_at": rfc3339(chat.updated_at),
            })
        })
        .collect();
    let body = json!({
        "items": items,
        "total": total,
        "page": page,
        "page_size": size,
        "has_next": page * size < total,
        "has_prev": page > 1,
    });
    Ok(reply(&cx, body))
}
