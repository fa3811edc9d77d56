"""A real nginx before several workers: round robin, each request on a connection of its own."""

import asyncio
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.processes import Process, Processes

BINARY = shutil.which("nginx") or "/usr/sbin/nginx"
CONFIG = """\
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    upstream workers {{ {servers} }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://workers;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Host $http_host;
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_read_timeout 1h;
            proxy_next_upstream off;
        }}
    }}
}}
"""


async def serve(processes: Processes, folder: Path, urls: Sequence[str]) -> tuple[Process, str]:
    """Start it before these servers; returns it and its URL."""
    servers = " ".join(f"server {url.removeprefix('http://')};" for url in urls)
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, servers=servers, port=port))
    process = await processes.start("nginx", BINARY, "-c", config, "-p", folder)
    url = f"http://127.0.0.1:{port}"
    await listening(port)
    return process, url


def free_port() -> int:
    """A port that nobody listens on; nginx cannot tell which one it took."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def listening(port: int) -> None:
    """Wait until somebody listens there."""
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            return
