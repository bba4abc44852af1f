//! What `samvad call` prints: the transcript as it grows, then a latency waterfall per turn.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

/// Spans of a turn in the order in which they happen, with the words shown for them.
const SPANS: [(&str, &str); 10] = [
    ("vad_lag", "speech end noticed"),
    ("endpoint_wait", "turn decided"),
    ("dispatch", "request sent"),
    ("llm_ttft", "first word"),
    ("chunking", "first clause"),
    ("tts_ttfb", "first speech"),
    ("lead_silence", "silence skipped"),
    ("gate_hold", "held until the turn was sure"),
    ("out_queue", "on the wire"),
    ("carrier", "at the ear"),
];
/// Width of the waterfall in characters.
const WIDTH: i64 = 40;

/// Escape sequences, or nothing when the output is not a terminal.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whether escape sequences are written.
    pub colour: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// A dimmed text.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// A text that stands out.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }
}

/// One line of the live view for an event of the call; `None` for events nobody reads.
#[must_use]
pub fn live_line(event: &Value, style: Style) -> Option<String> {
    match event["type"].as_str()? {
        "turn" => {
            let at = clock(event["start_ms"].as_u64()?);
            let text = event["text"].as_str()?;
            let agent = event["speaker"] == "agent";
            let who = style.paint(
                if agent { "36" } else { "33" },
                if agent { "agent " } else { "caller" },
            );
            let mut line = format!("{} {who}  ", style.dim(&at));
            line.push_str(match (text, event["dtmf"].as_bool()) {
                ("", _) => "(nothing understood)",
                (text, _) => text,
            });
            if event["dtmf"] == true {
                line.push_str(&style.dim("  (keyed in)"));
            }
            if event["interrupted"] == true {
                line.push_str(&style.dim("  (cut short by the caller)"));
            }
            if let Some(total) = event["timings"]["voice_to_voice"].as_i64() {
                let shown = format!("  [{} ms]", total / 1000);
                line.push_str(&style.dim(&shown));
            }
            Some(line)
        }
        "tool" => Some(format!(
            "               {}",
            style.dim(&format!(
                "tool {} {} -> {}",
                event["name"].as_str().unwrap_or("?"),
                event["arguments"],
                event["result"]
            ))
        )),
        "overlap" => Some(format!(
            "               {}",
            style.dim(&format!(
                "caller spoke over the agent: {} after {} ms",
                event["verdict"].as_str().unwrap_or("?"),
                event["decision_ms"]
            ))
        )),
        "provider_fault" => Some(format!(
            "               {} failed: {}",
            event["provider"].as_str().unwrap_or("?"),
            event["message"].as_str().unwrap_or("?")
        )),
        _ => None,
    }
}

/// The spans of every agent turn in a call record, drawn to scale.
#[must_use]
pub fn waterfall(call: &Value, style: Style) -> String {
    let mut out = String::new();
    let turns = call["turns"].as_array().map_or(&[][..], Vec::as_slice);
    for (index, turn) in turns
        .iter()
        .filter(|turn| turn["timings"].is_object())
        .enumerate()
    {
        let timings = &turn["timings"];
        let total = timings["voice_to_voice"].as_i64().unwrap_or(0);
        let text: String = turn["text"]
            .as_str()
            .unwrap_or("")
            .chars()
            .take(48)
            .collect();
        let heading = format!("turn {}: {} ms to \"{text}\"", index + 1, total / 1000);
        let _ = writeln!(out, "{}", style.bold(&heading));
        let mut from = 0;
        for (key, words) in SPANS {
            let span = timings[key].as_i64().unwrap_or(0);
            if span == 0 {
                continue;
            }
            let _ = writeln!(
                out,
                "  {words:<18} {:>8.1} ms  {}",
                span as f64 / 1000.0,
                style.dim(&bar(from, span, total))
            );
            from += span;
        }
    }
    out
}

/// Percentiles of how long this end waited for the agent, measured by ear.
#[must_use]
pub fn response_summary(times: &[Duration]) -> String {
    if times.is_empty() {
        return "no answer was timed".to_owned();
    }
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| sorted[(sorted.len() - 1) * percent / 100].as_millis();
    format!(
        "heard at the caller's end: {} answers, p50 {} ms, p95 {} ms, max {} ms",
        sorted.len(),
        at(50),
        at(95),
        at(100)
    )
}

fn bar(from: i64, span: i64, total: i64) -> String {
    if total <= 0 || span < 0 {
        return String::new();
    }
    let column = |at: i64| usize::try_from((at * WIDTH / total).clamp(0, WIDTH)).unwrap_or(0);
    let (start, end) = (column(from), column(from + span));
    format!(
        "{}{}",
        " ".repeat(start),
        "#".repeat(end.saturating_sub(start).max(1))
    )
}

fn clock(ms: u64) -> String {
    format!("{:02}:{:06.3}", ms / 60_000, (ms % 60_000) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLAIN: Style = Style { colour: false };

    #[test]
    fn turns_are_shown_with_time_speaker_and_wait() {
        let line = live_line(
            &json!({"type": "turn", "speaker": "agent", "text": "Good morning.", "start_ms": 61_020,
                "interrupted": true, "timings": {"voice_to_voice": 612_000}}),
            PLAIN,
        );
        assert_eq!(
            line.as_deref(),
            Some("01:01.020 agent   Good morning.  (cut short by the caller)  [612 ms]")
        );
    }

    #[test]
    fn the_waterfall_is_drawn_to_scale() {
        let call = json!({"turns": [{"text": "Yes.", "timings": {
            "vad_lag": 100_000, "endpoint_wait": 300_000, "voice_to_voice": 400_000}}]});
        let text = waterfall(&call, PLAIN);
        assert!(text.contains("turn 1: 400 ms"));
        let bars: Vec<usize> = text
            .lines()
            .skip(1)
            .map(|line| line.matches('#').count())
            .collect();
        assert_eq!(bars, [10, 30]);
    }

    #[test]
    fn percentiles_come_from_the_sorted_times() {
        let times = [300, 100, 200].map(Duration::from_millis);
        assert!(response_summary(&times).contains("p50 200 ms"));
    }
}
