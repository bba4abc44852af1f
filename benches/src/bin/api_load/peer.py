"""The routes of the bench in the incumbent's stack: FastAPI on uvicorn, asyncpg or aiosqlite.

Answers with the bytes Samvad answers with, from tables of the same shape: a key is looked up for
each request, an agent is written with its first version and a line of the audit log in one
transaction, and SQLite commits to the disk (WAL, synchronous=FULL).
"""

import datetime
import hashlib
import json
import os
import sys
import urllib.parse
import uuid
from contextlib import asynccontextmanager

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field

URL = os.environ["PEER_DATABASE"]
KEY = os.environ["PEER_KEY"]
SECTIONS = json.loads(os.environ["PEER_SECTIONS"])
SCHEMA = [
    "CREATE TABLE keys (id TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, org_id TEXT NOT NULL)",
    "CREATE TABLE agents (id TEXT PRIMARY KEY, org_id TEXT NOT NULL, name TEXT NOT NULL,"
    " sections TEXT NOT NULL, version BIGINT NOT NULL, created_at TEXT NOT NULL)",
    "CREATE INDEX agents_org ON agents (org_id, created_at)",
    "CREATE TABLE agent_versions (agent_id TEXT NOT NULL, version BIGINT NOT NULL,"
    " sections TEXT NOT NULL, created_at TEXT NOT NULL, PRIMARY KEY (agent_id, version))",
    "CREATE TABLE audit_log (id TEXT PRIMARY KEY, org_id TEXT NOT NULL, action TEXT NOT NULL,"
    " object TEXT NOT NULL, at TEXT NOT NULL)",
]


class Postgres:
    async def open(self):
        import asyncpg

        # asyncpg lets a host before the path win over the socket's folder behind it.
        url = urllib.parse.urlsplit(URL)
        folder = urllib.parse.parse_qs(url.query)["host"][0]
        self.pool = await asyncpg.create_pool(
            host=folder, user=url.username, database=url.path[1:], min_size=4, max_size=16
        )

    async def fetch(self, query, *values):
        return [tuple(row) for row in await self.pool.fetch(query, *values)]

    async def write(self, statements):
        async with self.pool.acquire() as connection, connection.transaction():
            for query, values in statements:
                await connection.execute(query, *values)


class Sqlite:
    async def open(self):
        import aiosqlite

        self.reader = await aiosqlite.connect(URL)
        self.writer = await aiosqlite.connect(URL)
        for connection in (self.reader, self.writer):
            await connection.execute("PRAGMA journal_mode = WAL")
            await connection.execute("PRAGMA synchronous = FULL")
        import asyncio

        self.lock = asyncio.Lock()

    async def fetch(self, query, *values):
        async with self.reader.execute(query, values) as cursor:
            return list(await cursor.fetchall())

    async def write(self, statements):
        async with self.lock:
            for query, values in statements:
                await self.writer.execute(query, values)
            await self.writer.commit()


database = Postgres() if URL.startswith("postgres") else Sqlite()


def sql(query):
    return query if isinstance(database, Postgres) else query.replace("$", "?")


def digest(key):
    return hashlib.sha256(key.encode()).hexdigest()


@asynccontextmanager
async def lifespan(_):
    await database.open()
    statements = [(statement, ()) for statement in SCHEMA]
    statements.append(
        (sql("INSERT INTO keys VALUES ($1, $2, $3)"), (str(uuid.uuid4()), digest(KEY), str(uuid.uuid4())))
    )
    await database.write(statements)
    yield


app = FastAPI(lifespan=lifespan)


class SimpleAgent(BaseModel):
    name: str = Field(min_length=1, max_length=100)
    description: str | None = Field(default=None, max_length=2000)


async def organisation(x_api_key: str = Header()):
    found = await database.fetch(sql("SELECT org_id FROM keys WHERE digest = $1"), digest(x_api_key))
    if not found:
        raise HTTPException(401, "the key is wrong")
    return found[0][0]


def whole(row):
    body = json.loads(row[1])
    body["agent"]["id"] = row[0]
    return body


@app.get("/health")
async def health():
    return {"status": "ok"}


@app.post("/api/v1/agents/simple", status_code=201)
async def create(body: SimpleAgent, org: str = Depends(organisation)):
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    id = str(uuid.uuid4())
    sections = json.loads(json.dumps(SECTIONS))
    sections["agent"]["name"] = body.name
    sections["agent"]["description"] = body.description
    text = json.dumps(sections)
    await database.write(
        [
            (sql("INSERT INTO agents VALUES ($1, $2, $3, $4, $5, $6)"), (id, org, body.name, text, 1, now)),
            (sql("INSERT INTO agent_versions VALUES ($1, $2, $3, $4)"), (id, 1, text, now)),
            (sql("INSERT INTO audit_log VALUES ($1, $2, $3, $4, $5)"), (str(uuid.uuid4()), org, "create", id, now)),
        ]
    )
    return {"agent": {"id": id, "name": body.name}, "message": "created"}


@app.get("/api/v1/agents/{id}")
async def show(id: uuid.UUID, org: str = Depends(organisation)):
    query = sql("SELECT id, sections FROM agents WHERE id = $1 AND org_id = $2")
    found = await database.fetch(query, str(id), org)
    if not found:
        raise HTTPException(404, "not found")
    return whole(found[0])


@app.get("/api/v1/agents")
async def list_agents(page: int = 1, page_size: int = 20, org: str = Depends(organisation)):
    query = sql(
        "SELECT id, sections FROM agents WHERE org_id = $1 ORDER BY created_at, id LIMIT $2 OFFSET $3"
    )
    found = await database.fetch(query, org, page_size, (page - 1) * page_size)
    total = await database.fetch(sql("SELECT COUNT(*) FROM agents WHERE org_id = $1"), org)
    items = [whole(row)["agent"] for row in found]
    return {"items": items, "total": total[0][0], "page": page, "page_size": page_size}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
