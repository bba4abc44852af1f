//! A voice that remembers what it has said: one synthesis serves every call that says the same.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::sync::{mpsc, oneshot, watch};

use super::{TextToSpeech, TtsEvent, TtsRequest};
use crate::provider_error::ProviderError;

/// Events a listener of a cached text holds. Full-policy: the listener's own copying task waits.
const EVENTS_MAX: usize = 16;
/// Syntheses that [`CachedVoice::prewarm`] runs side by side.
const PREWARM_AT_ONCE: usize = 2;

/// Wraps a voice with a cache of complete utterances, shared by all calls.
///
/// Concurrent requests for the same text join one synthesis and hear it as it comes. Only
/// complete utterances are kept, the least recently used are dropped when the bytes run out.
/// A synthesis goes on when one listener leaves, and is cancelled when the last one does.
pub struct CachedVoice {
    inner: Arc<dyn TextToSpeech>,
    cache: Arc<Mutex<Cache>>,
}

/// What the cache holds and has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheStatistics {
    /// Bytes of audio and text kept.
    pub bytes: usize,
    /// Utterances kept.
    pub entries: usize,
    /// Requests served from a kept utterance.
    pub hits: u64,
    /// Requests that joined a running synthesis.
    pub joins: u64,
    /// Requests that began a synthesis.
    pub misses: u64,
    /// Utterances dropped for lack of room.
    pub evictions: u64,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Key {
    voice: String,
    language: String,
    /// Bits of the speed: equal requests carry equal numbers.
    speed: u32,
    text: String,
}

/// A synthesis under way or complete, with what it has said so far.
struct Recording {
    events: Mutex<Vec<TtsEvent>>,
    /// How many events there are; listeners wait on it.
    length: watch::Sender<usize>,
}

struct Cache {
    bytes_max: usize,
    statistics: CacheStatistics,
    /// Use count at which an entry was last used, to find the oldest.
    clock: u64,
    kept: HashMap<Key, Kept>,
    by_use: BTreeMap<u64, Key>,
    running: HashMap<Key, Arc<Recording>>,
}

struct Kept {
    recording: Arc<Recording>,
    bytes: usize,
    used: u64,
}

impl std::fmt::Debug for CachedVoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachedVoice")
            .field("inner", &self.inner.name())
            .field("statistics", &self.statistics())
            .finish()
    }
}

impl CachedVoice {
    /// A cache of at most `bytes_max` bytes before `inner`; 16 kHz audio takes 32 000 bytes a
    /// second.
    #[must_use]
    pub fn new(inner: Arc<dyn TextToSpeech>, bytes_max: usize) -> Self {
        Self {
            inner,
            cache: Arc::new(Mutex::new(Cache {
                bytes_max,
                statistics: CacheStatistics::default(),
                clock: 0,
                kept: HashMap::new(),
                by_use: BTreeMap::new(),
                running: HashMap::new(),
            })),
        }
    }

    /// Synthesizes `texts` with the voice, language and speed of `like`, so that they are ready
    /// when the first call needs them. Returns how many are ready; one that fails is left out.
    pub async fn prewarm(&self, like: &TtsRequest, texts: &[String]) -> usize {
        stream::iter(texts)
            .map(|text| async move {
                let request = TtsRequest {
                    text: text.clone(),
                    ..like.clone()
                };
                let Ok(mut events) = self.synthesize(request).await else {
                    return false;
                };
                let mut done = false;
                while let Some(event) = events.recv().await {
                    done = event == TtsEvent::Done;
                }
                done
            })
            .buffer_unordered(PREWARM_AT_ONCE)
            .filter(|done| std::future::ready(*done))
            .count()
            .await
    }

    /// What the cache holds and has done.
    #[must_use]
    pub fn statistics(&self) -> CacheStatistics {
        lock(&self.cache).statistics
    }
}

#[async_trait]
impl TextToSpeech for CachedVoice {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn synthesize(
        &self,
        request: TtsRequest,
    ) -> Result<mpsc::Receiver<TtsEvent>, ProviderError> {
        let key = Key {
            voice: request.voice.clone(),
            language: request.language.clone(),
            speed: request.speed.to_bits(),
            text: request.text.clone(),
        };
        let (recording, length) = {
            let mut cache = lock(&self.cache);
            if let Some((recording, length)) = cache.find(&key) {
                drop(cache);
                return Ok(listen(recording, length));
            }
            cache.statistics.misses += 1;
            let recording = Arc::new(Recording {
                events: Mutex::default(),
                length: watch::Sender::new(0),
            });
            let length = recording.length.subscribe();
            cache.running.insert(key.clone(), Arc::clone(&recording));
            (recording, length)
        };
        // In a task of its own: this request may be dropped while others have joined.
        let (started, start) = oneshot::channel();
        tokio::spawn(record(
            Arc::clone(&self.inner),
            request,
            started,
            Arc::clone(&self.cache),
            key,
            Arc::clone(&recording),
        ));
        match start.await {
            Ok(Ok(())) => Ok(listen(recording, length)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ProviderError::Failed("voice broke down".to_owned())),
        }
    }
}

/// Starts a synthesis and takes it down, for all who listen, until it ends or nobody listens
/// any more.
async fn record(
    voice: Arc<dyn TextToSpeech>,
    request: TtsRequest,
    started: oneshot::Sender<Result<(), ProviderError>>,
    cache: Arc<Mutex<Cache>>,
    key: Key,
    recording: Arc<Recording>,
) {
    let mut source = match voice.synthesize(request).await {
        Ok(source) => {
            // Whoever asked may be gone; others may have joined.
            let _ = started.send(Ok(()));
            source
        }
        Err(error) => {
            let fault = TtsEvent::Fault {
                retryable: error.is_retryable(),
                message: error.to_string(),
            };
            let _ = started.send(Err(error));
            recording.finish(&cache, &key, fault);
            return;
        }
    };
    loop {
        let event = tokio::select! {
            event = source.recv() => event,
            () = recording.length.closed() => {
                let mut cache = lock(&cache);
                // Joining takes the cache's lock, so that nobody can come after this look.
                if recording.length.is_closed() {
                    cache.running.remove(&key);
                    return;
                }
                continue;
            }
        };
        match event {
            Some(event @ (TtsEvent::Done | TtsEvent::Fault { .. })) => {
                recording.finish(&cache, &key, event);
                return;
            }
            Some(event) => recording.push(event),
            None => {
                let fault = TtsEvent::Fault {
                    retryable: true,
                    message: "voice ended early".to_owned(),
                };
                recording.finish(&cache, &key, fault);
                return;
            }
        }
    }
}

impl Recording {
    fn push(&self, event: TtsEvent) {
        let length = {
            let mut events = lock(&self.events);
            events.push(event);
            events.len()
        };
        self.length.send_replace(length);
    }

    /// Adds the last event; a complete utterance is kept.
    fn finish(self: &Arc<Self>, cache: &Mutex<Cache>, key: &Key, event: TtsEvent) {
        let complete = event == TtsEvent::Done;
        self.push(event);
        let mut cache = lock(cache);
        cache.running.remove(key);
        if complete {
            cache.keep(key.clone(), Arc::clone(self));
        }
    }
}

/// Plays a recording from its beginning, waiting for what has not been said yet.
fn listen(
    recording: Arc<Recording>,
    mut length: watch::Receiver<usize>,
) -> mpsc::Receiver<TtsEvent> {
    let is_last = |event: &TtsEvent| matches!(event, TtsEvent::Done | TtsEvent::Fault { .. });
    {
        let events = lock(&recording.events);
        if events.last().is_some_and(is_last) {
            let (sender, receiver) = mpsc::channel(events.len());
            for event in events.iter() {
                // The channel is as long as the recording and has not been given away yet.
                let _ = sender.try_send(event.clone());
            }
            return receiver;
        }
    }
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    tokio::spawn(async move {
        let mut next = 0;
        loop {
            let event = lock(&recording.events).get(next).cloned();
            if let Some(event) = event {
                next += 1;
                let last = is_last(&event);
                if sender.send(event).await.is_err() || last {
                    return;
                }
                continue;
            }
            tokio::select! {
                changed = length.changed() => if changed.is_err() {
                    return;
                },
                () = sender.closed() => return,
            }
        }
    });
    receiver
}

impl Cache {
    /// A kept or running recording of `key`, with a hold on it taken under the cache's lock.
    fn find(&mut self, key: &Key) -> Option<(Arc<Recording>, watch::Receiver<usize>)> {
        let recording = if let Some(kept) = self.kept.get_mut(key) {
            self.clock += 1;
            if let Some(key) = self.by_use.remove(&kept.used) {
                self.by_use.insert(self.clock, key);
            }
            kept.used = self.clock;
            self.statistics.hits += 1;
            Arc::clone(&kept.recording)
        } else {
            let recording = Arc::clone(self.running.get(key)?);
            self.statistics.joins += 1;
            recording
        };
        let length = recording.length.subscribe();
        Some((recording, length))
    }

    fn keep(&mut self, key: Key, recording: Arc<Recording>) {
        let audio: usize = lock(&recording.events)
            .iter()
            .map(|event| match event {
                TtsEvent::Audio(samples) => size_of_val::<[i16]>(samples),
                TtsEvent::Words(words) => size_of_val(words.as_slice()),
                TtsEvent::Done | TtsEvent::Fault { .. } => 0,
            })
            .sum();
        let bytes = audio + 2 * (key.text.len() + key.voice.len() + key.language.len());
        if bytes > self.bytes_max {
            return;
        }
        while self.statistics.bytes + bytes > self.bytes_max {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            if let Some(dropped) = self.kept.remove(&oldest) {
                self.statistics.bytes -= dropped.bytes;
                self.statistics.evictions += 1;
            }
        }
        self.clock += 1;
        self.statistics.bytes += bytes;
        self.by_use.insert(self.clock, key.clone());
        self.kept.insert(
            key,
            Kept {
                recording,
                bytes,
                used: self.clock,
            },
        );
        self.statistics.entries = self.kept.len();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tts::WordTiming;

    /// Hands the other end of every synthesis to the test.
    struct ScriptedVoice {
        begun: mpsc::Sender<(TtsRequest, mpsc::Sender<TtsEvent>)>,
    }

    #[async_trait]
    impl TextToSpeech for ScriptedVoice {
        fn name(&self) -> &str {
            "scripted"
        }

        async fn synthesize(
            &self,
            request: TtsRequest,
        ) -> Result<mpsc::Receiver<TtsEvent>, ProviderError> {
            if request.text.is_empty() {
                return Err(ProviderError::AtCapacity);
            }
            let (sender, receiver) = mpsc::channel(8);
            self.begun.send((request, sender)).await.unwrap();
            Ok(receiver)
        }
    }

    type Begun = mpsc::Receiver<(TtsRequest, mpsc::Sender<TtsEvent>)>;

    fn cached(bytes_max: usize) -> (Arc<CachedVoice>, Begun) {
        let (begun, receiver) = mpsc::channel(64);
        let voice = CachedVoice::new(Arc::new(ScriptedVoice { begun }), bytes_max);
        (Arc::new(voice), receiver)
    }

    fn request(text: &str) -> TtsRequest {
        TtsRequest {
            text: text.to_owned(),
            voice: String::new(),
            language: "en-US".to_owned(),
            speed: 1.0,
        }
    }

    fn audio(value: i16) -> TtsEvent {
        TtsEvent::Audio(Arc::from(vec![value; 100]))
    }

    async fn all(mut events: mpsc::Receiver<TtsEvent>) -> Vec<TtsEvent> {
        let mut heard = Vec::new();
        while let Some(event) = events.recv().await {
            heard.push(event);
        }
        heard
    }

    #[tokio::test]
    async fn a_hundred_calls_join_one_synthesis_and_later_ones_hear_the_same() {
        let (voice, mut begun) = cached(10_000);
        let mut listeners = Vec::new();
        for _ in 0..100 {
            let voice = Arc::clone(&voice);
            listeners.push(tokio::spawn(async move {
                all(voice.synthesize(request("hello")).await.unwrap()).await
            }));
        }
        let (_, source) = begun.recv().await.unwrap();
        let words = TtsEvent::Words(vec![WordTiming {
            text_range: 0..5,
            end: Duration::from_millis(400),
        }]);
        let expected = vec![words, audio(1), audio(2), TtsEvent::Done];
        for event in &expected {
            source.send(event.clone()).await.unwrap();
        }
        for listener in listeners {
            assert_eq!(listener.await.unwrap(), expected);
        }
        let again = voice.synthesize(request("hello")).await.unwrap();
        assert_eq!(all(again).await, expected);
        let statistics = voice.statistics();
        assert_eq!(statistics.misses, 1);
        assert_eq!(statistics.joins + statistics.hits, 100);
        assert_eq!(statistics.entries, 1);
        assert!(begun.try_recv().is_err());
    }

    #[tokio::test]
    async fn first_audio_is_heard_before_the_synthesis_ends() {
        let (voice, mut begun) = cached(10_000);
        let mut events = voice.synthesize(request("hello")).await.unwrap();
        let (_, source) = begun.recv().await.unwrap();
        source.send(audio(1)).await.unwrap();
        assert_eq!(events.recv().await, Some(audio(1)));
    }

    #[tokio::test]
    async fn the_last_listener_to_leave_cancels_the_synthesis() {
        let (voice, mut begun) = cached(10_000);
        let first = voice.synthesize(request("hello")).await.unwrap();
        let second = voice.synthesize(request("hello")).await.unwrap();
        let (_, source) = begun.recv().await.unwrap();
        drop(first);
        source.send(audio(1)).await.unwrap();
        assert!(!source.is_closed());
        drop(second);
        source.closed().await;
        // Nothing incomplete is kept: the same text begins anew.
        let _third = voice.synthesize(request("hello")).await.unwrap();
        assert!(begun.recv().await.is_some());
        assert_eq!(voice.statistics().entries, 0);
    }

    #[tokio::test]
    async fn failures_are_reported_and_not_kept() {
        let (voice, mut begun) = cached(10_000);
        let refused = voice.synthesize(request("")).await;
        assert!(matches!(refused, Err(ProviderError::AtCapacity)));

        let events = voice.synthesize(request("hello")).await.unwrap();
        let (_, source) = begun.recv().await.unwrap();
        drop(source);
        let heard = all(events).await;
        assert!(matches!(
            heard.as_slice(),
            [TtsEvent::Fault {
                retryable: true,
                ..
            }]
        ));
        assert_eq!(voice.statistics().entries, 0);
        assert!(lock(&voice.cache).running.is_empty());
    }

    #[tokio::test]
    async fn the_least_recently_used_utterance_makes_room() {
        let (voice, mut begun) = cached(450);
        let say = async |text: &str, begun: &mut Begun| {
            let events = voice.synthesize(request(text)).await.unwrap();
            if let Ok((_, source)) = begun.try_recv() {
                source.send(audio(1)).await.unwrap();
                source.send(TtsEvent::Done).await.unwrap();
            }
            all(events).await
        };
        say("a", &mut begun).await;
        say("b", &mut begun).await;
        say("a", &mut begun).await;
        say("c", &mut begun).await;
        let statistics = voice.statistics();
        assert_eq!((statistics.entries, statistics.evictions), (2, 1));
        assert!(statistics.bytes <= 450);
        say("a", &mut begun).await;
        assert_eq!(voice.statistics().misses, 3);
        say("b", &mut begun).await;
        assert_eq!(voice.statistics().misses, 4);
    }

    #[tokio::test]
    async fn prewarming_counts_what_is_ready() {
        let (voice, mut begun) = cached(10_000);
        let texts = ["hello".to_owned(), String::new(), "goodbye".to_owned()];
        let like = request("");
        let (ready, ()) = tokio::join!(voice.prewarm(&like, &texts), async {
            for _ in 0..2 {
                let (_, source) = begun.recv().await.unwrap();
                source.send(audio(1)).await.unwrap();
                source.send(TtsEvent::Done).await.unwrap();
            }
        });
        assert_eq!(ready, 2);
        assert_eq!(voice.statistics().entries, 2);
    }
}
