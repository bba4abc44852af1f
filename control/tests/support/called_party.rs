//! Called parties by sipp: one process that answers by the last digit of the number.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::conversation::fixture;
use super::server::{free_udp_port, peer};

/// A running sipp; killed when dropped.
pub struct CalledParty {
    child: Child,
    port: u16,
    log: PathBuf,
    // Removed last.
    _folder: tempfile::TempDir,
}

impl CalledParty {
    /// Starts it with `fixtures/sipp/uas_mix.xml`.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("scratch folder");
        let port = free_udp_port();
        let scenario = fixture("sipp/uas_mix.xml")
            .canonicalize()
            .expect("scenario");
        let log = folder.path().join("calls.log");
        let child = Command::new(peer("sipp"))
            .current_dir(folder.path())
            .arg("-sf")
            .arg(scenario)
            .args(["-i", "127.0.0.1", "-mi", "127.0.0.1"])
            .args(["-p", &port.to_string()])
            .args(["-mp", &free_udp_port().to_string()])
            .args(["-nostdin", "-rtcheck", "loose"])
            .args(["-trace_logs", "-log_file"])
            .arg(&log)
            .args(["-trace_err", "-error_file", "errors.log"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sipp starts");
        Self {
            child,
            port,
            log,
            _folder: folder,
        }
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The calls that reached it: Call-IDs by number. A repeated INVITE is no second call.
    pub fn calls(&self) -> BTreeMap<String, Vec<String>> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let mut calls: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in text.lines() {
            let Some((_, rest)) = line.split_once("INVITE ") else {
                continue;
            };
            let Some((id, number)) = rest.split_once(" sip:") else {
                continue;
            };
            let ids = calls.entry(number.to_owned()).or_default();
            if !ids.iter().any(|known| known == id) {
                ids.push(id.to_owned());
            }
        }
        calls
    }

    /// What sipp complained about.
    pub fn errors(&self) -> String {
        let path = self.log.with_file_name("errors.log");
        fs::read_to_string(path).unwrap_or_default()
    }
}

impl Drop for CalledParty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
