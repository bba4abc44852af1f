//! The HTTP interface; it only translates between HTTP and the product areas.

pub mod auth;
pub mod calls;
pub mod error;
pub mod events;
pub mod health;
pub mod pagination;
pub mod recording;
pub mod resources;
pub mod router;
