//! Where calls are sent on to: kros's endpoints.

use pipeline::guarded_http::AddressGuard;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::api::failure::Failure;
use crate::api::route::Fields as _;
use crate::api::schema::Invalid;
use crate::clock::now_us;
use crate::identity::accounts::uuid;
use crate::identity::audit::Actor;
use crate::identity::principal::Mode;
use crate::store::{Connection, Row, Store, StoreError, Tenant, sql};

/// The kinds there are.
pub const KINDS: &[&str] = &[
    "webhook",
    "vapi",
    "retell",
    "livekit",
    "elevenlabs",
    "vogent",
    "custom_sip",
];
/// Stands for the number called in an endpoint's address.
pub const NUMBER: &str = "{number}";
/// The states there are.
pub const STATES: &[&str] = &["active", "inactive", "error"];

/// An endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Id.
    pub id: Uuid,
    /// The organisation it belongs to.
    pub org: Uuid,
    /// For people.
    pub name: String,
    /// One of [`KINDS`].
    pub kind: String,
    /// Where it is; `{number}` stands for the number called.
    pub url: String,
    /// One of [`STATES`].
    pub status: String,
    /// What its kind needs; without secrets.
    pub provider_config: Value,
    /// Sealed: the signing secret of a webhook, the password of a SIP address.
    pub sealed: Option<Vec<u8>>,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub updated_at: i64,
}

fn endpoint(row: &Row) -> Result<Endpoint, StoreError> {
    Ok(Endpoint {
        id: uuid(row, "id")?,
        org: uuid(row, "org_id")?,
        name: row.get("name")?,
        kind: row.get("kind")?,
        url: row.get("url")?,
        status: row.get("status")?,
        provider_config: row.json("provider_config")?,
        sealed: row.get("sealed")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

/// Checks what a kind needs and says where calls go: the given address, which `guard` must permit
/// for a webhook, or a SIP URI made of the provider's configuration.
///
/// # Errors
/// 400 naming the field.
pub fn address(
    kind: &str,
    url: Option<&str>,
    config: &Map<String, Value>,
    guard: &AddressGuard,
) -> Result<String, Failure> {
    let wrong =
        |path: &str, message: &str| Failure::invalid(vec![Invalid::new(path, "invalid", message)]);
    let needed = |name: &str| -> Result<String, Failure> {
        let path = format!("provider_config.{name}");
        let text = config.text(name).filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| Failure::field(&path, "missing", "is required"))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if text.len() > 128 || !text.chars().all(plain) {
            return Err(wrong(
                &path,
                "must have at most 128 letters, digits, dots and hyphens",
            ));
        }
        Ok(text.to_owned())
    };
    let transport = match config.text("transport") {
        None => "tcp",
        Some(known @ ("udp" | "tcp" | "tls")) => known,
        Some(_) => {
            return Err(wrong(
                "provider_config.transport",
                "must be udp, tcp or tls",
            ));
        }
    };
    let given = || url.ok_or_else(|| Failure::field("url", "missing", "is required for this type"));
    match kind {
        "webhook" => {
            let url = given()?;
            check_headers(config, false)?;
            let parsed = url::Url::parse(url);
            let parsed = parsed.map_err(|_| wrong("url", "must be an https address"))?;
            guard
                .check(&parsed)
                .map_err(|error| wrong("url", &error.to_string()))?;
            Ok(url.to_owned())
        }
        "custom_sip" => {
            let url = given()?;
            check_headers(config, true)?;
            check_sip_uri(url).map_err(|message| wrong("url", message))?;
            Ok(url.to_owned())
        }
        "vapi" => {
            let assistant = needed("assistant_id")?;
            let user = match config.text("sip_username") {
                Some(_) => needed("sip_username")?,
                None => assistant,
            };
            Ok(format!("sip:{user}@sip.vapi.ai"))
        }
        "retell" => {
            needed("agent_id")?;
            Ok(format!(
                "sip:{{number}}@sip.retellai.com;transport={transport}"
            ))
        }
        "elevenlabs" => {
            needed("agent_id")?;
            Ok(format!(
                "sip:{{number}}@sip.rtc.elevenlabs.io;transport={transport}"
            ))
        }
        "livekit" => Ok(format!("sip:{{number}}@{}", needed("project_sip_host")?)),
        "vogent" => {
            needed("agent_id")?;
            Ok("sip:{number}@sip.vogent.ai".to_owned())
        }
        _ => Err(wrong("type", "is not a type of endpoint")),
    }
}

/// Whether this is a SIP address and nothing else, such as the end of a header field.
///
/// # Errors
/// What is wrong with it.
pub fn check_sip_uri(uri: &str) -> Result<(), &'static str> {
    let rest = uri
        .strip_prefix("sip:")
        .or_else(|| uri.strip_prefix("sips:"));
    let plain = |c: char| c.is_ascii_graphic() && !"<>\"".contains(c);
    let fine = rest.is_some_and(|rest| {
        // Header fields in the address (RFC 3261 §19.1.1) would be header fields of ours.
        !rest.is_empty() && rest.len() <= 500 && !rest.contains('?') && rest.chars().all(plain)
    });
    let parsed = sip::message::Uri::parse(&uri.replace(NUMBER, "+15550100"));
    if fine && parsed.is_ok() {
        Ok(())
    } else {
        Err("must be a sip: or sips: address")
    }
}

/// Checks `headers`: further header fields of the INVITE, which must begin with `X-`, or of the
/// webhook's request.
fn check_headers(config: &Map<String, Value>, sip: bool) -> Result<(), Failure> {
    const COUNT_MAX: usize = 16;
    let wrong = |path: &str, message: &str| {
        let path = format!("provider_config.headers{path}");
        Failure::invalid(vec![Invalid::new(path, "invalid", message)])
    };
    let headers = match config.get("headers") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(headers)) if headers.len() <= COUNT_MAX => headers,
        Some(_) => return Err(wrong("", "must be an object of at most 16 texts")),
    };
    for (name, value) in headers {
        let token = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let prefixed = name.len() > 2 && name[..2].eq_ignore_ascii_case("x-");
        let named = (1..=64).contains(&name.len()) && name.chars().all(token);
        if !named || (sip && !prefixed) {
            return Err(wrong(
                "",
                "has a name that is not allowed; SIP ones begin with X-",
            ));
        }
        let printable = |c: char| c == ' ' || c.is_ascii_graphic();
        let value = value.as_str();
        if !value.is_some_and(|text| text.len() <= 1_000 && text.chars().all(printable)) {
            return Err(wrong(
                &format!(".{name}"),
                "must be at most 1000 printable characters",
            ));
        }
    }
    Ok(())
}

/// Makes an endpoint of checked values.
///
/// # Errors
/// When the store fails.
pub async fn create(
    conn: &mut Connection,
    tenant: Tenant,
    mode: Mode,
    new: Endpoint,
    actor: &Actor,
) -> Result<(), StoreError> {
    sql(
        "INSERT INTO endpoints (id, org_id, mode, name, kind, url, status, provider_config, \
           sealed, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
    )
    .bind(new.id)
    .bind(tenant.organisation())
    .bind(mode.name())
    .bind(&new.name)
    .bind(&new.kind)
    .bind(&new.url)
    .bind(&new.status)
    .bind(&new.provider_config)
    .bind(new.sealed)
    .bind(new.created_at)
    .execute(conn)
    .await?;
    actor.did(conn, "create", ("endpoint", new.id)).await
}

/// Writes changed values of an endpoint that was read in the same transaction.
///
/// # Errors
/// When the store fails.
pub async fn update(
    conn: &mut Connection,
    tenant: Tenant,
    changed: &Endpoint,
    actor: &Actor,
) -> Result<(), StoreError> {
    sql(
        "UPDATE endpoints SET name = $3, url = $4, status = $5, provider_config = $6, \
           sealed = $7, updated_at = $8 WHERE id = $1 AND org_id = $2",
    )
    .bind(changed.id)
    .bind(tenant.organisation())
    .bind(&changed.name)
    .bind(&changed.url)
    .bind(&changed.status)
    .bind(&changed.provider_config)
    .bind(changed.sealed.clone())
    .bind(now_us())
    .execute(conn)
    .await?;
    actor.did(conn, "update", ("endpoint", changed.id)).await
}

/// An endpoint of the tenant.
///
/// # Errors
/// When the store fails.
pub async fn find(
    conn: &mut Connection,
    tenant: Tenant,
    mode: Mode,
    id: Uuid,
) -> Result<Option<Endpoint>, StoreError> {
    let query = sql("SELECT * FROM endpoints WHERE id = $1 AND org_id = $2 AND mode = $3");
    let query = query.bind(id).bind(tenant.organisation()).bind(mode.name());
    query
        .fetch_optional(conn)
        .await?
        .as_ref()
        .map(endpoint)
        .transpose()
}

/// The endpoint that a line of the tenant names, whichever mode it was made in.
///
/// # Errors
/// When the store fails.
pub(crate) async fn find_for_call(
    conn: &mut Connection,
    tenant: Tenant,
    id: Uuid,
) -> Result<Option<Endpoint>, StoreError> {
    let query = sql("SELECT * FROM endpoints WHERE id = $1 AND org_id = $2");
    let query = query.bind(id).bind(tenant.organisation());
    query
        .fetch_optional(conn)
        .await?
        .as_ref()
        .map(endpoint)
        .transpose()
}

/// Endpoints of the tenant, oldest first.
///
/// # Errors
/// When the store fails.
pub async fn list(
    store: &Store,
    tenant: Tenant,
    mode: Mode,
    (kind, status): (Option<&str>, Option<&str>),
    (limit, offset): (i64, i64),
) -> Result<Vec<Endpoint>, StoreError> {
    let mut query = sql("SELECT * FROM endpoints WHERE org_id = $1 AND mode = $2")
        .bind(tenant.organisation())
        .bind(mode.name());
    if let Some(kind) = kind {
        query.push(" AND kind = ").push_bind(kind);
    }
    if let Some(status) = status {
        query.push(" AND status = ").push_bind(status);
    }
    query
        .push(" ORDER BY created_at, id LIMIT ")
        .push_bind(limit);
    query.push(" OFFSET ").push_bind(offset);
    store.fetch_all(query).await?.iter().map(endpoint).collect()
}

/// Deletes an endpoint; lines mapped to it lose their target.
///
/// # Errors
/// When the store fails.
pub async fn delete(
    conn: &mut Connection,
    tenant: Tenant,
    mode: Mode,
    id: Uuid,
    actor: &Actor,
) -> Result<bool, StoreError> {
    let deleted = sql("DELETE FROM endpoints WHERE id = $1 AND org_id = $2 AND mode = $3")
        .bind(id)
        .bind(tenant.organisation())
        .bind(mode.name())
        .execute(conn)
        .await?;
    if deleted > 0 {
        actor.did(conn, "delete", ("endpoint", id)).await?;
    }
    Ok(deleted > 0)
}

impl Endpoint {
    /// As kros publishes it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "type": self.kind,
            "url": self.url,
            "status": self.status,
            "provider_config": self.provider_config,
            "organization_id": self.org,
            "created_at": crate::clock::rfc3339(self.created_at),
            "updated_at": crate::clock::rfc3339(self.updated_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_gets_its_address_and_nothing_can_be_smuggled_in() {
        let made = |kind: &str, url: Option<&str>, config: Value| {
            let guard = AddressGuard::default();
            let made = address(kind, url, config.as_object().unwrap(), &guard);
            made.map_err(|f| f.errors[0].path.clone())
        };
        let fine = |kind, config, expected: &str| {
            assert_eq!(made(kind, None, config).as_deref(), Ok(expected));
        };
        fine("vapi", json!({"assistant_id": "a1"}), "sip:a1@sip.vapi.ai");
        fine(
            "vapi",
            json!({"assistant_id": "a1", "sip_username": "u"}),
            "sip:u@sip.vapi.ai",
        );
        fine(
            "retell",
            json!({"agent_id": "x"}),
            "sip:{number}@sip.retellai.com;transport=tcp",
        );
        fine(
            "elevenlabs",
            json!({"agent_id": "x", "transport": "tls"}),
            "sip:{number}@sip.rtc.elevenlabs.io;transport=tls",
        );
        fine(
            "livekit",
            json!({"project_sip_host": "p.sip.livekit.cloud"}),
            "sip:{number}@p.sip.livekit.cloud",
        );
        fine(
            "vogent",
            json!({"agent_id": "x"}),
            "sip:{number}@sip.vogent.ai",
        );
        let bad = |kind, url, config, path: &str| {
            assert_eq!(made(kind, url, config), Err(path.to_owned()))
        };
        bad("webhook", None, json!({}), "url");
        bad("webhook", Some("http://a.example"), json!({}), "url");
        bad("webhook", Some("https://u:p@a.example"), json!({}), "url");
        bad("webhook", Some("https://127.0.0.1/x"), json!({}), "url");
        bad("custom_sip", Some("sip:a@b?X-Evil=y"), json!({}), "url");
        let headers = |value: Value| json!({ "headers": value });
        let path = "provider_config.headers";
        let route = headers(json!({ "Route": "<sip:x>" }));
        bad("custom_sip", Some("sip:a@b"), route, path);
        let split = headers(json!({ "X-A": "b\r\nVia: c" }));
        bad(
            "custom_sip",
            Some("sip:a@b"),
            split,
            "provider_config.headers.X-A",
        );
        let list = headers(json!(["a"]));
        bad("webhook", Some("https://a.example"), list, path);
        bad("custom_sip", Some("tel:123"), json!({}), "url");
        bad("custom_sip", Some("sip:a@b\r\nX: y"), json!({}), "url");
        bad("vapi", None, json!({}), "provider_config.assistant_id");
        bad(
            "vapi",
            None,
            json!({"assistant_id": "a@evil"}),
            "provider_config.assistant_id",
        );
        bad(
            "retell",
            None,
            json!({"agent_id": "x", "transport": "x"}),
            "provider_config.transport",
        );
    }
}
