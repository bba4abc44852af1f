//! The metrics, by name. No ids, numbers or agent names as labels.

use std::sync::OnceLock;

use media::dsp::echo::EchoReport;
use media::net::counters::{EngineCounters, SLOT_BUCKETS_US};
use media::recording::RecordingSummary;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use pipeline::call::{CallEvent, OverlapVerdict, TurnTimings};
use pipeline::provider_health::ProviderHealth;
use pipeline::tts::cache::CacheStatistics;

use crate::calls::admission::Refusal;
use crate::calls::outcome::{CallOutcome, name};

/// Buckets of latencies in seconds: one frame, then up to and beyond the response budget.
const LATENCY_BUCKETS: [f64; 14] = [
    0.02, 0.04, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5, 2.5, 5.0,
];
/// Buckets of losses in dB.
const DECIBEL_BUCKETS: [f64; 8] = [3.0, 6.0, 9.0, 12.0, 15.0, 20.0, 25.0, 30.0];
/// Buckets of group sizes.
const GROUP_BUCKETS: [f64; 7] = [1.0, 2.0, 4.0, 16.0, 64.0, 128.0, 256.0];

/// The process's one recorder.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder once and gives access to it.
///
/// # Errors
/// When another recorder is installed already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    if let Some(handle) = RECORDER.get() {
        return Ok(handle.clone());
    }
    let suffix = Matcher::Suffix("_seconds".to_owned());
    let decibels = Matcher::Suffix("_db".to_owned());
    let group = Matcher::Full("samvad_store_group_size".to_owned());
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(suffix, &LATENCY_BUCKETS)?
        .set_buckets_for_metric(decibels, &DECIBEL_BUCKETS)?
        .set_buckets_for_metric(group, &GROUP_BUCKETS)?
        .build_recorder();
    let handle = recorder.handle();
    // Two tests may come here at once; the first recorder stays.
    let _ = metrics::set_global_recorder(recorder);
    let handle = RECORDER.get_or_init(|| handle).clone();
    describe();
    Ok(handle)
}

fn describe() {
    describe_counter!("samvad_calls_total", "Calls that began, by carrier.");
    describe_counter!(
        "samvad_calls_refused_total",
        "Calls refused before they began, by carrier and reason."
    );
    describe_counter!(
        "samvad_calls_ended_total",
        "Calls that ended, by carrier, class and reason."
    );
    describe_gauge!("samvad_calls_active", "Calls on the line.");
    describe_histogram!(
        "samvad_turn_latency_seconds",
        "Latency of agent turns, by span; voice_to_voice is the whole."
    );
    describe_counter!(
        "samvad_overlaps_total",
        "Times a caller talked over the agent, by verdict."
    );
    describe_histogram!(
        "samvad_overlap_decision_seconds",
        "From the onset of overlapping speech to the verdict."
    );
    describe_counter!(
        "samvad_provider_faults_total",
        "Failures of recognisers, models, voices and tools, by part and provider."
    );
    describe_counter!(
        "samvad_provider_requests_total",
        "Requests to providers in fallback lists, by part, configured name and outcome."
    );
    describe_gauge!(
        "samvad_provider_breaker_open",
        "1 while requests are kept away from a provider because it fails."
    );
    describe_histogram!("samvad_tool_seconds", "How long tools ran.");
    describe_histogram!("samvad_store_group_size", "Writes per commit.");
    describe_histogram!(
        "samvad_echo_return_loss_enhancement_db",
        "By how much the canceller lowered the echo, per call with an echo, by carrier."
    );
    describe_histogram!(
        "samvad_echo_delay_seconds",
        "Delay of the echo, per call with an echo, by carrier."
    );
    describe_counter!(
        "samvad_echo_masked_milliseconds_total",
        "Audible echo kept from being taken for the caller, by carrier."
    );
    describe_counter!(
        "samvad_echo_path_changes_total",
        "Times an echo path was lost and learnt anew, by carrier."
    );
    describe_gauge!("samvad_store_queue", "Writes that wait for the store.");
    describe_counter!(
        "samvad_stream_messages_rejected_total",
        "Websocket messages of carriers that were not understood, by carrier."
    );
}

/// A call began.
pub fn call_began(carrier: &'static str) {
    counter!("samvad_calls_total", "carrier" => carrier).increment(1);
}

/// A call was refused.
pub fn call_refused(carrier: &'static str, refusal: Refusal) {
    counter!("samvad_calls_refused_total", "carrier" => carrier, "reason" => refusal.name())
        .increment(1);
}

/// A call ended.
pub fn call_ended(carrier: &'static str, outcome: CallOutcome) {
    counter!(
        "samvad_calls_ended_total",
        "carrier" => carrier,
        "class" => outcome.class_name(),
        "reason" => outcome.reason_name(),
    )
    .increment(1);
}

/// How a provider fares.
pub fn provider_health(health: &ProviderHealth) {
    let counts = health.counts();
    let labels = [
        ("part", health.part().to_owned()),
        ("provider", health.name().to_owned()),
    ];
    for (outcome, count) in [
        ("succeeded", counts.succeeded),
        ("failed", counts.failed),
        ("stood_in", counts.stood_in),
        ("continued", counts.continued),
    ] {
        counter!(
            "samvad_provider_requests_total",
            "part" => health.part(),
            "provider" => health.name().to_owned(),
            "outcome" => outcome,
        )
        .absolute(count);
    }
    gauge!("samvad_provider_breaker_open", &labels).set(f64::from(u8::from(counts.open)));
}

/// A carrier's message was not understood.
pub fn stream_message_rejected(carrier: &'static str) {
    counter!("samvad_stream_messages_rejected_total", "carrier" => carrier).increment(1);
}

/// A leg with echo control has ended.
pub fn leg_echo(carrier: &'static str, echo: &EchoReport) {
    counter!("samvad_echo_masked_milliseconds_total", "carrier" => carrier)
        .increment(echo.masked_ms.into());
    counter!("samvad_echo_path_changes_total", "carrier" => carrier)
        .increment(echo.path_changes.into());
    if echo.converged {
        histogram!("samvad_echo_return_loss_enhancement_db", "carrier" => carrier)
            .record(f64::from(echo.erle_db));
        histogram!("samvad_echo_delay_seconds", "carrier" => carrier)
            .record(f64::from(echo.delay_ms) / 1e3);
    }
}

/// A recording was finished.
pub fn recording_finished(recording: &RecordingSummary) {
    counter!("samvad_recordings_total").increment(1);
    counter!("samvad_recording_blocks_dropped_total").increment(recording.blocks_dropped);
    if recording.error.is_some() {
        counter!("samvad_recordings_incomplete_total").increment(1);
    }
}

/// Something happened in a conversation.
pub fn call_event(event: &CallEvent) {
    match event {
        CallEvent::Turn(turn) => {
            if let Some(timings) = &turn.timings {
                turn_timings(timings);
            }
        }
        CallEvent::Overlap {
            verdict,
            decision_ms,
            ..
        } => overlap(*verdict, *decision_ms),
        CallEvent::Tool {
            duration_ms,
            is_error,
            ..
        } => {
            histogram!("samvad_tool_seconds").record(*duration_ms as f64 / 1e3);
            if *is_error {
                counter!("samvad_tool_errors_total").increment(1);
            }
        }
        CallEvent::ProviderFault { part, provider, .. } => {
            counter!(
                "samvad_provider_faults_total",
                "part" => part.clone(),
                "provider" => provider.clone(),
            )
            .increment(1);
        }
        CallEvent::Usage(usage) => {
            counter!("samvad_llm_tokens_total", "kind" => "input").increment(usage.input_tokens);
            counter!("samvad_llm_tokens_total", "kind" => "output").increment(usage.output_tokens);
        }
        _ => {}
    }
}

fn overlap(verdict: OverlapVerdict, decision_ms: u64) {
    counter!("samvad_overlaps_total", "verdict" => name(&verdict)).increment(1);
    histogram!("samvad_overlap_decision_seconds").record(decision_ms as f64 / 1e3);
}

fn turn_timings(timings: &TurnTimings) {
    let spans = [
        ("vad_lag", timings.vad_lag),
        ("endpoint_wait", timings.endpoint_wait),
        ("dispatch", timings.dispatch),
        ("llm_ttft", timings.llm_ttft),
        ("chunking", timings.chunking),
        ("tts_ttfb", timings.tts_ttfb),
        ("lead_silence", timings.lead_silence),
        ("gate_hold", timings.gate_hold),
        ("out_queue", timings.out_queue),
        ("carrier", timings.carrier),
        ("voice_to_voice", timings.voice_to_voice),
    ];
    let stt = timings.stt_ttfs.map(|us| ("stt_ttfs", us));
    for (span, us) in spans.into_iter().chain(stt) {
        histogram!("samvad_turn_latency_seconds", "span" => span).record(us as f64 / 1e6);
    }
}

/// The media workers' counters, taken at the time of the scrape.
pub fn engine(counters: &EngineCounters) {
    gauge!("samvad_media_legs").set(counters.legs as f64);
    gauge!("samvad_media_port_pairs_used").set(counters.port_pairs_used as f64);
    gauge!("samvad_media_port_pairs").set(counters.port_pairs as f64);
    gauge!("samvad_media_slot_seconds_max").set(counters.slot_us_max as f64 / 1e6);
    for (name, value) in [
        ("samvad_media_legs_opened_total", counters.legs_opened),
        ("samvad_media_legs_finished_total", counters.legs_finished),
        ("samvad_media_slots_late_total", counters.slots_late),
        ("samvad_media_ticks_skipped_total", counters.ticks_skipped),
        (
            "samvad_media_packets_received_total",
            counters.packets_received,
        ),
        ("samvad_media_packets_sent_total", counters.packets_sent),
        ("samvad_media_send_failures_total", counters.send_failures),
        ("samvad_media_floods_total", counters.floods),
        (
            "samvad_media_ready_queue_full_total",
            counters.ready_queue_full,
        ),
    ] {
        counter!(name).absolute(value);
    }
    // Kept cumulative, as histogram buckets are; the workers count them themselves.
    let mut cumulative = 0;
    let bounds = SLOT_BUCKETS_US.map(|us| (us as f64 / 1e6).to_string());
    let bounds = bounds.into_iter().chain(["+Inf".to_owned()]);
    for (bound, count) in bounds.zip(counters.slot_us) {
        cumulative += count;
        counter!("samvad_media_slots_total", "le" => bound).absolute(cumulative);
    }
}

/// The SIP endpoint's counters, taken at the time of the scrape.
pub fn sip(counters: &sip::event::Counters) {
    gauge!("samvad_sip_sessions").set(counters.sessions as f64);
    gauge!("samvad_sip_transactions", "side" => "client").set(counters.client_transactions as f64);
    gauge!("samvad_sip_transactions", "side" => "server").set(counters.server_transactions as f64);
    for (name, value) in [
        (
            "samvad_sip_datagrams_received_total",
            counters.datagrams_received,
        ),
        ("samvad_sip_datagrams_sent_total", counters.datagrams_sent),
        ("samvad_sip_malformed_total", counters.malformed),
        ("samvad_sip_retransmits_total", counters.retransmits),
        (
            "samvad_sip_repeats_absorbed_total",
            counters.repeats_absorbed,
        ),
        ("samvad_sip_stray_responses_total", counters.stray_responses),
        (
            "samvad_sip_refused_at_capacity_total",
            counters.refused_at_capacity,
        ),
        (
            "samvad_sip_invites_received_total",
            counters.invites_received,
        ),
        ("samvad_sip_invites_sent_total", counters.invites_sent),
        ("samvad_sip_challenges_met_total", counters.challenges_met),
        ("samvad_sip_failovers_total", counters.failovers),
        ("samvad_sip_auth_failures_total", counters.auth_failures),
        ("samvad_sip_bans_total", counters.guard.bans),
    ] {
        counter!(name).absolute(value);
    }
    for reason in sip::guard::DropReason::ALL {
        counter!("samvad_sip_dropped_total", "reason" => reason.name())
            .absolute(counters.guard.dropped(reason));
    }
    gauge!("samvad_sip_sources_remembered").set(counters.guard.sources as f64);
    gauge!("samvad_sip_registered_users").set(counters.registered_users as f64);
}

/// Trunks as they stand at the time of the scrape. Their names are the operator's, and few.
pub fn trunks(trunks: &[crate::sip_line::trunks::Trunk]) {
    for trunk in trunks {
        let name = trunk.name().to_owned();
        gauge!("samvad_trunk_calls", "trunk" => name.clone()).set(f64::from(trunk.calls()));
        let up = match trunk.health() {
            crate::sip_line::trunks::Health::Down => 0.0,
            crate::sip_line::trunks::Health::Up | crate::sip_line::trunks::Health::Unknown => 1.0,
        };
        gauge!("samvad_trunk_up", "trunk" => name).set(up);
    }
}

/// State of an in-process recogniser.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RecogniserGauges {
    /// Decoders made so far.
    pub slots_created: u64,
    /// Decoders at work.
    pub slots_busy: u64,
    /// Utterances that wait for a decoder.
    pub waiting: u64,
    /// Utterances decoded.
    pub utterances: u64,
    /// Utterances given up because too many waited.
    pub overloaded: u64,
    /// Utterances a decoder failed on.
    pub failed: u64,
    /// Utterances cut for their length.
    pub truncated: u64,
}

/// An in-process recogniser's state, taken at the time of the scrape.
pub fn recogniser(state: &RecogniserGauges) {
    gauge!("samvad_stt_slots", "state" => "created").set(state.slots_created as f64);
    gauge!("samvad_stt_slots", "state" => "busy").set(state.slots_busy as f64);
    gauge!("samvad_stt_waiting").set(state.waiting as f64);
    counter!("samvad_stt_utterances_total").absolute(state.utterances);
    counter!("samvad_stt_overloaded_total").absolute(state.overloaded);
    counter!("samvad_stt_failed_total").absolute(state.failed);
    counter!("samvad_stt_truncated_total").absolute(state.truncated);
}

/// The speech cache's state, taken at the time of the scrape.
pub fn tts_cache(state: &CacheStatistics) {
    gauge!("samvad_tts_cache_bytes").set(state.bytes as f64);
    gauge!("samvad_tts_cache_entries").set(state.entries as f64);
    counter!("samvad_tts_cache_total", "result" => "hit").absolute(state.hits);
    counter!("samvad_tts_cache_total", "result" => "join").absolute(state.joins);
    counter!("samvad_tts_cache_total", "result" => "miss").absolute(state.misses);
    counter!("samvad_tts_cache_evictions_total").absolute(state.evictions);
}

/// Gauges of the product itself, taken at the time of the scrape.
pub fn product(calls_active: usize, store_queue: usize) {
    gauge!("samvad_calls_active").set(calls_active as f64);
    gauge!("samvad_store_queue").set(store_queue as f64);
}
