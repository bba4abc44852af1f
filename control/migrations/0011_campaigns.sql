-- Batches and campaigns: one dialler for all (docs/campaigns.md, ADR 14).
CREATE TABLE campaigns (
    id             TEXT    PRIMARY KEY,
    org_id         TEXT    NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    owner_id       TEXT    NOT NULL,
    -- kupe_batch, vaani_batch, vaani_campaign
    kind           TEXT    NOT NULL,
    slug           TEXT    UNIQUE,
    name           TEXT    NOT NULL,
    description    TEXT,
    agent_id       TEXT    REFERENCES agents (id) ON DELETE SET NULL,
    workflow_id    TEXT    REFERENCES workflows (id) ON DELETE SET NULL,
    line_id        TEXT    REFERENCES phone_numbers (id) ON DELETE SET NULL,
    variable_names TEXT    NOT NULL DEFAULT '[]',
    -- campaigns::rules::Rules as JSON
    rules          TEXT    NOT NULL,
    -- The surface's own fields, given back as they came.
    extra          TEXT    NOT NULL DEFAULT '{}',
    -- not_started, scheduled, running, paused, completed, cancelled
    state          TEXT    NOT NULL,
    state_reason   TEXT,
    scheduled_at   INTEGER,
    time_zone      TEXT,
    started_at     INTEGER,
    ended_at       INTEGER,
    version        INTEGER NOT NULL DEFAULT 1,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX campaigns_by_org ON campaigns (org_id, kind, id);
CREATE INDEX campaigns_active ON campaigns (state) WHERE state IN ('running', 'scheduled');

CREATE TABLE recipients (
    id            TEXT    PRIMARY KEY,
    campaign_id   TEXT    NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
    -- E.164 with its plus sign.
    phone         TEXT    NOT NULL,
    variables     TEXT    NOT NULL,
    time_zone     TEXT,
    -- pending, dialing, unknown, retry; completed, no_answer, failed, cancelled
    state         TEXT    NOT NULL,
    reason        TEXT,
    error_message TEXT,
    not_before    INTEGER NOT NULL,
    attempts      INTEGER NOT NULL DEFAULT 0,
    call_id       TEXT,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    UNIQUE (campaign_id, phone)
) STRICT;
CREATE INDEX recipients_due ON recipients (campaign_id, not_before, id)
    WHERE state IN ('pending', 'retry');
CREATE INDEX recipients_by_state ON recipients (campaign_id, state);

-- One row before every call: the intent, and what became of it. Its id is the call's id and its SIP
-- Call-ID.
CREATE TABLE dial_attempts (
    id           TEXT    PRIMARY KEY,
    -- No references: what was dialled was dialled, also when its campaign is deleted.
    recipient_id TEXT    NOT NULL,
    campaign_id  TEXT    NOT NULL,
    org_id       TEXT    NOT NULL,
    number       INTEGER NOT NULL,
    phone        TEXT    NOT NULL,
    trunk        TEXT    NOT NULL,
    dialler_id   TEXT    NOT NULL,
    -- open, unknown, closed
    state        TEXT    NOT NULL,
    outcome      TEXT,
    detail       TEXT,
    -- Why the recipient may be dialled again, or is not: written with the recipient's state.
    decision     TEXT,
    sip_status   INTEGER,
    q850_cause   INTEGER,
    intent_at    INTEGER NOT NULL,
    unknown_at   INTEGER,
    closed_at    INTEGER,
    UNIQUE (recipient_id, number)
) STRICT;
CREATE UNIQUE INDEX dial_attempts_one_open ON dial_attempts (recipient_id)
    WHERE state IN ('open', 'unknown');
CREATE INDEX dial_attempts_open ON dial_attempts (campaign_id) WHERE state = 'open';
CREATE INDEX dial_attempts_by_campaign ON dial_attempts (campaign_id, id);
CREATE INDEX dial_attempts_open_by_org ON dial_attempts (org_id) WHERE state = 'open';
CREATE INDEX dial_attempts_open_by_trunk ON dial_attempts (trunk) WHERE state = 'open';
CREATE INDEX dial_attempts_of_dialler ON dial_attempts (dialler_id) WHERE state IN ('open', 'unknown');
CREATE INDEX dial_attempts_by_phone ON dial_attempts (org_id, phone, intent_at);

-- A process that dials, as long as its lease runs. One that was fenced never comes back under
-- the same id.
CREATE TABLE diallers (
    id          TEXT    PRIMARY KEY,
    node_id     TEXT    NOT NULL,
    lease_until INTEGER NOT NULL,
    fenced      INTEGER NOT NULL DEFAULT 0
) STRICT;

-- When the next call may begin, by what the rate is of (generic cell rate algorithm).
CREATE TABLE dial_pacing (
    name    TEXT    PRIMARY KEY,
    next_at INTEGER NOT NULL
) STRICT;

-- Numbers that nobody of the organisation may call; org_id '' is for all.
CREATE TABLE do_not_call (
    org_id     TEXT    NOT NULL,
    phone      TEXT    NOT NULL,
    source     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, phone)
) STRICT;

CREATE TABLE recipient_imports (
    id          TEXT    PRIMARY KEY,
    campaign_id TEXT    NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
    status      TEXT    NOT NULL,
    accepted    INTEGER NOT NULL DEFAULT 0,
    rejected    INTEGER NOT NULL DEFAULT 0,
    digest      TEXT,
    errors      TEXT    NOT NULL DEFAULT '[]',
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX recipient_imports_by_campaign ON recipient_imports (campaign_id, id);
