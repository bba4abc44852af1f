//! The HTTP interface; it only translates between HTTP and the product areas.

pub mod auth;
pub mod calls;
pub mod error;
pub mod events;
pub mod failure;
pub mod health;
pub mod json;
pub mod kros;
pub mod kupe;
pub mod limits;
pub mod openapi;
pub mod pagination;
pub mod recording;
pub mod resources;
pub mod route;
pub mod router;
pub mod schema;
mod serve;
pub mod table;
mod upload;
pub mod vaani;
pub(crate) mod web_calls;
pub mod zip;
