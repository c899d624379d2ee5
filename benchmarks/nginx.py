"""nginx where it is installed: a server that costs next to nothing, and a proxy to compare with."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.instant import instant

_CONFIG = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 1000000000; default_type application/json;
  client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  {more}
}}
"""
_PROXY = """
  upstream up {{ server {upstream}; keepalive 256; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://up; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_buffering off; }}
  }}
"""
_ANSWERS = """
  server {{
    listen 127.0.0.1:{port};
    location / {{ return 200 '{answer}'; }}
    location /v1/models {{ return 200 '{models}'; }}
  }}
"""
_ANSWER = (
    '{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-6-luna","choices":'
    '[{"index":0,"message":{"role":"assistant","content":"Fine, thank you."},'
    '"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":200,"completion_tokens":20,"total_tokens":220}}'
)
_MODELS = '{"object":"list","data":[{"id":"gpt-6-luna","object":"model"}]}'


def is_installed() -> bool:
    """True where nginx is on the PATH."""
    return shutil.which("nginx") is not None


@contextmanager
def cheapest(folder: Path) -> Iterator[str]:
    """The server that answers at once for the least CPU; its address."""
    if not is_installed():
        print("nginx is not installed: the server is Python, and takes CPU from what is measured")
        with instant() as url:
            yield url
        return
    with _running(folder, _ANSWERS.format(answer=_ANSWER, models=_MODELS, port=_port())) as found:
        yield found[0]


@contextmanager
def proxy(upstream: str, folder: Path) -> Iterator[tuple[str, int]]:
    """nginx before an upstream; its address and pid."""
    place = urlsplit(upstream).netloc
    with _running(folder, _PROXY.format(upstream=place, port=_port())) as found:
        yield found


def _port() -> int:
    return 4900 + os.getpid() % 1000


@contextmanager
def _running(folder: Path, more: str) -> Iterator[tuple[str, int]]:
    file = folder / "nginx.conf"
    file.write_text(_CONFIG.format(folder=folder, more=more))
    process = subprocess.Popen(["nginx", "-c", str(file)], stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        yield f"http://127.0.0.1:{_port()}", process.pid
    finally:
        process.terminate()
        process.wait()
