"""A server with a tiny model in a thread, on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import torch

from tutortoietts.api import TextToSpeech
from tutortoietts.audio.io import pcm16, wav_header
from tutortoietts.server.run import SpeechServer
from tutortoietts.server.settings import ServerSettings

TEXT = "One two three four five, six seven eight nine."


@dataclass
class Running:
    """A server, and how to reach it."""

    server: SpeechServer
    url: str
    client: Any
    loop: asyncio.AbstractEventLoop

    def post(self, body: Any, path: str = "/v1/audio/speech", **rest: Any) -> Any:
        return self.client.post(path, json=body, **rest)

    def idle(self) -> bool:
        """True once no request runs or waits, within ten seconds."""
        return wait_for(lambda: not self.server.engine.running and not self.server.engine.waiting)


def clip(seconds: float = 2.0, rate: int = 22050) -> bytes:
    """Return a WAV file of a tone that swells, which passes for speech."""
    time = torch.arange(round(seconds * rate)) / rate
    sound = 0.3 * torch.sin(2 * torch.pi * 150 * time) * torch.sin(2 * torch.pi * 2 * time)
    return wav_header(rate, len(sound)) + pcm16(sound)


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Poll a condition until it holds; False if it never does."""
    waiter = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return True
        waiter.wait(0.01)
    return False


@contextlib.contextmanager
def running_server(model: Path | str, **changes: Any) -> Iterator[Running]:
    values = {"port": 0, "warmup": False, "max_rows": 4, "wyoming": 0, **changes}
    settings = ServerSettings(**values)
    keeps = settings.phrase_cache
    server = SpeechServer(
        settings, lambda: TextToSpeech(str(model), device="cpu", enable_redaction=False, phrase_cache=keeps)
    )
    started, loops = threading.Event(), []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        server._on_ready = lambda _: started.set()
        await server.serve_until_stopped()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert started.wait(60)
        url = f"http://127.0.0.1:{server.port}"
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            assert wait_for(lambda: server.started)
            yield Running(server, url, client, loops[0])
    finally:
        loops[0].call_soon_threadsafe(server.stop)
        thread.join(60)
        assert not thread.is_alive()
