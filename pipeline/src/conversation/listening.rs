//! The caller's side: speech, recognition, key presses, and the commit of a turn.

use std::time::{Duration, Instant};

use media::frame::{FRAME_MS, FRAME_SAMPLES, Frame, SamplePosition};

use super::action::Action;
use super::answer::Trigger;
use super::caller_turn::{CallerTurn, KeyEntry, Piece, Provisional, Stage};
use super::event::SttSession;
use super::interruption::Floor;
use super::state::{Conversation, Phase};
use crate::call::{CallEvent, EndReason, Speaker, TranscriptTurn};
use crate::llm::Message;
use crate::stt::{SttCommand, SttEvent, SttRequest, TurnSignal, UtteranceId};
use crate::turn::detector::{Patience, Pause};
use crate::turn::lexicon::Utterance;
use crate::turn::speech_segmenter::SpeechEdge;
use crate::turn_timings::TurnMarks;

impl Conversation {
    pub(super) fn hear(&mut self, frame: &Frame, now: Instant) {
        self.remember(frame);
        self.clock = frame.end();
        self.frame_at = Some(now);
        let paused = self.segmenter.pause();
        let agent_speaks = self.answer.as_ref().is_some_and(|a| a.has_floor());
        let heard = Frame {
            // Once it is the caller who speaks, the weak frames are the caller's too.
            voice: self
                .foreground
                .voice(frame, agent_speaks && !self.segmenter.in_speech()),
            ..*frame
        };
        self.detector.hear(&heard);
        let edge = self.segmenter.frame(&heard);
        if self.keys.is_some() {
            // Keys outrank speech in the same turn.
            return;
        }
        match edge {
            Some(SpeechEdge::Started { onset }) => {
                // An utterance that has not been finished in the pause goes on.
                self.transcribe(frame);
                self.speech_started(onset, paused, now);
            }
            Some(SpeechEdge::Stopped { end }) => {
                self.transcribe(frame);
                self.speech_stopped(end, now);
            }
            None => self.transcribe(frame),
        }
        let floor_free = self.answer.is_none() && self.floor == Floor::Settled;
        if self.segmenter.in_speech() && self.caller.is_none() && floor_free {
            // Speech that began while nobody could take it, such as during a key entry.
            self.speech_started(self.clock, Duration::ZERO, now);
        }
    }

    fn speech_started(&mut self, onset: SamplePosition, paused: Duration, now: Instant) {
        self.foreground.begin();
        match &mut self.caller {
            Some(turn) => {
                turn.burst = onset;
                turn.stop_at = None;
                self.detector.resumed(paused);
            }
            None => {
                self.speculations = 0;
                self.caller = Some(CallerTurn::new(onset, now));
            }
        }
        self.open_utterance(onset);
        if self.speculation.is_some() {
            // Whether the answer at hand is still one is settled by the words.
            return;
        }
        let Some(answer) = &mut self.answer else {
            return;
        };
        if answer.has_floor() {
            self.dispute_floor(onset, now);
        } else if answer.trigger != Trigger::Opening
            && !answer.playout.started()
            && !answer.is_final()
        {
            answer.gate_closed = true;
        }
    }

    fn speech_stopped(&mut self, end: SamplePosition, now: Instant) {
        let end_at = self.segmenter.end_at().unwrap_or(now);
        let Some(turn) = &mut self.caller else { return };
        turn.spoken += Duration::from_millis(end.ms_since(turn.burst));
        turn.end = end;
        turn.end_at = end_at;
        turn.stop_at = Some(now);
        if self.floor != Floor::Settled {
            // Who has the floor hangs on the words: ask for them at once.
            self.finish_utterance(now);
        }
    }

    fn open_utterance(&mut self, onset: SamplePosition) {
        let Some(turn) = &mut self.caller else { return };
        if turn.running().is_some() {
            return;
        }
        self.next_utterance.0 += 1;
        let id = self.next_utterance;
        let pre_roll =
            SamplePosition(onset.0.saturating_sub(
                SamplePosition::from_ms(self.config.pre_roll.as_millis() as u64).0,
            ));
        let from = pre_roll.max(self.transcribed_until);
        let first = self.recent.iter().find(|f| f.position >= from);
        let from = first.map_or(self.clock, |f| f.position);
        turn.pieces.push(Piece {
            id,
            from,
            until: from,
            stage: Stage::Running,
            text: String::new(),
        });
        self.send_from(id, from, self.clock);
        self.transcribed_until = self.clock;
        if let Some(piece) = self.caller.as_mut().and_then(|t| t.piece(id)) {
            piece.until = self.clock;
        }
    }

    /// Keeps the frame for a recogniser that is yet to be told, or told again. While nobody speaks
    /// little can be asked for, so that a call at rest holds a third of the memory.
    fn remember(&mut self, frame: &Frame) {
        let frames = |time: Duration| time.as_millis() as usize / FRAME_MS as usize;
        let at_rest = self.caller.is_none()
            && self.parked.is_none()
            && self.provisional.is_none()
            && !self.segmenter.in_speech();
        let kept = if at_rest {
            frames(self.config.pre_roll * 2).min(frames(self.config.replay))
        } else {
            frames(self.config.replay)
        }
        .max(1);
        if self.recent.capacity() < kept {
            self.recent.reserve_exact(kept - self.recent.len());
        }
        while self.recent.len() >= kept {
            self.recent.pop_front();
        }
        if self.recent.capacity() > kept {
            self.recent.shrink_to(kept);
        }
        self.recent.push_back(*frame);
    }

    /// Begins an utterance at the recogniser with the kept audio from `from` to `until`.
    fn send_from(&mut self, utterance: UtteranceId, from: SamplePosition, until: SamplePosition) {
        if !self.stt.open {
            return;
        }
        let kept = self
            .recent
            .iter()
            .filter(|f| f.position >= from && f.position < until);
        let position = kept.clone().next().map_or(from, |f| f.position);
        let start = SttCommand::Start {
            utterance,
            position,
        };
        self.actions.push_back(Action::Stt(start));
        for frame in kept {
            self.actions
                .push_back(Action::Stt(SttCommand::Audio(*frame)));
        }
    }

    fn transcribe(&mut self, frame: &Frame) {
        let Some(piece) = self.caller.as_mut().and_then(CallerTurn::running) else {
            return;
        };
        piece.until = frame.end();
        self.transcribed_until = frame.end();
        self.stt_command(SttCommand::Audio(*frame));
    }

    fn finish_utterance(&mut self, now: Instant) {
        let Some(piece) = self.caller.as_mut().and_then(CallerTurn::running) else {
            return;
        };
        piece.stage = Stage::Finishing { since: now };
        let utterance = piece.id;
        self.stt_command(SttCommand::Finish { utterance });
    }

    pub(super) fn open_stt(&mut self) {
        self.stt.reopen_at = None;
        self.stt.session.0 += 1;
        self.stt.open = false;
        self.act(Action::OpenStt {
            session: self.stt.session,
            request: SttRequest {
                language: self.agent.language.clone(),
                hints: self.hints.clone(),
            },
        });
    }

    pub(super) fn stt_opened(&mut self, session: SttSession) {
        if session != self.stt.session || self.stt.open {
            return;
        }
        self.stt.open = true;
        self.stt_command(SttCommand::Hints(self.hints.clone()));
        // What the last session owed is asked of this one, from the audio that is kept.
        let owed: Vec<Piece> = self
            .caller
            .iter()
            .chain(&self.parked)
            .flat_map(|t| &t.pieces)
            .filter(|p| p.stage != Stage::Done)
            .cloned()
            .collect();
        for piece in owed {
            self.send_from(piece.id, piece.from, piece.until);
            if piece.stage != Stage::Running {
                self.stt_command(SttCommand::Finish {
                    utterance: piece.id,
                });
            }
        }
    }

    pub(super) fn handle_stt(&mut self, session: SttSession, event: SttEvent, now: Instant) {
        if session != self.stt.session {
            return;
        }
        match event {
            SttEvent::Partial { utterance, text } => {
                let Some(turn) = &mut self.caller else { return };
                match turn.piece(utterance) {
                    Some(piece) if piece.stage != Stage::Done => piece.text = text,
                    _ => return,
                }
                let text = turn.text();
                if !text.is_empty() {
                    turn.text_at = Some(now);
                    self.stt.gives_partials = true;
                    self.foreground.confirm();
                }
                self.emit(CallEvent::CallerPartial { text });
            }
            SttEvent::Final {
                utterance, text, ..
            } => self.final_text(utterance, text, now),
            SttEvent::Turn {
                utterance,
                signal: TurnSignal::End { .. },
            } => self.recogniser_ended_turn(utterance, now),
            // Drafts are not begun on a recogniser's word yet, and an agent has one language.
            SttEvent::Turn { .. } | SttEvent::Language { .. } => {}
            SttEvent::Fault { retryable, message } => self.stt_failed(retryable, message, now),
        }
    }

    /// The recogniser takes the turn for over. The wait stays with the pause policy; asking for
    /// the final text now means that it is there when the wait is.
    fn recogniser_ended_turn(&mut self, utterance: UtteranceId, now: Instant) {
        let running = self.caller.as_mut().and_then(CallerTurn::running);
        if !self.segmenter.in_speech() && running.is_some_and(|piece| piece.id == utterance) {
            self.finish_utterance(now);
        }
    }

    fn final_text(&mut self, utterance: UtteranceId, text: String, now: Instant) {
        let turns = [self.caller.as_mut(), self.parked.as_mut()];
        for turn in turns.into_iter().flatten() {
            let Some(piece) = turn.piece(utterance) else {
                continue;
            };
            if let Stage::Finishing { since } = piece.stage {
                let delay = now.saturating_duration_since(since);
                self.stt.delay = (self.stt.delay * 3 + delay) / 4;
            }
            if piece.stage != Stage::Done {
                piece.stage = Stage::Done;
                let first = piece.text.is_empty() && !text.is_empty();
                piece.text = text;
                if first {
                    turn.text_at = Some(now);
                    self.foreground.confirm();
                }
                turn.final_at = Some(now);
                self.stt.failures = 0;
            }
            return;
        }
    }

    pub(super) fn stt_failed(&mut self, retryable: bool, message: String, now: Instant) {
        self.stt.open = false;
        self.stt.session.0 += 1;
        self.stt.failures += 1;
        self.fault("stt", message);
        if !retryable || self.stt.failures >= self.config.stt_failures_max {
            self.stt.reopen_at = None;
            self.fail_call(now);
        } else {
            self.stt.reopen_at = Some(now + self.config.stt_reopen_wait * (self.stt.failures - 1));
        }
    }

    /// The final text did not come in time: the turn goes on without it, in a fresh session. A
    /// recogniser that is slow (overloaded, say) costs understanding, never the call.
    fn stt_is_late(&mut self, now: Instant) {
        self.stt.open = false;
        self.stt.session.0 += 1;
        self.fault("stt", "no final text in time".to_owned());
        self.stt.reopen_at = Some(now);
    }

    fn patience(&mut self, turn: &CallerTurn) -> Patience {
        let text = turn.text();
        self.detector.patience(&Pause {
            kind: self.hints.kind,
            text: &text,
            speech: turn.spoken,
            recogniser_delay: self.stt.delay,
        })
    }

    /// Whether the caller's turn, or key entry, is over and only wants to be committed.
    pub(super) fn turn_is_over(&mut self) -> bool {
        if let Some(keys) = &self.keys {
            return keys.complete;
        }
        let Some(turn) = self.caller.take() else {
            return false;
        };
        let patience = self.patience(&turn);
        let over = turn.forced
            || !self.segmenter.in_speech()
                && turn.is_transcribed()
                && self.segmenter.pause() >= patience.wait;
        self.caller = Some(turn);
        over
    }

    /// Speech without words is not the caller's: a television, another room, music. Speech that
    /// adds no words any more has ended, though something else sounds on.
    fn consider_words(&mut self, now: Instant) {
        if !self.segmenter.in_speech() || !self.stt.gives_partials {
            return;
        }
        let Some(turn) = &self.caller else { return };
        let run = Duration::from_millis(self.clock.ms_since(turn.burst));
        let silent = match turn.text_at {
            None => run,
            Some(at) => now.saturating_duration_since(at).min(run),
        };
        let has_words = turn.text_at.is_some();
        if !has_words && silent >= self.config.wordless_max {
            self.foreground.refute();
            self.segmenter.overrule(silent, self.clock);
            self.drop_caller_turn();
            self.keep_floor();
        } else if has_words && silent >= self.config.stalled_max {
            self.foreground.refute();
            self.segmenter.overrule(silent, self.clock);
            let end = self.segmenter.end();
            self.speech_stopped(end, now);
            if let Some(turn) = &mut self.caller {
                turn.end_at = now.checked_sub(silent).unwrap_or(now);
            }
            self.finish_utterance(now);
        }
    }

    /// Commits the caller's turn when it is over and the floor is free.
    pub(super) fn consider_turn(&mut self, now: Instant) {
        if self.phase != Phase::Live {
            return;
        }
        self.consider_words(now);
        self.consider_speculation(now);
        if self.keys.as_ref().is_some_and(|k| k.complete) {
            if self.answer.is_none() && self.floor == Floor::Settled {
                self.commit_keys(now);
            }
            return;
        }
        if self.keys.is_some() {
            return;
        }
        if !self.segmenter.in_speech()
            && let Some(turn) = self.caller.take()
        {
            let patience = self.patience(&turn);
            self.caller = Some(turn);
            if self.segmenter.pause() >= patience.finish_after {
                self.finish_utterance(now);
            }
        }
        if !self.turn_is_over() {
            return;
        }
        match self.floor {
            Floor::Settled => {}
            // Words would have taken the floor: these do not.
            Floor::Held { .. } => return self.resume_speech(now),
            Floor::Disputed { .. } | Floor::Clearing { .. } => return,
        }
        if self.speculation.is_some() {
            return self.commit_turn(now);
        }
        match &self.answer {
            None => self.commit_turn(now),
            Some(answer) if answer.is_final() => {}
            Some(answer) if answer.has_floor() => self.turn_over_speech(now),
            Some(_) => self.turn_before_speech(now),
        }
    }

    /// A turn ended while the agent speaks, and the overlap was not taken for a takeover.
    fn turn_over_speech(&mut self, now: Instant) {
        if self.words_take_floor(now) {
            self.late_takeover(now);
        } else if let Some(turn) = self.caller.take()
            && !turn.text().is_empty()
        {
            self.parked = Some(turn);
        }
    }

    /// A turn ended while an answer is made, of which nothing sounds.
    fn turn_before_speech(&mut self, now: Instant) {
        let Some(turn) = &self.caller else { return };
        let words = self.lexicon.classify(&turn.text(), self.is_opening());
        let Some(answer) = &mut self.answer else {
            return;
        };
        if answer.trigger == Trigger::Opening && answer.told.is_empty() {
            // The opening comes first; the words wait for it.
            return;
        }
        if !answer.has_acted() && !answer.playout.started() {
            // Still the same turn. With words it is merged before this; without, nothing changed.
            answer.gate_closed = false;
            self.drop_caller_turn();
        } else if matches!(words, Utterance::Nothing | Utterance::Acknowledgement) {
            self.drop_caller_turn();
        } else if !answer.awaits_tools() {
            self.abandon_answer();
            self.commit_turn(now);
        }
    }

    /// The caller speaks while an answer is made: once it is clear that words come, the answer is
    /// withdrawn and both pieces become one turn.
    pub(super) fn consider_gate(&mut self, now: Instant) {
        let Some(answer) = &mut self.answer else {
            return;
        };
        if !answer.gate_closed || self.speculation.is_some() {
            return;
        }
        if answer.has_floor() {
            // It had left before the gate closed.
            answer.gate_closed = false;
            if self.caller.is_some() {
                let onset = self.segmenter.onset();
                self.dispute_floor(onset, now);
            }
            return;
        }
        let Some(turn) = &self.caller else {
            answer.gate_closed = false;
            return;
        };
        let speaking = self.segmenter.in_speech();
        let end = if speaking {
            self.segmenter.end()
        } else {
            turn.end
        };
        let speech = Duration::from_millis(end.ms_since(turn.burst));
        if speech >= self.config.noise_max || !turn.text().is_empty() {
            if answer.has_acted() {
                answer.gate_closed = false;
            } else {
                self.withdraw_answer();
            }
        } else if !speaking {
            answer.gate_closed = false;
        }
    }

    /// Takes back an answer of which nothing was heard, together with what it answers.
    fn withdraw_answer(&mut self) {
        let Some(mut answer) = self.answer.take() else {
            return;
        };
        self.drop_generation(&mut answer);
        if answer.playout.handed_over() {
            self.close_gate();
        }
        match answer.trigger {
            Trigger::Silence(entry) => {
                self.history.withdraw(entry);
                self.silences = self.silences.saturating_sub(1);
            }
            Trigger::Caller => {
                if let Some(earlier) = self.provisional.take() {
                    self.history.withdraw(earlier.entry);
                    if let Some(turn) = &mut self.caller {
                        turn.continue_from(earlier.turn);
                    }
                }
            }
            // Only the warning can be withdrawn: it is given later.
            Trigger::Notice => self.warning_pending = self.warned,
            Trigger::Opening => {}
        }
    }

    /// The turn has lasted too long, or the recogniser owes its text for too long.
    pub(super) fn force_turn(&mut self, now: Instant) {
        let Some(turn) = &mut self.caller else { return };
        let mut unheard = Vec::new();
        let mut deaf = false;
        for piece in &mut turn.pieces {
            if piece.stage != Stage::Done {
                deaf |= matches!(piece.stage, Stage::Finishing { .. });
                piece.stage = Stage::Done;
                unheard.push(piece.id);
            }
        }
        turn.forced = true;
        if turn.spoken.is_zero() {
            turn.spoken = Duration::from_millis(self.clock.ms_since(turn.burst));
            turn.end = self.clock;
            turn.end_at = now;
        }
        for utterance in unheard {
            self.stt_command(SttCommand::Cancel { utterance });
        }
        if deaf && self.stt.open {
            self.stt_is_late(now);
        }
    }

    pub(super) fn commit_turn(&mut self, now: Instant) {
        let Some(turn) = self.caller.take() else {
            return;
        };
        let text = turn.text();
        if text.is_empty() && turn.spoken < self.config.noise_max {
            self.drop_speculation();
            return;
        }
        let prepared = self.take_speculation(&text);
        let rule = self.patience(&turn).rule;
        self.emit(CallEvent::TurnTaken {
            end_ms: turn.end.as_ms(),
            wait_ms: now.saturating_duration_since(turn.end_at).as_millis() as u64,
            rule,
        });
        self.seal();
        self.silences = 0;
        self.parked = None;
        let entry = match &prepared {
            Some(prepared) => {
                self.history.restate(prepared.entry, text.clone());
                prepared.entry
            }
            None => self.history.push(Message::User {
                text: text.clone(),
                dtmf: false,
            }),
        };
        let marks = TurnMarks {
            speech_end: Some(turn.end_at),
            speech_stop: turn.stop_at,
            commit: Some(now),
            transcript: turn.final_at,
            carrier: self.config.carrier_delay,
            ..TurnMarks::default()
        };
        self.provisional = Some(Provisional { turn, text, entry });
        match prepared {
            Some(prepared) => self.open_prepared(prepared, marks),
            None => self.answer_caller(marks, now),
        }
    }

    /// From here on the committed turn can no longer be taken back.
    pub(super) fn seal(&mut self) {
        if let Some(Provisional { turn, text, .. }) = self.provisional.take() {
            self.emit_caller_turn(&turn, text);
        }
    }

    pub(super) fn emit_caller_turn(&mut self, turn: &CallerTurn, text: String) {
        self.emit(CallEvent::Turn(TranscriptTurn {
            speaker: Speaker::Caller,
            text,
            start_ms: turn.onset.as_ms(),
            end_ms: turn.end.max(turn.onset).as_ms(),
            interrupted: false,
            dtmf: false,
            timings: None,
        }));
    }

    pub(super) fn key_pressed(&mut self, key: u8, position: SamplePosition, now: Instant) {
        let key = char::from(key);
        self.emit(CallEvent::Digit { key });
        self.drop_speculation();
        if self.answer.as_ref().is_some_and(|a| a.is_final()) {
            return;
        }
        self.drop_caller_turn();
        self.parked = None;
        let keys = self.keys.get_or_insert_with(|| KeyEntry {
            keys: String::new(),
            first: position,
            last: position,
            last_at: now,
            complete: false,
        });
        if keys.complete {
            return;
        }
        keys.last = position.plus(FRAME_SAMPLES as u64);
        keys.last_at = now;
        if key != '#' || keys.keys.is_empty() {
            keys.keys.push(key);
        }
        keys.complete = key == '#' || keys.keys.len() >= self.config.keys_max;
        let Some(answer) = &self.answer else { return };
        if answer.has_floor() {
            match self.floor {
                Floor::Settled | Floor::Disputed { .. } => self.stop_speech(now),
                Floor::Clearing { .. } | Floor::Held { .. } => {}
            }
        } else if !answer.awaits_tools() && self.floor == Floor::Settled {
            self.abandon_answer();
        }
    }

    fn commit_keys(&mut self, now: Instant) {
        let Some(keys) = self.keys.take() else { return };
        self.seal();
        self.silences = 0;
        self.emit(CallEvent::Turn(TranscriptTurn {
            speaker: Speaker::Caller,
            text: keys.keys.clone(),
            start_ms: keys.first.as_ms(),
            end_ms: keys.last.as_ms(),
            interrupted: false,
            dtmf: true,
            timings: None,
        }));
        self.history.push(Message::User {
            text: keys.keys,
            dtmf: true,
        });
        let marks = TurnMarks {
            speech_end: Some(keys.last_at),
            commit: Some(now),
            carrier: self.config.carrier_delay,
            ..TurnMarks::default()
        };
        self.answer_caller(marks, now);
    }

    /// What the caller had said when the call ended.
    pub(super) fn commit_remains(&mut self) {
        self.drop_speculation();
        self.seal();
        if let Some(turn) = self.caller.take().or_else(|| self.parked.take()) {
            let text = turn.text();
            if !text.is_empty() {
                let mut turn = turn;
                turn.end = turn.end.max(self.segmenter.end());
                self.history.push(Message::User {
                    text: text.clone(),
                    dtmf: false,
                });
                self.emit_caller_turn(&turn, text);
            }
        }
        if let Some(keys) = self.keys.take() {
            self.emit(CallEvent::Turn(TranscriptTurn {
                speaker: Speaker::Caller,
                text: keys.keys.clone(),
                start_ms: keys.first.as_ms(),
                end_ms: keys.last.as_ms(),
                interrupted: false,
                dtmf: true,
                timings: None,
            }));
            self.history.push(Message::User {
                text: keys.keys,
                dtmf: true,
            });
        }
    }

    pub(super) fn farewell_reason(&self) -> EndReason {
        use super::answer::Then;
        match self.answer.as_ref().map(|a| a.then) {
            Some(Then::HangUp(reason)) => reason,
            _ => EndReason::InternalError,
        }
    }
}
