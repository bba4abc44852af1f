//! A recogniser that understands what its script says was said.

use std::time::Duration;

use async_trait::async_trait;
use media::frame::SamplePosition;
use tokio::sync::mpsc;

use crate::provider_error::ProviderError;
use crate::stt::{SpeechToText, SttCommand, SttEvent, SttRequest, SttStream, UtteranceId};

/// Commands that wait for the recogniser: 2.5 s of frames.
const COMMANDS: usize = 128;
/// Events that wait for the reader.
const EVENTS: usize = 32;

/// Words said between two points of the leg's timeline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// Begin in ms.
    pub from_ms: u64,
    /// End in ms.
    pub to_ms: u64,
    /// The words, spread evenly.
    pub text: String,
}

impl Said {
    /// Words said from `from_ms` to `to_ms`.
    #[must_use]
    pub fn new(from_ms: u64, to_ms: u64, text: &str) -> Self {
        Self {
            from_ms,
            to_ms,
            text: text.to_owned(),
        }
    }

    /// Whether the caller speaks at `ms`.
    #[must_use]
    pub const fn covers(&self, ms: u64) -> bool {
        self.from_ms <= ms && ms < self.to_ms
    }
}

/// The words that end between `from` and `to` ms.
#[must_use]
pub fn heard_between(script: &[Said], from: u64, to: u64) -> String {
    let mut heard = Vec::new();
    for said in script {
        let words: Vec<&str> = said.text.split_whitespace().collect();
        let length = said.to_ms.saturating_sub(said.from_ms);
        for (at, word) in words.iter().enumerate() {
            let end = said.from_ms + length * (at as u64 + 1) / words.len() as u64;
            if from < end && end <= to {
                heard.push(*word);
            }
        }
    }
    heard.join(" ")
}

/// Understands a script by the positions of the audio it gets.
#[derive(Clone, Debug, Default)]
pub struct ScriptedEars {
    /// What is said in the call.
    pub script: Vec<Said>,
    /// From `Finish` to the final text.
    pub final_after: Duration,
    /// Whether partial texts are given.
    pub partials: bool,
}

#[async_trait]
impl SpeechToText for ScriptedEars {
    fn name(&self) -> &str {
        "scripted"
    }

    async fn open(&self, _request: SttRequest) -> Result<SttStream, ProviderError> {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let (events, event_receiver) = mpsc::channel(EVENTS);
        tokio::spawn(listen(self.clone(), receiver, events));
        Ok(SttStream {
            commands,
            events: event_receiver,
        })
    }
}

async fn listen(
    ears: ScriptedEars,
    mut commands: mpsc::Receiver<SttCommand>,
    events: mpsc::Sender<SttEvent>,
) {
    let mut from = SamplePosition(0);
    let mut until = from;
    let mut running: Option<UtteranceId> = None;
    let mut partial = String::new();
    while let Some(command) = commands.recv().await {
        match command {
            SttCommand::Start {
                utterance,
                position,
            } => {
                running = Some(utterance);
                (from, until) = (position, position);
                partial.clear();
            }
            SttCommand::Audio(frame) => {
                until = frame.end();
                let text = heard_between(&ears.script, from.as_ms(), until.as_ms());
                if let (true, Some(utterance)) = (ears.partials && text != partial, running) {
                    partial.clone_from(&text);
                    if events
                        .send(SttEvent::Partial { utterance, text })
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
            }
            SttCommand::Finish { utterance } => {
                running = None;
                let text = heard_between(&ears.script, from.as_ms(), until.as_ms());
                tokio::time::sleep(ears.final_after).await;
                let event = SttEvent::Final {
                    utterance,
                    text,
                    confidence: None,
                    words: Vec::new(),
                };
                if events.send(event).await.is_err() {
                    return;
                }
            }
            SttCommand::Cancel { .. } => running = None,
            SttCommand::Hints(_) => {}
        }
    }
}
