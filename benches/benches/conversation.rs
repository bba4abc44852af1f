//! Cost of the conversation per frame of the caller: a listening call, a speaking caller, and a
//! whole scripted call.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use media::frame::{FRAME_MS, FRAME_SAMPLES, Frame, SamplePosition};
use pipeline::conversation::event::SttSession;
use pipeline::conversation::{Conversation, ConversationConfig, Event};
use pipeline::testing::leg::CallerScript;
use pipeline::testing::llm::Reply;
use pipeline::testing::rig::{Rig, agent};
use pipeline::testing::stt::Said;

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn origin() -> Instant {
    Instant::now()
}

struct Caller {
    conversation: Conversation,
    now: Instant,
    position: SamplePosition,
}

impl Caller {
    fn new() -> Self {
        let mut profile = agent();
        profile.silence_prompt_after = Duration::ZERO;
        profile.call_duration_max = Duration::ZERO;
        let mut caller = Self {
            conversation: Conversation::new(profile, ConversationConfig::default()),
            now: origin(),
            position: SamplePosition(0),
        };
        caller.feed(Event::Started);
        caller.feed(Event::SttOpened {
            session: SttSession(1),
        });
        caller
    }

    fn feed(&mut self, event: Event) {
        self.conversation.handle(self.now, event);
        while let Some(action) = self.conversation.poll_action() {
            black_box(action);
        }
        black_box(self.conversation.poll_timeout());
    }

    fn frame(&mut self, voice: f32) {
        let mut frame = Frame::silence(self.position, self.now);
        frame.voice = voice;
        self.position = self.position.plus(FRAME_SAMPLES as u64);
        self.now += Duration::from_millis(FRAME_MS.into());
        self.feed(Event::Frame(frame));
    }
}

fn conversation(c: &mut Criterion) {
    let mut listening = Caller::new();
    c.bench_function("conversation/frame_listening", |b| {
        b.iter(|| listening.frame(0.02));
    });
    c.bench_function("conversation/10_s_of_speech", |b| {
        b.iter_batched_ref(
            Caller::new,
            |caller| (0..500).for_each(|_| caller.frame(0.95)),
            criterion::BatchSize::LargeInput,
        );
    });
    let now = origin();
    c.bench_function("conversation/call_of_10_s", |b| {
        b.iter(|| {
            let caller = CallerScript {
                said: vec![Said::new(500, 2500, "I need a taxi")],
                ..CallerScript::default()
            };
            let mut rig = Rig::new(now, agent(), caller, [Reply::say("Where to, please?")]);
            rig.run_until(10_000);
            black_box(rig.turns().len())
        });
    });
}

criterion_group!(benches, conversation);
criterion_main!(benches);
