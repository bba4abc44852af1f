//! Scripted conversations of the clinic agent, from the fixtures.

use std::path::{Path, PathBuf};

use control::cli::caller::dialogue::Patience;
use control::cli::caller::script::Script;
use control::cli::caller::server_view::ServerView;
use control::cli::caller::speech::{SpokenScript, embedded_voice};
use control::cli::caller::{CallReport, Caller};
use serde_json::Value;

use super::server::Server;

/// Path of a file in `fixtures`.
pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures")
        .join(path)
}

/// A caller who follows `fixtures/conversations/<name>.toml`, watching `server`.
pub async fn caller(name: &str, server: &Server) -> Caller {
    let script = Script::load(&fixture(&format!("conversations/{name}.toml"))).expect("script");
    let voice = embedded_voice().expect("embedded voice");
    let speech = SpokenScript::render(&script, voice.as_ref(), "rms")
        .await
        .expect("spoken script");
    Caller {
        script,
        speech,
        patience: Patience::default(),
        server: Some(ServerView::new(
            server.url().parse().expect("address"),
            server.token(),
        )),
        live: Some(control::cli::caller::report::Style { colour: false }),
    }
}

/// Fails the test with the whole story when the call was not a good one.
pub fn assert_good(report: &CallReport, server: &Server) {
    assert!(
        report.faults.is_empty(),
        "{:#?}\n{}\n{}",
        report.faults,
        transcript(report.record.as_ref().unwrap_or(&Value::Null)),
        server.log_tail()
    );
}

/// The turns of a call record as lines.
pub fn transcript(record: &Value) -> String {
    record["turns"]
        .as_array()
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .map(|turn| {
            format!(
                "{:>7} {}: {}\n",
                turn["start_ms"],
                turn["speaker"].as_str().unwrap_or("?"),
                turn["text"].as_str().unwrap_or("?")
            )
        })
        .collect()
}
