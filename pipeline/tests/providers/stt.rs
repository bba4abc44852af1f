//! All recognisers, one contract: what is said is heard once, in its place, and every session
//! ends in an event however the vendor fails.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use media::frame::{FRAME_SAMPLES, Frame, SamplePosition};
use pipeline::provider_error::ProviderError;
use pipeline::providers::settings::ProviderSettings;
use pipeline::providers::stt_kind::{STT_KINDS, recogniser};
use pipeline::secret::Secret;
use pipeline::stt::{
    RecognisedWord, RecognitionHints, SttCommand, SttEvent, SttRequest, SttStream, TurnSignal,
    UtteranceId,
};
use tokio::time::timeout;

use crate::fake::ear::WORDS;
use crate::fake::{Shared, serve};

/// Nothing may take longer than this, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Recognisers that say where words lie.
const TIMED: [&str; 4] = ["assemblyai", "deepgram", "deepgram_flux", "soniox"];

fn settings(kind: &str, base: &str, key: &str) -> ProviderSettings {
    let path = if kind.starts_with("openai") {
        "/openai"
    } else {
        ""
    };
    ProviderSettings {
        base_url: format!("{base}{path}"),
        api_key: Some(Secret::new(key)),
        ..ProviderSettings::default()
    }
}

async fn open(kind: &str, base: &str, key: &str) -> Result<SttStream, ProviderError> {
    let request = SttRequest {
        language: "en-US".into(),
        hints: Arc::new(RecognitionHints::default()),
    };
    let recogniser = recogniser(kind, settings(kind, base, key)).unwrap();
    assert_eq!(recogniser.name(), kind);
    recogniser.open(request).await
}

/// The words with these numbers: 200 ms each, 100 ms between them, from `position` on.
fn speech(words: &[usize], position: SamplePosition) -> Vec<Frame> {
    let levels = words.iter().flat_map(|word| {
        let level = i16::try_from((word + 1) * 1000).unwrap();
        std::iter::repeat_n(level, 10).chain([0; 5])
    });
    levels
        .enumerate()
        .map(|(index, level)| {
            let at = position.plus((index * FRAME_SAMPLES) as u64);
            let now = tokio::time::Instant::now().into_std();
            let mut frame = Frame::silence(at, now);
            frame.samples = [level; FRAME_SAMPLES];
            frame
        })
        .collect()
}

async fn tell(stt: &SttStream, command: SttCommand) {
    timeout(PATIENCE, stt.commands.send(command))
        .await
        .expect("commands are taken")
        .expect("the session is there");
}

async fn say(stt: &SttStream, id: u64, words: &[usize], position: SamplePosition) {
    let utterance = UtteranceId(id);
    tell(
        stt,
        SttCommand::Start {
            utterance,
            position,
        },
    )
    .await;
    for frame in speech(words, position) {
        tell(stt, SttCommand::Audio(frame)).await;
    }
}

async fn finish(stt: &SttStream, id: u64) {
    let utterance = UtteranceId(id);
    tell(stt, SttCommand::Finish { utterance }).await;
}

async fn next(stt: &mut SttStream) -> SttEvent {
    timeout(PATIENCE, stt.events.recv())
        .await
        .expect("an event comes")
        .expect("the session is there")
}

/// Reads up to the last word on an utterance.
async fn last_word(
    stt: &mut SttStream,
) -> (Vec<SttEvent>, UtteranceId, String, Vec<RecognisedWord>) {
    let mut before = Vec::new();
    loop {
        match next(stt).await {
            SttEvent::Final {
                utterance,
                text,
                words,
                ..
            } => return (before, utterance, text, words),
            SttEvent::Fault { message, .. } => panic!("fault: {message}"),
            event => before.push(event),
        }
    }
}

fn sentence(words: &[usize]) -> String {
    let words: Vec<&str> = words.iter().map(|word| WORDS[*word]).collect();
    words.join(" ")
}

/// Runs a check for every kind at once.
async fn each<F: Future<Output = ()>>(kinds: &[&'static str], check: impl Fn(&'static str) -> F) {
    join_all(kinds.iter().map(|kind| check(kind))).await;
}

async fn until(condition: impl Fn() -> bool) {
    timeout(PATIENCE, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it comes about");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_heard_once_and_in_its_place() {
    each(&STT_KINDS, async |kind| {
        let (_, base) = serve().await;
        let mut stt = open(kind, &base, "good").await.unwrap();
        for (id, words, position) in [
            (1, vec![0, 1, 2], SamplePosition(32_000)),
            (2, vec![3, 4], SamplePosition(320_000)),
        ] {
            say(&stt, id, &words, position).await;
            finish(&stt, id).await;
            let (_, utterance, text, timed) = last_word(&mut stt).await;
            assert_eq!(
                (utterance, text),
                (UtteranceId(id), sentence(&words)),
                "{kind}"
            );
            assert_eq!(timed.is_empty(), !TIMED.contains(&kind), "{kind}");
            for (index, word) in timed.iter().enumerate() {
                let start = position.as_ms() + index as u64 * 300;
                assert_eq!(word.text, WORDS[words[index]], "{kind}");
                assert!(
                    word.start.as_ms().abs_diff(start) <= 10,
                    "{kind} {word:?} {start}"
                );
                assert!(
                    word.end.as_ms().abs_diff(start + 200) <= 10,
                    "{kind} {word:?}"
                );
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_texts_grow_before_the_end_is_asked_for() {
    let partial: Vec<&str> = STT_KINDS
        .into_iter()
        // OpenAI hears what has been committed only, an upload the whole.
        .filter(|kind| !kind.starts_with("openai"))
        .collect();
    each(&partial, async |kind| {
        let (_, base) = serve().await;
        let mut stt = open(kind, &base, "good").await.unwrap();
        say(&stt, 1, &[0, 1, 2], SamplePosition(0)).await;
        let wanted = sentence(&[0, 1, 2]);
        let mut texts = Vec::new();
        while texts.last() != Some(&wanted) {
            match next(&mut stt).await {
                SttEvent::Partial { text, .. } => texts.push(text),
                SttEvent::Language { .. } => {}
                other => panic!("{kind}: {other:?}"),
            }
        }
        assert_eq!(texts[0], WORDS[0], "{kind}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_heard_of_a_cancelled_utterance() {
    each(&STT_KINDS, async |kind| {
        let (_, base) = serve().await;
        let mut stt = open(kind, &base, "good").await.unwrap();
        say(&stt, 1, &[5, 6], SamplePosition(0)).await;
        let utterance = UtteranceId(1);
        tell(&stt, SttCommand::Cancel { utterance }).await;
        say(&stt, 2, &[7], SamplePosition(64_000)).await;
        finish(&stt, 2).await;
        let (_, utterance, text, _) = last_word(&mut stt).await;
        assert_eq!(
            (utterance, text.as_str()),
            (UtteranceId(2), WORDS[7]),
            "{kind}"
        );
    })
    .await;
}

/// What a key leads to: the error of opening, or the fault of the first utterance.
async fn failure(kind: &str, key: &str) -> (bool, String) {
    let (_, base) = serve().await;
    let mut stt = match open(kind, &base, key).await {
        Ok(stt) => stt,
        Err(error) => return (error.is_retryable(), error.to_string()),
    };
    let utterance = UtteranceId(1);
    let position = SamplePosition(0);
    let sending = stt.commands.clone();
    tokio::spawn(async move {
        let _ = sending
            .send(SttCommand::Start {
                utterance,
                position,
            })
            .await;
        for frame in speech(&[0, 1, 2], position) {
            let _ = sending.send(SttCommand::Audio(frame)).await;
        }
        let _ = sending.send(SttCommand::Finish { utterance }).await;
    });
    loop {
        match next(&mut stt).await {
            SttEvent::Fault { retryable, message } => {
                let end = timeout(PATIENCE, stt.events.recv()).await.expect("it ends");
                assert_eq!(end, None, "{kind}: nothing comes after a fault");
                return (retryable, message);
            }
            SttEvent::Final { text, .. } => panic!("{kind} {key}: heard `{text}`"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_are_final_and_limits_are_not() {
    each(&STT_KINDS, async |kind| {
        let (retryable, message) = failure(kind, "wrong").await;
        assert!(
            !retryable && message.contains("credentials"),
            "{kind}: {message}"
        );
        let (retryable, message) = failure(kind, "limited").await;
        assert!(
            retryable && message.contains("limits the rate"),
            "{kind}: {message}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_keeps_failing_ends_the_session_with_a_fault() {
    each(&STT_KINDS, async |kind| {
        for key in ["cut-always", "error"] {
            let (retryable, message) = failure(kind, key).await;
            assert!(retryable, "{kind} {key}: {message}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_replaced_and_nothing_said_is_lost() {
    let streaming: Vec<&str> = STT_KINDS
        .into_iter()
        .filter(|k| *k != "openai_upload")
        .collect();
    each(&streaming, async |kind| {
        let (fake, base) = serve().await;
        let mut stt = open(kind, &base, "cut").await.unwrap();
        say(&stt, 1, &[0, 1, 2, 3], SamplePosition(16_000)).await;
        finish(&stt, 1).await;
        let (_, _, text, words) = last_word(&mut stt).await;
        assert_eq!(text, sentence(&[0, 1, 2, 3]), "{kind}");
        assert_eq!(fake.seen.lock().unwrap()[kind], 2, "{kind}");
        if let Some(last) = words.last() {
            assert!(last.start.as_ms().abs_diff(1_900) <= 10, "{kind} {last:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_says_nothing_does_not_hold_the_turn() {
    let streaming: Vec<&str> = STT_KINDS
        .into_iter()
        .filter(|k| *k != "openai_upload")
        .collect();
    each(&streaming, async |kind| {
        let (_, base) = serve().await;
        let mut stt = open(kind, &base, "silent").await.unwrap();
        say(&stt, 1, &[0], SamplePosition(0)).await;
        finish(&stt, 1).await;
        let (_, utterance, text, _) = last_word(&mut stt).await;
        assert_eq!((utterance, text.as_str()), (UtteranceId(1), ""), "{kind}");
    })
    .await;
    let (retryable, message) = failure("openai_upload", "silent").await;
    assert!(retryable && message.contains("in time"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_last_word_never_lands_in_the_next_utterance() {
    let streaming: Vec<&str> = STT_KINDS
        .into_iter()
        .filter(|k| *k != "openai_upload")
        .collect();
    each(&streaming, async |kind| {
        let (_, base) = serve().await;
        let mut stt = open(kind, &base, "late").await.unwrap();
        say(&stt, 1, &[0, 1], SamplePosition(0)).await;
        finish(&stt, 1).await;
        let (_, utterance, text, _) = last_word(&mut stt).await;
        assert_eq!(utterance, UtteranceId(1));
        // What was known by then stands in.
        assert_eq!(text, sentence(&[0, 1]), "{kind}");
        say(&stt, 2, &[8, 9], SamplePosition(64_000)).await;
        finish(&stt, 2).await;
        let (_, utterance, text, _) = last_word(&mut stt).await;
        assert_eq!(
            (utterance, text),
            (UtteranceId(2), sentence(&[8, 9])),
            "{kind}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recognisers_opinion_on_the_turn_is_passed_on() {
    let hush = |from: u64, frames: u64| {
        (0..frames).map(move |index| {
            let now = tokio::time::Instant::now().into_std();
            Frame::silence(SamplePosition(from).plus(index * 320), now)
        })
    };
    each(&["deepgram_flux", "assemblyai"], async |kind| {
        let (_, base) = serve().await;
        let mut stt = open(kind, &base, "good").await.unwrap();
        say(&stt, 1, &[0], SamplePosition(0)).await;
        for frame in hush(4_800, 20) {
            tell(&stt, SttCommand::Audio(frame)).await;
        }
        for frame in speech(&[1], SamplePosition(11_200))
            .into_iter()
            .chain(hush(16_000, 40))
        {
            tell(&stt, SttCommand::Audio(frame)).await;
        }
        let mut signals = Vec::new();
        while !matches!(signals.last(), Some(TurnSignal::End { .. })) {
            if let SttEvent::Turn { signal, utterance } = next(&mut stt).await {
                assert_eq!(utterance, UtteranceId(1));
                signals.push(signal);
            }
        }
        assert!(
            matches!(
                signals[..],
                [
                    TurnSignal::EagerEnd {
                        confidence: Some(_)
                    },
                    TurnSignal::Resumed,
                    TurnSignal::EagerEnd { .. },
                    TurnSignal::End {
                        confidence: Some(_)
                    },
                ]
            ),
            "{kind}: {signals:?}"
        );
        // The turn is over for the vendor: its last word is there, nothing is waited for.
        finish(&stt, 1).await;
        let (_, _, text, _) = last_word(&mut stt).await;
        assert_eq!(text, sentence(&[0, 1]), "{kind}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_kept_and_an_ended_one_is_ended_properly() {
    let alive: [(&str, &str, usize); 3] = [
        ("deepgram", "KeepAlive", 1),
        ("soniox", "keepalive", 1),
        ("deepgram_flux", "silence", 5),
    ];
    join_all(alive.map(async |(kind, message, times)| {
        let (fake, base): (Shared, String) = serve().await;
        let stt = open(kind, &base, "good").await.unwrap();
        until(|| fake.noted(kind, message) >= times).await;
        assert_eq!(fake.seen.lock().unwrap()[kind], 1, "{kind}");
        drop(stt);
        let goodbye = if kind == "soniox" {
            "end"
        } else {
            "CloseStream"
        };
        until(|| fake.noted(kind, goodbye) >= 1).await;
    }))
    .await;
    let (fake, base) = serve().await;
    drop(open("assemblyai", &base, "good").await.unwrap());
    until(|| fake.noted("assemblyai", "Terminate") == 1).await;
}
