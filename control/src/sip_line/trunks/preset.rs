//! What carriers are known to want. A preset fills only what the trunk leaves open.
//!
//! Addresses are not among it: carriers change them, and who may call is not to be decided by an
//! old list. Copy them from the carrier's page into `addresses`.

use std::time::Duration;

use crate::config::{CallerIdForm, SipCodec, TrunkPreset, TrunkSection};

/// The trunk with its preset's values filled in.
pub(super) fn filled(mut trunk: TrunkSection) -> TrunkSection {
    let Some(preset) = trunk.preset else {
        return trunk;
    };
    let known = Known::of(preset);
    if trunk.uris.is_empty() {
        trunk.uris = known.uris.iter().map(|&uri| uri.to_owned()).collect();
    }
    if trunk.codecs.is_empty() {
        trunk.codecs = known.codecs.to_vec();
    }
    if trunk.options_interval.is_zero() && !trunk.uris.is_empty() {
        trunk.options_interval = Duration::from_secs(60);
    }
    if trunk.calls_per_second <= 0.0 {
        trunk.calls_per_second = known.calls_per_second;
    }
    if trunk.caller_id_form == CallerIdForm::From {
        trunk.caller_id_form = known.caller_id_form;
    }
    trunk.plus.get_or_insert(known.plus);
    trunk
}

struct Known {
    uris: &'static [&'static str],
    codecs: &'static [SipCodec],
    calls_per_second: f64,
    caller_id_form: CallerIdForm,
    plus: bool,
}

impl Known {
    const fn of(preset: TrunkPreset) -> Self {
        use SipCodec::{G722, Opus, Pcma, Pcmu};
        let plain = Self {
            uris: &[],
            codecs: &[Pcmu, Pcma],
            calls_per_second: 0.0,
            caller_id_form: CallerIdForm::From,
            plus: true,
        };
        match preset {
            // The termination name is the account's own: <name>.pstn.twilio.com.
            TrunkPreset::Twilio | TrunkPreset::Plivo => plain,
            TrunkPreset::Telnyx => Self {
                uris: &["sip:sip.telnyx.com;transport=tls", "sip:sip.telnyx.com"],
                codecs: &[Opus, G722, Pcmu, Pcma],
                caller_id_form: CallerIdForm::AssertedIdentity,
                ..plain
            },
            // India speaks A-law; 200 calls a minute for each trunk.
            TrunkPreset::Exotel => Self {
                codecs: &[Pcma, Pcmu],
                calls_per_second: 3.0,
                ..plain
            },
            TrunkPreset::Vonage => Self {
                uris: &["sip:sip.nexmo.com"],
                plus: false,
                ..plain
            },
            TrunkPreset::Livekit => Self {
                codecs: &[Opus, G722, Pcmu, Pcma],
                ..plain
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_wins_over_the_preset() {
        let written = TrunkSection {
            preset: Some(TrunkPreset::Telnyx),
            codecs: vec![SipCodec::Pcma],
            ..TrunkSection::default()
        };
        let trunk = filled(written);
        assert_eq!(trunk.codecs, [SipCodec::Pcma]);
        assert_eq!(trunk.uris.len(), 2);
        assert_eq!(trunk.plus, Some(true));
        let bare = filled(TrunkSection::default());
        assert!(bare.uris.is_empty() && bare.plus.is_none());
    }
}
