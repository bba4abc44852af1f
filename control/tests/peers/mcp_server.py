"""A server made with the official `mcp` package; prints the port it listens on."""

import socket
import sys

import uvicorn
from mcp.server.fastmcp import FastMCP

server = FastMCP("stock", stateless_http=False)


@server.tool()
def stock_level(item: str, size: int) -> dict:
    """How many pieces of an item there are."""
    return {"item": item, "size": size, "pieces": 41 + size}


@server.tool()
def failing() -> str:
    """Fails."""
    raise ValueError("the warehouse is closed")


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
config = uvicorn.Config(server.streamable_http_app(), log_level="error")
uvicorn.Server(config).run(sockets=[listener])
sys.exit(0)
