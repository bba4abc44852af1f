//! The call-routing routes.

mod endpoints;

use super::route::Route;

/// The rows of this surface.
pub(super) fn routes() -> Vec<Route> {
    endpoints::routes()
}
