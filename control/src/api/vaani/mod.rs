//! The workspace voice AI's routes.

mod agents;
mod auth;
mod calls;
mod chats;
mod numbers;
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
        numbers::routes(),
        workspaces::routes(),
        reports::routes(),
        chats::routes(),
        webhook::routes(),
    ]
    .concat()
}
