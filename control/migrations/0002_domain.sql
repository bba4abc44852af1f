-- Organisations (workspaces), who may do what in them, and what belongs to them. Truth is 0 or 1,
-- JSON is text, secrets are sealed bytes (see docs/security.md). Rows of a tenant carry org_id.
CREATE TABLE organisations (
    id         TEXT    PRIMARY KEY,
    slug       TEXT    NOT NULL UNIQUE,
    name       TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    org_type   TEXT    NOT NULL,
    hipaa      INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- The organisation that agents and numbers of the configuration file belong to.
INSERT INTO organisations (id, slug, name, kind, org_type, created_at, updated_at)
VALUES ('00000000-0000-7000-8000-000000000001', 'installation', 'Installation', 'team', 'internal', 0, 0);

CREATE TABLE users (
    id                TEXT    PRIMARY KEY,
    email             TEXT    UNIQUE,
    name              TEXT,
    phone             TEXT,
    profile_image_url TEXT,
    password_hash     TEXT,
    google_subject    TEXT    UNIQUE,
    metadata          TEXT    NOT NULL DEFAULT '{}',
    superuser         INTEGER NOT NULL DEFAULT 0,
    current_org_id    TEXT    REFERENCES organisations (id) ON DELETE SET NULL,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL
) STRICT;

CREATE TABLE memberships (
    org_id     TEXT    NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    user_id    TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, user_id)
) STRICT;
CREATE INDEX memberships_by_user ON memberships (user_id, created_at);

-- One row per login; its refresh tokens replace each other.
CREATE TABLE sessions (
    id         TEXT    PRIMARY KEY,
    user_id    TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id);

CREATE TABLE refresh_tokens (
    hash       TEXT    PRIMARY KEY,
    session_id TEXT    NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT;

-- Links sent by mail: a new password, an invitation. Used once.
CREATE TABLE mailed_tokens (
    hash       TEXT    PRIMARY KEY,
    purpose    TEXT    NOT NULL,
    user_id    TEXT    REFERENCES users (id) ON DELETE CASCADE,
    org_id     TEXT    REFERENCES organisations (id) ON DELETE CASCADE,
    email      TEXT,
    role       TEXT,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT;
CREATE INDEX mailed_tokens_by_email ON mailed_tokens (email);

CREATE TABLE api_keys (
    id            TEXT    PRIMARY KEY,
    -- What of the key may be seen and is looked up by.
    prefix        TEXT    NOT NULL UNIQUE,
    digest        BLOB    NOT NULL,
    product       TEXT    NOT NULL,
    mode          TEXT    NOT NULL,
    org_id        TEXT    NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    user_id       TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name          TEXT,
    provider_name TEXT,
    -- A provider's own key, sealed, where the row keeps one for somebody.
    sealed        BLOB,
    scopes        TEXT    NOT NULL DEFAULT '[]',
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER,
    revoked_at    INTEGER,
    last_used_at  INTEGER
) STRICT;
CREATE INDEX api_keys_by_user ON api_keys (user_id);

CREATE TABLE workflows (
    id         TEXT    PRIMARY KEY,
    org_id     TEXT    NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    owner_id   TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    definition TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX workflows_by_org ON workflows (org_id, id);

CREATE TABLE agents (
    id         TEXT    PRIMARY KEY,
    org_id     TEXT    NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    owner_id   TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    active     INTEGER NOT NULL,
    -- May be reached by the routes that need no credential.
    public     INTEGER NOT NULL DEFAULT 0,
    sections   TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX agents_by_org ON agents (org_id, id);

CREATE TABLE agent_versions (
    agent_id   TEXT    NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    version    INTEGER NOT NULL,
    name       TEXT    NOT NULL,
    active     INTEGER NOT NULL,
    sections   TEXT    NOT NULL,
    author_id  TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (agent_id, version)
) STRICT;

-- Voices that a superuser has added to the catalogue of the built-in ones.
CREATE TABLE voices (
    id          TEXT    PRIMARY KEY,
    provider_id TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    language    TEXT,
    gender      TEXT,
    sample_url  TEXT,
    created_at  INTEGER NOT NULL,
    UNIQUE (provider_id, name)
) STRICT;

CREATE TABLE carrier_accounts (
    id          TEXT    PRIMARY KEY,
    org_id      TEXT    NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    carrier     TEXT    NOT NULL,
    account     TEXT    NOT NULL,
    credentials BLOB    NOT NULL,
    base_url    TEXT,
    created_at  INTEGER NOT NULL,
    UNIQUE (org_id, carrier)
) STRICT;

CREATE TABLE trunks (
    id            TEXT    PRIMARY KEY,
    org_id        TEXT    NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    label         TEXT,
    provider      TEXT,
    sip_address   TEXT    NOT NULL,
    auth_username TEXT,
    auth_password BLOB,
    email         TEXT,
    krisp_enabled INTEGER NOT NULL DEFAULT 0,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX trunks_by_org ON trunks (org_id, id);

CREATE TABLE endpoints (
    id              TEXT    PRIMARY KEY,
    org_id          TEXT    NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    mode            TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    url             TEXT    NOT NULL,
    status          TEXT    NOT NULL,
    provider_config TEXT    NOT NULL,
    sealed          BLOB,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX endpoints_by_org ON endpoints (org_id, mode, id);

-- A line has one target at most, of one kind.
CREATE TABLE phone_numbers (
    id            TEXT    PRIMARY KEY,
    org_id        TEXT    NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    -- E.164 with its plus sign.
    number        TEXT    NOT NULL UNIQUE,
    friendly_name TEXT,
    country_code  TEXT,
    region        TEXT,
    provider      TEXT    NOT NULL,
    carrier_sid   TEXT,
    trunk_id      TEXT    REFERENCES trunks (id) ON DELETE SET NULL,
    active        INTEGER NOT NULL,
    agent_id      TEXT    REFERENCES agents (id) ON DELETE SET NULL,
    workflow_id   TEXT    REFERENCES workflows (id) ON DELETE SET NULL,
    endpoint_id   TEXT    REFERENCES endpoints (id) ON DELETE SET NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    CHECK ((agent_id IS NULL OR workflow_id IS NULL) AND (agent_id IS NULL OR endpoint_id IS NULL)
           AND (workflow_id IS NULL OR endpoint_id IS NULL))
) STRICT;
CREATE INDEX phone_numbers_by_org ON phone_numbers (org_id, id);

CREATE TABLE feature_flags (
    user_id TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    flag    TEXT    NOT NULL,
    value   INTEGER NOT NULL,
    PRIMARY KEY (user_id, flag)
) STRICT;

CREATE TABLE chat_sessions (
    id         TEXT    PRIMARY KEY,
    org_id     TEXT    NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    agent_id   TEXT    NOT NULL,
    history    TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX chat_sessions_by_org ON chat_sessions (org_id, id);

CREATE TABLE idempotency_keys (
    org_id      TEXT    NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    route       TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    status      INTEGER,
    answer      TEXT,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (org_id, route, name)
) STRICT;

-- Written with the change it tells of, never changed.
CREATE TABLE audit_log (
    id          TEXT    PRIMARY KEY,
    at          INTEGER NOT NULL,
    org_id      TEXT,
    user_id     TEXT,
    credential  TEXT    NOT NULL,
    action      TEXT    NOT NULL,
    object_kind TEXT    NOT NULL,
    object_id   TEXT    NOT NULL,
    request_id  TEXT
) STRICT;
CREATE INDEX audit_log_by_org ON audit_log (org_id, id);

-- Rooms that LiveKit has announced and not yet closed, and the announcements seen.
CREATE TABLE livekit_rooms (
    sid        TEXT    PRIMARY KEY,
    name       TEXT    NOT NULL,
    started_at INTEGER NOT NULL
) STRICT;
CREATE TABLE livekit_events (
    id TEXT    PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX livekit_events_by_time ON livekit_events (at);

-- Servers may share a database; each ends only its own earlier boots' calls.
ALTER TABLE boots ADD COLUMN node_id TEXT NOT NULL DEFAULT '';
ALTER TABLE calls ADD COLUMN org_id TEXT NOT NULL DEFAULT '00000000-0000-7000-8000-000000000001';
ALTER TABLE calls ADD COLUMN call_type TEXT NOT NULL DEFAULT 'phone';
ALTER TABLE calls ADD COLUMN disposition TEXT;
ALTER TABLE calls ADD COLUMN batch_id TEXT;
CREATE INDEX calls_by_org ON calls (org_id, id);
