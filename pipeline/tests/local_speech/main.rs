//! The embedded voice talks to the embedded recogniser over a telephone line.
#![cfg(all(feature = "stt-pocketsphinx", feature = "tts-flite"))]
#![expect(clippy::unwrap_used, reason = "a test ends at the first error")]

mod telephone;

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use media::frame::{FRAME_SAMPLES, Frame, SamplePosition};
use pipeline::local::band_fill::BandFillMode;
use pipeline::local::flite::{FliteConfig, FliteVoice};
use pipeline::local::grammar::GrammarError;
use pipeline::local::pocketsphinx::{PocketsphinxConfig, PocketsphinxRecogniser};
use pipeline::provider_error::ProviderError;
use pipeline::stt::{
    RecognisedWord, RecognitionHints, SpeechToText, SttCommand, SttEvent, SttRequest, SttStream,
    UtteranceId,
};
use pipeline::tts::{TextToSpeech, TtsEvent, TtsRequest, WordTiming};
use tokio::sync::mpsc;

static VOICE: LazyLock<FliteVoice> =
    LazyLock::new(|| FliteVoice::new(&FliteConfig::default()).unwrap());

const YES_NO: &str = "public <a> = yes | no | yes please | no thanks | not now;";
const TIME: &str = "public <t> = [at] <h> [<m>] (a.m. | p.m. | o'clock); \
    <h> = one | two | three | four | five | six | seven | eight | nine | ten | eleven | twelve; \
    <m> = thirty | fifteen | forty five;";
const DIGITS: &str = "public <n> = <d>+; <d> = zero | oh | one | two | three | four | five | six \
    | seven | eight | nine;";

fn recogniser(slots: usize, waiting_max: usize) -> PocketsphinxRecogniser {
    PocketsphinxRecogniser::new(PocketsphinxConfig {
        slots_max: NonZeroUsize::new(slots).unwrap(),
        waiting_max,
        ..PocketsphinxConfig::default()
    })
    .unwrap()
}

fn request(text: &str) -> TtsRequest {
    TtsRequest {
        text: text.to_owned(),
        voice: String::new(),
        language: "en-US".to_owned(),
        speed: 1.0,
    }
}

async fn spoken(request: TtsRequest) -> (Vec<i16>, Vec<WordTiming>) {
    let mut events = VOICE.synthesize(request).await.unwrap();
    let (mut samples, mut words, mut done) = (Vec::new(), Vec::new(), false);
    while let Some(event) = events.recv().await {
        assert!(!done, "an event after the last");
        match event {
            TtsEvent::Audio(piece) => samples.extend_from_slice(&piece),
            TtsEvent::Words(said) => {
                assert!(samples.is_empty(), "words come before the audio");
                words = said;
            }
            TtsEvent::Done => done = true,
            other => panic!("{other:?}"),
        }
    }
    assert!(done);
    (samples, words)
}

/// `text` as it arrives over a telephone line, with silence around it.
async fn on_the_line(text: &str) -> Vec<i16> {
    let mut samples = vec![0; 4_800];
    samples.extend(telephone::through_mu_law(&spoken(request(text)).await.0));
    samples.extend([0; 4_800]);
    samples
}

fn frames(samples: &[i16], from: SamplePosition) -> impl Iterator<Item = Frame> {
    let now = origin();
    samples
        .chunks(FRAME_SAMPLES)
        .enumerate()
        .map(move |(n, chunk)| {
            let mut frame = Frame::silence(from.plus((n * FRAME_SAMPLES) as u64), now);
            frame.samples[..chunk.len()].copy_from_slice(chunk);
            frame
        })
}

#[expect(
    clippy::disallowed_methods,
    reason = "an origin; nothing depends on it"
)]
fn origin() -> Instant {
    Instant::now()
}

async fn open(recogniser: &PocketsphinxRecogniser, grammar: &str) -> SttStream {
    let hints = RecognitionHints {
        grammar: Some(Arc::from(grammar)),
        ..RecognitionHints::default()
    };
    recogniser
        .open(SttRequest {
            language: "en-US".to_owned(),
            hints: Arc::new(hints),
        })
        .await
        .unwrap()
}

async fn start(commands: &mpsc::Sender<SttCommand>, id: u64, samples: &[i16]) {
    let utterance = UtteranceId(id);
    let position = SamplePosition(id * 1_000_000);
    commands
        .send(SttCommand::Start {
            utterance,
            position,
        })
        .await
        .unwrap();
    for frame in frames(samples, position) {
        commands.send(SttCommand::Audio(frame)).await.unwrap();
    }
}

async fn say(commands: &mpsc::Sender<SttCommand>, id: u64, samples: &[i16]) {
    start(commands, id, samples).await;
    let utterance = UtteranceId(id);
    commands
        .send(SttCommand::Finish { utterance })
        .await
        .unwrap();
}

async fn final_of(
    events: &mut mpsc::Receiver<SttEvent>,
    id: u64,
) -> (String, Option<f32>, Vec<RecognisedWord>, Vec<String>) {
    let mut partials = Vec::new();
    loop {
        match events.recv().await.expect("the session lives") {
            SttEvent::Partial { utterance, text } => {
                assert_eq!(utterance, UtteranceId(id));
                partials.push(text);
            }
            SttEvent::Final {
                utterance,
                text,
                confidence,
                words,
            } => {
                assert_eq!(utterance, UtteranceId(id));
                return (text, confidence, words, partials);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Waits, by the pool's own progress, until every slot is free again.
async fn all_free(recogniser: &PocketsphinxRecogniser) {
    let deadline = tokio::time::Duration::from_secs(20);
    tokio::time::timeout(deadline, async {
        while recogniser.statistics().slots_busy > 0 || recogniser.statistics().waiting > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("slots become free");
}

#[tokio::test]
async fn answers_over_the_telephone_are_understood_with_their_places() {
    let recogniser = recogniser(1, 4);
    let SttStream {
        commands,
        mut events,
    } = open(&recogniser, YES_NO).await;
    for (id, line) in ["yes please", "no thanks", "not now"].iter().enumerate() {
        let id = id as u64;
        let samples = on_the_line(line).await;
        say(&commands, id, &samples).await;
        let (text, confidence, words, _) = final_of(&mut events, id).await;
        assert_eq!(text, *line);
        assert!((0.0..=1.0).contains(&confidence.unwrap()));
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts.join(" "), *line);
        let base = id * 1_000_000;
        let mut last = base + 3_200;
        for word in &words {
            assert!(
                word.start.0 + 800 >= last && word.end > word.start,
                "{words:?}"
            );
            last = word.end.0;
        }
        assert!(last <= base + samples.len() as u64);
    }
    commands
        .send(SttCommand::Hints(Arc::new(RecognitionHints {
            grammar: Some(Arc::from(TIME)),
            ..RecognitionHints::default()
        })))
        .await
        .unwrap();
    say(&commands, 7, &on_the_line("at ten thirty a m").await).await;
    assert_eq!(final_of(&mut events, 7).await.0, "at ten thirty a.m.");
    all_free(&recogniser).await;
}

#[tokio::test]
async fn partials_come_before_the_utterance_ends() {
    let recogniser = recogniser(1, 4);
    let SttStream {
        commands,
        mut events,
    } = open(&recogniser, DIGITS).await;
    let samples = on_the_line("one two three four").await;
    start(&commands, 1, &samples).await;
    let first = events.recv().await.unwrap();
    assert!(matches!(first, SttEvent::Partial { .. }), "{first:?}");
    let utterance = UtteranceId(1);
    commands
        .send(SttCommand::Finish { utterance })
        .await
        .unwrap();
    let (text, ..) = final_of(&mut events, 1).await;
    assert_eq!(text, "one two three four");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_calls_share_two_slots() {
    let recogniser = Arc::new(recogniser(2, 64));
    let lines = ["yes", "no", "yes please", "no thanks"];
    let mut calls = Vec::new();
    for call in 0..8 {
        let recogniser = Arc::clone(&recogniser);
        calls.push(tokio::spawn(async move {
            let mut stream = open(&recogniser, YES_NO).await;
            let mut right = 0;
            for turn in 0..3 {
                let line = lines[(call + turn) % lines.len()];
                let samples = on_the_line(line).await;
                say(&stream.commands, turn as u64, &samples).await;
                let (text, ..) = final_of(&mut stream.events, turn as u64).await;
                right += usize::from(text == line);
            }
            right
        }));
    }
    let mut right = 0;
    for call in calls {
        right += call.await.unwrap();
    }
    assert!(right >= 22, "{right} of 24 understood");
    all_free(&recogniser).await;
    let statistics = recogniser.statistics();
    assert!(statistics.slots_created <= 2);
    assert_eq!(statistics.utterances, 24);
    assert_eq!(statistics.overloaded + statistics.failed, 0);
}

#[tokio::test]
async fn what_exceeds_the_capacity_ends_in_an_empty_final_and_the_call_goes_on() {
    let recogniser = recogniser(1, 0);
    let mut holder = open(&recogniser, YES_NO).await;
    let samples = on_the_line("yes").await;
    start(&holder.commands, 1, &samples).await;
    assert!(holder.events.recv().await.is_some(), "holds the slot");

    let mut other = open(&recogniser, YES_NO).await;
    say(&other.commands, 1, &samples).await;
    assert_eq!(final_of(&mut other.events, 1).await.0, "");
    assert_eq!(recogniser.statistics().overloaded, 1);

    let utterance = UtteranceId(1);
    let cancel = SttCommand::Cancel { utterance };
    holder.commands.send(cancel).await.unwrap();
    all_free_after_cancel(&recogniser).await;
    say(&other.commands, 2, &samples).await;
    assert_eq!(final_of(&mut other.events, 2).await.0, "yes");
    drop(holder.commands);
    assert_eq!(holder.events.recv().await, None, "nothing after a cancel");
}

/// The cancel has to reach the session first, then the slot.
async fn all_free_after_cancel(recogniser: &PocketsphinxRecogniser) {
    tokio::task::yield_now().await;
    all_free(recogniser).await;
}

#[tokio::test]
async fn a_call_dropped_in_the_middle_frees_its_slot() {
    let recogniser = recogniser(1, 4);
    let samples = on_the_line("yes").await;
    for _ in 0..3 {
        let mut stream = open(&recogniser, YES_NO).await;
        start(&stream.commands, 1, &samples).await;
        assert!(stream.events.recv().await.is_some());
        drop(stream);
        all_free(&recogniser).await;
    }
    let mut stream = open(&recogniser, YES_NO).await;
    say(&stream.commands, 1, &samples).await;
    assert_eq!(final_of(&mut stream.events, 1).await.0, "yes");
    assert_eq!(recogniser.statistics().slots_created, 1);
}

#[tokio::test]
async fn silence_and_empty_utterances_give_empty_finals() {
    let recogniser = recogniser(1, 4);
    let mut stream = open(&recogniser, YES_NO).await;
    for (id, samples) in [vec![], vec![0; 16_000], vec![1; 100]].iter().enumerate() {
        let id = id as u64;
        say(&stream.commands, id, samples).await;
        assert_eq!(final_of(&mut stream.events, id).await.0, "", "{id}");
    }
    // Noise of full scale must not upset anything; what it is taken for is open.
    let mut state = 1_u32;
    let noise: Vec<i16> = (0..32_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as i16
        })
        .collect();
    let noise = telephone::through_mu_law(&noise);
    say(&stream.commands, 10, &noise).await;
    final_of(&mut stream.events, 10).await;
    say(&stream.commands, 11, &on_the_line("yes").await).await;
    assert_eq!(final_of(&mut stream.events, 11).await.0, "yes");
}

#[tokio::test]
async fn names_outside_the_dictionary_are_understood() {
    let recogniser = recogniser(1, 4);
    let names = "public <name> = meenakshi | venkatesh | priyanka | siddharth | jacqueline;";
    assert_eq!(recogniser.check_grammar(names), Ok(()));
    let mut stream = open(&recogniser, names).await;
    for (id, name) in ["Venkatesh", "Priyanka", "Jacqueline"].iter().enumerate() {
        let id = id as u64;
        say(&stream.commands, id, &on_the_line(name).await).await;
        assert_eq!(
            final_of(&mut stream.events, id).await.0,
            name.to_lowercase()
        );
    }
}

#[tokio::test]
async fn a_grammar_that_cannot_be_used_is_told_and_replaced() {
    let recogniser = recogniser(1, 4);
    assert_eq!(
        recogniser.check_grammar("public <a> = route 66;"),
        Err(GrammarError::Word("66".to_owned()))
    );
    let mut stream = open(&recogniser, "public <a> = <b>;").await;
    assert_eq!(recogniser.grammars_refused(), 1);
    say(&stream.commands, 1, &on_the_line("thank you").await).await;
    assert_eq!(final_of(&mut stream.events, 1).await.0, "thank you");
}

#[tokio::test]
async fn without_a_grammar_the_phrases_are_listened_for() {
    let recogniser = recogniser(1, 4);
    let mut stream = recogniser
        .open(SttRequest {
            language: "en-IN".to_owned(),
            hints: Arc::new(RecognitionHints {
                phrases: vec!["Billing department!".into(), "technical support".into()],
                ..RecognitionHints::default()
            }),
        })
        .await
        .unwrap();
    say(&stream.commands, 1, &on_the_line("technical support").await).await;
    assert_eq!(final_of(&mut stream.events, 1).await.0, "technical support");
}

#[tokio::test]
async fn many_grammars_pass_through_one_decoder() {
    let recogniser = recogniser(1, 4);
    let samples = on_the_line("yes").await;
    let mut stream = open(&recogniser, YES_NO).await;
    for id in 0..40 {
        let hints = RecognitionHints {
            grammar: Some(Arc::from(format!(
                "public <a> = yes | no | /0.{} / maybe;",
                id + 1
            ))),
            ..RecognitionHints::default()
        };
        let hints = SttCommand::Hints(Arc::new(hints));
        stream.commands.send(hints).await.unwrap();
        say(&stream.commands, id, &samples).await;
        assert_eq!(final_of(&mut stream.events, id).await.0, "yes", "{id}");
    }
}

#[test]
fn a_model_that_is_not_there_is_told() {
    let config = PocketsphinxConfig {
        model_dir: "/nowhere".into(),
        ..PocketsphinxConfig::default()
    };
    let error = PocketsphinxRecogniser::new(config).unwrap_err();
    assert!(matches!(error, ProviderError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn band_filling_is_what_makes_the_telephone_understood() {
    let lines = [
        ("ten thirty a m", "ten thirty a.m."),
        ("at three p m", "at three p.m."),
        ("five o'clock", "five o'clock"),
        ("at eleven fifteen a m", "at eleven fifteen a.m."),
    ];
    let mut right = [0, 0];
    for (mode, right) in [BandFillMode::Never, BandFillMode::Auto]
        .into_iter()
        .zip(&mut right)
    {
        let recogniser = PocketsphinxRecogniser::new(PocketsphinxConfig {
            band_fill: mode,
            ..PocketsphinxConfig::default()
        })
        .unwrap();
        for (said, understood) in lines {
            let mut stream = open(&recogniser, TIME).await;
            say(&stream.commands, 1, &on_the_line(said).await).await;
            let text = final_of(&mut stream.events, 1).await.0;
            *right += usize::from(text == understood);
        }
    }
    assert!(right[1] > right[0] && right[1] >= 3, "{right:?}");
}

#[tokio::test]
async fn every_voice_speaks_and_places_its_words() {
    let text = "Hello Zoë, your table is booked for 10:30 on 17/05/2026.";
    for voice in ["slt", "rms", "awb", "kal16"] {
        let (samples, words) = spoken(TtsRequest {
            voice: voice.to_owned(),
            ..request(text)
        })
        .await;
        let said: Vec<&str> = words
            .iter()
            .map(|word| &text[word.text_range.clone()])
            .collect();
        let expected = [
            "Hello",
            "Zoë",
            "your",
            "table",
            "is",
            "booked",
            "for",
            "10:30",
            "on",
            "17/05/2026",
        ];
        assert_eq!(said, expected, "{voice}");
        assert!(
            words.is_sorted_by(|a, b| a.end < b.end),
            "{voice}: {words:?}"
        );
        let seconds = samples.len() as f64 / 16_000.0;
        let end = words.last().unwrap().end.as_secs_f64();
        assert!(
            end > 0.8 * seconds && end <= seconds,
            "{voice}: {end} of {seconds}"
        );
        let onset = samples.iter().position(|s| s.unsigned_abs() > 200).unwrap();
        assert!(onset <= 480, "{voice}: sound begins at {onset}");
    }
}

#[tokio::test]
async fn speed_changes_the_length() {
    let at = |speed| TtsRequest {
        speed,
        ..request("Your table is booked for two people.")
    };
    let slow = spoken(at(0.8)).await.0.len() as f64;
    let normal = spoken(at(1.0)).await.0.len() as f64;
    let fast = spoken(at(1.5)).await.0.len() as f64;
    assert!((1.1..1.4).contains(&(slow / normal)), "{}", slow / normal);
    assert!((0.6..0.8).contains(&(fast / normal)), "{}", fast / normal);
    let broken = spoken(at(f32::NAN)).await.0.len() as f64;
    assert!((broken - normal).abs() < 0.05 * normal);
}

#[tokio::test]
async fn odd_texts_are_spoken_or_silent_but_never_fail() {
    for text in [
        "",
        " ",
        "...",
        "\0",
        "a\0b",
        "नमस्ते",
        "<speak>hi</speak>",
        "%%%",
        "(((",
    ] {
        spoken(request(text)).await;
    }
    let long = "word ".repeat(500);
    let refused = VOICE.synthesize(request(&long)).await;
    assert!(matches!(refused, Err(ProviderError::Rejected(_))));
    let unknown = TtsRequest {
        voice: "nobody".to_owned(),
        ..request("hello")
    };
    let refused = VOICE.synthesize(unknown).await;
    assert!(matches!(refused, Err(ProviderError::Rejected(_))));
}

#[tokio::test]
async fn dropping_the_receiver_cancels_and_a_full_queue_refuses() {
    let voice = FliteVoice::new(&FliteConfig {
        threads: NonZeroUsize::MIN,
        queue_max: 1,
        ..FliteConfig::default()
    })
    .unwrap();
    let long = request(&"This is a rather long sentence that goes on. ".repeat(40));
    let mut first = voice.synthesize(long.clone()).await.unwrap();
    assert!(first.recv().await.is_some(), "is being spoken");
    let second = voice.synthesize(long.clone()).await.unwrap();
    let third = voice.synthesize(long).await;
    assert!(matches!(third, Err(ProviderError::AtCapacity)));
    drop((first, second));
    let mut fourth = loop {
        match voice.synthesize(request("Hello.")).await {
            Ok(events) => break events,
            Err(ProviderError::AtCapacity) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    while fourth.recv().await.is_some() {}
    assert_eq!(voice.statistics().cancelled, 2);
}
