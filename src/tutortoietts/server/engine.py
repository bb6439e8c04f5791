"""The seam between the server and the models: `SpeechEngine` admits requests and speaks them in worker threads.

engine = SpeechEngine(lambda: TextToSpeech(enable_redaction=False), settings, metrics)
await engine.start()
job = engine.submit(request)
async for piece in job.pieces(): ...          # cancelled when the iteration ends, however it ends
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from tutortoietts.api import SpeechStream, TextToSpeech
from tutortoietts.core.errors import Cancelled, TutortoieError
from tutortoietts.core.presets import preset_options
from tutortoietts.engine.families import family_of
from tutortoietts.runtime.memory import limit_arenas
from tutortoietts.server.errors import ApiError, unavailable
from tutortoietts.server.job import Done, Job, Piece
from tutortoietts.server.metrics import Metrics
from tutortoietts.server.request import ModelInfo, SpeechRequest
from tutortoietts.server.settings import ServerSettings
from tutortoietts.server.sound import Sound
from tutortoietts.server.voices import Voices
from tutortoietts.server.waiting import WaitingRoom
from tutortoietts.version import __version__

__all__ = ["SpeechEngine"]

_log = logging.getLogger(__name__)
_LOOKED_UP = 1000  # characters of a text that may be looked up in the event loop's thread, which takes milliseconds
_WARM_UP = "The server is ready to speak, and this is its first sentence."

_ARENAS = 2  # of glibc, for all threads

T = TypeVar("T")


class SpeechEngine:
    """One `TextToSpeech` for many clients.

    Up to `max_rows` calls run at once, each in a thread of its own; the rest wait. All methods but those of the workers
    belong to the event loop's thread. state: "loading", "ready", "draining" or "failed".
    """

    def __init__(
        self, open_tts: Callable[[], TextToSpeech], settings: ServerSettings, metrics: Metrics | None = None
    ) -> None:
        self.settings, self.metrics = settings, metrics or Metrics()
        self.state, self.failure = "loading", ""
        self._open = open_tts
        self._threads = ThreadPoolExecutor(settings.max_rows, "speech")
        self._side = ThreadPoolExecutor(2, "speech-side")  # voices and their clips
        self._answers = ThreadPoolExecutor(4, "speech-kept")  # from the phrase cache
        self._room = WaitingRoom(settings)
        self._tts: TextToSpeech | None = None
        self._voices: Voices | None = None
        self._info: ModelInfo | None = None

    async def start(self) -> None:
        """Load the model and speak once, so that the first client does not wait for it."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._side, self._load)
        except Exception as error:
            self.state, self.failure = "failed", str(error) if isinstance(error, TutortoieError) else "see the log"
            _log.exception("the model could not be loaded")
            raise
        if self.state == "loading":
            self.state = "ready"

    def drain(self) -> None:
        """Take no new requests."""
        self.state = "draining"

    async def close(self) -> None:
        """Cancel what runs and wait for the threads to end."""
        self.state = "draining"
        for job in [*self._room.waiting(), *self._room.running]:
            job.fail(unavailable("the server shuts down", "draining", 5))
            job.cancel()
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)
        for threads in (self._side, self._answers):
            threads.shutdown(wait=False, cancel_futures=True)

    @property
    def info(self) -> ModelInfo:
        """Return the model's abilities. Raises ApiError 503 while it loads."""
        if self._info is None:
            raise self._not_ready()
        return self._info

    @property
    def voices(self) -> Voices:
        """The voices. Raises ApiError 503 while the model loads."""
        if self._voices is None:
            raise self._not_ready()
        return self._voices

    @property
    def running(self) -> int:
        """Number of requests being spoken."""
        return len(self._room.running)

    @property
    def waiting(self) -> int:
        """Number of requests that wait."""
        return len(self._room)

    def status(self) -> dict[str, Any]:
        """Return what `/health/ready` tells."""
        tts = self._tts
        return {
            "status": self.state,
            "model": None if self._info is None else self._info.name,
            "device": None if tts is None else str(tts.device),
            "precision": None if tts is None else tts.precision,
            "queue": self.waiting,
            "running": self.running,
        }

    def place(self, job: Job) -> int:
        """Return a job's place in the queue, 0 once it runs."""
        return self._room.place(job)

    def submit(self, request: SpeechRequest, key: str = "") -> Job:
        """Admit a request. Raises ApiError 503 while the server cannot take it, VoiceError for an unknown voice."""
        if self.state != "ready":
            raise self._not_ready()
        self.voices.check(request.voice)
        if self.settings.phrase_cache and request.seed is None:
            request = replace(request, seed=0)  # so that an equal request is the same speech
        job = Job(request, self.settings, asyncio.get_running_loop(), key, self._ended)
        if self.settings.phrase_cache and self._is_kept(job):
            job.started = job.created
            self._answers.submit(self._work, job)
        else:
            self._room.admit(job)
            self._begin()
        return job

    def _is_kept(self, job: Job) -> bool:
        """Return whether a short text was spoken before and needs no row; a long one is looked up in its turn."""
        request, tts = job.request, self._tts
        if tts is None or len(request.text) > _LOOKED_UP:
            return False
        try:
            job.kept = self._stream(tts, job, self.voices.get(request.voice, request.seed))
        except TutortoieError:
            return False  # it is reported where the work is done
        if not job.kept.cached:
            job.kept = None
        return job.kept is not None

    async def aside(self, work: Callable[[], T], seconds: float = 60.0) -> T:
        """Run work on voices in a side thread. Raises ApiError 504 after `seconds`."""
        future = asyncio.get_running_loop().run_in_executor(self._side, work)
        try:
            return await asyncio.wait_for(future, seconds)
        except asyncio.TimeoutError:
            raise ApiError(504, f"this took longer than {seconds:g} s", code="deadline_exceeded") from None

    def _not_ready(self) -> ApiError:
        if self.state == "draining":
            return unavailable("the server shuts down: use another one, or wait for the next", "draining", 5)
        if self.state == "failed":
            return unavailable(f"the model could not be loaded: {self.failure}", "failed", 60)
        return unavailable("the model is being loaded: try again soon", "loading", 2)

    def _begin(self) -> None:
        """Give free places to those who wait."""
        while (job := self._room.next()) is not None:
            job.started = time.monotonic()
            self.metrics.queue_wait.observe(job.started - job.created)
            self._threads.submit(self._work, job)
        self._count()

    def _ended(self, job: Job) -> None:
        """Called once, when nobody takes pieces of a job any more; if it runs, its worker frees the place."""
        self._room.leave(job)
        self._count()

    def _freed(self, job: Job, seconds: float, finished: bool) -> None:
        beside = len(self._room.running)
        self._room.running.discard(job)
        if finished and job.kept is None:
            self._room.work.learn(job.request.decoder, len(job.request.text), seconds, beside)
        self._begin()

    def _count(self) -> None:
        self.metrics.requests_running.set(self.running)
        self.metrics.requests_waiting.set(self.waiting)

    # In worker threads.

    def _load(self) -> None:
        limit_arenas(_ARENAS)
        tts = self._open()
        self._tts, self._voices = tts, Voices(tts)
        self._info = _info(tts, self.settings)
        if self.settings.warmup:
            voice = self._voices.get(self._info.default_voice)
            for decoder in ("stream", "diffusion") if self._info.has_stream_decoder else ("diffusion",):
                began = time.monotonic()
                for _ in range(2):  # the first compiles
                    began = time.monotonic()
                    for _ in tts.stream(_WARM_UP, voice=voice, decoder=decoder):
                        pass
                self._room.work.learn(decoder, len(_WARM_UP), time.monotonic() - began, 1)
        self.metrics.model_loaded.set(1)
        self.metrics.decoder_rows.set_function(lambda: sum(tts.shared_batch_load))
        facts = {
            "version": __version__,
            "model": self._info.name,
            "device": str(tts.device),
            "precision": tts.precision,
        }
        self.metrics.build.info(facts)
        self.metrics.voices.set(len(self._voices.names()))

    def _work(self, job: Job) -> None:
        began, finished = time.monotonic(), False
        try:
            if not job.cancelled:
                job.put(self._speak(job))
                finished = True
        except Cancelled as error:
            job.put(error)
        except BaseException as error:
            job.put(error)
        finally:
            try:
                job.loop.call_soon_threadsafe(partial(self._freed, job, time.monotonic() - began, finished))
            except RuntimeError:  # the loop is closed
                job.cancelled = True

    def _speak(self, job: Job) -> Done:
        """Put all pieces of a job and return its end."""
        request, tts = job.request, self._tts
        assert tts is not None
        voice = self.voices.get(request.voice, request.seed)
        sound = Sound(request, tts.sample_rate, self.settings.tail_silence, tts.terms)
        with job.kept or self._stream(tts, job, voice) as stream:
            job.kept = stream if stream.cached else None
            job.seed = stream.seed
            for chunk in stream:
                job.put(Piece(*sound.push(chunk)))
        job.put(Piece(*sound.finish()))
        words = stream.words if request.timestamps else ()
        return Done(
            stream.report,
            sound.seconds,
            tts.tokenizer.count(request.text),
            round(sound.spoken_seconds / family_of(tts.spec).code_seconds),
            sound.placed(words),
        )

    def _stream(self, tts: TextToSpeech, job: Job, voice: Any) -> SpeechStream:
        request = job.request
        return tts.stream(
            request.text,
            voice=voice,
            preset=request.preset,
            seed=request.seed,
            normalize=request.normalize,
            language=request.language,
            stop=job.stop,
            decoder=request.decoder,
            **request.options,
        )


def _info(tts: TextToSpeech, settings: ServerSettings) -> ModelInfo:
    spec = tts.spec

    def affordable(name: str) -> bool:
        options = preset_options(name, own=spec.presets)
        cheap = options.num_autoregressive_samples <= settings.max_candidates
        return (cheap and options.diffusion_iterations <= settings.max_steps) or name == tts.default_preset

    voices = [source.name for source in tts.voices.voices()]
    return ModelInfo(
        name=spec.name,
        sample_rate=tts.sample_rate,
        presets=tuple(name for name in tts.presets if affordable(name)),
        languages=family_of(spec).languages,
        terms=family_of(spec).terms,
        has_stream_decoder=spec.stream_decoder is not None,
        default_voice=spec.default_voice or (voices[0] if voices else "random"),
    )
