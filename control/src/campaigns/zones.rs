//! Time zones of telephone numbers, by country calling code (ITU-T E.164).

use chrono_tz::Tz;

/// Calling codes and the zones people there live in; for countries with several, all that differ
/// from each other, so that hours hold wherever in the country the number is.
const ZONES: &[(&str, &[Tz])] = {
    use chrono_tz::{Africa as Af, America as Am, Asia as As, Australia as Au, Europe as Eu};
    use chrono_tz::{Atlantic, Pacific};
    &[
        (
            "1",
            &[
                Am::New_York,
                Am::Chicago,
                Am::Denver,
                Am::Los_Angeles,
                Am::Anchorage,
                Pacific::Honolulu,
            ],
        ),
        ("20", &[Af::Cairo]),
        ("27", &[Af::Johannesburg]),
        ("30", &[Eu::Athens]),
        ("31", &[Eu::Amsterdam]),
        ("32", &[Eu::Brussels]),
        ("33", &[Eu::Paris]),
        ("34", &[Eu::Madrid, Atlantic::Canary]),
        ("351", &[Eu::Lisbon, Atlantic::Azores]),
        ("353", &[Eu::Dublin]),
        ("358", &[Eu::Helsinki]),
        ("36", &[Eu::Budapest]),
        ("39", &[Eu::Rome]),
        ("40", &[Eu::Bucharest]),
        ("41", &[Eu::Zurich]),
        ("420", &[Eu::Prague]),
        ("43", &[Eu::Vienna]),
        ("44", &[Eu::London]),
        ("45", &[Eu::Copenhagen]),
        ("46", &[Eu::Stockholm]),
        ("47", &[Eu::Oslo]),
        ("48", &[Eu::Warsaw]),
        ("49", &[Eu::Berlin]),
        (
            "52",
            &[Am::Mexico_City, Am::Cancun, Am::Hermosillo, Am::Tijuana],
        ),
        ("54", &[Am::Argentina::Buenos_Aires]),
        (
            "55",
            &[Am::Sao_Paulo, Am::Manaus, Am::Rio_Branco, Am::Noronha],
        ),
        ("56", &[Am::Santiago, Pacific::Easter]),
        ("57", &[Am::Bogota]),
        ("60", &[As::Kuala_Lumpur]),
        (
            "61",
            &[
                Au::Sydney,
                Au::Brisbane,
                Au::Adelaide,
                Au::Darwin,
                Au::Perth,
            ],
        ),
        ("62", &[As::Jakarta, As::Makassar, As::Jayapura]),
        ("63", &[As::Manila]),
        ("64", &[Pacific::Auckland]),
        ("65", &[As::Singapore]),
        ("66", &[As::Bangkok]),
        ("81", &[As::Tokyo]),
        ("82", &[As::Seoul]),
        ("84", &[As::Ho_Chi_Minh]),
        ("852", &[As::Hong_Kong]),
        ("86", &[As::Shanghai]),
        ("880", &[As::Dhaka]),
        ("886", &[As::Taipei]),
        ("90", &[Eu::Istanbul]),
        ("91", &[As::Kolkata]),
        ("92", &[As::Karachi]),
        ("94", &[As::Colombo]),
        ("966", &[As::Riyadh]),
        ("971", &[As::Dubai]),
        ("972", &[As::Jerusalem]),
        ("974", &[As::Qatar]),
        ("977", &[As::Kathmandu]),
    ]
};

/// The zones a number (E.164 with its plus sign) may be in; none when its country is not in the
/// table.
#[must_use]
pub fn zones_of(phone: &str) -> &'static [Tz] {
    let digits = phone.trim_start_matches('+');
    ZONES
        .iter()
        .filter(|(code, _)| digits.starts_with(code))
        .max_by_key(|(code, _)| code.len())
        .map_or(&[], |(_, zones)| zones)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_code_counts() {
        assert_eq!(zones_of("+919812345678"), [chrono_tz::Asia::Kolkata]);
        assert_eq!(zones_of("+97141234567"), [chrono_tz::Asia::Dubai]);
        assert_eq!(zones_of("+15550100000").len(), 6);
        assert!(zones_of("+999123").is_empty());
        assert!(zones_of("").is_empty());
    }
}
