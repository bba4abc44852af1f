//! The scripted caller behind `samvad call` and `samvad demo`.

mod carrier_playout;
pub mod carrier_stream;
pub mod dialogue;
pub mod line;
pub mod report;
pub mod script;
pub mod server_view;
pub mod sip_line;
pub mod speech;
mod stereo;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;
use tokio::sync::mpsc;

use dialogue::{Dialogue, Patience, Step};
use line::{Line, LineEvent, LineOrder};
use report::Style;
use script::Script;
use server_view::ServerView;
use speech::SpokenScript;

/// The call's own end must come within this time after hanging up.
const HANG_UP_LIMIT: Duration = Duration::from_secs(5);

/// How a scripted call went.
#[derive(Debug)]
pub struct CallReport {
    /// Who or what ended the line.
    pub how: String,
    /// What went wrong; empty for a good call.
    pub faults: Vec<String>,
    /// The server's record, where it could be read.
    pub record: Option<Value>,
    /// Time from the end of each line to the agent's first sound, as heard at this end.
    pub response_times: Vec<Duration>,
}

/// Follows a script over a line and shows what happens.
#[derive(Debug)]
pub struct Caller {
    /// What is said.
    pub script: Script,
    /// The same as sound.
    pub speech: SpokenScript,
    /// How long the caller waits for what.
    pub patience: Patience,
    /// A look into the server, if it lets us.
    pub server: Option<ServerView>,
    /// How to print; `None` prints nothing.
    pub live: Option<Style>,
}

impl Caller {
    /// Talks until the line is dead, then reads the server's record.
    pub async fn talk(self, mut line: Line) -> CallReport {
        let mut faults = Vec::new();
        let call_id = match &self.server {
            Some(server) => match server.find(&line.server_call).await {
                Ok(id) => Some(id),
                Err(error) => {
                    faults.push(format!("no transcript: {error:#}"));
                    None
                }
            },
            None => None,
        };
        let mut transcript = match (&self.server, &call_id) {
            (Some(server), Some(id)) => Some(server.follow(id)),
            _ => None,
        };
        if let (Some(style), Some(id)) = (self.live, &call_id) {
            show(&style.dim(&format!("call {id}")));
        }

        let mut dialogue = Dialogue::new(self.script.clone(), self.patience, now());
        let mut hang_up_by: Option<Instant> = None;
        let how = loop {
            tokio::select! {
                event = line.events.recv() => match event {
                    Some(LineEvent::Heard { voice, at }) => {
                        if let Some(step) = dialogue.handle_heard(at, voice) {
                            if step == Step::GiveUp {
                                faults.push(format!(
                                    "the agent was silent for {} s",
                                    self.patience.answer.as_secs()
                                ));
                            }
                            if matches!(step, Step::HangUp | Step::GiveUp) {
                                hang_up_by = Some(at + HANG_UP_LIMIT);
                            }
                            if let Err(error) = self.carry_out(&step, &line).await {
                                faults.push(format!("{error:#}"));
                            }
                        }
                        if hang_up_by.is_some_and(|by| at >= by) {
                            faults.push("the line did not end after hanging up".to_owned());
                            break "abandoned".to_owned();
                        }
                    }
                    Some(LineEvent::Said { at }) => dialogue.handle_said(at),
                    Some(LineEvent::Ended { how, failed }) => {
                        if failed {
                            faults.push(how.clone());
                        }
                        break how;
                    }
                    None => break "the line vanished".to_owned(),
                },
                event = next_event(&mut transcript) => {
                    if event["type"] == "turn" && event["speaker"] == "agent" {
                        dialogue.handle_agent_turn(event["text"].as_str().unwrap_or(""));
                    }
                    self.show_event(&event);
                }
            }
        };
        // What the server still has to say about the call.
        while let Ok(event) =
            tokio::time::timeout(Duration::from_secs(2), next_event(&mut transcript)).await
        {
            self.show_event(&event);
            if event["type"] == "ended" {
                break;
            }
        }
        if !dialogue.is_complete() {
            faults.push("the call ended before the caller had said everything".to_owned());
        }
        let record = match (&self.server, &call_id) {
            (Some(server), Some(id)) => match server.ended_call(id).await {
                Ok(record) => Some(record),
                Err(error) => {
                    faults.push(format!("{error:#}"));
                    None
                }
            },
            _ => None,
        };
        if let Some(record) = &record {
            faults.extend(unmet_expectations(&self.script, record));
        }
        CallReport {
            how,
            faults,
            record,
            response_times: dialogue.response_times().to_vec(),
        }
    }

    async fn carry_out(&self, step: &Step, line: &Line) -> anyhow::Result<()> {
        let order = match step {
            Step::Line(index) => match &self.script.lines[*index].dtmf {
                Some(digits) => LineOrder::Digits(digits.clone()),
                None => LineOrder::Speak(Arc::clone(&self.speech.lines[*index])),
            },
            Step::Reply(index) => LineOrder::Speak(Arc::clone(&self.speech.replies[*index])),
            Step::HangUp | Step::GiveUp => LineOrder::HangUp,
        };
        line.orders
            .send(order)
            .await
            .context("the line took no more orders")
    }

    fn show_event(&self, event: &Value) {
        if let Some(text) = self.live.and_then(|style| report::live_line(event, style)) {
            show(&text);
        }
    }
}

/// The next event of the transcript; never, once there is none any more.
async fn next_event(transcript: &mut Option<mpsc::Receiver<Value>>) -> Value {
    if let Some(events) = transcript {
        if let Some(event) = events.recv().await {
            return event;
        }
        *transcript = None;
    }
    std::future::pending().await
}

/// What the script expected of the agent, in order, and the record does not have.
fn unmet_expectations(script: &Script, record: &Value) -> Vec<String> {
    let turns = record["turns"].as_array().map_or(&[][..], Vec::as_slice);
    let mut agent_turns = turns
        .iter()
        .filter(|turn| turn["speaker"] == "agent")
        .filter_map(|turn| turn["text"].as_str())
        .map(str::to_lowercase);
    script
        .lines
        .iter()
        .filter(|line| line.interrupt_after_ms.is_none())
        .filter_map(|line| line.expect_agent.as_deref())
        .filter(|expected| {
            let expected = expected.to_lowercase();
            !agent_turns.by_ref().any(|text| text.contains(&expected))
        })
        .map(|expected| format!("the agent never said \"{expected}\" where the script expects it"))
        .collect()
}

#[expect(clippy::print_stdout, reason = "the command line talks to its user")]
fn show(text: &str) {
    println!("{text}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "this drives a real line by the real clock"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expectations_are_met_in_order() {
        let script: Script = toml::from_str(
            "[[lines]]\nsay=\"a\"\nexpect_agent=\"which day\"\n[[lines]]\nsay=\"b\"\nexpect_agent=\"booked\"\n",
        )
        .unwrap();
        let record = json!({"turns": [
            {"speaker": "agent", "text": "Which day?"},
            {"speaker": "caller", "text": "tuesday"},
            {"speaker": "agent", "text": "It is booked."}]});
        assert_eq!(unmet_expectations(&script, &record), Vec::<String>::new());
        let wrong = json!({"turns": [{"speaker": "agent", "text": "It is booked. "},
            {"speaker": "agent", "text": "Which day?"}]});
        assert_eq!(unmet_expectations(&script, &wrong).len(), 1);
    }
}
