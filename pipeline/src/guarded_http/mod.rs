//! The HTTP client for every URL that a user of the installation has written: tools, MCP servers,
//! webhooks, embedding services.
//!
//! A request is checked before it is made ([`address_guard::AddressGuard::check`]), its name is
//! resolved once and only checked addresses are connected to, each redirect is a new request with
//! the same checks, and size and time of the answer are bounded.

pub mod address_guard;
pub mod client;

pub use self::address_guard::{AddressGuard, Lookup, RefusedUrl, Subnet};
pub use self::client::{Answer, GuardedClient, Limits, RequestError};
