//! What the engine itself says when the model has nothing to say.

/// Built-in sentences of one language.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Phrases {
    /// To a silent caller.
    pub still_there: &'static str,
    /// To a caller who stays silent.
    pub goodbye_silent: &'static str,
    /// Some time before the longest call ends.
    pub warning: &'static str,
    /// At the end of the longest call.
    pub goodbye_limit: &'static str,
    /// When the credit for the call ends.
    pub goodbye_credit: &'static str,
    /// When a provider has failed for good.
    pub apology: &'static str,
    /// When the model only runs tools.
    pub no_result: &'static str,
}

const ENGLISH: Phrases = Phrases {
    still_there: "Are you still there?",
    goodbye_silent: "I can't hear you, so I will hang up now. Goodbye.",
    warning: "Please note that this call will end in about half a minute.",
    goodbye_limit: "We have reached the time limit of this call. Goodbye.",
    goodbye_credit: "I'm sorry, the credit for this call is used up. Goodbye.",
    apology: "I'm sorry, we have a technical problem. Please call again later. Goodbye.",
    no_result: "I'm sorry, I could not complete that. What else can I do for you?",
};

const HINDI: Phrases = Phrases {
    still_there: "क्या आप लाइन पर हैं?",
    goodbye_silent: "मुझे आपकी आवाज़ नहीं आ रही है, इसलिए मैं फ़ोन रख रही हूँ। धन्यवाद।",
    warning: "कृपया ध्यान दें, यह कॉल लगभग आधे मिनट में समाप्त हो जाएगी।",
    goodbye_limit: "इस कॉल का समय समाप्त हो गया है। धन्यवाद।",
    goodbye_credit: "क्षमा कीजिए, इस कॉल के लिए राशि समाप्त हो गई है। धन्यवाद।",
    apology: "क्षमा कीजिए, तकनीकी समस्या के कारण हम बात नहीं कर पा रहे हैं। कृपया बाद में फ़ोन कीजिए।",
    no_result: "क्षमा कीजिए, मैं यह नहीं कर पाई। मैं और क्या कर सकती हूँ?",
};

impl Phrases {
    /// The sentences for a BCP 47 tag; English where there are none.
    #[must_use]
    pub fn of(language: &str) -> Self {
        match language.split(['-', '_']).next() {
            Some("hi") => HINDI,
            _ => ENGLISH,
        }
    }
}
