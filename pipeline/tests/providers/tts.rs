//! All voices, one contract.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pipeline::providers::settings::ProviderSettings;
use pipeline::providers::tts_kind::{TTS_KINDS, voice};
use pipeline::secret::Secret;
use pipeline::tts::{TextToSpeech, TtsEvent, TtsRequest, WordTiming};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::fake::{Shared, serve, tts as fake};

/// Nothing may take longer than this, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Voices that say where words lie.
const TIMED: [&str; 2] = ["cartesia", "elevenlabs"];
/// Voices over websockets.
const STREAMING: [&str; 4] = ["cartesia", "deepgram", "elevenlabs", "sarvam"];
/// A text long enough to break in the middle.
const TEXT: &str = "we are open on monday and tuesday from nine to five.";

fn make(kind: &str, base: &str, key: &str) -> Arc<dyn TextToSpeech> {
    let path = match kind {
        "openai" => "/openai",
        _ => "",
    };
    let settings = ProviderSettings {
        base_url: format!("{base}{path}"),
        api_key: Some(Secret::new(key)),
        ..ProviderSettings::default()
    };
    let voice = voice(kind, settings).unwrap();
    assert_eq!(voice.name(), kind);
    voice
}

fn request(text: &str) -> TtsRequest {
    TtsRequest {
        text: text.into(),
        voice: String::new(),
        language: "en-US".into(),
        speed: 1.0,
    }
}

#[derive(Default)]
struct Said {
    pcm: Vec<i16>,
    words: Vec<WordTiming>,
    fault: Option<(bool, String)>,
}

async fn all(mut events: mpsc::Receiver<TtsEvent>) -> Said {
    let mut said = Said::default();
    let mut last = false;
    while let Some(event) = timeout(PATIENCE, events.recv()).await.expect("it ends") {
        assert!(!last, "nothing comes after the last event");
        match event {
            TtsEvent::Audio(pcm) => said.pcm.extend_from_slice(&pcm),
            TtsEvent::Words(words) => said.words.extend(words),
            TtsEvent::Done => last = true,
            TtsEvent::Fault { retryable, message } => {
                last = true;
                said.fault = Some((retryable, message));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(last, "a last event comes");
    said
}

async fn each<F: Future<Output = ()>>(kinds: &[&'static str], check: impl Fn(&'static str) -> F) {
    join_all(kinds.iter().map(|kind| check(kind))).await;
}

fn connections(fake: &Shared, kind: &str) -> usize {
    fake.seen.lock().unwrap()[kind]
}

/// Level in the middle of the word with this number.
fn level_of(pcm: &[i16], word: usize) -> i16 {
    let ms = fake::LEAD + word * (fake::WORD + fake::GAP) + fake::WORD / 2;
    pcm[ms * 16]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_spoken_whole_with_its_words_in_place() {
    each(&TTS_KINDS, async |kind| {
        let (server, base) = serve().await;
        let voice = make(kind, &base, "good");
        // Twice, so that a kept connection serves too; longer than one piece.
        for text in [TEXT, "yes & no"] {
            let said = all(voice.synthesize(request(text)).await.unwrap()).await;
            assert_eq!(said.fault, None, "{kind}");
            let wanted = fake::pcm(text, 16_000);
            // What XML escapes is longer on the wire of Azure.
            if !(kind == "azure" && text.contains('&')) {
                // A resampler's filter may hold back a few samples.
                assert!(
                    said.pcm.len().abs_diff(wanted.len()) <= 64,
                    "{kind} {}",
                    said.pcm.len()
                );
                for (index, word) in text.split_whitespace().enumerate() {
                    let level = level_of(&said.pcm, index);
                    assert!(
                        level.abs_diff(fake::level(word)) < 60,
                        "{kind} {word} {level}"
                    );
                }
            }
            assert_eq!(said.words.is_empty(), !TIMED.contains(&kind), "{kind}");
            for (index, timing) in said.words.iter().enumerate() {
                let word = text.split_whitespace().nth(index).unwrap();
                assert_eq!(&text[timing.text_range.clone()], word, "{kind}");
                let end = fake::LEAD + index * (fake::WORD + fake::GAP) + fake::WORD;
                assert_eq!(timing.end.as_millis(), end as u128, "{kind} {word}");
            }
        }
        if STREAMING.contains(&kind) {
            assert_eq!(
                connections(&server, kind),
                1,
                "{kind}: the connection is kept"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_the_same_time_do_not_mix() {
    each(&TTS_KINDS, async |kind| {
        let (_, base) = serve().await;
        let voice = make(kind, &base, "good");
        let texts = ["a a a a", "bb bb bb bb", "ccc ccc ccc ccc"];
        let said = join_all(
            texts.map(async |text| all(voice.synthesize(request(text)).await.unwrap()).await),
        )
        .await;
        for (text, said) in texts.iter().zip(said) {
            assert_eq!(said.fault, None, "{kind}");
            let wanted = fake::level(text.split(' ').next().unwrap());
            for word in 0..4 {
                assert!(
                    level_of(&said.pcm, word).abs_diff(wanted) < 60,
                    "{kind} {text}"
                );
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_apart() {
    each(&TTS_KINDS, async |kind| {
        for (key, retryable, words) in [
            ("wrong", false, "credentials"),
            ("limited", true, "limits the rate"),
        ] {
            let (_, base) = serve().await;
            let said = all(make(kind, &base, key)
                .synthesize(request(TEXT))
                .await
                .unwrap())
            .await;
            let (told, message) = said.fault.expect("it fails");
            assert!(
                told == retryable && message.contains(words),
                "{kind} {key}: {message}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn speech_that_breaks_in_the_middle_is_a_fault_behind_what_was_said() {
    each(&TTS_KINDS, async |kind| {
        for key in ["cut-always", "error"] {
            let (_, base) = serve().await;
            let said = all(make(kind, &base, key)
                .synthesize(request(TEXT))
                .await
                .unwrap())
            .await;
            let (retryable, message) = said.fault.expect("it fails");
            assert!(retryable, "{kind} {key}: {message}");
            // Google answers whole or not at all.
            assert_eq!(said.pcm.is_empty(), kind == "google", "{kind} {key}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_that_says_nothing_or_stalls_is_given_up_in_time() {
    each(&TTS_KINDS, async |kind| {
        for key in ["silent", "late"] {
            let (_, base) = serve().await;
            let said = all(make(kind, &base, key)
                .synthesize(request(TEXT))
                .await
                .unwrap())
            .await;
            let (retryable, message) = said.fault.expect("it fails");
            assert!(
                retryable && message.contains("in time"),
                "{kind} {key}: {message}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cancelled_is_never_heard_in_the_next_request() {
    each(&STREAMING, async |kind| {
        let (server, base) = serve().await;
        let voice = make(kind, &base, "good");
        let mut events = voice.synthesize(request(TEXT)).await.unwrap();
        let first = timeout(PATIENCE, events.recv()).await.unwrap();
        assert!(first.is_some(), "{kind}");
        drop(events);
        let said = all(voice.synthesize(request("a b")).await.unwrap()).await;
        assert_eq!(said.fault, None, "{kind}");
        assert_eq!(said.pcm.len(), fake::pcm("a b", 16_000).len(), "{kind}");
        // Sarvam has no cancel: its connection goes. Deepgram's serves one request at a time, and
        // nobody waits until it has been cleared. The others' serve on.
        let most = match kind {
            "sarvam" | "deepgram" => 2,
            _ => 1,
        };
        assert!(connections(&server, kind) <= most, "{kind}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_speech_over_http_drops_the_request() {
    each(&["azure", "openai"], async |kind| {
        let (server, base) = serve().await;
        let mut events = make(kind, &base, "late")
            .synthesize(request(TEXT))
            .await
            .unwrap();
        assert!(matches!(
            timeout(PATIENCE, events.recv()).await,
            Ok(Some(TtsEvent::Audio(_)))
        ));
        drop(events);
        timeout(PATIENCE, async {
            while server.noted(kind, "dropped") == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("the server sees the connection go");
    })
    .await;
}

#[test]
fn a_voice_without_an_address_says_what_to_set() {
    crate::fake::install_crypto();
    let error = voice("azure", ProviderSettings::default())
        .err()
        .expect("it is refused");
    assert!(error.to_string().contains("base_url"), "{error}");
}
