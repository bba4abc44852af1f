//! Every adapter against a local server that speaks the vendor's documented protocol, and the
//! vendors' own SDKs against the same servers.

#![expect(clippy::unwrap_used, reason = "a helper fails as its test does")]
#![expect(
    clippy::result_large_err,
    reason = "a refusal is the vendor's whole answer"
)]

mod fake;
mod llm;
mod sdk;
mod stt;
mod tts;
