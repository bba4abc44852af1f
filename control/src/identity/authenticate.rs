//! From a request's credentials to a principal.

use axum::http::{HeaderMap, Method, header};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::accounts::{self, NewUser, User};
use super::jwt::{self, Expectation};
use super::keys::{self, KeyHolder};
use super::principal::{Credential, Mode, Principal, Product, Role};
use super::sessions;
use crate::api::failure::Failure;
use crate::api::route::Auth;
use crate::api::schema::parse_uuid;
use crate::clock::now_us;
use crate::services::Services;
use crate::store::{StoreError, Tenant, sql};

/// Cookie with the access token.
pub const ACCESS_COOKIE: &str = "access_token";
/// Cookie with the refresh token.
pub const REFRESH_COOKIE: &str = "refresh_token";

/// What a request brings.
enum Presented {
    Nothing,
    Key(String),
    Bearer(String),
    Cookie(String),
}

/// Who sends the request, as far as the route wants to know.
///
/// # Errors
/// 400 for two credentials, 401 for none or a bad one, 403 for one that this route does not take.
pub async fn authenticate(
    services: &Services,
    product: Product,
    auth: Auth,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Option<Principal>, Failure> {
    if matches!(auth, Auth::None | Auth::RefreshCookie) {
        return Ok(None);
    }
    let presented = presented(product, headers)?;
    let principal = match (presented, auth) {
        (Presented::Nothing, _) => {
            return Err(Failure::unauthorized("a credential is needed"));
        }
        (Presented::Key(_), Auth::Bearer | Auth::Cookie) => {
            // A key that is no key at all is told so first.
            return Err(Failure::forbidden("this route takes a session, not a key"));
        }
        (Presented::Key(key), _) => by_key(services, product, headers, &key).await?,
        (Presented::Bearer(token), Auth::KeyOrBearer | Auth::Bearer) => {
            by_token(services, product, auth, headers, &token, Credential::Bearer).await?
        }
        (Presented::Bearer(_), _) => {
            return Err(Failure::unauthorized("this route takes a cookie or a key"));
        }
        (Presented::Cookie(token), _) => {
            check_origin(services, method, headers)?;
            by_token(services, product, auth, headers, &token, Credential::Cookie).await?
        }
    };
    Ok(Some(principal))
}

/// The value of a cookie (RFC 6265 §5.4).
#[must_use]
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// The session that an access token of ours belongs to.
#[must_use]
pub fn session_of(services: &Services, token: &str) -> Option<Uuid> {
    parse_uuid(own_claims(services, token)?["sid"].as_str()?)
}

fn presented(product: Product, headers: &HeaderMap) -> Result<Presented, Failure> {
    let text = |name: &str| -> Result<Option<String>, Failure> {
        headers
            .get(name)
            .map(|value| value.to_str().map(|text| text.trim().to_owned()))
            .transpose()
            .map_err(|_| Failure::unauthorized("the credential is not plain text"))
    };
    let key = text("x-api-key")?;
    let bearer = text("authorization")?.map(|value| match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(token.trim().to_owned())
        }
        _ => Err(Failure::unauthorized(
            "write `Authorization: Bearer <token>`",
        )),
    });
    let bearer = bearer.transpose()?;
    match (key, bearer) {
        (Some(_), Some(_)) => Err(Failure::bad_request(
            "two_credentials",
            "send either x-api-key or Authorization, not both",
        )),
        (Some(key), None) => Ok(Presented::Key(key)),
        (None, Some(token)) if product == Product::Kros && token.starts_with("kros_") => {
            Ok(Presented::Key(token))
        }
        (None, Some(token)) => Ok(Presented::Bearer(token)),
        (None, None) => Ok(match cookie(headers, ACCESS_COOKIE) {
            Some(token) if product == Product::Vaani => Presented::Cookie(token.to_owned()),
            _ => Presented::Nothing,
        }),
    }
}

async fn by_key(
    services: &Services,
    product: Product,
    headers: &HeaderMap,
    key: &str,
) -> Result<Principal, Failure> {
    let mut conn = services.store.read().await?;
    let holder = keys::holder(&mut conn, &services.identity.vault, key).await?;
    let unknown = || Failure::unauthorized("the key is unknown, revoked or expired");
    let holder: KeyHolder = holder.ok_or_else(unknown)?;
    if holder.product != product {
        return Err(Failure::forbidden("the key is for another surface"));
    }
    let user = accounts::find_user(&mut conn, holder.user).await?;
    let user = user.ok_or_else(unknown)?;
    let memberships = accounts::memberships(&mut conn, user.id).await?;
    let member = memberships
        .iter()
        .find(|(org, _)| *org == holder.organisation);
    // Who has left the organisation leaves their keys behind.
    let role = match (member, user.superuser) {
        (Some((_, role)), _) => *role,
        (None, true) => Role::Admin,
        (None, false) => return Err(unknown()),
    };
    if let Some(chosen) = chosen_organisation(product, headers)?
        && chosen != holder.organisation
    {
        return Err(Failure::forbidden(
            "the key is bound to another organisation",
        ));
    }
    keys::note_use(&services.store, &holder);
    let workspace_key = product == Product::Vaani;
    Ok(Principal {
        user: user.id,
        tenant: Tenant::of(holder.organisation),
        role: if workspace_key { Role::Developer } else { role },
        superuser: user.superuser && !workspace_key,
        credential: Credential::Key(holder.id),
        mode: holder.mode,
    })
}

async fn by_token(
    services: &Services,
    product: Product,
    auth: Auth,
    headers: &HeaderMap,
    token: &str,
    credential: Credential,
) -> Result<Principal, Failure> {
    let user = match own_claims(services, token) {
        Some(claims) => session_user(services, &claims).await?,
        None if credential == Credential::Cookie => None,
        None => outside_user(services, token).await?,
    };
    let user = user.ok_or_else(|| Failure::unauthorized("the session is unknown or has ended"))?;
    let mut conn = services.store.read().await?;
    let memberships = accounts::memberships(&mut conn, user.id).await?;
    let role_in = |org: Uuid| {
        memberships
            .iter()
            .find(|(id, _)| *id == org)
            .map(|(_, role)| *role)
    };
    let (org, role) = match chosen_organisation(product, headers)? {
        Some(org) => match role_in(org) {
            Some(role) => (org, role),
            None if user.superuser
                && accounts::find_organisation(&mut conn, org).await?.is_some() =>
            {
                (org, Role::Admin)
            }
            None => {
                return Err(Failure::forbidden(
                    "you are not a member of this organisation",
                ));
            }
        },
        None => {
            let current = user.current_org.filter(|_| product != Product::Kros);
            let current = current.and_then(|org| {
                let role = role_in(org).or(user.superuser.then_some(Role::Admin));
                Some((org, role?))
            });
            match current.or_else(|| memberships.first().copied()) {
                Some(chosen) => chosen,
                // Somebody without a workspace may still make one.
                None if auth == Auth::Cookie => (Uuid::nil(), Role::Member),
                None => {
                    return Err(Failure::forbidden(
                        "you are not a member of an organisation",
                    ));
                }
            }
        }
    };
    Ok(Principal {
        user: user.id,
        tenant: Tenant::of(org),
        role,
        superuser: user.superuser,
        credential,
        mode: Mode::Live,
    })
}

/// The organisation a request asks for: a choice among the caller's, never a grant.
fn chosen_organisation(product: Product, headers: &HeaderMap) -> Result<Option<Uuid>, Failure> {
    let name = match product {
        Product::Kupe => return Ok(None),
        Product::Kros => "x-organization-id",
        Product::Vaani => "x-workspace-id",
    };
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let chosen = value.to_str().ok().and_then(parse_uuid);
    let chosen = chosen.ok_or_else(|| Failure::field(name, "uuid", "must be a UUID"))?;
    Ok(Some(chosen))
}

fn own_claims(services: &Services, token: &str) -> Option<Value> {
    let expectation = Expectation {
        audience: Some(sessions::AUDIENCE),
        issuer: Some(sessions::ISSUER),
        now_s: now_us() / 1_000_000,
    };
    jwt::verify_hs256(&services.identity.signing_key, token, &expectation).ok()
}

async fn session_user(services: &Services, claims: &Value) -> Result<Option<User>, StoreError> {
    let id = |name: &str| claims[name].as_str().and_then(parse_uuid);
    let (Some(user), Some(session)) = (id("sub"), id("sid")) else {
        return Ok(None);
    };
    let mut conn = services.store.read().await?;
    let open = sql("SELECT id FROM sessions WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL")
        .bind(session)
        .bind(user)
        .fetch_optional(&mut conn)
        .await?;
    if open.is_none() {
        return Ok(None);
    }
    accounts::find_user(&mut conn, user).await
}

/// The user of an outside issuer's token, who is made when first seen.
async fn outside_user(services: &Services, token: &str) -> Result<Option<User>, Failure> {
    let settings = &services.config.identity;
    let expectation = Expectation {
        audience: Some(sessions::AUDIENCE),
        issuer: settings.jwt_issuer.as_deref(),
        now_s: now_us() / 1_000_000,
    };
    let mut claims = None;
    if let Some(secret) = &settings.jwt_secret {
        claims = jwt::verify_hs256(secret.reveal().as_bytes(), token, &expectation).ok();
    }
    if let (None, Some(url)) = (&claims, &settings.jwks_url) {
        let sets = &services.identity.key_sets;
        let verify = |keys: &[jwt::Jwk]| jwt::verify_jwks(keys, token, &expectation);
        claims = match verify(&sets.get(url, false).await) {
            Err(jwt::JwtError::Signature) => verify(&sets.get(url, true).await).ok(),
            other => other.ok(),
        };
    }
    let Some(claims) = claims else {
        return Ok(None);
    };
    let Some(id) = claims["sub"].as_str().and_then(parse_uuid) else {
        return Ok(None);
    };
    let found = accounts::find_user(&mut services.store.read().await?, id).await?;
    if found.is_some() {
        return Ok(found);
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let new = NewUser {
        id: Some(id),
        // An address that an account of ours has is not taken over on another's word.
        email: None,
        name: text(&claims["user_metadata"]["full_name"]),
        phone: text(&claims["phone"]).filter(|phone| !phone.is_empty()),
        ..NewUser::default()
    };
    let email = text(&claims["email"]).map(|email| email.to_lowercase());
    let made = services
        .store
        .write(move |conn| {
            Box::pin(async move {
                if accounts::find_user(conn, id).await?.is_none() {
                    let free = match &email {
                        Some(email) => accounts::find_user_by_email(conn, email).await?.is_none(),
                        None => false,
                    };
                    let email = email.filter(|_| free);
                    accounts::create_user(conn, NewUser { email, ..new }).await?;
                }
                accounts::find_user(conn, id).await
            })
        })
        .await;
    match made {
        Ok(user) => Ok(user),
        // Two first requests may race; the second finds the first one's row.
        Err(StoreError::Declined(_)) => {
            Ok(accounts::find_user(&mut services.store.read().await?, id).await?)
        }
        Err(error) => Err(error.into()),
    }
}

/// A cookie is sent along by whatever page made the browser send the request, so a request that
/// changes something must come from a page of ours. Programs that are no browsers send neither
/// header, and have no cookie by accident.
fn check_origin(services: &Services, method: &Method, headers: &HeaderMap) -> Result<(), Failure> {
    if method.is_safe() {
        return Ok(());
    }
    let refused = || Failure::forbidden("requests from other sites' pages are refused");
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(origin) = text("origin") {
        let config = &services.config;
        let known = |allowed: &String| allowed.trim_end_matches('/') == origin;
        if config.identity.allowed_origins.iter().any(known)
            || config.server.public_url.iter().any(known)
        {
            return Ok(());
        }
        let authority = |url: &Url| {
            Some(match url.port() {
                Some(port) => format!("{}:{port}", url.host_str()?),
                None => url.host_str()?.to_owned(),
            })
        };
        let same = Url::parse(origin).ok().as_ref().and_then(authority);
        return match (same, text("host")) {
            (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host) => Ok(()),
            _ => Err(refused()),
        };
    }
    match text("sec-fetch-site") {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) => Err(refused()),
    }
}
