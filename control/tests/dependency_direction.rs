//! The crates of the workspace depend on each other only as the architecture says.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// What each crate may import of the workspace, tests aside.
const ALLOWED: &[(&str, &[&str])] = &[
    ("media", &[]),
    ("sip", &["media"]),
    ("pipeline", &["media"]),
    ("control", &["media", "sip", "pipeline"]),
    ("fixtures", &[]),
    (
        "benches",
        &["media", "sip", "pipeline", "control", "fixtures"],
    ),
];

#[test]
fn crates_import_each_other_in_one_direction() {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let names: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let known: BTreeSet<&str> = allowed.keys().copied().collect();
    assert_eq!(names, known, "a crate came or went without its rule");

    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("name");
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let on = dependency["name"].as_str().expect("name");
            if !names.contains(on) {
                continue;
            }
            let is_dev = dependency["kind"] == "dev";
            // Tests may use the test data; and features of what they import anyway.
            let fine = allowed[name].contains(&on) || (is_dev && on == "fixtures");
            if !fine {
                wrong.push(format!(
                    "{name} -> {on}{}",
                    if is_dev { " (dev)" } else { "" }
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "edges that must not be: {wrong:?}");
}
