"""Prometheus metrics of the server, in a registry of their own. No voice, key or text is a label."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

if TYPE_CHECKING:
    from tutortoietts.engine.progress import Report

__all__ = ["Metrics"]

LATENCY = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
FACTORS = (0.1, 0.25, 0.5, 0.75, 0.9, 1, 1.25, 1.5, 2, 5, 10)
GAPS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10)
THRESHOLDS_MS = (0, 100)


class Metrics:
    """Everything `/metrics` shows; the attributes are the metrics' names without the prefix."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(f"tutortoietts_{name}", help_text, labels, registry=registry)

        def gauge(name: str, help_text: str) -> Gauge:
            return Gauge(f"tutortoietts_{name}", help_text, registry=registry)

        def histogram(name: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"tutortoietts_{name}", help_text, labels, buckets=buckets, registry=registry)

        self.requests_running = gauge("requests_running", "Requests being spoken.")
        self.requests_waiting = gauge("requests_waiting", "Requests that wait for their turn.")
        self.requests = counter("requests", "Requests by route and outcome.", "route", "outcome")
        self.rejected = counter("rejected", "Requests refused because of a limit.", "reason")
        self.stream_aborted = counter("stream_aborted", "Answers that ended early.", "reason")
        self.queue_wait = histogram("queue_wait_seconds", "Seconds waited before being spoken.", LATENCY)
        self.first_audio = histogram("time_to_first_audio_seconds", "Seconds to the first sound.", LATENCY, "decoder")
        self.request_seconds = histogram("request_seconds", "Seconds from request to last sound.", LATENCY)
        self.audio_seconds = counter("audio_seconds", "Seconds of sound made.")
        self.audio_duration = histogram("audio_duration_seconds", "Duration of results.", LATENCY)
        self.real_time_factor = histogram("real_time_factor", "Seconds of work a second of sound.", FACTORS)
        self.underrun = histogram("audio_underrun_seconds", "Longest gap that a listener hears in a stream.", GAPS)
        self.continuity = counter("audio_continuity_ok", "Streams without a longer gap.", "threshold_ms")
        self.stage_seconds = counter("stage_seconds", "Seconds of work by stage.", "stage")
        self.characters = counter("input_characters", "Characters of text spoken.")
        self.websockets = gauge("websocket_connections", "Open WebSocket connections.")
        self.wyoming = gauge("wyoming_connections", "Open Wyoming connections.")
        self.model_loaded = gauge("model_loaded", "1 once the model is loaded.")
        self.voices = gauge("voices", "Number of voices.")
        self.decoder_rows = gauge("decoder_rows", "Rows of the shared batch in use or waited for.")
        gauge("threads", "Threads of the process.").set_function(threading.active_count)
        gauge("tasks", "Tasks of the event loop.").set_function(_tasks)
        self.build = Info("tutortoietts_build", "Version, model, device and precision.", registry=registry)

    def spoken(self, report: Report, gap: float | None) -> None:
        """Note a finished request; gap: seconds of the longest pause that a listener heard, None if not streamed."""
        for stage, seconds in report.stages.items():
            self.stage_seconds.labels(stage).inc(seconds)
        self.audio_seconds.inc(report.audio_seconds)
        self.audio_duration.observe(report.audio_seconds)
        self.real_time_factor.observe(min(report.real_time_factor, 1000.0))
        if gap is None:
            return
        self.underrun.observe(gap)
        for threshold in THRESHOLDS_MS:
            if gap * 1000 <= threshold:
                self.continuity.labels(str(threshold)).inc()

    def text(self) -> bytes:
        """Return the Prometheus text."""
        return generate_latest(self.registry)


def _tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # outside an event loop
        return 0
