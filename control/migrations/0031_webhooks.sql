-- Where events are sent, the events, and what has become of each delivery. An event holds ids
-- only; what is sent is made of the rows they name when it is sent.
CREATE TABLE webhook_endpoints (
    id              TEXT    PRIMARY KEY,
    org_id          TEXT    NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    owner_id        TEXT    NOT NULL,
    url             TEXT    NOT NULL,
    -- standard or kupe
    format          TEXT    NOT NULL,
    -- Kinds of events; an empty list means all.
    events          TEXT    NOT NULL,
    enabled         INTEGER NOT NULL,
    disabled_reason TEXT,
    secret          BLOB    NOT NULL,
    -- Signs too until then, after a rotation.
    old_secret      BLOB,
    old_until       INTEGER,
    failing_since   INTEGER,
    last_success_at INTEGER,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX webhook_endpoints_by_org ON webhook_endpoints (org_id, id);

CREATE TABLE webhook_events (
    id       TEXT    PRIMARY KEY,
    org_id   TEXT    NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    kind     TEXT    NOT NULL,
    call_id  TEXT,
    -- Counts the events of a call, from 1.
    sequence INTEGER NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX webhook_events_by_call ON webhook_events (call_id, sequence);
CREATE INDEX webhook_events_by_org ON webhook_events (org_id, at);

CREATE TABLE webhook_deliveries (
    id           TEXT    PRIMARY KEY,
    org_id       TEXT    NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    event_id     TEXT    NOT NULL REFERENCES webhook_events (id) ON DELETE CASCADE,
    endpoint_id  TEXT    NOT NULL REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    -- pending, delivered, failed
    state        TEXT    NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    not_before   INTEGER NOT NULL,
    lease_until  INTEGER NOT NULL DEFAULT 0,
    last_status  INTEGER,
    last_error   TEXT,
    last_at      INTEGER,
    UNIQUE (event_id, endpoint_id)
) STRICT;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (not_before) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_by_endpoint ON webhook_deliveries (endpoint_id, id);
