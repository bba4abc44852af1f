-- Times are microseconds since 1970-01-01 UTC; ids of calls are UUIDv7 and therefore sort by time.
CREATE TABLE boots (
    id         TEXT    PRIMARY KEY,
    started_at INTEGER NOT NULL
) STRICT;

CREATE TABLE calls (
    id              TEXT    PRIMARY KEY,
    boot_id         TEXT    NOT NULL REFERENCES boots (id),
    agent_id        TEXT    NOT NULL,
    direction       TEXT    NOT NULL,
    carrier         TEXT    NOT NULL,
    carrier_call_id TEXT,
    caller          TEXT,
    called          TEXT,
    codec           TEXT,
    status          TEXT    NOT NULL,
    started_at      INTEGER NOT NULL,
    answered_at     INTEGER,
    ended_at        INTEGER,
    outcome_class   TEXT,
    outcome_reason  TEXT,
    recording       TEXT,
    recording_ms    INTEGER,
    statistics      TEXT
) STRICT;
CREATE INDEX calls_active ON calls (boot_id) WHERE status = 'active';
CREATE INDEX calls_by_status ON calls (status, id);
CREATE INDEX calls_by_carrier_call_id ON calls (carrier_call_id) WHERE carrier_call_id IS NOT NULL;

CREATE TABLE call_turns (
    call_id     TEXT    NOT NULL REFERENCES calls (id),
    number      INTEGER NOT NULL,
    speaker     TEXT    NOT NULL,
    text        TEXT    NOT NULL,
    start_ms    INTEGER NOT NULL,
    end_ms      INTEGER NOT NULL,
    interrupted INTEGER NOT NULL,
    dtmf        INTEGER NOT NULL,
    timings     TEXT,
    PRIMARY KEY (call_id, number)
) STRICT;

CREATE TABLE call_events (
    call_id TEXT    NOT NULL REFERENCES calls (id),
    number  INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    data    TEXT    NOT NULL,
    PRIMARY KEY (call_id, number)
) STRICT;

-- What workflows store.
CREATE TABLE records (
    id         TEXT    PRIMARY KEY,
    collection TEXT    NOT NULL,
    fields     TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX records_by_collection ON records (collection, id);

-- One row per unique key of a record's collection that binds the record.
CREATE TABLE record_keys (
    collection TEXT NOT NULL,
    key_fields TEXT NOT NULL,
    key_values TEXT NOT NULL,
    record_id  TEXT NOT NULL REFERENCES records (id),
    PRIMARY KEY (collection, key_fields, key_values)
) STRICT;
CREATE INDEX record_keys_by_record ON record_keys (record_id);
