//! The agent's side: the model's text becomes speech, and speech becomes what was heard.

use std::time::Instant;

use media::frame::SamplePosition;
use media::leg::{LegCommand, SegmentId};

use super::action::Action;
use super::answer::{Answer, Job, ModelRequest, Then, ToolStage, Trigger};
use super::event::{JobId, RequestId};
use super::interruption::Floor;
use super::state::Conversation;
use crate::call::{CallEvent, Speaker, TranscriptTurn};
use crate::llm::{LlmEvent, LlmUsage, Message};
use crate::playout::HeardUpTo;
use crate::stt::{AnswerKind, RecognitionHints, SttCommand};
use crate::tts::sentence_splitter::SentenceSplitter;
use crate::tts::{TtsEvent, TtsRequest};
use crate::turn_timings::TurnMarks;
use std::sync::Arc;

impl Conversation {
    pub(super) fn answer_caller(&mut self, marks: TurnMarks, now: Instant) {
        self.begin_answer(Trigger::Caller, now);
        if let Some(answer) = &mut self.answer {
            answer.marks = marks;
        }
        self.ask_model(now);
    }

    pub(super) fn begin_answer(&mut self, trigger: Trigger, now: Instant) {
        self.answer = Some(Answer::new(trigger, self.agent.speed, now));
    }

    pub(super) fn ask_model(&mut self, now: Instant) {
        if self.model_refused {
            return self.fail_call(now);
        }
        self.next_request.0 += 1;
        let id = self.next_request;
        let due = now + self.config.llm_first_max;
        let Some(answer) = &mut self.answer else {
            return;
        };
        answer.marks.request.get_or_insert(now);
        answer.request = Some(ModelRequest {
            id,
            due,
            begun: false,
            expectation_given: false,
        });
        let history = self.history.messages().cloned().collect();
        self.act(Action::Respond {
            request: id,
            history,
        });
    }

    /// Says something of the engine's own.
    pub(super) fn announce(&mut self, text: &str, trigger: Trigger, then: Then, now: Instant) {
        self.begin_answer(trigger, now);
        if let Some(answer) = &mut self.answer {
            answer.then = then;
            answer.say(text, now);
        }
    }

    pub(super) fn handle_llm(&mut self, request: RequestId, event: LlmEvent, now: Instant) {
        let stall = self.config.llm_stall_max;
        let Some(answer) = &mut self.answer else {
            return;
        };
        let Some(running) = answer.request.as_mut().filter(|r| r.id == request) else {
            return;
        };
        running.due = now + stall;
        match event {
            LlmEvent::Text(text) => {
                running.begun = true;
                answer.marks.first_token.get_or_insert(now);
                answer.splitter.push(&text);
                answer.collect_chunks(now);
            }
            LlmEvent::ToolCall(call) => {
                running.begun = true;
                self.tool_called(call);
            }
            LlmEvent::Expect(expected) => {
                running.expectation_given = true;
                match &mut self.speculation {
                    Some(speculation) => speculation.expected = Some(expected.0),
                    None => self.expect(expected.0),
                }
            }
            LlmEvent::Done { usage } => self.model_is_done(usage, now),
            LlmEvent::Fault(report) => self.model_failed(report.retryable, report.message, now),
        }
    }

    pub(super) fn expect(&mut self, hints: Arc<RecognitionHints>) {
        self.hints = hints;
        self.stt_command(SttCommand::Hints(self.hints.clone()));
    }

    fn model_is_done(&mut self, usage: Option<LlmUsage>, now: Instant) {
        if let Some(usage) = usage {
            self.emit(CallEvent::Usage(usage));
        }
        let phrases = self.phrases;
        let rounds_max = self.config.tool_rounds_max;
        let Some(answer) = &mut self.answer else {
            return;
        };
        let request = answer.request.take();
        answer.splitter.finish();
        answer.collect_chunks(now);
        if answer.tools.is_empty() && !answer.has_text {
            if let Trigger::Silence(_) = answer.trigger {
                answer.say(phrases.still_there, now);
            } else if answer.rounds > rounds_max {
                answer.say(phrases.no_result, now);
            }
        }
        let expects_nothing =
            answer.tools.is_empty() && request.is_none_or(|r| !r.expectation_given);
        let is_default = self.hints.kind == AnswerKind::Open
            && self.hints.grammar.is_none()
            && self.hints.phrases.is_empty();
        if expects_nothing && !is_default {
            // What the last question expected no longer holds.
            match &mut self.speculation {
                Some(speculation) => speculation.expected = Some(Arc::default()),
                None => self.expect(Arc::default()),
            }
        }
    }

    /// The model's answer broke off, or never began.
    pub(super) fn model_failed(&mut self, retryable: bool, message: String, now: Instant) {
        self.fault("llm", message);
        if self.speculation.is_some() {
            // It is asked again when the turn is taken.
            self.speculations = self.config.speculations_max;
            return self.drop_speculation();
        }
        let Some(answer) = &mut self.answer else {
            return;
        };
        let begun = answer.request.take().is_some_and(|r| r.begun);
        if retryable && !answer.retried && !begun {
            answer.retried = true;
            self.ask_model(now);
        } else if answer.has_text || answer.playout.started() || begun {
            // What there is gets said; the caller can go on from there.
            self.model_is_done(None, now);
        } else {
            self.fail_call(now);
        }
    }

    pub(super) fn model_is_late(&mut self, now: Instant) {
        if let Some(request) = self.answer.as_ref().and_then(|a| a.request) {
            self.act(Action::CancelRespond {
                request: request.id,
            });
            self.model_failed(true, "no event in time".to_owned(), now);
        }
    }

    pub(super) fn model_is_refused(&mut self, message: String, now: Instant) {
        self.model_refused = true;
        self.fault("llm", message);
        self.drop_speculation();
        if self.answer.as_ref().is_some_and(|a| a.request.is_some()) {
            self.fail_call(now);
        }
    }

    pub(super) fn handle_tts(&mut self, job: JobId, event: TtsEvent, now: Instant) {
        let stall = self.config.tts_stall_max;
        let Some(answer) = &mut self.answer else {
            return;
        };
        let Some(running) = answer.jobs.iter_mut().find(|j| j.id == job) else {
            return;
        };
        running.due = now + stall;
        let segment = running.segment;
        match event {
            TtsEvent::Audio(pcm) => {
                running.begun |= !pcm.is_empty();
                answer.marks.first_audio.get_or_insert(now);
                answer.playout.audio(segment, pcm);
                if answer.playout.has_sound() {
                    answer.marks.first_voice.get_or_insert(now);
                }
            }
            TtsEvent::Words(words) => answer.playout.words(segment, words),
            TtsEvent::Done => {
                answer.playout.complete(segment);
                answer.jobs.retain(|j| j.id != job);
            }
            TtsEvent::Fault { retryable, message } => {
                self.voice_failed(job, retryable, message, now)
            }
        }
    }

    fn voice_failed(&mut self, job: JobId, retryable: bool, message: String, now: Instant) {
        self.fault("tts", message);
        let Some(answer) = &mut self.answer else {
            return;
        };
        let Some(at) = answer.jobs.iter().position(|j| j.id == job) else {
            return;
        };
        let job = answer.jobs.remove(at);
        if retryable && !job.retried && !job.begun {
            self.synthesize(job.segment, job.text, true, now);
            return;
        }
        if self.speculation.is_some() {
            self.speculations = self.config.speculations_max;
            return self.drop_speculation();
        }
        // Nothing can be said any more: what has sounded is played out, then the call ends.
        answer.playout.complete(job.segment);
        self.voice_is_lost(now);
    }

    pub(super) fn voice_is_late(&mut self, now: Instant) {
        let late: Vec<JobId> = self
            .answer
            .iter()
            .flat_map(|a| &a.jobs)
            .filter(|j| j.due <= now)
            .map(|j| j.id)
            .collect();
        for job in late {
            self.act(Action::CancelSynthesis { job });
            self.voice_failed(job, true, "no speech in time".to_owned(), now);
        }
    }

    fn synthesize(&mut self, segment: SegmentId, text: String, retried: bool, now: Instant) {
        self.next_job.0 += 1;
        let id = self.next_job;
        let due = now + self.config.tts_stall_max;
        let request = TtsRequest {
            text: text.clone(),
            voice: self.agent.voice.clone(),
            language: self.agent.language.clone(),
            speed: self.agent.speed,
        };
        if let Some(answer) = &mut self.answer {
            answer.jobs.push(Job {
                id,
                segment,
                text,
                due,
                begun: false,
                retried,
            });
            self.act(Action::Synthesize { job: id, request });
        }
    }

    pub(super) fn segment_playing(
        &mut self,
        segment: SegmentId,
        position: SamplePosition,
        at: Instant,
        now: Instant,
    ) {
        let Some(answer) = &mut self.answer else {
            return;
        };
        if !answer.playout.playing(segment, position, at) {
            return;
        }
        answer.playout_at = now;
        if answer.marks.on_wire.is_none() {
            answer.marks.on_wire = Some(at);
            self.seal();
            self.emit(CallEvent::AgentSpeaking {
                at_ms: position.as_ms(),
            });
        }
        if self.segmenter.in_speech() && self.caller.is_some() {
            let onset = self.segmenter.onset();
            self.dispute_floor(onset, now);
        }
    }

    pub(super) fn segment_played(
        &mut self,
        segment: SegmentId,
        position: SamplePosition,
        now: Instant,
    ) {
        if let Some(answer) = &mut self.answer
            && answer.playout.played(segment)
        {
            answer.playout_at = now;
            answer.ended = Some(position);
        }
    }

    /// Lets an answer go as far as it can.
    pub(super) fn advance_answer(&mut self, now: Instant) {
        if matches!(self.floor, Floor::Clearing { .. }) {
            return;
        }
        self.request_speech(now);
        if matches!(self.floor, Floor::Held { .. }) {
            return;
        }
        self.launch_held_tools(now);
        self.play_speech(now);
        let Some(answer) = &self.answer else { return };
        if answer.request.is_some() || answer.gate_closed {
            return;
        }
        if !answer.tools.is_empty() {
            return self.advance_tools(now);
        }
        if answer.is_spoken() {
            self.answer_is_heard(now);
        }
    }

    fn request_speech(&mut self, now: Instant) {
        loop {
            let (jobs_max, ahead) = (self.config.tts_jobs_max, self.config.speech_ahead_max);
            let Some(answer) = &mut self.answer else {
                return;
            };
            if answer.jobs.len() >= jobs_max || answer.playout.unplayed() > ahead {
                return;
            }
            let Some(text) = answer.waiting.pop_front() else {
                return;
            };
            self.next_segment.0 += 1;
            let segment = self.next_segment;
            answer.playout.add(segment, answer.part, text.clone());
            self.synthesize(segment, text, false, now);
        }
    }

    fn play_speech(&mut self, now: Instant) {
        let generation = self.generation;
        let Some(answer) = &mut self.answer else {
            return;
        };
        if answer.gate_closed {
            return;
        }
        while let Some(chunk) = answer.playout.next_chunk(generation) {
            answer.marks.released.get_or_insert(now);
            answer.playout_at = now;
            self.actions.push_back(Action::Leg(LegCommand::Play(chunk)));
        }
    }

    fn answer_is_heard(&mut self, now: Instant) {
        let Some(mut answer) = self.answer.take() else {
            return;
        };
        self.seal();
        let upto = answer.playout.locate(None);
        let ended = answer.ended;
        let then = answer.then;
        self.record_heard(&mut answer, upto);
        self.keep_floor();
        if let Then::HangUp(reason) = then {
            return self.end(reason, now);
        }
        self.quiet_since = Some(now);
        let near = self.config.answer_near_end.as_millis() as u64;
        if let Some(turn) = self.parked.take()
            && self.caller.is_none()
            && ended.is_some_and(|ended| ended.ms_since(turn.end) <= near)
        {
            // An acknowledgement at the very end is an answer.
            self.caller = Some(turn);
        }
    }

    /// Gives up an answer of which nothing sounds; what was heard of it stays.
    pub(super) fn abandon_answer(&mut self) {
        let Some(mut answer) = self.answer.take() else {
            return;
        };
        self.seal();
        self.drop_generation(&mut answer);
        if answer.playout.handed_over() {
            self.close_gate();
        }
        let upto = answer.playout.locate(None);
        self.record_heard(&mut answer, upto);
        self.floor = Floor::Settled;
    }

    /// Puts the tool calls of the present part, and their results, into the history.
    pub(super) fn push_tool_messages(&mut self, answer: &mut Answer) {
        if answer.awaits_tools() {
            return;
        }
        let tools = std::mem::take(&mut answer.tools);
        for tool in &tools {
            self.history.push(Message::ToolCall(tool.call.clone()));
        }
        for tool in tools {
            if let ToolStage::Done { content, is_error } = tool.stage {
                self.history.push(Message::ToolResult {
                    id: tool.call.id,
                    content,
                    is_error,
                });
            }
        }
    }

    pub(super) fn emit_agent_turn(
        &mut self,
        answer: &Answer,
        text: String,
        upto: Option<HeardUpTo>,
        interrupted: bool,
    ) {
        if text.is_empty() {
            return;
        }
        // Speech that a leg never reported and that was assumed to be played has no better place.
        let began = answer.playout.began().unwrap_or(self.clock);
        let end = upto.and_then(|upto| answer.playout.position_of(upto));
        let end = if interrupted {
            end
        } else {
            answer.ended.or(end)
        };
        self.emit(CallEvent::Turn(TranscriptTurn {
            speaker: Speaker::Agent,
            text,
            start_ms: began.as_ms(),
            end_ms: end.unwrap_or(began).max(began).as_ms(),
            interrupted,
            dtmf: false,
            timings: answer.marks.spans(),
        }));
    }

    pub(super) fn fault(&mut self, part: &str, message: String) {
        self.emit(CallEvent::ProviderFault {
            part: part.to_owned(),
            provider: String::new(),
            message,
        });
    }
}

impl Answer {
    /// Adds text of the engine's own.
    pub(super) fn say(&mut self, text: &str, now: Instant) {
        self.splitter.push(text);
        self.splitter.finish();
        self.collect_chunks(now);
    }

    pub(super) fn collect_chunks(&mut self, now: Instant) {
        while let Some(chunk) = self.splitter.pop() {
            self.has_text = true;
            self.marks.first_chunk.get_or_insert(now);
            self.waiting.push_back(chunk);
        }
    }

    /// Begins the next part, after a round of tools.
    pub(super) fn next_part(&mut self) {
        self.part += 1;
        self.rounds += 1;
        self.splitter = SentenceSplitter::new();
        self.has_text = false;
        self.retried = false;
    }
}
