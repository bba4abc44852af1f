//! A stranger reads the OpenAPI document and tries what it says: schemathesis, from PyPI.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed step fails the test, and the cases tried are told"
)]

mod in_process;
mod published;

use std::path::{Path, PathBuf};
use std::process::Command;

use published::{Database, World};

/// `make test` puts it there.
const PROGRAM: &str = "../target/schemathesis/bin/schemathesis";
/// Not a server error, and what the document says of status, media type and body.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance";

fn program() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PROGRAM);
    assert!(
        path.is_file(),
        "schemathesis is not installed; `make schemathesis` installs it"
    );
    path
}

/// Tries every operation `cases` times beyond those that follow from the document's limits; the
/// number of all cases.
///
/// Each surface has a world of its own: what the cases of one make, the lists of the next would
/// show, and schemathesis checks every entry of every answer.
async fn try_all(database: Database, cases: u32, seed: u32) -> u64 {
    let mut tried = 0;
    for surface in ["kupe", "kros", "vaani"] {
        let world = World::new(database).await;
        let admin = &world.one.admin;
        let header = match surface {
            "vaani" => format!("Cookie: access_token={}", admin.cookie),
            _ => format!("Authorization: Bearer {}", admin.bearer),
        };
        // It cannot take a cookie away that it was told to send.
        let checks = match surface {
            "vaani" => CHECKS.to_owned(),
            _ => format!("{CHECKS},ignored_auth"),
        };
        let url = world.server.url(&format!("/openapi/{surface}.json"));
        let (cases, seed) = (cases.to_string(), seed.to_string());
        let ran = tokio::task::spawn_blocking(move || {
            Command::new(program())
                .args([
                    "run", &url, "-H", &header, "--checks", &checks, "-n", &cases,
                ])
                .args(["--phases", "examples,coverage,fuzzing", "--seed", &seed])
                // It ends the session it is asked with, and deletes the workspace asked for.
                .args([
                    "--exclude-path",
                    "/auth/logout",
                    "--exclude-method",
                    "DELETE",
                ])
                // A stream of events lasts as long as its batch.
                .args(["--exclude-path-regex", "/events$"])
                .arg("--no-color")
                .output()
                .expect("schemathesis runs")
        });
        let ran = ran.await.unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        let told: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("generated,"))
            .collect();
        println!("{surface}: {}", told.join(" "));
        assert!(ran.status.success(), "{surface}: {said}");
        let count = told.iter().find_map(|line| {
            let before = line.split(" generated,").next()?;
            before
                .split_whitespace()
                .last()?
                .replace(',', "")
                .parse::<u64>()
                .ok()
        });
        tried += count.expect("schemathesis tells how many cases it tried");
    }
    println!("{tried} cases");
    tried
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_holds_for_whoever_tries_it() {
    assert!(try_all(Database::Sqlite, 3, 1).await > 3_000);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes many minutes; run it with `cargo test -p control --test schema_fuzz -- --ignored --nocapture`"]
async fn the_document_holds_for_twenty_thousand_cases() {
    assert!(try_all(Database::Postgres, 300, 2).await >= 20_000);
}
