//! Money: usage, prices, wallets, the ledger. Told for people who count in docs/billing.md.
//!
//! The core knows neither database nor clock: [`book`] and [`hold`] take commands and the time and
//! return entries, [`rating`] and [`funding`] reckon, [`verify`] checks. [`journal`] keeps books in
//! the database, [`settlement`] ends a call in one transaction, [`calls`] joins calls to it.

pub mod audit;
pub mod book;
pub mod calls;
pub mod entry;
pub mod funding;
pub mod hold;
pub mod journal;
pub mod money;
pub mod prices;
pub mod rating;
pub mod settlement;
pub mod spool;
pub mod statement;
pub mod sweep;
#[cfg(test)]
mod tests;
pub mod usage;
pub mod verify;
pub mod wallet;
pub mod wallets;
