//! The bearer token of the administrative API, and the sessions that it takes as well.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::calls::parse_id;
use super::error::ApiError;
use super::route::Auth;
use crate::calls::queries;
use crate::config::Secret;
use crate::identity::authenticate::{ACCESS_COOKIE, authenticate, cookie};
use crate::identity::principal::{Product, Role};
use crate::services::Services;

/// Name of the file within the data directory that holds a token made at the first start.
pub const TOKEN_FILE: &str = "admin.token";

/// Lets a request pass that carries the token, or the session cookie of a super administrator. Other
/// sessions reach the calls of their organisation, one by one.
pub(crate) async fn require_operator(
    State(services): State<Arc<Services>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let headers = request.headers();
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    match given {
        Some(token) if services.admin.matches(token) => {}
        Some(_) => return Err(unauthorized("the token is wrong")),
        None if headers.contains_key(header::AUTHORIZATION)
            || cookie(headers, ACCESS_COOKIE).is_none() =>
        {
            return Err(unauthorized("a bearer token is needed"));
        }
        None => {
            let (method, path) = (request.method(), request.uri().path());
            require_session(&services, method, headers, path).await?;
        }
    }
    Ok(next.run(request).await)
}

async fn require_session(
    services: &Services,
    method: &Method,
    headers: &HeaderMap,
    path: &str,
) -> Result<(), ApiError> {
    let principal = authenticate(services, Product::Vaani, Auth::Cookie, method, headers).await?;
    let principal = principal.ok_or_else(|| unauthorized("the session has ended"))?;
    if principal.superuser {
        return Ok(());
    }
    let forbidden = |message| ApiError::new(StatusCode::FORBIDDEN, "forbidden", message);
    let Some(rest) = path.strip_prefix("/v1/calls/") else {
        return Err(forbidden("this is for super administrators"));
    };
    if !method.is_safe() && !principal.has(Role::Developer) {
        return Err(forbidden("this needs the role developer"));
    }
    let id = parse_id(rest.split('/').next().unwrap_or_default())?;
    let call = queries::find_call(&services.store, id).await?;
    let own = call.is_some_and(|call| call.organisation == principal.tenant.organisation());
    own.then_some(()).ok_or_else(|| ApiError::not_found("call"))
}

fn unauthorized(message: &'static str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
        .hint("send `Authorization: Bearer <token>`; the start prints where the token is")
}

/// The token of earlier starts, or a new one of 256 random bits, kept readable for its owner
/// only. Returns it with its file.
///
/// # Errors
/// When the file cannot be read or made.
pub fn load_or_make_token(data_dir: &Path) -> std::io::Result<(Secret, PathBuf)> {
    let path = data_dir.join(TOKEN_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= 16 => return Ok((Secret::new(text.trim()), path)),
        Ok(_) => {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "the token in the file is shorter than 16 characters; delete the file to get a new one",
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    Ok((Secret::new(token), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_made_once_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let (first, path) = load_or_make_token(dir.path()).unwrap();
        let (second, _) = load_or_make_token(dir.path()).unwrap();
        assert_eq!(first, second);
        assert!(first.reveal().len() >= 43);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::write(&path, "short").unwrap();
        assert!(load_or_make_token(dir.path()).is_err());
    }
}
