//! The console: web pages for people, built from `control/console` and part of the binary.

mod assets;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};

use self::assets::Asset;
use crate::api::error::ApiError;

/// What the pages may load: nothing but what this server sends; recordings play from memory. The
/// sockets are those of a web call, which may go to another server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self' ws: wss:; media-src 'self' blob:; manifest-src 'self'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// `GET /`: people are sent to the console.
pub(crate) async fn home() -> Redirect {
    Redirect::temporary("/console/")
}

/// `GET /console/`: the page.
pub(crate) async fn page(headers: HeaderMap) -> Response {
    send(assets::find("index.html"), &headers)
}

/// `GET /console/{file}`: what the page is made of.
pub(crate) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    send(assets::find(&name), &headers)
}

/// Names stay the same from version to version, so a browser asks each time and is told by the
/// entity tag that it has the file already (RFC 9110 §8.8.3).
fn send(asset: Option<&'static Asset>, headers: &HeaderMap) -> Response {
    let Some(asset) = asset else {
        return ApiError::not_found("file").into_response();
    };
    let packed = accepts_gzip(headers);
    let tag = if packed { &asset.gzip_tag } else { &asset.tag };
    let mut response = if has_tag(headers, tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let content = if packed {
            axum::body::Bytes::from_static(&asset.gzip)
        } else {
            axum::body::Bytes::from_static(asset.content)
        };
        let kind = HeaderValue::from_static(asset.media_type);
        let mut response = content.into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if packed {
            let gzip = HeaderValue::from_static("gzip");
            response
                .headers_mut()
                .insert(header::CONTENT_ENCODING, gzip);
        }
        response
    };
    let to = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        to.insert(header::ETAG, tag);
    }
    for (name, value) in [
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept-encoding"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(self)",
        ),
    ] {
        to.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether `Accept-Encoding` names gzip with a weight above zero (RFC 9110 §12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
            name.trim().eq_ignore_ascii_case("gzip")
                && weight.parse::<f32>().is_ok_and(|weight| weight > 0.0)
        })
}

fn has_tag(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (accepted, expected) in [
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, GZIP;q=0.8", true),
            ("gzip;q=0", false),
            ("br", false),
            ("", false),
        ] {
            let headers = with(header::ACCEPT_ENCODING, accepted);
            assert_eq!(accepts_gzip(&headers), expected, "{accepted}");
        }
    }

    #[test]
    fn who_has_a_file_is_not_sent_it_again() {
        let asset = assets::find("console.js").unwrap();
        let first = send(Some(asset), &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::ETAG], asset.tag.as_str());
        let mut headers = HeaderMap::new();
        let known = format!("\"other\", W/{}", asset.tag);
        headers.insert(
            header::IF_NONE_MATCH,
            HeaderValue::from_str(&known).unwrap(),
        );
        let again = send(Some(asset), &headers);
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let unknown = send(assets::find("../Cargo.toml"), &HeaderMap::new());
        assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    }
}
