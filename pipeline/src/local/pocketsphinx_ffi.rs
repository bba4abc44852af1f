//! The few functions of libpocketsphinx that are needed, and a safe owner for a decoder.
//!
//! The declarations follow the headers of Debian's libpocketsphinx-dev and libsphinxbase-dev
//! 0.8+5prealpha. The library's log is switched off: it goes to stderr, formats by C varargs
//! that stable Rust cannot receive, and repeats what the return values say.

use std::ffi::{CStr, CString, c_char, c_double, c_float, c_int, c_long, c_short, c_void};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Once;

/// Length of the feature vector whose mean is tracked per call (`-ncep`).
pub(crate) const CEPSTRUM_LEN: usize = 13;

/// Samples per recogniser frame: 10 ms (`-frate 100`).
pub(crate) const SAMPLES_PER_DECODER_FRAME: u64 = 160;

/// Language weight of a grammar (`-lw`, the library's default), applied to its probabilities.
const GRAMMAR_WEIGHT: c_float = 6.5;

/// Running mean of the cepstrum: what a decoder has learned of one caller's voice and line.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct ChannelMean(pub(crate) [f32; CEPSTRUM_LEN]);

/// What the library refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum DecoderError {
    #[error("decoder could not be set up from the model")]
    Setup,
    #[error("text holds a NUL byte")]
    Nul,
    #[error("grammar does not compile")]
    Grammar,
    #[error("language model could not be loaded")]
    LanguageModel,
    #[error("pronunciation was refused")]
    Word,
    #[error("decoder is in the wrong state")]
    State,
}

/// A recognised word as the decoder counts: inclusive decoder frames from the utterance's start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    pub(crate) word: String,
    pub(crate) first_frame: u64,
    pub(crate) last_frame: u64,
}

/// Owns one decoder. It may move between threads; only one uses it at a time.
#[derive(Debug)]
pub(crate) struct Decoder {
    handle: NonNull<PsDecoder>,
    in_utterance: bool,
}

// SAFETY: a decoder holds no thread-local state; all methods that touch it need `&mut self` or
// are read-only, so at any time only the thread that owns the value uses it.
unsafe impl Send for Decoder {}

impl Decoder {
    /// Loads the acoustic model below `model_dir`, with the whole dictionary or with none.
    pub(crate) fn new(model_dir: &Path, with_dictionary: bool) -> Result<Self, DecoderError> {
        silence_log();
        let path = |leaf: &str| {
            let path = model_dir.join(leaf);
            path.to_str()
                .and_then(|path| CString::new(path).ok())
                .ok_or(DecoderError::Setup)
        };
        let acoustic_model = path("en-us")?;
        let dictionary = path("cmudict-en-us.dict")?;
        // SAFETY: `ps_args` returns the library's static table of options. The variadic part is
        // a list of NUL-terminated name and value pairs ended by a null pointer, all alive
        // during the call; the library copies them.
        let config = unsafe {
            if with_dictionary {
                cmd_ln_init(
                    ptr::null_mut(),
                    ps_args(),
                    1,
                    c"-hmm".as_ptr(),
                    acoustic_model.as_ptr(),
                    c"-remove_silence".as_ptr(),
                    c"no".as_ptr(),
                    c"-dict".as_ptr(),
                    dictionary.as_ptr(),
                    ptr::null::<c_char>(),
                )
            } else {
                cmd_ln_init(
                    ptr::null_mut(),
                    ps_args(),
                    1,
                    c"-hmm".as_ptr(),
                    acoustic_model.as_ptr(),
                    c"-remove_silence".as_ptr(),
                    c"no".as_ptr(),
                    ptr::null::<c_char>(),
                )
            }
        };
        if config.is_null() {
            return Err(DecoderError::Setup);
        }
        // SAFETY: `config` is valid; `ps_init` takes its own reference, so ours is given back.
        let handle = unsafe {
            let handle = ps_init(config);
            cmd_ln_free_r(config);
            handle
        };
        NonNull::new(handle)
            .map(|handle| Self {
                handle,
                in_utterance: false,
            })
            .ok_or(DecoderError::Setup)
    }

    /// Adds a pronunciation; alternatives are named `word(2)` and need `word` first.
    pub(crate) fn add_word(&mut self, word: &str, phones: &str) -> Result<(), DecoderError> {
        self.between_utterances()?;
        let word = c_string(word)?;
        let phones = c_string(phones)?;
        // SAFETY: valid handle and NUL-terminated strings. `update` is 0: searches already
        // built keep their words, whose numbers do not change when others are appended.
        let id = unsafe { ps_add_word(self.handle.as_ptr(), word.as_ptr(), phones.as_ptr(), 0) };
        if id < 0 {
            Err(DecoderError::Word)
        } else {
            Ok(())
        }
    }

    /// Whether the dictionary holds `word`.
    pub(crate) fn has_word(&mut self, word: &str) -> bool {
        let Ok(word) = c_string(word) else {
            return false;
        };
        // SAFETY: valid handle and string; the result is ours to free with `ckd_free`.
        unsafe {
            let phones = ps_lookup_word(self.handle.as_ptr(), word.as_ptr());
            let found = !phones.is_null();
            ckd_free(phones.cast());
            found
        }
    }

    /// Compiles `jsgf` into the search called `name`.
    pub(crate) fn add_grammar(&mut self, name: &str, jsgf: &str) -> Result<(), DecoderError> {
        self.between_utterances()?;
        let name = c_string(name)?;
        let jsgf = c_string(jsgf)?;
        // SAFETY: all pointers are valid for the calls. The rule is owned by the grammar, the
        // graph is reference counted and `ps_set_fsg` takes its own reference, so both are
        // released here; nothing is used after its release.
        unsafe {
            let grammar = jsgf_parse_string(jsgf.as_ptr(), ptr::null_mut());
            if grammar.is_null() {
                return Err(DecoderError::Grammar);
            }
            let rule = jsgf_get_public_rule(grammar);
            let graph = if rule.is_null() {
                ptr::null_mut()
            } else {
                let log_math = ps_get_logmath(self.handle.as_ptr());
                jsgf_build_fsg(grammar, rule, log_math, GRAMMAR_WEIGHT)
            };
            let set = if graph.is_null() {
                -1
            } else {
                let set = ps_set_fsg(self.handle.as_ptr(), name.as_ptr(), graph);
                fsg_model_free(graph);
                set
            };
            jsgf_grammar_free(grammar);
            if set < 0 {
                Err(DecoderError::Grammar)
            } else {
                Ok(())
            }
        }
    }

    /// Loads a trigram language model into the search called `name`.
    pub(crate) fn add_language_model(
        &mut self,
        name: &str,
        path: &Path,
    ) -> Result<(), DecoderError> {
        self.between_utterances()?;
        let name = c_string(name)?;
        let path = c_string(path.to_str().ok_or(DecoderError::LanguageModel)?)?;
        // SAFETY: valid handle and strings.
        let set = unsafe { ps_set_lm_file(self.handle.as_ptr(), name.as_ptr(), path.as_ptr()) };
        if set < 0 {
            Err(DecoderError::LanguageModel)
        } else {
            Ok(())
        }
    }

    /// Forgets the search called `name`, which must not be the selected one.
    pub(crate) fn remove_search(&mut self, name: &str) -> Result<(), DecoderError> {
        self.between_utterances()?;
        let name = c_string(name)?;
        // SAFETY: valid handle and string; the library ignores names it does not know.
        unsafe { ps_unset_search(self.handle.as_ptr(), name.as_ptr()) };
        Ok(())
    }

    /// Uses the search called `name` from the next utterance on.
    pub(crate) fn select_search(&mut self, name: &str) -> Result<(), DecoderError> {
        self.between_utterances()?;
        let name = c_string(name)?;
        // SAFETY: valid handle and string, no utterance is running.
        let set = unsafe { ps_set_search(self.handle.as_ptr(), name.as_ptr()) };
        if set < 0 {
            Err(DecoderError::State)
        } else {
            Ok(())
        }
    }

    /// Begins an utterance with a fresh noise estimate.
    pub(crate) fn start(&mut self) -> Result<(), DecoderError> {
        self.between_utterances()?;
        // SAFETY: valid handle, a search is selected or the library answers with an error.
        let started = unsafe {
            ps_start_stream(self.handle.as_ptr());
            ps_start_utt(self.handle.as_ptr())
        };
        if started < 0 {
            return Err(DecoderError::State);
        }
        self.in_utterance = true;
        Ok(())
    }

    /// Decodes `samples` of the running utterance.
    pub(crate) fn process(&mut self, samples: &[i16]) -> Result<(), DecoderError> {
        if !self.in_utterance {
            return Err(DecoderError::State);
        }
        // SAFETY: valid handle; the library reads exactly `samples.len()` samples and keeps no
        // pointer to them.
        let frames =
            unsafe { ps_process_raw(self.handle.as_ptr(), samples.as_ptr(), samples.len(), 0, 0) };
        if frames < 0 {
            Err(DecoderError::State)
        } else {
            Ok(())
        }
    }

    /// Ends the running utterance; its hypothesis can then be read.
    pub(crate) fn end(&mut self) -> Result<(), DecoderError> {
        if !self.in_utterance {
            return Err(DecoderError::State);
        }
        self.in_utterance = false;
        // SAFETY: valid handle with a running utterance.
        let ended = unsafe { ps_end_utt(self.handle.as_ptr()) };
        if ended < 0 {
            Err(DecoderError::State)
        } else {
            Ok(())
        }
    }

    /// Words recognised so far, without fillers; empty when there is none.
    pub(crate) fn hypothesis(&mut self) -> String {
        let mut score = 0;
        // SAFETY: valid handle; the string lives in the decoder until its next call and is
        // copied at once.
        unsafe {
            let text = ps_get_hyp(self.handle.as_ptr(), &raw mut score);
            if text.is_null() {
                String::new()
            } else {
                CStr::from_ptr(text).to_string_lossy().into_owned()
            }
        }
    }

    /// Segments of the best path, fillers and silences included.
    pub(crate) fn segments(&mut self) -> Vec<Segment> {
        let mut segments = Vec::new();
        // SAFETY: valid handle; `ps_seg_next` frees the iterator when it returns null, and the
        // loop always runs to that end. Words are copied at once.
        unsafe {
            let mut segment = ps_seg_iter(self.handle.as_ptr());
            while !segment.is_null() {
                let (mut first, mut last) = (0, 0);
                ps_seg_frames(segment, &raw mut first, &raw mut last);
                let word = ps_seg_word(segment);
                if !word.is_null() {
                    segments.push(Segment {
                        word: CStr::from_ptr(word).to_string_lossy().into_owned(),
                        first_frame: u64::try_from(first).unwrap_or(0),
                        last_frame: u64::try_from(last).unwrap_or(0),
                    });
                }
                segment = ps_seg_next(segment);
            }
        }
        segments
    }

    /// Posterior probability of the hypothesis among what the search allowed.
    pub(crate) fn posterior(&mut self) -> f64 {
        // SAFETY: valid handle; the log math belongs to the decoder.
        unsafe {
            let log_probability = ps_get_prob(self.handle.as_ptr());
            logmath_exp(ps_get_logmath(self.handle.as_ptr()), log_probability)
        }
    }

    /// What the decoder knows of the line it listens to.
    pub(crate) fn channel_mean(&mut self) -> Option<ChannelMean> {
        let state = self.mean_state()?;
        let mut mean = [0.0; CEPSTRUM_LEN];
        // SAFETY: `mean_state` has checked that the vector is as long as the array.
        unsafe { cmn_live_get(state.as_ptr(), mean.as_mut_ptr()) };
        mean.iter()
            .all(|value| value.is_finite())
            .then_some(ChannelMean(mean))
    }

    /// Continues with what is known of a line, so that calls that share a decoder do not
    /// disturb each other.
    pub(crate) fn set_channel_mean(&mut self, mean: &ChannelMean) {
        if let Some(state) = self.mean_state() {
            // SAFETY: `mean_state` has checked that the vector is as long as the array.
            unsafe { cmn_live_set(state.as_ptr(), mean.0.as_ptr()) };
        }
    }

    fn mean_state(&self) -> Option<NonNull<CmnState>> {
        // SAFETY: the feature computer lives as long as the decoder; the fields read are laid
        // out as in sphinxbase/feat.h and sphinxbase/cmn.h.
        unsafe {
            let features = NonNull::new(ps_get_feat(self.handle.as_ptr()))?;
            let state = NonNull::new(features.as_ref().cmn_struct)?;
            (state.as_ref().veclen == CEPSTRUM_LEN as c_int).then_some(state)
        }
    }

    fn between_utterances(&self) -> Result<(), DecoderError> {
        if self.in_utterance {
            Err(DecoderError::State)
        } else {
            Ok(())
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and used no more. An utterance may still run; freeing is
        // allowed then.
        unsafe { ps_free(self.handle.as_ptr()) };
    }
}

fn c_string(text: &str) -> Result<CString, DecoderError> {
    CString::new(text).map_err(|_| DecoderError::Nul)
}

fn silence_log() {
    static ONCE: Once = Once::new();
    // SAFETY: sets globals before the first decoder exists; without a file and a callback the
    // library drops its messages. The file first: setting it sets the callback too.
    ONCE.call_once(|| unsafe {
        err_set_logfp(ptr::null_mut());
        err_set_callback(None, ptr::null_mut());
    });
}

#[repr(C)]
struct PsDecoder {
    _opaque: [u8; 0],
}
#[repr(C)]
struct PsSegment {
    _opaque: [u8; 0],
}
#[repr(C)]
struct CmdLn {
    _opaque: [u8; 0],
}
#[repr(C)]
struct ArgTable {
    _opaque: [u8; 0],
}
#[repr(C)]
struct Jsgf {
    _opaque: [u8; 0],
}
#[repr(C)]
struct JsgfRule {
    _opaque: [u8; 0],
}
#[repr(C)]
struct FsgModel {
    _opaque: [u8; 0],
}
#[repr(C)]
struct LogMath {
    _opaque: [u8; 0],
}

/// `feat_t` of sphinxbase/feat.h, as far as it is needed.
#[repr(C)]
struct FeatureComputer {
    refcount: c_int,
    name: *mut c_char,
    cepsize: c_int,
    n_stream: c_int,
    stream_len: *mut u32,
    window_size: c_int,
    n_sv: c_int,
    sv_len: *mut u32,
    subvecs: *mut *mut c_int,
    sv_buf: *mut c_float,
    sv_dim: c_int,
    cmn: c_int,
    varnorm: c_int,
    agc: c_int,
    compute_feat: *mut c_void,
    cmn_struct: *mut CmnState,
}

/// `cmn_t` of sphinxbase/cmn.h.
#[repr(C)]
struct CmnState {
    cmn_mean: *mut c_float,
    cmn_var: *mut c_float,
    sum: *mut c_float,
    nframe: c_int,
    veclen: c_int,
}

type LogCallback = unsafe extern "C" fn(*mut c_void, c_int, *const c_char, ...);

#[link(name = "pocketsphinx")]
unsafe extern "C" {
    fn ps_args() -> *const ArgTable;
    fn ps_init(config: *mut CmdLn) -> *mut PsDecoder;
    fn ps_free(decoder: *mut PsDecoder) -> c_int;
    fn ps_get_logmath(decoder: *mut PsDecoder) -> *mut LogMath;
    fn ps_get_feat(decoder: *mut PsDecoder) -> *mut FeatureComputer;
    fn ps_add_word(
        decoder: *mut PsDecoder,
        word: *const c_char,
        phones: *const c_char,
        update: c_int,
    ) -> c_int;
    fn ps_lookup_word(decoder: *mut PsDecoder, word: *const c_char) -> *mut c_char;
    fn ps_start_stream(decoder: *mut PsDecoder) -> c_int;
    fn ps_start_utt(decoder: *mut PsDecoder) -> c_int;
    fn ps_process_raw(
        decoder: *mut PsDecoder,
        data: *const c_short,
        samples: usize,
        no_search: c_int,
        full_utterance: c_int,
    ) -> c_int;
    fn ps_end_utt(decoder: *mut PsDecoder) -> c_int;
    fn ps_get_hyp(decoder: *mut PsDecoder, score: *mut c_int) -> *const c_char;
    fn ps_get_prob(decoder: *mut PsDecoder) -> c_int;
    fn ps_seg_iter(decoder: *mut PsDecoder) -> *mut PsSegment;
    fn ps_seg_next(segment: *mut PsSegment) -> *mut PsSegment;
    fn ps_seg_word(segment: *mut PsSegment) -> *const c_char;
    fn ps_seg_frames(segment: *mut PsSegment, first: *mut c_int, last: *mut c_int);
    fn ps_set_search(decoder: *mut PsDecoder, name: *const c_char) -> c_int;
    fn ps_unset_search(decoder: *mut PsDecoder, name: *const c_char) -> c_int;
    fn ps_set_fsg(decoder: *mut PsDecoder, name: *const c_char, graph: *mut FsgModel) -> c_int;
    fn ps_set_lm_file(decoder: *mut PsDecoder, name: *const c_char, path: *const c_char) -> c_int;
}

#[link(name = "sphinxbase")]
unsafe extern "C" {
    fn cmd_ln_init(
        previous: *mut CmdLn,
        definition: *const ArgTable,
        strict: c_int,
        ...
    ) -> *mut CmdLn;
    fn cmd_ln_free_r(config: *mut CmdLn) -> c_int;
    fn ckd_free(pointer: *mut c_void);
    fn err_set_callback(callback: Option<LogCallback>, user_data: *mut c_void);
    fn err_set_logfp(file: *mut c_void);
    fn jsgf_parse_string(text: *const c_char, parent: *mut Jsgf) -> *mut Jsgf;
    fn jsgf_grammar_free(grammar: *mut Jsgf);
    fn jsgf_get_public_rule(grammar: *mut Jsgf) -> *mut JsgfRule;
    fn jsgf_build_fsg(
        grammar: *mut Jsgf,
        rule: *mut JsgfRule,
        log_math: *mut LogMath,
        weight: c_float,
    ) -> *mut FsgModel;
    fn fsg_model_free(graph: *mut FsgModel) -> c_int;
    fn logmath_exp(log_math: *mut LogMath, log_probability: c_int) -> c_double;
    fn cmn_live_get(state: *mut CmnState, mean: *mut c_float);
    fn cmn_live_set(state: *mut CmnState, mean: *const c_float);
}

const _: () = assert!(size_of::<c_long>() == 8, "written for LP64 systems");
