//! The embedded dialogue engine: declarative workflows that answer like a language model.
//!
//! A workflow file names the questions, what callers may answer, the tools to run and where to go
//! next. [`Workflow::from_toml`] reads and checks it; [`WorkflowModel`] offers it as a
//! [`LanguageModel`](crate::llm::LanguageModel). The state machine is pure: what it says depends
//! on the history and the clock handed in, and nothing happens before the history shows it.

mod answer;
mod calendar;
mod check;
mod clock_time;
pub mod file;
mod grammar;
pub mod hours;
mod machine;
mod session;
mod template;
mod text;

pub use check::{Problem, Workflow, WorkflowError};
pub use session::{WorkflowClock, WorkflowModel};

/// The target that leads back to the question last asked.
pub const RESUME: &str = "@resume";
