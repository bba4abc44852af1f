//! Calls of browsers and apps: the connection, whoever does the signalling.

pub(crate) mod addresses;
pub(crate) mod connection;
pub(crate) mod whip;
