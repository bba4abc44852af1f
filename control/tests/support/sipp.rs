//! Callers by sipp, the SIP load generator.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::server::{Server, free_udp_port, peer};

/// Calls to place.
pub struct Sipp<'a> {
    /// The scenario's XML.
    pub scenario: String,
    /// User part of the called URI.
    pub agent: &'a str,
    /// Calls, all at once.
    pub calls: u32,
    /// Length of each call's pauses in ms.
    pub call_ms: u32,
    /// More options.
    pub options: &'a [&'a str],
}

impl Sipp<'_> {
    /// Places the calls and waits for their end; sipp's errors when one failed.
    pub async fn run(&self, server: &Server, folder: &Path) -> Result<(), String> {
        fs::write(folder.join("uac.xml"), &self.scenario).expect("scenario is written");
        let calls = self.calls.to_string();
        let mut sipp = Command::new(peer("sipp"));
        sipp.current_dir(folder)
            .arg(server.sip_address())
            .args(["-sf", "uac.xml", "-s", self.agent])
            .args(["-i", "127.0.0.1", "-mi", "127.0.0.1"])
            .args(["-p", &free_udp_port().to_string()])
            .args(["-m", &calls, "-l", &calls, "-r", "20"])
            .args(["-d", &self.call_ms.to_string()])
            .args(["-nostdin", "-timeout", "180"])
            .args(["-trace_err", "-error_file", "errors.log"])
            .args(self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let status = tokio::task::spawn_blocking(move || sipp.status().expect("sipp runs"))
            .await
            .expect("sipp task");
        if status.success() {
            return Ok(());
        }
        let errors = fs::read_to_string(folder.join("errors.log")).unwrap_or_default();
        let first: Vec<&str> = errors.lines().take(20).collect();
        Err(format!("sipp ended with {status}\n{}", first.join("\n")))
    }
}
