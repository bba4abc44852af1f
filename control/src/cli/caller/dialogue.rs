//! When the scripted caller speaks: a plain state machine over what it hears.

use std::time::{Duration, Instant};

use super::script::Script;

/// Agent speech shorter than this is a click, not a turn.
const AGENT_ONSET: Duration = Duration::from_millis(60);
/// Probability of speech from which a frame counts as the agent's voice.
const VOICE: f32 = 0.5;
/// How often a line is said again when the agent's answer is not the expected one.
const REPEATS_MAX: u32 = 2;

/// The caller's patience.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Silence after which the agent is taken to have finished.
    pub agent_pause: Duration,
    /// Wait for the agent's first word before speaking first.
    pub opening: Duration,
    /// Wait for an answer before giving up.
    pub answer: Duration,
    /// Wait for the agent to hang up after the last answer, before hanging up.
    pub closing: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            agent_pause: Duration::from_millis(900),
            opening: Duration::from_secs(6),
            answer: Duration::from_secs(12),
            closing: Duration::from_secs(4),
        }
    }
}

/// What the caller does now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Say (play, key in) this line of the script.
    Line(usize),
    /// Say this reply of the script.
    Reply(usize),
    /// Hang up, everything said.
    HangUp,
    /// Hang up because the agent did not answer.
    GiveUp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Listening; the caller spoke last, or nobody has yet.
    Waiting {
        since: Instant,
    },
    /// The agent is talking.
    AgentTalking {
        began: Instant,
        last_voice: Instant,
    },
    /// The caller is talking.
    Talking,
    Done,
}

/// Follows a [`Script`] by listening.
#[derive(Debug)]
pub struct Dialogue {
    script: Script,
    patience: Patience,
    state: State,
    next_line: usize,
    repeats: u32,
    /// Start of the run of voice that may become an agent turn.
    voice_since: Option<Instant>,
    opened: bool,
    /// What the agent said since the caller last spoke, as far as the server tells.
    agent_text: String,
    /// When the caller's last line ended.
    line_ended: Option<Instant>,
    /// Answer times as heard at this end.
    response_times: Vec<Duration>,
}

impl Dialogue {
    /// Begins to listen at `now`.
    #[must_use]
    pub fn new(script: Script, patience: Patience, now: Instant) -> Self {
        Self {
            script,
            patience,
            state: State::Waiting { since: now },
            next_line: 0,
            repeats: 0,
            voice_since: None,
            opened: false,
            agent_text: String::new(),
            line_ended: None,
            response_times: Vec::new(),
        }
    }

    /// Takes 20 ms of what is heard; returns what to do.
    pub fn handle_heard(&mut self, now: Instant, voice: f32) -> Option<Step> {
        if voice >= VOICE {
            let since = *self.voice_since.get_or_insert(now);
            match &mut self.state {
                State::AgentTalking { last_voice, .. } => *last_voice = now,
                State::Waiting { .. } if now - since >= AGENT_ONSET => {
                    self.state = State::AgentTalking {
                        began: since,
                        last_voice: now,
                    };
                    if let Some(ended) = self.line_ended.take() {
                        self.response_times
                            .push(since.saturating_duration_since(ended));
                    }
                    self.opened = true;
                }
                State::Waiting { .. } | State::Talking | State::Done => {}
            }
        } else {
            self.voice_since = None;
        }
        self.step(now)
    }

    /// Takes a finished turn of the agent, as the server's transcript has it.
    pub fn handle_agent_turn(&mut self, text: &str) {
        self.agent_text.push_str(text);
        self.agent_text.push(' ');
    }

    /// The line or reply has been said to its end.
    pub fn handle_said(&mut self, now: Instant) {
        if self.state == State::Talking {
            self.state = State::Waiting { since: now };
            self.line_ended = Some(now);
            self.voice_since = None;
        }
    }

    /// Time from the end of each line to the agent's first sound, as heard at this end.
    #[must_use]
    pub fn response_times(&self) -> &[Duration] {
        &self.response_times
    }

    /// Whether every line of the script has been said.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.next_line >= self.script.lines.len()
    }

    fn step(&mut self, now: Instant) -> Option<Step> {
        match self.state {
            State::AgentTalking { began, last_voice } => {
                let interrupt = self
                    .script
                    .lines
                    .get(self.next_line)
                    .and_then(|line| line.interrupt_after_ms);
                if let Some(after) = interrupt {
                    if now - began >= Duration::from_millis(after) {
                        return Some(self.say_next_line());
                    }
                } else if now - last_voice >= self.patience.agent_pause {
                    return self.answer_agent(now);
                }
                // An interruption planned for later than the agent talks still waits its turn.
                (now - last_voice >= self.patience.agent_pause * 2)
                    .then(|| self.answer_agent(now))
                    .flatten()
            }
            State::Waiting { since } => {
                let waited = now - since;
                if self.is_complete() && self.opened && self.line_ended.is_none() {
                    (waited >= self.patience.closing).then(|| self.finish(Step::HangUp))
                } else if !self.opened {
                    (waited >= self.patience.opening).then(|| {
                        self.opened = true;
                        if self.is_complete() {
                            self.finish(Step::HangUp)
                        } else {
                            self.say_next_line()
                        }
                    })
                } else {
                    (waited >= self.patience.answer).then(|| self.finish(Step::GiveUp))
                }
            }
            State::Talking | State::Done => None,
        }
    }

    /// The agent has finished: a reply to it, the line again, the next line, or wait.
    fn answer_agent(&mut self, now: Instant) -> Option<Step> {
        let said = self.agent_text.to_lowercase();
        let reply = self
            .script
            .replies
            .iter()
            .position(|reply| said.contains(&reply.when.to_lowercase()));
        if let Some(index) = reply {
            self.agent_text.clear();
            self.state = State::Talking;
            return Some(Step::Reply(index));
        }
        if self.next_line > 0 && !self.next_line_fits() && self.repeats < REPEATS_MAX {
            self.repeats += 1;
            self.agent_text.clear();
            self.state = State::Talking;
            return Some(Step::Line(self.next_line - 1));
        }
        if self.is_complete() {
            self.state = State::Waiting { since: now };
            return None;
        }
        Some(self.say_next_line())
    }

    /// Whether the agent has said what the next line answers to.
    fn next_line_fits(&self) -> bool {
        let expected = self
            .script
            .lines
            .get(self.next_line)
            .filter(|line| line.interrupt_after_ms.is_none())
            .and_then(|line| line.expect_agent.as_deref());
        match expected {
            // Without the server's transcript nothing can be checked.
            Some(expected) if !self.agent_text.is_empty() => self
                .agent_text
                .to_lowercase()
                .contains(&expected.to_lowercase()),
            Some(_) | None => true,
        }
    }

    fn say_next_line(&mut self) -> Step {
        let index = self.next_line;
        self.next_line += 1;
        self.repeats = 0;
        self.agent_text.clear();
        self.state = State::Talking;
        Step::Line(index)
    }

    fn finish(&mut self, step: Step) -> Step {
        self.state = State::Done;
        step
    }
}

#[cfg(test)]
mod tests {
    use fixtures::virtual_clock::VirtualClock;

    use super::*;

    fn dialogue(toml: &str, now: Instant) -> Dialogue {
        Dialogue::new(toml::from_str(toml).unwrap(), Patience::default(), now)
    }

    /// Feeds `ms` of voice or silence, returns the first step.
    fn hear(d: &mut Dialogue, clock: &mut VirtualClock, ms: u64, voice: f32) -> Option<Step> {
        for _ in 0..ms / 20 {
            clock.advance(Duration::from_millis(20));
            if let Some(step) = d.handle_heard(clock.now(), voice) {
                return Some(step);
            }
        }
        None
    }

    #[test]
    fn the_caller_waits_for_the_agent_to_finish() {
        let mut clock = VirtualClock::new();
        let mut d = dialogue("[[lines]]\nsay = \"hello\"\n", clock.now());
        assert_eq!(hear(&mut d, &mut clock, 2000, 0.9), None);
        assert_eq!(hear(&mut d, &mut clock, 600, 0.0), None);
        assert_eq!(hear(&mut d, &mut clock, 600, 0.0), Some(Step::Line(0)));
        d.handle_said(clock.now());
        assert_eq!(hear(&mut d, &mut clock, 700, 0.0), None);
        assert_eq!(hear(&mut d, &mut clock, 1000, 0.9), None);
        assert_eq!(d.response_times(), [Duration::from_millis(720)]);
        assert_eq!(hear(&mut d, &mut clock, 6000, 0.0), Some(Step::HangUp));
    }

    #[test]
    fn the_caller_interrupts_when_told_to() {
        let mut clock = VirtualClock::new();
        let mut d = dialogue(
            "[[lines]]\nsay = \"stop\"\ninterrupt_after_ms = 500\n",
            clock.now(),
        );
        assert_eq!(hear(&mut d, &mut clock, 480, 0.9), None);
        assert_eq!(hear(&mut d, &mut clock, 100, 0.9), Some(Step::Line(0)));
    }

    #[test]
    fn a_line_is_repeated_until_the_agent_has_understood() {
        let mut clock = VirtualClock::new();
        let mut d = dialogue(
            "[[lines]]\nsay = \"tuesday\"\n[[lines]]\nsay = \"ten\"\nexpect_agent = \"what time\"\n",
            clock.now(),
        );
        hear(&mut d, &mut clock, 500, 0.9);
        assert_eq!(hear(&mut d, &mut clock, 1000, 0.0), Some(Step::Line(0)));
        d.handle_said(clock.now());
        d.handle_agent_turn("Sorry, I did not get that.");
        hear(&mut d, &mut clock, 500, 0.9);
        assert_eq!(hear(&mut d, &mut clock, 1000, 0.0), Some(Step::Line(0)));
        d.handle_said(clock.now());
        d.handle_agent_turn("At What Time?");
        hear(&mut d, &mut clock, 500, 0.9);
        assert_eq!(hear(&mut d, &mut clock, 1000, 0.0), Some(Step::Line(1)));
    }

    #[test]
    fn a_silent_agent_is_given_up() {
        let mut clock = VirtualClock::new();
        let mut d = dialogue("[[lines]]\nsay = \"hello\"\n", clock.now());
        assert_eq!(hear(&mut d, &mut clock, 7000, 0.0), Some(Step::Line(0)));
        d.handle_said(clock.now());
        assert_eq!(hear(&mut d, &mut clock, 13_000, 0.0), Some(Step::GiveUp));
    }
}
