//! The workspace voice AI's routes.

mod agents;
mod auth;
mod batches;
mod calls;
mod campaigns;
mod chats;
mod numbers;
mod outbound_call;
mod reports;
mod webhook;
mod workspaces;

use super::route::Route;

/// The rows of this surface.
pub(super) fn routes() -> Vec<Route> {
    [
        auth::routes(),
        agents::routes(),
        calls::routes(),
        outbound_call::routes(),
        batches::routes(),
        campaigns::routes(),
        numbers::routes(),
        workspaces::routes(),
        reports::routes(),
        chats::routes(),
        webhook::routes(),
    ]
    .concat()
}
