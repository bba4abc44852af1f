//! A hundred callers at a time by sipp, with audio; afterwards everything is back where it was.

mod support;

use std::fs;
use std::time::Duration;

use media::codec::{Codec, OpusSettings};
use media::dsp::resample::Resampler;
use support::conversation::{caller, fixture};
use support::server::Server;
use support::sipp::Sipp;

/// Calls at a time.
const CALLS: u32 = 100;
/// Length of each call. Long enough for several turns.
const CALL_MS: u32 = 60_000;
/// What may stay behind, in KiB: caches that are still filling and the allocator's remnants, 80 KiB
/// a call. A call holds ten times as much while it runs.
const GROWTH_KIB_MAX: u64 = 8 * 1024;

/// What must come back after a load.
#[derive(Debug)]
struct Holdings {
    threads: usize,
    descriptors: usize,
    resident_kib: u64,
}

fn holdings(pid: u32) -> Holdings {
    let count = |folder: &str| {
        fs::read_dir(format!("/proc/{pid}/{folder}"))
            .expect("process is running")
            .count()
    };
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("process is running");
    let resident_kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .expect("resident size");
    Holdings {
        threads: count("task"),
        descriptors: count("fd"),
        resident_kib,
    }
}

/// The caller's lines of a script with pauses between, as mu-law.
async fn talk_file(server: &Server, folder: &std::path::Path) -> std::path::PathBuf {
    let caller = caller("clinic_book", server).await;
    let mut pcm = Vec::new();
    for line in &caller.speech.lines {
        pcm.extend(std::iter::repeat_n(0, 16_000 * 5));
        pcm.extend_from_slice(line);
    }
    let narrow = Resampler::convert(16_000, 8_000, &pcm).expect("rates");
    let mut bytes = vec![0; narrow.len()];
    let mut encoder = Codec::Pcmu
        .encoder(&OpusSettings::default())
        .expect("encoder");
    encoder.encode(&narrow, &mut bytes).expect("encoded");
    let path = folder.join("talk.ul");
    fs::write(&path, bytes).expect("audio file");
    path
}

/// Runs `calls` callers at once for `ms`, fails with sipp's errors.
async fn run_sipp(server: &Server, folder: &std::path::Path, calls: u32, ms: u32) {
    let audio = talk_file(server, folder).await;
    // sipp reads the sound file before it fills in keys, so its name must stand in the scenario.
    let scenario = fs::read_to_string(fixture("sipp/uac_talk.xml"))
        .expect("scenario")
        .replace("[audio]", &audio.display().to_string());
    let callers = Sipp {
        scenario,
        agent: "endless",
        calls,
        call_ms: ms,
        options: &["-mp", "10000"],
    };
    if let Err(errors) = callers.run(server, folder).await {
        panic!(
            "{errors}\n{:?}\n{}",
            outcomes(server).await,
            server.log_tail()
        );
    }
}

/// How the newest calls ended, counted.
async fn outcomes(server: &Server) -> std::collections::BTreeMap<String, usize> {
    let calls = server.get("/v1/calls?limit=100").await;
    let mut counts = std::collections::BTreeMap::new();
    for call in calls["calls"].as_array().expect("calls") {
        *counts.entry(call["outcome"].to_string()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_calls_with_audio_leave_nothing_behind() {
    // A hundred voices at once are more than two cores recognise: this agent goes on asking
    // instead of giving the caller up.
    let settings = [("SAMVAD_SERVER__CALLS_MAX", "150")];
    let server = Server::start_with_workflow(&settings, "endless").await;
    let folder = tempfile::tempdir().expect("scratch folder");
    // The first load builds what stays: decoders, voices, caches, the database's pages, and the
    // allocator's arenas at their full size.
    run_sipp(&server, folder.path(), CALLS, 20_000).await;
    quiet(&server).await;
    let before = holdings(server.pid());

    run_sipp(&server, folder.path(), CALLS, CALL_MS).await;
    quiet(&server).await;
    let after = settled(&server, &before).await;

    let calls = server.get("/v1/calls?limit=100").await;
    let calls = calls["calls"].as_array().expect("calls");
    assert_eq!(calls.len() as u32, CALLS);
    for call in calls {
        assert_eq!(call["outcome"]["class"], "completed", "{call}");
    }
    println!("before {before:?}, after {after:?}");
    assert_eq!(after.descriptors, before.descriptors, "descriptors leaked");
    assert!(after.threads <= before.threads, "threads leaked");
    let grown_kib = after.resident_kib.saturating_sub(before.resident_kib);
    assert!(
        grown_kib <= GROWTH_KIB_MAX,
        "{grown_kib} KiB stay behind {CALLS} calls"
    );
}

/// Holdings once memory has been given back, which takes a while: idle recognisers go first, and
/// the thread that gives it back rests for some seconds.
async fn settled(server: &Server, before: &Holdings) -> Holdings {
    let pid = server.pid();
    let bound = before.resident_kib + GROWTH_KIB_MAX;
    let mut now = holdings(pid);
    for _ in 0..60 {
        if now.resident_kib <= bound && now.threads <= before.threads {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        now = holdings(pid);
    }
    now
}

/// Waits until the server holds nothing of any call.
async fn quiet(server: &Server) {
    let gauges = [
        "samvad_calls_active",
        "samvad_media_legs",
        "samvad_media_port_pairs_used",
        "samvad_sip_sessions",
        "samvad_sip_transactions",
    ];
    // Transactions linger for 64*T1 = 32 s (RFC 3261 §17), ports rest a few seconds.
    server
        .wait_for(
            "the release of all calls",
            Duration::from_secs(60),
            async |s| {
                for gauge in gauges {
                    if s.metric(gauge).await != 0.0 {
                        return None;
                    }
                }
                Some(())
            },
        )
        .await;
}
