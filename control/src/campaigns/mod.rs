//! Batches and campaigns: many calls by one dialler.
//!
//! [`dialler`] decides (no clock, no I/O), [`claims`] turns decisions into rows and rows into
//! decisions, [`driver`] is the task that does what was decided. What is promised of calls when
//! processes die stands in ADR 14.

pub mod campaign;
pub mod claims;
pub mod csv;
pub mod dialler;
pub mod driver;
pub mod hours;
pub mod import;
pub mod recipients;
pub mod rules;
pub mod zones;
