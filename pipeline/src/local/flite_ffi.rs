//! The few functions of libflite that are needed, and a safe way to synthesize one text.
//!
//! The declarations follow the headers of Debian's flite1-dev 2.2. Voices are registered once,
//! under a lock, and are read-only from then on: everything that belongs to one synthesis
//! (rate, streaming call-back) is set on its utterance, never on the voice, so several threads
//! may synthesize at once. (Checked with helgrind over slt and kal16.)

#[cfg(feature = "simulation")]
use std::ffi::c_uint;
use std::ffi::{CStr, CString, c_char, c_float, c_int, c_short, c_void};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
#[cfg(feature = "simulation")]
use std::sync::{Mutex, PoisonError};

/// Samples flite synthesizes between two calls of the call-back: 20 ms.
const CALLBACK_SAMPLES: c_int = 320;

/// A voice compiled into the library.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FliteVoiceName {
    Slt,
    Rms,
    Awb,
    Kal16,
}

/// A token of the text, as flite split it, with the end of its last sound in seconds.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct SpokenToken {
    pub(crate) name: String,
    pub(crate) end_s: f32,
}

/// Receives what a synthesis produces.
pub(crate) trait SynthesisSink {
    /// The tokens of the text; once, before the first samples.
    fn tokens(&mut self, tokens: Vec<SpokenToken>);
    /// The next samples at `rate` Hz; `Break` stops the synthesis.
    fn samples(&mut self, samples: &[i16], rate: u32) -> ControlFlow<()>;
}

/// Synthesizes `text`, which must be ASCII; `false` when flite failed.
pub(crate) fn synthesize(
    voice: FliteVoiceName,
    text: &str,
    duration_stretch: f32,
    sink: &mut dyn SynthesisSink,
) -> bool {
    let (Some(voice), Ok(text)) = (voice_pointer(voice), CString::new(text)) else {
        return false;
    };
    let mut context = CallbackContext {
        sink,
        utterance: ptr::null_mut(),
        begun: false,
    };
    // SAFETY: the utterance is ours until `flite_do_synth` returns: on failure it has deleted
    // it and returns null, else we delete it. The streaming information belongs to the
    // utterance's features from `feat_set` on. `context` outlives the synthesis, the only time
    // the call-back runs. Strings are copied by `feat_set_string`.
    unsafe {
        let utterance = new_utterance();
        let streaming = new_audio_streaming_info();
        if utterance.is_null() || streaming.is_null() {
            return false;
        }
        context.utterance = utterance;
        (*streaming).min_buffsize = CALLBACK_SAMPLES;
        (*streaming).asc = Some(on_audio);
        (*streaming).userdata = (&raw mut context).cast();
        let features = (*utterance).features;
        feat_set(
            features,
            c"streaming_info".as_ptr(),
            audio_streaming_info_val(streaming),
        );
        feat_set_string(features, c"input_text".as_ptr(), text.as_ptr());
        feat_set_float(features, c"duration_stretch".as_ptr(), duration_stretch);
        let done = flite_do_synth(utterance, voice.as_ptr(), utt_synth);
        if done.is_null() {
            return false;
        }
        delete_utterance(done);
    }
    true
}

/// [`synthesize`] with the same samples each time: flite's excitation takes its noise from the
/// C library's generator, which is set from the text first. Only one such synthesis runs at a
/// time; others, in other threads, would disturb it.
#[cfg(feature = "simulation")]
pub(crate) fn synthesize_repeatably(
    voice: FliteVoiceName,
    text: &str,
    duration_stretch: f32,
    sink: &mut dyn SynthesisSink,
) -> bool {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let seed = text.bytes().fold(voice as c_uint, |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(byte.into())
    });
    // SAFETY: sets the state of a generator; no pointers.
    unsafe { srand(seed) };
    synthesize(voice, text, duration_stretch, sink)
}

/// Phones (CMU dictionary notation, no stress) that the US English lexicon and its
/// letter-to-sound rules give a word.
#[cfg_attr(not(feature = "stt-pocketsphinx"), expect(dead_code))]
pub(crate) fn letter_to_sound(word: &str) -> Option<String> {
    let voice = voice_pointer(FliteVoiceName::Slt)?;
    let word = CString::new(word.to_ascii_lowercase()).ok()?;
    let mut phones: Vec<String> = Vec::new();
    // SAFETY: the voice's features and lexicon live as long as the process. The list returned
    // is ours and deleted once; its strings are copied.
    unsafe {
        let lexicon = val_lexicon(feat_val((*voice.as_ptr()).features, c"lexicon".as_ptr()));
        if lexicon.is_null() {
            return None;
        }
        let list = lex_lookup(lexicon, word.as_ptr(), ptr::null(), ptr::null());
        let mut rest: *const CstVal = list;
        while !rest.is_null() {
            let phone = CStr::from_ptr(val_string(val_car(rest))).to_string_lossy();
            phones.push(match phone.trim_end_matches(|c: char| c.is_ascii_digit()) {
                "ax" => "AH".to_owned(),
                "axr" => "ER".to_owned(),
                phone => phone.to_ascii_uppercase(),
            });
            rest = val_cdr(rest);
        }
        delete_val(list);
    }
    (!phones.is_empty()).then(|| phones.join(" "))
}

struct CallbackContext<'a> {
    sink: &'a mut dyn SynthesisSink,
    utterance: *mut CstUtterance,
    begun: bool,
}

unsafe extern "C" fn on_audio(
    wave: *const CstWave,
    start: c_int,
    size: c_int,
    _last: c_int,
    streaming: *mut AudioStreamingInfo,
) -> c_int {
    // SAFETY: flite passes the streaming information set up in `synthesize`, whose `userdata`
    // is the context that outlives the call, and a wave of which `size` samples from `start`
    // are complete; both numbers are checked.
    let go_on = unsafe {
        let context = &mut *(*streaming).userdata.cast::<CallbackContext<'_>>();
        if !context.begun {
            context.begun = true;
            context.sink.tokens(spoken_tokens(context.utterance));
        }
        let (Ok(start), Ok(size)) = (usize::try_from(start), usize::try_from(size)) else {
            return STREAM_STOP;
        };
        if size == 0 {
            return STREAM_CONTINUE;
        }
        let samples = std::slice::from_raw_parts((*wave).samples.add(start), size);
        let rate = u32::try_from((*wave).sample_rate).unwrap_or(0);
        // A panic must not cross the C frames above.
        catch_unwind(AssertUnwindSafe(|| context.sink.samples(samples, rate)))
    };
    match go_on {
        Ok(ControlFlow::Continue(())) => STREAM_CONTINUE,
        Ok(ControlFlow::Break(())) | Err(_) => STREAM_STOP,
    }
}

/// Reads tokens and their ends from a synthesized utterance.
///
/// # Safety
/// `utterance` must be alive and past the stage that predicts durations.
unsafe fn spoken_tokens(utterance: *mut CstUtterance) -> Vec<SpokenToken> {
    let mut tokens = Vec::new();
    // SAFETY: by the function's contract; flite's accessors accept null items and answer null,
    // and strings are copied at once.
    unsafe {
        if utt_relation_present(utterance, c"Token".as_ptr()) == 0 {
            return tokens;
        }
        let mut token = relation_head(utt_relation(utterance, c"Token".as_ptr()));
        while !token.is_null() {
            let word = item_last_daughter(token);
            let end_s = if word.is_null() {
                0.0
            } else {
                ffeature_float(word, c"R:SylStructure.daughtern.daughtern.end".as_ptr())
            };
            let name = item_feat_string(token, c"name".as_ptr());
            if !name.is_null() {
                tokens.push(SpokenToken {
                    name: CStr::from_ptr(name).to_string_lossy().into_owned(),
                    end_s,
                });
            }
            token = item_next(token);
        }
    }
    tokens
}

#[derive(Clone, Copy)]
struct VoicePointer(NonNull<CstVoice>);

// SAFETY: registered voices live as long as the process and are only read (see the module).
unsafe impl Send for VoicePointer {}
// SAFETY: as above.
unsafe impl Sync for VoicePointer {}

fn voice_pointer(name: FliteVoiceName) -> Option<NonNull<CstVoice>> {
    static VOICES: OnceLock<[Option<VoicePointer>; 4]> = OnceLock::new();
    let voices = VOICES.get_or_init(|| {
        // SAFETY: the library's initialisation is not thread-safe; the lock of `OnceLock` lets
        // one thread do it once. A null folder means the voice compiled in.
        let pointers = unsafe {
            flite_init();
            [
                register_cmu_us_slt(ptr::null()),
                register_cmu_us_rms(ptr::null()),
                register_cmu_us_awb(ptr::null()),
                register_cmu_us_kal16(ptr::null()),
            ]
        };
        pointers.map(|pointer| NonNull::new(pointer).map(VoicePointer))
    });
    let index = match name {
        FliteVoiceName::Slt => 0,
        FliteVoiceName::Rms => 1,
        FliteVoiceName::Awb => 2,
        FliteVoiceName::Kal16 => 3,
    };
    voices[index].map(|voice| voice.0)
}

const STREAM_CONTINUE: c_int = 0;
const STREAM_STOP: c_int = -1;

#[repr(C)]
struct CstFeatures {
    _opaque: [u8; 0],
}
#[repr(C)]
struct CstVal {
    _opaque: [u8; 0],
}
#[repr(C)]
struct CstLexicon {
    _opaque: [u8; 0],
}
#[repr(C)]
struct CstRelation {
    _opaque: [u8; 0],
}
#[repr(C)]
struct CstItem {
    _opaque: [u8; 0],
}

/// First fields of `cst_voice_struct`.
#[repr(C)]
struct CstVoice {
    name: *const c_char,
    features: *mut CstFeatures,
}

/// First field of `cst_utterance_struct`.
#[repr(C)]
struct CstUtterance {
    features: *mut CstFeatures,
}

/// `cst_wave_struct`.
#[repr(C)]
struct CstWave {
    kind: *const c_char,
    sample_rate: c_int,
    num_samples: c_int,
    num_channels: c_int,
    samples: *mut c_short,
}

type AudioCallback =
    unsafe extern "C" fn(*const CstWave, c_int, c_int, c_int, *mut AudioStreamingInfo) -> c_int;

/// `cst_audio_streaming_info_struct`.
#[repr(C)]
struct AudioStreamingInfo {
    min_buffsize: c_int,
    asc: Option<AudioCallback>,
    utt: *const CstUtterance,
    item: *const CstItem,
    userdata: *mut c_void,
}

#[link(name = "flite_cmu_us_slt")]
unsafe extern "C" {
    fn register_cmu_us_slt(folder: *const c_char) -> *mut CstVoice;
}
#[link(name = "flite_cmu_us_rms")]
unsafe extern "C" {
    fn register_cmu_us_rms(folder: *const c_char) -> *mut CstVoice;
}
#[link(name = "flite_cmu_us_awb")]
unsafe extern "C" {
    fn register_cmu_us_awb(folder: *const c_char) -> *mut CstVoice;
}
#[link(name = "flite_cmu_us_kal16")]
unsafe extern "C" {
    fn register_cmu_us_kal16(folder: *const c_char) -> *mut CstVoice;
}
#[link(name = "flite_usenglish")]
unsafe extern "C" {}
#[link(name = "flite_cmulex")]
unsafe extern "C" {}
#[cfg(feature = "simulation")]
unsafe extern "C" {
    fn srand(seed: c_uint);
}
#[link(name = "flite")]
unsafe extern "C" {
    fn flite_init() -> c_int;
    fn new_utterance() -> *mut CstUtterance;
    fn delete_utterance(utterance: *mut CstUtterance);
    fn flite_do_synth(
        utterance: *mut CstUtterance,
        voice: *mut CstVoice,
        synthesis: unsafe extern "C" fn(*mut CstUtterance) -> *mut CstUtterance,
    ) -> *mut CstUtterance;
    fn utt_synth(utterance: *mut CstUtterance) -> *mut CstUtterance;
    fn utt_relation(utterance: *const CstUtterance, name: *const c_char) -> *mut CstRelation;
    fn utt_relation_present(utterance: *mut CstUtterance, name: *const c_char) -> c_int;
    fn relation_head(relation: *mut CstRelation) -> *mut CstItem;
    fn item_next(item: *const CstItem) -> *mut CstItem;
    fn item_last_daughter(item: *const CstItem) -> *mut CstItem;
    fn item_feat_string(item: *const CstItem, name: *const c_char) -> *const c_char;
    fn ffeature_float(item: *const CstItem, path: *const c_char) -> c_float;
    fn new_audio_streaming_info() -> *mut AudioStreamingInfo;
    fn audio_streaming_info_val(streaming: *mut AudioStreamingInfo) -> *mut CstVal;
    fn feat_set(features: *mut CstFeatures, name: *const c_char, value: *const CstVal);
    fn feat_set_string(features: *mut CstFeatures, name: *const c_char, value: *const c_char);
    fn feat_set_float(features: *mut CstFeatures, name: *const c_char, value: c_float);
    fn feat_val(features: *const CstFeatures, name: *const c_char) -> *const CstVal;
    fn val_lexicon(value: *const CstVal) -> *mut CstLexicon;
    fn lex_lookup(
        lexicon: *const CstLexicon,
        word: *const c_char,
        part_of_speech: *const c_char,
        features: *const CstFeatures,
    ) -> *mut CstVal;
    fn val_car(value: *const CstVal) -> *const CstVal;
    fn val_cdr(value: *const CstVal) -> *const CstVal;
    fn val_string(value: *const CstVal) -> *const c_char;
    fn delete_val(value: *mut CstVal);
}
