//! The conversation of one call, without any input or output of its own.

mod answer;
mod caller_turn;
mod ending;
mod listening;
mod speaking;
mod speculation;

pub mod action;
pub mod config;
pub mod event;
pub mod history;
pub mod interruption;
pub mod phrases;
pub mod state;
pub mod tool_calls;

pub use action::Action;
pub use config::ConversationConfig;
pub use event::Event;
pub use state::Conversation;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
