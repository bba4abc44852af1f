//! Text conversations with the agents that take calls: the same model or workflow, the same tools.
//!
//! A conversation lives in the database between its turns, so any server can take the next one. A
//! workflow's place in its dialogue follows from the history, which is gone through again.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline::llm::engine_tools::is_engine_tool;
use pipeline::llm::{LanguageModelSession, LlmEvent, LlmSessionRequest, Message, ToolCall};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::agents::Agent;
use crate::clock::now_us;
use crate::identity::accounts::uuid;
use crate::store::{Row, Store, StoreError, Tenant, sql};

/// Answers with tools in a row before the agent must speak.
const STEPS_MAX: usize = 16;
/// Messages after which a chat is over.
const MESSAGES_MAX: usize = 400;
/// Name of the tool with which an agent says goodbye.
const END_CALL: &str = "end_call";

/// A message to an agent.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The agent.
    pub agent: Arc<Agent>,
    /// The chat it belongs to; a new one when not given.
    pub session: Option<Uuid>,
    /// What is said.
    pub message: String,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The chat.
    pub session: Uuid,
    /// What the agent said, in the pieces it came in.
    pub reply: Vec<String>,
    /// Whether the agent ended the conversation.
    pub ended: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// There is no such chat of this tenant and agent.
    #[error("there is no such chat")]
    UnknownSession,
    /// The agent has said goodbye.
    #[error("the conversation has ended")]
    Ended,
    /// Two messages at once.
    #[error("another message is being answered")]
    Changed,
    /// The model failed.
    #[error("{0}")]
    Provider(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A chat as stored.
#[derive(Clone, Debug)]
pub struct Chat {
    /// Id.
    pub id: Uuid,
    /// The agent.
    pub agent_id: String,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub updated_at: i64,
    history: Vec<Message>,
    version: i64,
}

impl Chat {
    /// What was said, in order.
    #[must_use]
    pub fn messages(&self) -> Vec<Value> {
        let said = self.history.iter().filter_map(|message| match message {
            Message::User { text, .. } => Some(json!({ "role": "user", "text": text })),
            Message::Assistant { text, .. } => Some(json!({ "role": "agent", "text": text })),
            _ => None,
        });
        said.collect()
    }

    fn ended(&self) -> bool {
        let goodbye =
            |message: &Message| matches!(message, Message::ToolCall(call) if call.name == END_CALL);
        self.history.iter().any(goodbye)
    }
}

/// Answers a message and keeps both.
///
/// # Errors
/// [`ChatError`]; nothing is kept then.
pub async fn take_turn(store: &Store, tenant: Tenant, turn: Turn) -> Result<Answered, ChatError> {
    let agent = &turn.agent;
    let now = now_us();
    let mut chat = match turn.session {
        Some(id) => find(store, tenant, id, &agent.id)
            .await?
            .ok_or(ChatError::UnknownSession)?,
        None => Chat {
            id: Uuid::now_v7(),
            agent_id: agent.id.clone(),
            created_at: now,
            updated_at: now,
            history: Vec::new(),
            version: 0,
        },
    };
    if chat.ended() || chat.history.len() > MESSAGES_MAX {
        return Err(ChatError::Ended);
    }
    let mut variables = BTreeMap::new();
    variables.insert("call_id".to_owned(), chat.id.to_string());
    let mut conversation = Conversation::open(agent, variables).await?;
    conversation.go_through(&chat.history).await?;
    let mut reply = Vec::new();
    let mut ended = false;
    if chat.history.is_empty() {
        match &agent.profile.first_message {
            Some(text) => {
                reply.push(format!("{text} "));
                chat.history.push(said(text.clone()));
            }
            None if agent.profile.model_opens => {
                ended = conversation.answer(&mut chat.history, &mut reply).await?;
                reply.push(" ".to_owned());
            }
            None => {}
        }
    }
    if !ended {
        chat.history.push(Message::User {
            text: turn.message,
            dtmf: false,
        });
        ended = conversation.answer(&mut chat.history, &mut reply).await?;
    }
    let id = chat.id;
    keep(store, tenant, chat).await?;
    Ok(Answered {
        session: id,
        reply,
        ended,
    })
}

struct Conversation<'a> {
    agent: &'a Agent,
    session: Box<dyn LanguageModelSession>,
    variables: BTreeMap<String, String>,
}

impl<'a> Conversation<'a> {
    async fn open(
        agent: &'a Agent,
        variables: BTreeMap<String, String>,
    ) -> Result<Self, ChatError> {
        let request = LlmSessionRequest {
            system_prompt: agent.profile.system_prompt.clone(),
            language: agent.profile.language.clone(),
            tools: agent.profile.tools.clone(),
            variables: variables.clone(),
            time_zone: agent.profile.time_zone.clone(),
        };
        let session = agent.llm.open(request).await;
        Ok(Self {
            agent,
            session: session.map_err(|error| ChatError::Provider(error.to_string()))?,
            variables,
        })
    }

    /// Has a workflow come to where `history` ends; a language model sees all of it anyway.
    async fn go_through(&mut self, history: &[Message]) -> Result<(), ChatError> {
        if !self.agent.llm.name().starts_with("workflow:") {
            return Ok(());
        }
        for (index, message) in history.iter().enumerate() {
            let answer = matches!(message, Message::Assistant { .. } | Message::ToolCall(_));
            let begins = match index.checked_sub(1).map(|before| &history[before]) {
                None | Some(Message::User { .. } | Message::ToolResult { .. }) => true,
                Some(_) => false,
            };
            if answer && begins {
                self.ask(&history[..index]).await?;
            }
        }
        Ok(())
    }

    /// Lets the agent speak, running its tools, until it waits for the next message. Tells whether
    /// it has ended the conversation.
    async fn answer(
        &mut self,
        history: &mut Vec<Message>,
        reply: &mut Vec<String>,
    ) -> Result<bool, ChatError> {
        for _ in 0..STEPS_MAX {
            let (pieces, calls) = self.ask(history).await?;
            if !pieces.is_empty() {
                history.push(said(pieces.concat()));
                reply.extend(pieces);
            }
            if calls.is_empty() {
                return Ok(false);
            }
            let mut ended = false;
            for call in calls {
                ended |= call.name == END_CALL;
                let (content, is_error) = run_tool(self.agent, &call, &self.variables).await;
                let id = call.id.clone();
                history.push(Message::ToolCall(call));
                history.push(Message::ToolResult {
                    id,
                    content,
                    is_error,
                });
            }
            if ended {
                return Ok(true);
            }
        }
        Err(ChatError::Provider(
            "the agent goes on calling tools".to_owned(),
        ))
    }

    async fn ask(
        &mut self,
        history: &[Message],
    ) -> Result<(Vec<String>, Vec<ToolCall>), ChatError> {
        let mut events = self.session.respond(history).await;
        let mut pieces = Vec::new();
        let mut calls = Vec::new();
        while let Some(event) = events.recv().await {
            match event {
                LlmEvent::Text(text) => pieces.push(text),
                LlmEvent::ToolCall(call) => calls.push(call),
                LlmEvent::Fault(fault) => return Err(ChatError::Provider(fault.message)),
                LlmEvent::Done { .. } => break,
                _ => {}
            }
        }
        Ok((pieces, calls))
    }
}

async fn run_tool(
    agent: &Agent,
    call: &ToolCall,
    variables: &BTreeMap<String, String>,
) -> (String, bool) {
    if call.name == END_CALL {
        return ("{\"ended\":true}".to_owned(), false);
    }
    if is_engine_tool(&call.name) {
        return (
            "{\"error\":\"unsupported in a text chat\"}".to_owned(),
            true,
        );
    }
    match agent.tools.run(call, variables).await {
        Ok(value) => (value.to_string(), false),
        Err(error) => (error.to_string(), true),
    }
}

fn said(text: String) -> Message {
    Message::Assistant {
        text,
        interrupted: false,
    }
}

/// Chats of a tenant, newest first, and how many there are.
///
/// # Errors
/// When the store fails.
pub async fn list(
    store: &Store,
    tenant: Tenant,
    offset: i64,
    limit: i64,
) -> Result<(Vec<Chat>, i64), StoreError> {
    let mut conn = store.read().await?;
    let total = sql("SELECT count(*) AS n FROM chat_sessions WHERE org_id = $1")
        .bind(tenant.organisation())
        .fetch_one(&mut conn)
        .await?
        .get("n")?;
    let rows = sql("SELECT * FROM chat_sessions WHERE org_id = $1 \
                    ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3")
    .bind(tenant.organisation())
    .bind(limit)
    .bind(offset)
    .fetch_all(&mut conn)
    .await?;
    Ok((rows.iter().map(chat).collect::<Result<_, _>>()?, total))
}

async fn find(
    store: &Store,
    tenant: Tenant,
    id: Uuid,
    agent: &str,
) -> Result<Option<Chat>, StoreError> {
    let query = sql("SELECT * FROM chat_sessions WHERE id = $1 AND org_id = $2 AND agent_id = $3");
    let query = query.bind(id).bind(tenant.organisation()).bind(agent);
    store
        .fetch_optional(query)
        .await?
        .as_ref()
        .map(chat)
        .transpose()
}

async fn keep(store: &Store, tenant: Tenant, chat: Chat) -> Result<(), ChatError> {
    let history = json!(chat.history).to_string();
    let query = if chat.version == 0 {
        sql(
            "INSERT INTO chat_sessions (id, org_id, agent_id, history, version, created_at, \
               updated_at) VALUES ($1, $2, $3, $4, 1, $5, $6)",
        )
        .bind(chat.id)
        .bind(tenant.organisation())
        .bind(chat.agent_id)
        .bind(history)
        .bind(chat.created_at)
        .bind(now_us())
    } else {
        sql(
            "UPDATE chat_sessions SET history = $3, version = version + 1, updated_at = $4 \
             WHERE id = $1 AND org_id = $2 AND version = $5",
        )
        .bind(chat.id)
        .bind(tenant.organisation())
        .bind(history)
        .bind(now_us())
        .bind(chat.version)
    };
    match store.execute(query).await? {
        0 => Err(ChatError::Changed),
        _ => Ok(()),
    }
}

fn chat(row: &Row) -> Result<Chat, StoreError> {
    let history: String = row.get("history")?;
    Ok(Chat {
        id: uuid(row, "id")?,
        agent_id: row.get("agent_id")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        history: serde_json::from_str(&history).map_err(|_| StoreError::Malformed("history"))?,
        version: row.get("version")?,
    })
}
