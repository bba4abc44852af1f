//! `/auth`: sign-up, login, and what follows from them.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::kupe::MESSAGE;
use super::super::route::{Context, Fields as _, Rate, Route, message, reply, route};
use super::super::schema::{Kind, Shape, may, need, shape};
use crate::clock::now_us;
use crate::config::Secret;
use crate::identity::accounts::{self, NewUser, User, optional_uuid, role};
use crate::identity::audit::Actor;
use crate::identity::authenticate::{ACCESS_COOKIE, REFRESH_COOKIE, cookie, session_of};
use crate::identity::jwt::{self, Expectation};
use crate::identity::mail::Message;
use crate::identity::sessions::{self, ACCESS_S, Refreshed, SESSION_S, Tokens};
use crate::store::{Connection, StoreError, sql};

/// How long a link for a new password is good for.
const RESET_US: i64 = 3_600 * 1_000_000;

static LOGIN: Shape = shape(
    "Login",
    &[
        need("email", Kind::Text(1, 254)),
        need("password", Kind::Text(1, 128)),
        may("invite_token", Kind::Text(1, 200)),
    ],
);
static SIGNUP: Shape = shape(
    "Signup",
    &[
        may("name", Kind::Text(0, 200)),
        need("email", Kind::Email),
        need("password", Kind::Password),
        may("phone_number", Kind::Phone),
        may("invite_token", Kind::Text(1, 200)),
    ],
);
static GOOGLE: Shape = shape(
    "GoogleLogin",
    &[
        may("id_token", Kind::Text(1, 8_000)),
        may("code", Kind::Text(1, 2_000)),
        may("nonce", Kind::Text(1, 200)),
    ],
);
static FORGOT: Shape = shape("ForgotPassword", &[need("email", Kind::Text(1, 254))]);
static RESET: Shape = shape(
    "ResetPassword",
    &[
        need("token", Kind::Text(1, 200)),
        need("new_password", Kind::Password),
    ],
);
static USER: Shape = shape(
    "User",
    &[
        need("id", Kind::Uuid),
        need("email", Kind::Nullable(&Kind::Text(0, 0))),
        need("name", Kind::Nullable(&Kind::Text(0, 0))),
        need("phone_number", Kind::Nullable(&Kind::Text(0, 0))),
        need("current_workspace_id", Kind::Nullable(&Kind::Uuid)),
    ],
);
static SIGNED_UP: Shape = shape("SignedUp", &[need("user", Kind::Object(&USER))]);
static LOGGED_IN: Shape = shape(
    "LoggedIn",
    &[
        need("access_token", Kind::Text(0, 0)),
        need("refresh_token", Kind::Text(0, 0)),
        need("user", Kind::Object(&USER)),
    ],
);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Vaani POST "/auth/login", None "" 200, login)
            .does("Opens a session and sets its cookies")
            .takes(&LOGIN)
            .answers(Kind::Object(&LOGGED_IN))
            .rate(Rate::Login),
        route!(Vaani POST "/auth/signup", None "" 201, signup)
            .does("Makes an account with a workspace of its own")
            .takes(&SIGNUP)
            .answers(Kind::Object(&SIGNED_UP))
            .rate(Rate::Login),
        route!(Vaani POST "/auth/refresh", RefreshCookie "" 200, refresh)
            .does("Exchanges the refresh token for new cookies")
            .answers(Kind::Object(&LOGGED_IN))
            .rate(Rate::Open),
        route!(Vaani POST "/auth/logout", Cookie "any" 200, logout)
            .does("Closes the session and clears the cookies")
            .answers(Kind::Object(&MESSAGE)),
        route!(Vaani POST "/auth/google", None "" 200, google)
            .does("Opens a session for a Google account")
            .takes(&GOOGLE)
            .answers(Kind::Object(&LOGGED_IN))
            .rate(Rate::Login),
        route!(Vaani POST "/auth/forgot-password", None "" 200, forgot)
            .does("Mails a link for a new password, if there is such an account")
            .takes(&FORGOT)
            .answers(Kind::Object(&MESSAGE))
            .rate(Rate::Login),
        route!(Vaani POST "/auth/reset-password", None "" 200, reset)
            .does("Sets a new password and closes all sessions")
            .takes(&RESET)
            .answers(Kind::Object(&MESSAGE))
            .rate(Rate::Login),
    ]
}

async fn login(cx: Context) -> Result<Response, Failure> {
    let email = cx.body.owned("email").unwrap_or_default();
    let password = Secret::new(cx.body.owned("password").unwrap_or_default());
    let user = accounts::find_user_by_email(&mut cx.services.store.read().await?, &email).await?;
    let stored = user.as_ref().and_then(|user| user.password_hash.clone());
    let fine = cx
        .services
        .identity
        .passwords
        .verify(password, stored)
        .await;
    match user.filter(|_| fine) {
        Some(user) => open_session(&cx, user, "login").await,
        None => Err(Failure::unauthorized(
            "the mail address or the password is wrong",
        )),
    }
}

async fn signup(cx: Context) -> Result<Response, Failure> {
    if !cx.services.config.identity.signup {
        return Err(Failure::forbidden(
            "sign-up is closed; ask an administrator for an invitation",
        ));
    }
    let password = Secret::new(cx.body.owned("password").unwrap_or_default());
    let new = NewUser {
        email: cx.body.owned("email"),
        name: cx.body.owned("name").filter(|name| !name.is_empty()),
        phone: cx.body.phone("phone_number"),
        password_hash: Some(cx.services.identity.passwords.hash(password).await),
        ..NewUser::default()
    };
    let (request_id, invited) = (cx.request_id.clone(), invitation(&cx));
    let made = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let id = accounts::create_user(conn, new).await?;
            accept_invitation(conn, id, invited).await?;
            Actor::user(id, &request_id)
                .did(conn, "sign_up", ("user", id))
                .await?;
            accounts::find_user(conn, id).await
        })
    });
    let user = made.await?.ok_or_else(Failure::internal)?;
    Ok(reply(&cx, json!({ "user": user_json(&user) })))
}

async fn refresh(cx: Context) -> Result<Response, Failure> {
    let token = cookie(&cx.headers, REFRESH_COOKIE).map(str::to_owned);
    let token = token.ok_or_else(|| Failure::unauthorized("the refresh cookie is missing"))?;
    let vault = cx.services.identity.vault.clone();
    let refreshed = cx
        .services
        .store
        .write(move |conn| Box::pin(async move { sessions::refresh(conn, &vault, &token).await }));
    match refreshed.await? {
        Refreshed::Tokens(tokens, user) => Ok(logged_in(&cx, &tokens, &user)),
        Refreshed::Invalid => Err(Failure::unauthorized("the session has ended; log in again")),
        Refreshed::Reused => {
            tracing::warn!("a refresh token was used twice; its session was closed");
            Err(Failure::unauthorized(
                "the refresh token was used before; log in again",
            ))
        }
    }
}

async fn logout(cx: Context) -> Result<Response, Failure> {
    let token = cookie(&cx.headers, ACCESS_COOKIE).unwrap_or_default();
    if let Some(session) = session_of(&cx.services, token) {
        let closed = cx
            .services
            .store
            .write(move |conn| Box::pin(async move { sessions::revoke(conn, session).await }));
        closed.await?;
    }
    let mut response = message(&cx, "logged out");
    set_cookie(&cx, response.headers_mut(), ACCESS_COOKIE, "", 0);
    set_cookie(&cx, response.headers_mut(), REFRESH_COOKIE, "", 0);
    Ok(response)
}

async fn google(cx: Context) -> Result<Response, Failure> {
    let settings = &cx.services.config.identity.google;
    let client = settings.client_id.as_deref();
    let client = client.ok_or_else(|| {
        Failure::bad_request(
            "not_set_up",
            "sign-in with Google is not set up on this installation",
        )
    })?;
    let token = match (cx.body.owned("id_token"), cx.body.owned("code")) {
        (Some(token), None) => token,
        (None, Some(code)) => exchange(&cx, client, &code).await?,
        _ => {
            return Err(Failure::field(
                "id_token",
                "exactly_one",
                "send either id_token or code",
            ));
        }
    };
    let expectation = Expectation {
        audience: Some(client),
        issuer: Some(&settings.issuer),
        now_s: now_us() / 1_000_000,
    };
    let sets = &cx.services.identity.key_sets;
    let verify = |keys: &[jwt::Jwk]| jwt::verify_jwks(keys, &token, &expectation);
    let claims = match verify(&sets.get(&settings.jwks_url, false).await) {
        Err(jwt::JwtError::Signature) => verify(&sets.get(&settings.jwks_url, true).await),
        other => other,
    };
    let claims = claims.map_err(|error| Failure::unauthorized(error.to_string()))?;
    if cx
        .body
        .text("nonce")
        .is_some_and(|nonce| claims["nonce"] != nonce)
    {
        return Err(Failure::unauthorized(
            "the token was asked for with another nonce",
        ));
    }
    let subject = claims["sub"].as_str().map(str::to_owned);
    let subject = subject.ok_or_else(|| Failure::unauthorized("the token names nobody"))?;
    // Only an address that the issuer has proved may find an account.
    let verified = claims["email_verified"] == json!(true) || claims["email_verified"] == "true";
    let email = claims["email"]
        .as_str()
        .filter(|_| verified)
        .map(str::to_owned);
    let name = claims["name"].as_str().map(str::to_owned);
    let may_sign_up = cx.services.config.identity.signup;
    let found = cx.services.store.write(move |conn| {
        Box::pin(async move { google_user(conn, subject, email, name, may_sign_up).await })
    });
    let user = found.await?;
    open_session(&cx, user, "google_login").await
}

/// The account of a Google subject: theirs, else that of their proved address, else a new one.
async fn google_user(
    conn: &mut Connection,
    subject: String,
    email: Option<String>,
    name: Option<String>,
    may_sign_up: bool,
) -> Result<User, StoreError> {
    let decline = |failure: Failure| StoreError::Declined(Box::new(failure));
    if let Some(user) = accounts::find_user_by_google(conn, &subject).await? {
        return Ok(user);
    }
    let known = match &email {
        Some(email) => accounts::find_user_by_email(conn, email).await?,
        None => None,
    };
    if let Some(user) = known {
        // The address was never proved at sign-up: whoever made the account with it must not keep
        // a way in.
        sql("UPDATE users SET google_subject = $2, password_hash = NULL WHERE id = $1")
            .bind(user.id)
            .bind(subject)
            .execute(conn)
            .await?;
        sessions::revoke_all(conn, user.id).await?;
        return Ok(user);
    }
    if !may_sign_up {
        return Err(decline(Failure::forbidden("sign-up is closed")));
    }
    let new = NewUser {
        email,
        name,
        google_subject: Some(subject),
        ..NewUser::default()
    };
    let id = accounts::create_user(conn, new).await?;
    let user = accounts::find_user(conn, id).await?;
    user.ok_or(StoreError::Malformed("users"))
}

async fn exchange(cx: &Context, client: &str, code: &str) -> Result<String, Failure> {
    let settings = &cx.services.config.identity.google;
    let secret = settings
        .client_secret
        .as_ref()
        .map(Secret::reveal)
        .unwrap_or_default();
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("client_id", client)
        .append_pair("client_secret", secret)
        .append_pair(
            "redirect_uri",
            settings.redirect_uri.as_deref().unwrap_or_default(),
        )
        .finish();
    let reply = reqwest::Client::new()
        .post(&settings.token_url)
        .header("content-type", "application/x-www-form-urlencoded")
        .timeout(std::time::Duration::from_secs(10))
        .body(form)
        .send()
        .await;
    let unreachable = |error: &reqwest::Error| {
        tracing::warn!(%error, "the sign-in provider does not answer");
        Failure::new(
            StatusCode::BAD_GATEWAY,
            "provider",
            "the sign-in provider does not answer",
        )
    };
    let reply = reply.map_err(|error| unreachable(&error))?;
    if !reply.status().is_success() {
        return Err(Failure::unauthorized(
            "the sign-in provider refused the code",
        ));
    }
    let body: Value = reply.json().await.map_err(|error| unreachable(&error))?;
    let token = body["id_token"].as_str().map(str::to_owned);
    token.ok_or_else(|| Failure::unauthorized("the sign-in provider gave no id_token"))
}

async fn forgot(cx: Context) -> Result<Response, Failure> {
    let email = cx.body.owned("email").unwrap_or_default();
    let user = accounts::find_user_by_email(&mut cx.services.store.read().await?, &email).await?;
    let services = std::sync::Arc::clone(&cx.services);
    // In the background, so that the answer takes no longer for an account that exists.
    if let Some(user) = user {
        tokio::spawn(async move {
            let token = sessions::random_token();
            let hash = sessions::hash(&services.identity.vault, "mailed", &token);
            let insert = sql(
                "INSERT INTO mailed_tokens (hash, purpose, user_id, expires_at) \
                              VALUES ($1, 'reset', $2, $3)",
            )
            .bind(hash)
            .bind(user.id)
            .bind(now_us() + RESET_US);
            if let Err(error) = services.store.execute(insert).await {
                tracing::error!(%error, "a reset token was not stored");
                return;
            }
            let mail = Message {
                to: user.email.unwrap_or_default(),
                subject: "Your new password",
                text: format!(
                    "Somebody asked for a new password for your account. If it was you, use this \
                     token within an hour:\r\n\r\n{token}\r\n\r\nIf not, do nothing."
                ),
            };
            if let Err(error) = services.identity.mailer.send(mail).await {
                tracing::error!(%error, "mail was not sent");
            }
        });
    }
    Ok(message(
        &cx,
        "if there is such an account, a mail is on its way",
    ))
}

async fn reset(cx: Context) -> Result<Response, Failure> {
    let token = cx.body.owned("token").unwrap_or_default();
    let hash = sessions::hash(&cx.services.identity.vault, "mailed", &token);
    let password = Secret::new(cx.body.owned("new_password").unwrap_or_default());
    let password_hash = cx.services.identity.passwords.hash(password).await;
    let request_id = cx.request_id.clone();
    let done = cx.services.store.write(move |conn| {
        Box::pin(async move {
            let now = now_us();
            let row = sql("UPDATE mailed_tokens SET used_at = $2 WHERE hash = $1 \
                             AND purpose = 'reset' AND used_at IS NULL AND expires_at > $2 \
                           RETURNING user_id")
            .bind(hash)
            .bind(now)
            .fetch_optional(conn)
            .await?;
            let user = row
                .as_ref()
                .map(|row| optional_uuid(row, "user_id"))
                .transpose()?
                .flatten();
            let Some(user) = user else { return Ok(false) };
            sql("UPDATE users SET password_hash = $2, updated_at = $3 WHERE id = $1")
                .bind(user)
                .bind(password_hash)
                .bind(now)
                .execute(conn)
                .await?;
            sessions::revoke_all(conn, user).await?;
            Actor::user(user, &request_id)
                .did(conn, "reset_password", ("user", user))
                .await?;
            Ok(true)
        })
    });
    if done.await? {
        Ok(message(&cx, "the password was changed; log in with it"))
    } else {
        Err(Failure::field(
            "token",
            "invalid",
            "is unknown, used or expired",
        ))
    }
}

async fn open_session(cx: &Context, user: User, action: &'static str) -> Result<Response, Failure> {
    let vault = cx.services.identity.vault.clone();
    let (request_id, invited) = (cx.request_id.clone(), invitation(cx));
    let opened = cx.services.store.write(move |conn| {
        Box::pin(async move {
            accept_invitation(conn, user.id, invited).await?;
            let user = accounts::find_user(conn, user.id).await?;
            let user = user.ok_or(StoreError::Malformed("users"))?;
            Actor::user(user.id, &request_id)
                .did(conn, action, ("user", user.id))
                .await?;
            Ok((sessions::open(conn, &vault, &user).await?, user))
        })
    });
    let (tokens, user) = opened.await?;
    Ok(logged_in(cx, &tokens, &user))
}

/// Makes the user a member where the mailed token invites them to; it proves the address.
async fn accept_invitation(
    conn: &mut Connection,
    user: Uuid,
    hash: Option<String>,
) -> Result<(), StoreError> {
    let Some(hash) = hash else { return Ok(()) };
    let row = sql("UPDATE mailed_tokens SET used_at = $2 WHERE hash = $1 \
                     AND purpose = 'invite' AND used_at IS NULL AND expires_at > $2 \
                   RETURNING org_id, role")
    .bind(hash)
    .bind(now_us())
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else {
        let failure = Failure::field("invite_token", "invalid", "is unknown, used or expired");
        return Err(StoreError::Declined(Box::new(failure)));
    };
    match optional_uuid(&row, "org_id")? {
        Some(org) => accounts::add_member(conn, org, user, role(&row)?).await,
        None => Ok(()),
    }
}

fn invitation(cx: &Context) -> Option<String> {
    let token = cx.body.text("invite_token")?;
    Some(sessions::hash(&cx.services.identity.vault, "mailed", token))
}

fn logged_in(cx: &Context, tokens: &Tokens, user: &User) -> Response {
    let body = json!({
        "access_token": tokens.access,
        "refresh_token": tokens.refresh,
        "user": user_json(user),
    });
    let mut response = reply(cx, body);
    let headers = response.headers_mut();
    set_cookie(cx, headers, ACCESS_COOKIE, &tokens.access, ACCESS_S);
    set_cookie(cx, headers, REFRESH_COOKIE, &tokens.refresh, SESSION_S);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// RFC 6265. `Secure` unless the server is told to be reached without TLS; the refresh token goes
/// to one path only.
fn set_cookie(cx: &Context, headers: &mut HeaderMap, name: &str, value: &str, max_age_s: i64) {
    let public = cx.services.config.server.public_url.as_deref();
    let plain = public.is_some_and(|url| url.starts_with("http:"));
    let secure = if plain { "" } else { "; Secure" };
    let path = if name == REFRESH_COOKIE {
        "/auth/refresh"
    } else {
        "/"
    };
    let cookie =
        format!("{name}={value}; Path={path}; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.append(header::SET_COOKIE, cookie);
    }
}

fn user_json(user: &User) -> Value {
    let current: Option<Uuid> = user.current_org;
    json!({
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "phone_number": user.phone,
        "current_workspace_id": current,
    })
}
