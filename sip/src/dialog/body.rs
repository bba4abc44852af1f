//! Bodies the endpoint itself reads: session descriptions, key presses, status fragments.

use crate::event::InfoDigit;
use crate::message::{HeaderName, Headers, StatusCode};
use crate::sdp::{SDP_MEDIA_TYPE, SdpError, SessionDescription};

/// The session description of a message, also out of a multipart body (RFC 5621). `Ok(None)`
/// without a body; `Err(None)` if the body is of another type.
pub(crate) fn session_description(
    headers: &Headers,
    body: &[u8],
) -> Result<Option<SessionDescription>, Option<SdpError>> {
    if body.is_empty() {
        return Ok(None);
    }
    let identity =
        |coding: &str| coding.is_empty() || coding.trim().eq_ignore_ascii_case("identity");
    if !headers
        .first(&HeaderName::ContentEncoding)
        .is_none_or(identity)
    {
        return Err(None);
    }
    let content_type = headers
        .first(&HeaderName::ContentType)
        .unwrap_or(SDP_MEDIA_TYPE);
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case(SDP_MEDIA_TYPE) {
        return SessionDescription::parse(body).map(Some).map_err(Some);
    }
    let is_multipart = media_type
        .get(..10)
        .is_some_and(|head| head.eq_ignore_ascii_case("multipart/"));
    let part = is_multipart
        .then(|| boundary(content_type))
        .flatten()
        .and_then(|boundary| sdp_part(body, boundary))
        .ok_or(None)?;
    SessionDescription::parse(part).map(Some).map_err(Some)
}

fn boundary(content_type: &str) -> Option<&str> {
    content_type
        .split(';')
        .filter_map(|parameter| parameter.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("boundary"))
        .map(|(_, value)| value.trim_matches('"'))
        .filter(|value| !value.is_empty())
}

/// The part whose own Content-Type is that of session descriptions.
fn sdp_part<'a>(body: &'a [u8], boundary: &str) -> Option<&'a [u8]> {
    // Descriptions are text; a binary part beside them must not get in the way.
    let delimiter = format!("--{boundary}");
    split(body, delimiter.as_bytes()).find_map(|part| {
        let end = part.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(part.get(..end)?).to_ascii_lowercase();
        let is_sdp = head.lines().any(|line| {
            line.split_once(':').is_some_and(|(name, value)| {
                matches!(name.trim(), "content-type" | "c")
                    && value.trim().starts_with(SDP_MEDIA_TYPE)
            })
        });
        is_sdp.then(|| part.get(end + 4..)).flatten()
    })
}

fn split<'a>(body: &'a [u8], delimiter: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(body);
    std::iter::from_fn(move || {
        let text = rest?;
        let at = text
            .windows(delimiter.len())
            .position(|window| window == delimiter);
        rest = at.and_then(|at| text.get(at + delimiter.len()..));
        text.get(..at.unwrap_or(text.len()))
    })
}

/// The key press of an INFO body: `Signal=5` with `Duration=160`, or a bare digit.
pub(crate) fn info_digit(content_type: Option<&str>, body: &[u8]) -> Option<InfoDigit> {
    let text = std::str::from_utf8(body).ok()?;
    match content_type? {
        "application/dtmf-relay" => {
            let field = |name: &str| {
                text.lines()
                    .filter_map(|line| line.split_once('='))
                    .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.trim())
            };
            Some(InfoDigit {
                key: key(field("Signal")?)?,
                duration_ms: field("Duration").and_then(|value| value.parse().ok()),
            })
        }
        "application/dtmf" => Some(InfoDigit {
            key: key(text.trim())?,
            duration_ms: None,
        }),
        _ => None,
    }
}

/// A key by its character or by its RFC 4733 event number, which some gateways write.
fn key(text: &str) -> Option<u8> {
    match text {
        "10" => Some(b'*'),
        "11" => Some(b'#'),
        text => match text.as_bytes() {
            [byte] => Some(byte.to_ascii_uppercase())
                .filter(|key| matches!(key, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D')),
            _ => None,
        },
    }
}

/// Status of a `message/sipfrag` body.
pub(crate) fn refer_status(body: &[u8]) -> Option<StatusCode> {
    let text = String::from_utf8_lossy(body);
    let code = text.trim_start().strip_prefix("SIP/2.0 ")?;
    code.get(..3)?.parse().ok().and_then(StatusCode::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Header;

    #[test]
    fn dtmf_relay_and_bare_digits_are_read() {
        let relay = info_digit(
            Some("application/dtmf-relay"),
            b"Signal= 5\r\nDuration= 160\r\n",
        );
        assert_eq!(
            relay,
            Some(InfoDigit {
                key: b'5',
                duration_ms: Some(160)
            })
        );
        let star = info_digit(Some("application/dtmf"), b"10").unwrap();
        assert_eq!(star.key, b'*');
        assert_eq!(info_digit(Some("application/dtmf"), b"x"), None);
        assert_eq!(info_digit(Some("application/dtmf"), b""), None);
    }

    #[test]
    fn description_is_found_in_a_multipart_body() {
        let headers: Headers = [Header::new(
            HeaderName::ContentType,
            "multipart/mixed; boundary=\"x1\"",
        )]
        .into_iter()
        .collect();
        let body = b"--x1\r\nContent-Type: application/isup\r\n\r\n\x01\x02\xff\r\n--x1\r\n\
            Content-Type: application/sdp\r\n\r\nv=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n\
            m=audio 4000 RTP/AVP 0\r\n\r\n--x1--\r\n";
        let session = session_description(&headers, body).unwrap().unwrap();
        assert_eq!(session.media.len(), 1);
    }

    #[test]
    fn sipfrag_status_is_read() {
        assert_eq!(
            refer_status(b"SIP/2.0 100 Trying\r\n"),
            Some(StatusCode::TRYING)
        );
        assert_eq!(refer_status(b"SIP/2.0 4294967301 x"), StatusCode::new(429));
        assert_eq!(refer_status(b""), None);
    }
}
