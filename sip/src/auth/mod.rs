//! Digest access authentication (RFC 7616, RFC 8760, RFC 3261 §22), both sides.

mod client;
mod digest;
mod fields;
mod server;
mod users;

pub use client::{ClientAuth, Credentials};
pub use digest::{Algorithm, Ha1};
pub use server::{Authenticator, AuthenticatorConfig, Verdict};
pub use users::{User, UserSecret, Users};

#[cfg(test)]
mod tests;
