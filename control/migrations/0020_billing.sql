-- Money is integer millionths of the wallet's currency. See docs/billing.md and docs/adr/0015-ledger.md.
ALTER TABLE organisations ADD COLUMN markup_bps INTEGER NOT NULL DEFAULT 0;
ALTER TABLE organisations ADD COLUMN commission_bps INTEGER NOT NULL DEFAULT 0;

-- Nothing here refers to organisations or users by a foreign key: books outlive what they tell of.
CREATE TABLE wallets (
    id            TEXT    PRIMARY KEY,
    org_id        TEXT    NOT NULL,
    -- org or user; whose.
    owner_kind    TEXT    NOT NULL,
    owner_id      TEXT    NOT NULL,
    currency      TEXT    NOT NULL,
    -- What the postings to it come to, and how much of that open holds have set aside.
    posted        INTEGER NOT NULL,
    pending       INTEGER NOT NULL,
    -- The part of both that no grant row stands for.
    loose         INTEGER NOT NULL,
    loose_pinned  INTEGER NOT NULL,
    overdraft     INTEGER NOT NULL,
    -- Most that may be spent in a calendar month (UTC), and what was spent in the present one.
    cap           INTEGER,
    period_start  INTEGER NOT NULL,
    period_spent  INTEGER NOT NULL,
    -- Whether anything was ever credited: an unfunded user's calls are the organisation's.
    funded        INTEGER NOT NULL,
    -- Time of the last change; later ones are never dated before it.
    last_at       INTEGER NOT NULL,
    -- End of its chain of entries.
    chain_seq     INTEGER NOT NULL,
    chain_hash    BLOB    NOT NULL,
    created_at    INTEGER NOT NULL,
    UNIQUE (org_id, owner_kind, owner_id, currency),
    CHECK (posted - pending >= 0 - overdraft AND pending >= 0)
) STRICT;

-- The other side of a wallet's postings. Each wallet has its own, so that two wallets never wait
-- for each other.
CREATE TABLE ledger_accounts (
    wallet_id TEXT    NOT NULL REFERENCES wallets (id),
    account   TEXT    NOT NULL,
    posted    INTEGER NOT NULL,
    PRIMARY KEY (wallet_id, account)
) STRICT;

CREATE TABLE ledger_entries (
    id        TEXT    PRIMARY KEY,
    -- In whose chain.
    wallet_id TEXT    NOT NULL REFERENCES wallets (id),
    seq       INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    idem_key  TEXT    NOT NULL UNIQUE,
    reference TEXT,
    actor     TEXT    NOT NULL,
    reason    TEXT,
    at        INTEGER NOT NULL,
    prev_hash BLOB    NOT NULL,
    hash      BLOB    NOT NULL,
    UNIQUE (wallet_id, seq)
) STRICT;

CREATE TABLE ledger_postings (
    entry_id  TEXT    NOT NULL REFERENCES ledger_entries (id),
    number    INTEGER NOT NULL,
    wallet_id TEXT    NOT NULL REFERENCES wallets (id),
    account   TEXT    NOT NULL,
    -- Which grant a posting to a wallet adds to or uses up; none for what has no grant row.
    grant_id  TEXT,
    -- Whether a hold had set the money aside.
    held      INTEGER NOT NULL,
    amount    INTEGER NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (entry_id, number)
) STRICT;
CREATE INDEX ledger_postings_by_wallet ON ledger_postings (wallet_id, entry_id);

CREATE TABLE grants (
    id           TEXT    PRIMARY KEY,
    wallet_id    TEXT    NOT NULL REFERENCES wallets (id),
    amount       INTEGER NOT NULL,
    remaining    INTEGER NOT NULL,
    pinned       INTEGER NOT NULL,
    category     TEXT    NOT NULL,
    priority     INTEGER NOT NULL,
    effective_at INTEGER NOT NULL,
    expires_at   INTEGER,
    voided_at    INTEGER,
    -- The wallet it was transferred from.
    source_id    TEXT,
    note         TEXT,
    created_at   INTEGER NOT NULL,
    CHECK (remaining >= 0 AND pinned >= 0 AND pinned <= remaining AND amount > 0)
) STRICT;
CREATE INDEX grants_left ON grants (wallet_id, id) WHERE remaining > 0;
CREATE INDEX grants_by_wallet ON grants (wallet_id, created_at);
CREATE INDEX grants_expiring ON grants (expires_at) WHERE remaining > 0;

CREATE TABLE holds (
    id          TEXT    PRIMARY KEY,
    wallet_id   TEXT    NOT NULL REFERENCES wallets (id),
    call_id     TEXT    NOT NULL,
    amount      INTEGER NOT NULL,
    captured    INTEGER NOT NULL,
    state       TEXT    NOT NULL,
    lease_until INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    resolved_at INTEGER,
    -- What the call had used when its owner last said so, for settling a call whose end is missing.
    usage       TEXT,
    CHECK (captured >= 0 AND captured <= amount)
) STRICT;
CREATE UNIQUE INDEX holds_open ON holds (call_id) WHERE state = 'open';
CREATE INDEX holds_by_wallet ON holds (wallet_id) WHERE state = 'open';
CREATE INDEX holds_by_lease ON holds (lease_until) WHERE state = 'open';

CREATE TABLE hold_slices (
    hold_id  TEXT    NOT NULL REFERENCES holds (id),
    number   INTEGER NOT NULL,
    grant_id TEXT,
    amount   INTEGER NOT NULL CHECK (amount > 0),
    PRIMARY KEY (hold_id, number)
) STRICT;

-- Never changed; what is charged from another day on is another row.
CREATE TABLE prices (
    id          TEXT    PRIMARY KEY,
    component   TEXT    NOT NULL,
    -- '*' for all without one of their own.
    provider    TEXT    NOT NULL,
    price       INTEGER NOT NULL,
    cost        INTEGER NOT NULL,
    per_units   INTEGER NOT NULL CHECK (per_units > 0),
    increment_s INTEGER NOT NULL,
    minimum_s   INTEGER NOT NULL,
    currency    TEXT    NOT NULL,
    valid_from  INTEGER NOT NULL,
    UNIQUE (component, provider, currency, valid_from)
) STRICT;

-- What calls used; the id is made of call and place, so that an event told twice counts once.
CREATE TABLE usage_events (
    id        TEXT    PRIMARY KEY,
    call_id   TEXT    NOT NULL,
    component TEXT    NOT NULL,
    provider  TEXT    NOT NULL,
    unit      TEXT    NOT NULL,
    quantity  INTEGER NOT NULL,
    -- Quantity after minimum and increment.
    billed    INTEGER NOT NULL,
    price_id  TEXT,
    amount    INTEGER NOT NULL,
    cost      INTEGER NOT NULL,
    at        INTEGER NOT NULL
) STRICT;
CREATE INDEX usage_events_by_call ON usage_events (call_id);

-- One row per ended call: its bill.
CREATE TABLE call_charges (
    call_id        TEXT    PRIMARY KEY,
    org_id         TEXT    NOT NULL,
    -- The user whose agent answered; none for agents of the configuration.
    owner_id       TEXT,
    agent_id       TEXT    NOT NULL,
    call_type      TEXT    NOT NULL,
    -- None where the call was not charged to anybody.
    wallet_id      TEXT,
    currency       TEXT    NOT NULL,
    duration_s     INTEGER NOT NULL,
    wholesale      INTEGER NOT NULL,
    markup         INTEGER NOT NULL,
    retail         INTEGER NOT NULL,
    commission     INTEGER NOT NULL,
    cost           INTEGER NOT NULL,
    markup_bps     INTEGER NOT NULL,
    commission_bps INTEGER NOT NULL,
    captured       INTEGER NOT NULL,
    written_off    INTEGER NOT NULL,
    entry_id       TEXT,
    at             INTEGER NOT NULL
) STRICT;
CREATE INDEX call_charges_by_org ON call_charges (org_id, at);
CREATE INDEX call_charges_by_owner ON call_charges (owner_id, at);
CREATE INDEX call_charges_by_wallet ON call_charges (wallet_id, at);
