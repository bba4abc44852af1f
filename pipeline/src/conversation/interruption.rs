//! Who has the floor when both speak.

use std::time::{Duration, Instant};

use media::frame::SamplePosition;

use super::Action;
use super::answer::{Answer, ToolStage, Trigger};
use super::caller_turn::Stage;
use super::config::{ConversationConfig, ToolInterruption};
use super::state::Conversation;
use crate::call::{CallEvent, OverlapVerdict};
use crate::llm::Message;
use crate::playout::HeardUpTo;
use crate::stt::{AnswerKind, SttCommand};
use crate::turn::lexicon::Utterance;
use media::leg::{Heard, LegCommand};

/// Gain that nobody hears, in dB.
const SILENT_DECIBEL: f32 = -60.0;
/// Pause of the caller after which a held breath is let go.
const BREATH_PAUSE: Duration = Duration::from_millis(180);

/// What is known of speech over the agent's own.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Overlap {
    /// What the words so far amount to.
    pub words: Utterance,
    /// A short yes or no to a question that has been heard.
    pub answers_question: bool,
    /// Length of the speech so far.
    pub speech: Duration,
    /// Time since its onset.
    pub elapsed: Duration,
    /// Whether it goes on.
    pub speaking: bool,
    /// How much of the agent had been heard at its onset.
    pub agent_heard: Duration,
    /// How much louder it is than the caller usually, in dB, if that is known.
    pub loudness: Option<f32>,
    /// Whether words are known while they are being said.
    pub gives_partials: bool,
}

/// The verdict on an overlap, once there is enough to go by.
#[must_use]
pub fn judge(overlap: &Overlap, config: &ConversationConfig) -> Option<OverlapVerdict> {
    use OverlapVerdict::{Backchannel, Noise, Takeover};
    let late = overlap.elapsed >= config.verdict_max;
    // Where words are known while they are said, acknowledgements get time to show: the agent is
    // silent meanwhile.
    let patience = if overlap.gives_partials {
        config.words_patience
    } else {
        Duration::ZERO
    };
    let long = overlap.speech >= config.takeover_after + patience
        || overlap.agent_heard < config.both_began_within
            && overlap.speech >= config.takeover_when_both_began;
    match overlap.words {
        Utterance::Stop => Some(Takeover),
        Utterance::Words(count) if count >= config.takeover_words || long || late => Some(Takeover),
        Utterance::Acknowledgement if overlap.answers_question => Some(Takeover),
        Utterance::Acknowledgement if !overlap.speaking => Some(Backchannel),
        Utterance::Acknowledgement if overlap.speech >= config.acknowledgement_max => {
            Some(Takeover)
        }
        // What is too soft to be meant for the agent has to show words.
        Utterance::Nothing
            if long
                && (!overlap.gives_partials
                    || overlap.loudness.is_none_or(|db| db >= config.hold_softest)) =>
        {
            Some(Takeover)
        }
        Utterance::Nothing if !overlap.speaking && (overlap.speech < config.noise_max || late) => {
            Some(Noise)
        }
        Utterance::Nothing | Utterance::Acknowledgement | Utterance::Words(_) => None,
    }
}

/// Whether the agent speaks on while it is not clear what the caller wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Breath {
    /// It speaks.
    Flowing,
    /// It fades out.
    Fading,
    /// It is silent, at the place where it stopped.
    Held,
}

/// Where an interruption stands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Floor {
    /// No dispute.
    Settled,
    /// Both speak; the agent is ducked.
    Disputed {
        onset: SamplePosition,
        agent_heard: Duration,
    },
    /// The leg was told to clear.
    Clearing { since: Instant },
    /// The agent is silent, the caller's words are awaited: they commit the interruption, their
    /// absence resumes the agent.
    Held {
        upto: Option<HeardUpTo>,
        since: Instant,
    },
}

impl Conversation {
    /// The caller speaks while the agent has the floor.
    pub(super) fn dispute_floor(&mut self, onset: SamplePosition, now: Instant) {
        let Some(answer) = &self.answer else { return };
        if self.floor != Floor::Settled || answer.is_final() {
            return;
        }
        let began = answer.playout.began().unwrap_or(self.clock);
        let onset = onset.max(began);
        self.floor = Floor::Disputed {
            onset,
            agent_heard: Duration::from_millis(onset.ms_since(began)),
        };
        self.duck(self.config.duck_decibel);
        self.consider_floor(now);
    }

    /// Looks at a dispute again after anything has changed.
    pub(super) fn consider_floor(&mut self, now: Instant) {
        match self.floor {
            Floor::Settled | Floor::Clearing { .. } => {}
            Floor::Disputed { onset, agent_heard } => {
                self.consider_dispute(onset, agent_heard, now)
            }
            Floor::Held { upto, .. } => {
                if self.keys.is_some() || self.words_take_floor(now) {
                    self.yield_floor(upto, now);
                }
            }
        }
    }

    fn consider_dispute(&mut self, onset: SamplePosition, agent_heard: Duration, now: Instant) {
        let Some(turn) = &self.caller else {
            self.keep_floor();
            return;
        };
        let speaking = self.segmenter.in_speech();
        let end = if speaking {
            self.segmenter.end()
        } else {
            turn.end
        };
        let overlap = Overlap {
            words: self.lexicon.classify(&turn.text(), self.is_opening()),
            answers_question: self.answers_question(now),
            speech: Duration::from_millis(end.ms_since(turn.burst.max(onset))),
            elapsed: Duration::from_millis(self.clock.ms_since(onset)),
            speaking,
            agent_heard,
            loudness: self.foreground.loudness(),
            gives_partials: self.stt.gives_partials,
        };
        let Some(verdict) = judge(&overlap, &self.config) else {
            self.consider_breath(&overlap);
            return;
        };
        self.emit(CallEvent::Overlap {
            verdict,
            onset_ms: onset.as_ms(),
            decision_ms: self.clock.ms_since(onset),
        });
        if verdict == OverlapVerdict::Takeover {
            self.stop_speech(now);
        } else {
            self.keep_floor();
        }
    }

    /// While speech over the agent goes on and may be a takeover, the agent falls silent where it
    /// is; it goes on from there when the speech stops or turns out to acknowledge.
    fn consider_breath(&mut self, overlap: &Overlap) {
        let pausing = self.segmenter.pause() >= BREATH_PAUSE;
        let soft = overlap
            .loudness
            .is_some_and(|db| db < self.config.hold_softest);
        let hold = overlap.speaking
            && !pausing
            && !soft
            && overlap.words != Utterance::Acknowledgement
            && overlap.speech >= self.config.hold_after;
        match (self.breath, hold) {
            (Breath::Flowing, true) => {
                // A frame fades out before the silence: no click.
                self.breath = Breath::Fading;
                self.gain = SILENT_DECIBEL;
                self.leg(LegCommand::Gain {
                    decibel: SILENT_DECIBEL,
                    ramp_ms: self.config.duck_ramp_ms,
                });
            }
            (Breath::Fading, true) => {
                self.breath = Breath::Held;
                self.leg(LegCommand::Hold(true));
            }
            (Breath::Fading | Breath::Held, false) => self.duck(self.config.duck_decibel),
            (Breath::Flowing, false) | (Breath::Held, true) => {}
        }
    }

    /// The agent speaks again from where it fell silent.
    fn breathe(&mut self) {
        if std::mem::replace(&mut self.breath, Breath::Flowing) == Breath::Held {
            self.leg(LegCommand::Hold(false));
        }
    }

    /// Not a takeover: the gain comes back and the agent goes on.
    pub(super) fn keep_floor(&mut self) {
        if matches!(self.floor, Floor::Disputed { .. }) {
            self.floor = Floor::Settled;
            self.duck(0.0);
        }
    }

    /// Words of the caller that came too late for the verdict but demand the floor.
    pub(super) fn late_takeover(&mut self, now: Instant) {
        let onset = self.caller.as_ref().map_or(self.clock, |t| t.burst);
        self.emit(CallEvent::Overlap {
            verdict: OverlapVerdict::Takeover,
            onset_ms: onset.as_ms(),
            decision_ms: self.clock.ms_since(onset),
        });
        self.stop_speech(now);
    }

    /// Closes the output gate. What happens to the answer is settled when the leg has said what
    /// was heard.
    pub(super) fn stop_speech(&mut self, now: Instant) {
        self.floor = Floor::Clearing { since: now };
        self.close_gate();
    }

    pub(super) fn close_gate(&mut self) {
        self.generation.0 += 1;
        let generation = self.generation;
        self.leg(LegCommand::Clear { generation });
    }

    /// The leg has closed the gate, or failed to say so in time.
    pub(super) fn gate_is_closed(&mut self, heard: Option<Option<Heard>>, now: Instant) {
        if !matches!(self.floor, Floor::Clearing { .. }) {
            return;
        }
        let Some(answer) = &self.answer else {
            self.floor = Floor::Settled;
            return;
        };
        let upto = match heard {
            Some(heard) => answer.playout.locate(heard),
            None => answer.playout.estimate(now),
        };
        self.duck(0.0);
        self.floor = Floor::Held { upto, since: now };
        self.consider_floor(now);
    }

    /// The interruption stands: everything of the old answer ends here, before the caller's turn
    /// can be committed.
    pub(super) fn yield_floor(&mut self, upto: Option<HeardUpTo>, now: Instant) {
        self.parked = None;
        let Some(mut answer) = self.answer.take() else {
            return;
        };
        self.drop_generation(&mut answer);
        self.resolve_tools(&mut answer);
        self.record_heard(&mut answer, upto);
        self.floor = Floor::Settled;
        self.duck(0.0);
        if answer.awaits_tools() {
            // The tools end before the caller is answered; what was said is on record already.
            let mut rest = Answer::new(Trigger::Notice, self.agent.speed, now);
            rest.rounds = answer.rounds;
            rest.tools = answer.tools;
            self.answer = Some(rest);
        }
    }

    /// The interruption was none: the agent goes on from the start of the word that was cut.
    pub(super) fn resume_speech(&mut self, now: Instant) {
        let Floor::Held { upto, .. } = self.floor else {
            return;
        };
        self.floor = Floor::Settled;
        if self.segmenter.in_speech() {
            self.foreground.refute();
            self.segmenter
                .overrule(self.config.resume_after, self.clock);
        }
        self.drop_caller_turn();
        self.duck(0.0);
        let Some(answer) = &mut self.answer else {
            return;
        };
        let next = &mut self.next_segment;
        answer.playout.resume(upto.unwrap_or_default(), || {
            next.0 += 1;
            *next
        });
        answer.playout_at = now;
    }

    /// When a stopped answer goes on, if no words come.
    pub(super) fn resume_due(&self) -> Option<Instant> {
        let Floor::Held { since, .. } = self.floor else {
            return None;
        };
        let turn = self.caller.as_ref();
        if self.segmenter.in_speech() {
            // Speech of which no words come does not keep the floor for ever.
            let wordless = turn.is_some_and(|t| t.text_at.is_none());
            return wordless.then(|| since + self.config.resume_after);
        }
        let quiet = turn.map_or(since, |t| t.end_at.max(since));
        Some(quiet + self.config.resume_after)
    }

    /// Whether the words of the caller's turn, as far as known, take the floor.
    pub(super) fn words_take_floor(&self, now: Instant) -> bool {
        let Some(turn) = &self.caller else {
            return false;
        };
        match self.lexicon.classify(&turn.text(), self.is_opening()) {
            Utterance::Stop | Utterance::Words(_) => true,
            Utterance::Acknowledgement => {
                self.answers_question(now)
                    || self.segmenter.in_speech()
                        && self.segmenter.end().ms_since(turn.burst)
                            >= self.config.acknowledgement_max.as_millis() as u64
            }
            Utterance::Nothing => false,
        }
    }

    /// Whether the turn is a short yes or no to a question the caller has heard.
    fn answers_question(&self, now: Instant) -> bool {
        let (Some(turn), Some(answer)) = (&self.caller, &self.answer) else {
            return false;
        };
        let upto = match self.floor {
            Floor::Held { upto, .. } => upto,
            _ => answer.playout.estimate(now),
        };
        self.lexicon.is_yes_or_no(&turn.text())
            && (answer.playout.asked_a_question(upto)
                || self.hints.kind == AnswerKind::YesNo && upto.is_some())
    }

    pub(super) fn is_opening(&self) -> bool {
        self.answer
            .as_ref()
            .is_some_and(|a| a.trigger == Trigger::Opening)
    }

    /// Cancels what the model and the voice still make of an answer.
    pub(super) fn drop_generation(&mut self, answer: &mut Answer) {
        for job in answer.jobs.drain(..) {
            self.act(Action::CancelSynthesis { job: job.id });
        }
        answer.waiting.clear();
        if let Some(request) = answer.request.take() {
            self.act(Action::CancelRespond {
                request: request.id,
            });
        }
    }

    /// Forgets the caller's turn without a trace.
    pub(super) fn drop_caller_turn(&mut self) {
        if let Some(turn) = self.caller.take() {
            for piece in turn.pieces {
                if piece.stage != Stage::Done {
                    self.stt_command(SttCommand::Cancel {
                        utterance: piece.id,
                    });
                }
            }
        }
    }

    /// Gives every tool of a cut answer a result, by policy.
    fn resolve_tools(&mut self, answer: &mut Answer) {
        for tool in &mut answer.tools {
            let keep = self.config.tool_interruption == ToolInterruption::Finish;
            let content = match tool.stage {
                ToolStage::Done { .. } => continue,
                ToolStage::Running { .. } if keep => continue,
                ToolStage::Running { .. } => {
                    self.actions.push_back(Action::CancelTool { run: tool.run });
                    "cancelled: the caller interrupted; it may have had its effect"
                }
                ToolStage::Transferring { .. } => continue,
                ToolStage::Held | ToolStage::AwaitsPlayout { .. } => {
                    "cancelled before it began: the caller interrupted"
                }
            };
            tool.stage = ToolStage::Done {
                content: content.to_owned(),
                is_error: true,
            };
        }
    }

    /// Writes what was heard of an answer into the history and the record.
    pub(super) fn record_heard(&mut self, answer: &mut Answer, upto: Option<HeardUpTo>) {
        let mut whole = String::new();
        let mut cut = false;
        for part in 0..=answer.part {
            let (heard, all) = answer.playout.heard_text(part, upto);
            cut |= !all;
            if !heard.is_empty() {
                if !whole.is_empty() {
                    whole.push(' ');
                }
                whole.push_str(&heard);
            }
            match answer.told.get(part) {
                Some(&entry) => self.history.correct(entry, heard, !all),
                None => {
                    self.history.push(Message::Assistant {
                        text: heard,
                        interrupted: !all,
                    });
                }
            }
        }
        self.push_tool_messages(answer);
        self.emit_agent_turn(answer, whole, upto, cut);
    }

    pub(super) fn duck(&mut self, decibel: f32) {
        self.breathe();
        let ramp_ms = self.config.duck_ramp_ms;
        if self.gain != decibel {
            self.gain = decibel;
            self.leg(LegCommand::Gain { decibel, ramp_ms });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlap(words: Utterance, speech: u64, elapsed: u64, speaking: bool) -> Overlap {
        Overlap {
            words,
            answers_question: false,
            speech: Duration::from_millis(speech),
            elapsed: Duration::from_millis(elapsed),
            speaking,
            agent_heard: Duration::from_secs(3),
            loudness: None,
            gives_partials: false,
        }
    }

    fn verdict(overlap: Overlap) -> Option<OverlapVerdict> {
        judge(&overlap, &ConversationConfig::default())
    }

    #[test]
    fn stop_words_and_length_take_the_floor() {
        use OverlapVerdict::Takeover;
        assert_eq!(
            verdict(overlap(Utterance::Stop, 100, 100, true)),
            Some(Takeover)
        );
        assert_eq!(
            verdict(overlap(Utterance::Words(2), 200, 200, true)),
            Some(Takeover)
        );
        assert_eq!(verdict(overlap(Utterance::Nothing, 620, 620, true)), None);
        assert_eq!(
            verdict(overlap(Utterance::Nothing, 640, 640, true)),
            Some(Takeover)
        );
        let both = Overlap {
            agent_heard: Duration::from_millis(100),
            ..overlap(Utterance::Nothing, 300, 300, true)
        };
        assert_eq!(verdict(both), Some(Takeover));
    }

    #[test]
    fn noise_and_acknowledgements_do_not() {
        use OverlapVerdict::{Backchannel, Noise, Takeover};
        assert_eq!(
            verdict(overlap(Utterance::Nothing, 200, 420, false)),
            Some(Noise)
        );
        assert_eq!(verdict(overlap(Utterance::Nothing, 400, 620, false)), None);
        assert_eq!(
            verdict(overlap(Utterance::Nothing, 400, 700, false)),
            Some(Noise)
        );
        let ack = overlap(Utterance::Acknowledgement, 400, 620, false);
        assert_eq!(verdict(ack), Some(Backchannel));
        let answer = Overlap {
            answers_question: true,
            ..ack
        };
        assert_eq!(verdict(answer), Some(Takeover));
        assert_eq!(
            verdict(overlap(Utterance::Acknowledgement, 980, 980, true)),
            None
        );
        assert_eq!(
            verdict(overlap(Utterance::Acknowledgement, 1000, 1000, true)),
            Some(Takeover)
        );
    }
}
