"""The other side of `xtts_speed.py --rival`: XTTS-v2 by the package `coqui-tts`, full size, random weights.

Runs in an environment of its own that has coqui-tts and torch. Only what that package documents is used:
`XttsConfig()`, `Xtts.init_from_config`, `load_checkpoint`, `inference_stream`. For each line on standard input that
holds a number of codes, one sentence is streamed until sound of so many codes has come, and a line of JSON says how
long that took.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

CHUNK = 20  # codes a chunk, its default
SECONDS_A_CODE = 1024 / 22050


def open_rival(vocabulary: Path) -> Any:
    """Return the model with the random weights that it is made with, loaded from a file as a user would."""
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models.xtts import Xtts

    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(vocabulary, f"{folder}/vocab.json")
        config = XttsConfig()
        config.model_args.tokenizer_file = f"{folder}/vocab.json"
        config.model_args.gpt_use_perceiver_resampler = True  # as in the config.json of a release
        torch.save({"model": {}}, f"{folder}/model.pth")
        torch.save({}, f"{folder}/speakers_xtts.pth")
        torch.manual_seed(0)
        model = Xtts.init_from_config(config)
        model.load_checkpoint(config, checkpoint_dir=folder, eval=True, strict=False)
    return model


def stream(model: Any, text: str, codes: int, seed: int) -> dict[str, Any]:
    """Stream `text` until there is sound of `codes` codes, or until the model stops; return what was measured."""
    generator = torch.Generator().manual_seed(0)
    prompt, vector = torch.randn(1, 32, 1024, generator=generator), torch.randn(1, 512, 1, generator=generator)
    torch.manual_seed(seed)
    started, first, chunks, samples = time.perf_counter(), 0.0, 0, 0
    with (
        torch.inference_mode(),
        closing(
            model.inference_stream(text, "en", 0.1 * prompt, vector / vector.norm(), stream_chunk_size=CHUNK)
        ) as sound,
    ):
        for chunk in sound:
            first = first or time.perf_counter() - started
            chunks, samples = chunks + 1, samples + chunk.shape[-1]
            if chunks * CHUNK >= codes:
                break
    return {
        "first_sound": first,
        "seconds": time.perf_counter() - started,
        "codes": chunks * CHUNK,
        "audio_seconds": samples / 24000,
        "enough": chunks * CHUNK >= codes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=Path, required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    replies = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        model = open_rival(options.vocabulary)
        from importlib.metadata import version

        print(json.dumps({"version": version("coqui-tts"), "torch": torch.__version__}), file=replies, flush=True)
        for number, line in enumerate(sys.stdin):
            found = {"enough": False}
            for again in range(20):
                found = stream(model, options.text, int(line), seed=100 * number + again)
                if found["enough"]:
                    break
            print(json.dumps(found), file=replies, flush=True)


if __name__ == "__main__":
    main()
