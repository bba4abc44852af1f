//! All published routes, in the order of the surfaces.

use std::sync::LazyLock;

use super::route::Route;
use super::{kros, kupe, vaani};

static ROUTES: LazyLock<Vec<Route>> =
    LazyLock::new(|| [kupe::routes(), kros::routes(), vaani::routes()].concat());

/// Every published route that is served.
pub fn routes() -> &'static [Route] {
    &ROUTES
}
