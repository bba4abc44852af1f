-- Tools that agents may call: HTTP requests and MCP servers, and the log of what was called.
CREATE TABLE tools (
    id          TEXT    PRIMARY KEY,
    org_id      TEXT    NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    owner_id    TEXT    NOT NULL,
    -- http or mcp
    kind        TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    description TEXT    NOT NULL,
    url         TEXT    NOT NULL,
    settings    TEXT    NOT NULL,
    -- Header fields, sealed as one JSON object.
    headers     BLOB    NOT NULL,
    -- What an MCP server has offered when it was last asked.
    offered     TEXT    NOT NULL DEFAULT '[]',
    version     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX tools_by_org ON tools (org_id, kind, id);

CREATE TABLE agent_tools (
    agent_id TEXT    NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    tool_id  TEXT    NOT NULL REFERENCES tools (id) ON DELETE CASCADE,
    place    INTEGER NOT NULL,
    enabled  INTEGER NOT NULL,
    config   TEXT    NOT NULL,
    PRIMARY KEY (agent_id, tool_id)
) STRICT;
CREATE INDEX agent_tools_by_tool ON agent_tools (tool_id);

CREATE TABLE tool_invocations (
    id          TEXT    PRIMARY KEY,
    org_id      TEXT    NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
    tool_id     TEXT,
    agent_id    TEXT    NOT NULL,
    -- The call or chat.
    call_id     TEXT,
    name        TEXT    NOT NULL,
    -- Absent where the organisation keeps no content.
    arguments   TEXT,
    result      TEXT,
    outcome     TEXT    NOT NULL,
    duration_ms INTEGER NOT NULL,
    at          INTEGER NOT NULL
) STRICT;
CREATE INDEX tool_invocations_by_org ON tool_invocations (org_id, id);
