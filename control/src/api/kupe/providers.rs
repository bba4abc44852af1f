//! `/api/v1/providers` and `/api/v1/tts-voices`: what this installation can use.

use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::route::{Context, Fields as _, Route, reply, route};
use super::super::schema::{Kind, Shape, may, need, shape};
use crate::agents::providers::{self, Part, Voice};
use crate::clock::now_us;
use crate::identity::accounts::uuid;
use crate::store::{Store, StoreError, sql};

static PROVIDER: Shape = shape(
    "Provider",
    &[
        need("id", Kind::Uuid),
        need("provider_name", Kind::Text(0, 0)),
        need("model_name", Kind::Text(0, 0)),
        need("supported_languages", Kind::List(&Kind::Text(0, 0), 0)),
        need("is_default", Kind::Boolean),
        need("is_available", Kind::Boolean),
    ],
);
const PROVIDERS: Kind = Kind::List(&Kind::Object(&PROVIDER), 0);
static ALL: Shape = shape(
    "Providers",
    &[
        need("model", PROVIDERS),
        need("tts", PROVIDERS),
        need("stt", PROVIDERS),
        need("vad", PROVIDERS),
    ],
);
static NEW_VOICE: Shape = shape(
    "VoiceCreate",
    &[
        need("provider_id", Kind::Uuid),
        need("voice_name", Kind::Text(1, 200)),
        may("language", Kind::Text(0, 35)),
        may("gender", Kind::Text(0, 20)),
        may("sample_url", Kind::Url(&["https"])),
    ],
);
static VOICE: Shape = shape(
    "Voice",
    &[
        need("id", Kind::Uuid),
        need("provider_id", Kind::Uuid),
        need("voice_name", Kind::Text(0, 0)),
        need("language", Kind::Nullable(&Kind::Text(0, 0))),
        need("gender", Kind::Nullable(&Kind::Text(0, 0))),
        need("sample_url", Kind::Nullable(&Kind::Text(0, 0))),
    ],
);
const VOICES: Kind = Kind::List(&Kind::Object(&VOICE), 0);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route!(Kupe GET "/api/v1/providers/model", KeyOrBearer "any" 200, models)
            .does("Language models")
            .answers(PROVIDERS),
        route!(Kupe GET "/api/v1/providers/tts", KeyOrBearer "any" 200, tts)
            .does("Voices' engines")
            .answers(PROVIDERS),
        route!(Kupe GET "/api/v1/providers/stt", KeyOrBearer "any" 200, stt)
            .does("Recognisers")
            .answers(PROVIDERS),
        route!(Kupe GET "/api/v1/providers/vad", KeyOrBearer "any" 200, vad)
            .does("Voice activity detectors")
            .answers(PROVIDERS),
        route!(Kupe GET "/api/v1/providers/all", KeyOrBearer "any" 200, all)
            .does("The whole catalogue")
            .answers(Kind::Object(&ALL)),
        route!(Kupe GET "/api/v1/tts-voices", KeyOrBearer "any" 200, voices)
            .does("Voices")
            .answers(VOICES),
        route!(Kupe POST "/api/v1/tts-voices", KeyOrBearer "any (propose super_admin)" 201, add_voice)
            .does("Adds a voice to the shared catalogue; for super admins")
            .takes(&NEW_VOICE)
            .answers(Kind::Object(&VOICE)),
        route!(Kupe GET "/api/v1/tts-voices/{voice_id}", KeyOrBearer "any" 200, voice)
            .does("A voice")
            .answers(Kind::Object(&VOICE)),
        route!(Kupe GET "/api/v1/tts-voices/provider/{provider_id}", KeyOrBearer "any" 200, provider_voices)
            .does("Voices of an engine")
            .answers(VOICES),
    ]
}

fn listed(cx: &Context, part: Part) -> Value {
    let entries = providers::catalogue(&cx.services.config);
    entries
        .iter()
        .filter(|entry| entry.part == part)
        .map(providers::Provider::to_json)
        .collect()
}

async fn models(cx: Context) -> Result<Response, Failure> {
    Ok(reply(&cx, listed(&cx, Part::Model)))
}

async fn tts(cx: Context) -> Result<Response, Failure> {
    Ok(reply(&cx, listed(&cx, Part::Tts)))
}

async fn stt(cx: Context) -> Result<Response, Failure> {
    Ok(reply(&cx, listed(&cx, Part::Stt)))
}

async fn vad(cx: Context) -> Result<Response, Failure> {
    Ok(reply(&cx, listed(&cx, Part::Vad)))
}

async fn all(cx: Context) -> Result<Response, Failure> {
    let body = json!({
        "model": listed(&cx, Part::Model),
        "tts": listed(&cx, Part::Tts),
        "stt": listed(&cx, Part::Stt),
        "vad": listed(&cx, Part::Vad),
    });
    Ok(reply(&cx, body))
}

async fn voices(cx: Context) -> Result<Response, Failure> {
    let voices = known(&cx).await?;
    Ok(reply(&cx, voices.iter().map(Voice::to_json).collect()))
}

async fn voice(cx: Context) -> Result<Response, Failure> {
    let id = cx.id("voice_id")?;
    let voices = known(&cx).await?;
    let voice = voices
        .iter()
        .find(|voice| voice.id == id)
        .ok_or_else(Failure::not_found)?;
    Ok(reply(&cx, voice.to_json()))
}

async fn provider_voices(cx: Context) -> Result<Response, Failure> {
    let id = cx.id("provider_id")?;
    let voices = known(&cx).await?;
    let own = voices.iter().filter(|voice| voice.provider == id);
    Ok(reply(&cx, own.map(Voice::to_json).collect()))
}

async fn add_voice(cx: Context) -> Result<Response, Failure> {
    if !cx.who()?.superuser {
        return Err(Failure::forbidden(
            "the catalogue is shared; only super admins add to it",
        ));
    }
    let config = &cx.services.config;
    let provider = cx.body.uuid("provider_id").unwrap_or_default();
    let engines = providers::catalogue(config);
    if !engines
        .iter()
        .any(|entry| entry.part == Part::Tts && entry.id == provider)
    {
        return Err(Failure::field(
            "provider_id",
            "unknown",
            "is not an engine in the catalogue",
        ));
    }
    let voice = Voice {
        id: Uuid::now_v7(),
        provider,
        name: cx.body.owned("voice_name").unwrap_or_default(),
        language: cx.body.owned("language"),
        gender: cx.body.owned("gender"),
        sample_url: cx.body.owned("sample_url"),
    };
    let insert = sql(
        "INSERT INTO voices (id, provider_id, name, language, gender, sample_url, \
                        created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(voice.id)
    .bind(voice.provider)
    .bind(&voice.name)
    .bind(voice.language.clone())
    .bind(voice.gender.clone())
    .bind(voice.sample_url.clone())
    .bind(now_us());
    let actor = cx.actor()?;
    let id = voice.id;
    let added = cx.services.store.write(move |conn| {
        Box::pin(async move {
            insert.execute(conn).await?;
            actor.did(conn, "create", ("voice", id)).await
        })
    });
    match added.await {
        Err(error) if error.is_unique_violation() => {
            Err(Failure::conflict("the engine has a voice of this name"))
        }
        other => {
            other?;
            Ok(reply(&cx, voice.to_json()))
        }
    }
}

/// The built-in voices, then the added ones.
async fn known(cx: &Context) -> Result<Vec<Voice>, StoreError> {
    let mut voices = providers::voices(&cx.services.config);
    voices.extend(added(&cx.services.store).await?);
    Ok(voices)
}

async fn added(store: &Store) -> Result<Vec<Voice>, StoreError> {
    let rows = store.fetch_all(sql(
        "SELECT * FROM voices ORDER BY created_at, id LIMIT 5000",
    ));
    rows.await?
        .iter()
        .map(|row| {
            Ok(Voice {
                id: uuid(row, "id")?,
                provider: uuid(row, "provider_id")?,
                name: row.get("name")?,
                language: row.get("language")?,
                gender: row.get("gender")?,
                sample_url: row.get("sample_url")?,
            })
        })
        .collect()
}
