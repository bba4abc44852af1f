//! The voice-agent platform's routes.

mod agent_schema;
mod agent_tools;
mod agents;
mod api_keys;
mod batches;
mod billing;
mod call_analytics;
mod create_call;
mod earnings;
mod flags;
mod phone;
mod providers;
mod service;
mod tools;
mod wallets;
mod webhooks;
mod workflows;

use super::route::Route;

pub(super) use self::agent_schema::resolve_parts;
pub(super) use self::create_call::{speaker_refused, variables};
pub(super) use self::workflows::MESSAGE;

/// The rows of this surface.
pub(super) fn routes() -> Vec<Route> {
    [
        service::routes(),
        phone::routes(),
        agents::routes(),
        workflows::routes(),
        agent_tools::routes(),
        tools::routes(),
        webhooks::routes(),
        providers::routes(),
        create_call::routes(),
        batches::routes(),
        call_analytics::routes(),
        flags::routes(),
        api_keys::routes(),
        billing::routes(),
        wallets::routes(),
        earnings::routes(),
    ]
    .concat()
}
