//! Tools that users define: HTTP requests and MCP servers, mapped to agents.
//!
//! `stored` rows of definitions, `mapping` which agent has which, `arguments` what a call must
//! look like, `room` from rows to a runner, `runner` one call of a tool, `mcp` the protocol,
//! `invocations` the log.

pub mod arguments;
pub mod invocations;
pub mod mapping;
pub mod mcp;
pub mod room;
pub mod runner;
pub mod stored;

pub use self::room::{Equipment, ToolRoom};
