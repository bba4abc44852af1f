//! Who calls the API and what they may do.

pub mod accounts;
pub mod api_key;
pub mod audit;
pub mod authenticate;
pub mod bootstrap;
pub mod jwks;
pub mod jwt;
pub mod keys;
pub mod mail;
pub mod password;
pub mod principal;
pub mod sessions;
pub mod vault;
