"""Store of voices: find them by name, and turn clips into latents once.

    store = VoiceStore()                                     # ~/.local/share/tutortoietts/voices
    store.add("anna", ["a.wav", "b.mp3"])
    voice = store.get("anna*2+ben", "tortoise-v2", compute)  # compute(clips) -> (speaker, diffusion), called once

A voice is a folder NAME of clips and latents, or one file NAME.safetensors. Latents are tagged with the model that
made them and with the digest of the clips, so changed clips and other models are computed anew.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tutortoietts.audio.io import CLIP_SUFFIXES
from tutortoietts.core.errors import OptionError, OutputError, VoiceError
from tutortoietts.core.paths import data_dir, existing_folder, expand_user, expanded
from tutortoietts.core.types import Voice
from tutortoietts.voices import shelf
from tutortoietts.voices.clips import clips_in, digest, load_clips
from tutortoietts.voices.files import SUFFIX, file_name, read_original, read_tags, read_voice, write_voice
from tutortoietts.voices.names import RANDOM, check_name, is_path, parse_mix

__all__ = [
    "FOLDER_VARIABLE",
    "Compute",
    "VoiceSource",
    "VoiceStore",
    "bundled_folders",
    "default_folder",
    "further_folders",
]

_log = logging.getLogger(__name__)

FOLDER_VARIABLE = "TUTORTOIETTS_VOICES"
ORIGINAL_MODEL = "tortoise-v2"  # what made the latents in the originals' .pth files

Compute = Callable[[list[Tensor]], tuple[Tensor, "Tensor | None"]]
"""Clips, each (1, N) float32 at 22 050 Hz -> speaker latent (1, D) and diffusion latent (1, 2C) or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSource:
    """A voice on disk: `path` is its folder or only file; `latents` are files, one per model."""

    name: str
    path: Path
    clips: tuple[Path, ...] = ()
    latents: tuple[Path, ...] = ()

    def model_of(self, latents: Path) -> str:
        """Return the model id of a file of latents. Raises VoiceError for a file without one."""
        return read_tags(latents)["model"] if latents.suffix == SUFFIX else ORIGINAL_MODEL

    @property
    def models(self) -> tuple[str, ...]:
        """Models that it has latents for, also those of older clips; damaged files are left out."""
        found = set()
        for file in self.latents:
            with contextlib.suppress(VoiceError):
                found.add(self.model_of(file))
        return tuple(sorted(found))


def default_folder() -> Path:
    """Return the user's folder: the first of TUTORTOIETTS_VOICES, else `voices` in `core.paths.data_dir`.

    Raises OptionError where neither that variable nor a home folder is known.
    """
    named = _named_folders()
    if named:
        return expanded(named[0])
    try:
        return data_dir() / "voices"
    except OptionError:
        raise OptionError(
            f"no home folder is known here, so no voice can be kept: set {FOLDER_VARIABLE} to a folder of voices"
        ) from None


def further_folders() -> tuple[Path, ...]:
    """Return the other folders of TUTORTOIETTS_VOICES, which are only read. Raises OptionError for a missing one."""
    return tuple(existing_folder(folder, FOLDER_VARIABLE) for folder in _named_folders()[1:])


def _named_folders() -> list[str]:
    return [folder for folder in os.environ.get(FOLDER_VARIABLE, "").split(os.pathsep) if folder]


def bundled_folders() -> tuple[Path, ...]:
    """Return the folders of voices inside the package."""
    bundled = Path(__file__).resolve().parents[1] / "bundled"
    return tuple(sorted(folder for folder in (bundled / "voices", *bundled.glob("*/voices")) if folder.is_dir()))


class VoiceStore:
    """Store of voices: finds them, turns their clips into latents once, and keeps these.

    `folder`: where voices are added; None: `default_folder()`, then `further_folders()`. `extra_folders` are searched
    before it, `builtin_folders` (a model's own voices; `bundled_folders()` if None) after it. `paths` False takes names
    only, for callers that must not let others read their files.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        extra_folders: Iterable[str | os.PathLike[str]] = (),
        builtin_folders: Iterable[str | os.PathLike[str]] | None = None,
        paths: bool = True,
    ) -> None:
        self.paths = paths
        self._folder = _default_or_none() if folder is None else expanded(folder)
        further = further_folders() if folder is None else ()
        extra = [expand_user(path) for path in extra_folders]
        for path in extra:
            if not os.path.isdir(path):
                raise VoiceError(f"no folder of voices at {path}: check the path")
        builtin = bundled_folders() if builtin_folders is None else [Path(path) for path in builtin_folders]
        own = () if self._folder is None else (self._folder,)
        self.folders = (*extra, *own, *further, *builtin)
        for place in own:
            shelf.sweep(place)

    @property
    def folder(self) -> Path:
        """The folder where voices are added. Raises OptionError where none is known (no home folder)."""
        return default_folder() if self._folder is None else self._folder

    def is_own(self, source: VoiceSource) -> bool:
        """Return True for a voice of `folder` itself."""
        return source.path.parent == self._folder

    def get(self, spec: str, model: str, compute: Compute | None = None) -> Voice:
        """Return the voice of a name, a path or a mix ("anna+ben", "anna*2+ben") for `model`; its name is `spec`.

        Clips are turned into latents by `compute` if no saved latents fit. A mix is the weighted mean of its voices'
        latents. Raises VoiceError for a voice that is unknown or of another model, AudioError for unusable clips.
        """
        terms = self.terms(spec)
        voices = [self._latents(self.find(name), model, compute) for name, _ in terms]
        weights = torch.tensor([weight for _, weight in terms], dtype=torch.float64)
        weights = weights / weights.sum()
        speaker = _mean(spec, [voice.speaker for voice in voices], weights)
        diffusions = [voice.diffusion for voice in voices if voice.diffusion is not None]
        diffusion = _mean(spec, diffusions, weights) if len(diffusions) == len(voices) else None
        return Voice(name=spec, model=model, speaker=speaker, diffusion=diffusion)

    def find(self, name: str) -> VoiceSource:
        """Return one voice (no mix) by name or path. Raises VoiceError that suggests a similar name."""
        if not name.strip():
            raise VoiceError("the voice's name is empty: give a name or a path")
        if name.strip().lower() == RANDOM:
            raise VoiceError(f"{name!r} is not a stored voice and cannot be mixed: use it alone")
        if (stored := self._stored(name)) is not None:
            return _source(stored, name)
        if is_path(name):
            if not self.paths:
                raise VoiceError(f"{name!r} is a path, only names of voices are taken here")
            return _source(expand_user(name))
        if self.paths and os.path.exists(name):
            return _source(Path(name))
        if self.paths and Path(name).suffix.lower() in CLIP_SUFFIXES:
            raise VoiceError(f"there is no file {name!r}, and no voice of that name: check the path")
        known = sorted(source.name for source in self.voices())
        several = re.split(r"[\s,;&]+", name)
        if len(several) > 1 and set(several) <= set(known):
            raise VoiceError(f"no voice named {name!r}: a mix of voices is written {'+'.join(several)!r}")
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known) or 'none yet'}"
        raise VoiceError(f"no voice named {name!r}, {hint} (a new one is cloned from clips, or give a path)")

    def _stored(self, name: str) -> Path | None:
        """Return the path of a voice that lies in one of the folders under exactly this name, or None."""
        if name.startswith(".") or name.lower() == RANDOM:
            return None
        paths = (shelf.owned(folder, name) for folder in self.folders)
        return next((path for path in paths if path is not None), None)

    def voices(self) -> list[VoiceSource]:
        """Return every voice that has a name, sorted by name."""
        found: dict[str, VoiceSource] = {}
        for folder in self.folders:
            for path in _entries(folder):
                if path.name[0] == "." or not (path.is_dir() or path.suffix in (SUFFIX, ".pth")):
                    continue
                name = path.name if path.is_dir() else path.stem
                if name.strip().lower() in ("", RANDOM):  # no name that can be requested
                    continue
                source = _scan(path, name)
                if source.clips or source.latents:
                    found.setdefault(name, source)
        return [found[name] for name in sorted(found)]

    def add(self, name: str, clips: Sequence[str | os.PathLike[str]], *, replace: bool = False) -> VoiceSource:
        """Copy clips into the user's folder as a new voice, completely or not at all. Raises as `adding`."""
        with self.adding(name, clips, replace=replace):
            pass
        return _source(self.folder / check_name(name))

    @contextlib.contextmanager
    def adding(
        self, name: str, clips: Sequence[str | os.PathLike[str]], *, replace: bool = False
    ) -> Iterator[VoiceSource]:
        """Yield a new voice made of copies of clips; it is kept if the block succeeds, and deleted if it fails.

        Until then another voice of that name stays unchanged; the new one is found by its `path`, and latents made from
        it are kept with it. Every clip is checked first (AudioError). Raises VoiceError for no clips and for a bad or
        taken name (unless `replace`), OutputError if the folder cannot be written.
        """
        name = check_name(name)
        if not clips:
            raise VoiceError(f"voice {name!r} needs at least one clip, of 6 to 10 seconds best")
        load_clips(clips)
        with shelf.new_voice(self.folder, name, replace=replace) as part:
            for i, clip in enumerate(clips):
                suffix = Path(clip).suffix.lower()
                with shelf.saving(self.folder, name):
                    shutil.copyfile(clip, part / f"{i:03d}{suffix if suffix in CLIP_SUFFIXES else '.wav'}")
            yield _source(part)

    def save(self, name: str, voice: Voice, *, replace: bool = False) -> Path:
        """Keep latents without clips (a random voice, a mix) under a name; return the file. Raises as `add`."""
        name = check_name(name)
        named = Voice(name=name, model=voice.model, speaker=voice.speaker, diffusion=voice.diffusion)
        with shelf.new_voice(self.folder, name, replace=replace) as part:
            file = write_voice(part / file_name(voice.model), named)
        return self.folder / name / file.name

    def remove(self, name: str) -> Path:
        """Delete a voice of the user's folder and return its path. Raises VoiceError for voices of other folders."""
        path = None if name[:1] in ("", ".") else shelf.owned(self.folder, name)
        if path is None:
            source = self.find(check_name(name) if self._stored(name) is None else name)
            raise VoiceError(f"voice {name!r} is not yours to remove: it lies in {source.path.parent}")
        try:
            shelf.delete(self.folder, name)
        except OSError as error:
            raise OutputError(f"voice {name!r} cannot be removed from {path}: {error.strerror or error}") from error
        return path

    def terms(self, spec: str) -> list[tuple[str, float]]:
        """Return the voices of a mix and their weights; a stored name or a path is one voice whatever it holds."""
        if self._stored(spec) is not None or (is_path(spec) and os.path.exists(expand_user(spec))):
            return [(spec, 1.0)]
        return parse_mix(spec)

    def _latents(self, source: VoiceSource, model: str, compute: Compute | None) -> Voice:
        made_from = digest(source.clips) if source.clips else ""
        home = self._home(source, model, made_from)
        for file in dict.fromkeys((*source.latents, *([] if home is None else [home]))):
            if file.suffix != SUFFIX and source.model_of(file) == model:
                return read_original(file, model)
            if file.suffix == SUFFIX and os.path.exists(file):
                try:
                    tags = read_tags(file)
                    if tags["model"] == model and (not source.clips or tags.get("clips", made_from) == made_from):
                        return read_voice(file)
                except VoiceError as error:
                    if not source.clips:
                        raise
                    _log.warning("latents of %r are made again: %s", source.name, error)
        if not source.clips:
            have = ", ".join(source.models) or "no model"
            raise VoiceError(f"voice {source.name!r} was made for {have}, not for {model}: clone it again from clips")
        if compute is None:
            raise VoiceError(f"voice {source.name!r} has no latents for {model} yet, only clips")
        speaker, diffusion = compute(load_clips(source.clips))
        voice = Voice(name=source.name, model=model, speaker=speaker, diffusion=diffusion)
        if home is None:
            _log.warning("the latents of %r are not kept: no home folder is known here", source.name)
            return voice
        try:
            write_voice(home, voice, clips=made_from)
        except OutputError as error:
            _log.warning("the latents of %r are not kept: %s", source.name, error)
        return voice

    def _home(self, source: VoiceSource, model: str, made_from: str) -> Path | None:
        """Return where latents computed from clips are kept: with a voice of the user's folder, else in its cache.

        None where no folder is known.
        """
        if self._folder is None:
            return None
        if source.path.is_dir() and self._folder in source.path.parents:
            return source.path / file_name(model)
        return self._folder / ".cache" / f"{made_from[:32]}-{file_name(model)}"


def _default_or_none() -> Path | None:
    try:
        return default_folder()
    except OptionError:
        if _named_folders():
            raise
        return None


def _entries(folder: Path) -> list[Path]:
    """Return what lies in a folder, sorted; nothing for one that is absent or cannot be read (logged)."""
    if not os.path.isdir(folder):
        return []
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        _log.warning("voices of %s are left out: %s", folder, error.strerror or error)
        return []


def _source(path: Path, name: str | None = None) -> VoiceSource:
    """Return the voice at a path that the user named. Raises VoiceError if there is none."""
    if not os.path.exists(path):
        raise VoiceError(f"no voice at {path}: check the path")
    if not os.path.isdir(path) and not os.path.isfile(path):
        raise VoiceError(f"{path} is a pipe or device, from which no voice is read: save it to a file first")
    source = _scan(path, name or (path.name if path.is_dir() else path.stem))
    if not source.clips and not source.latents:
        kinds = "sound files, .safetensors or .pth latents"
        raise VoiceError(f"{path} holds no voice: must be or hold {kinds}")
    return source


def _scan(path: Path, name: str) -> VoiceSource:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.name[0] != "." and file.is_file())
        latents = tuple(file for file in files if file.suffix in (SUFFIX, ".pth"))
        return VoiceSource(name=name, path=path, clips=clips_in(path), latents=latents)
    if path.suffix in (SUFFIX, ".pth"):
        return VoiceSource(name=name, path=path, latents=(path,))
    return VoiceSource(name=name, path=path, clips=(path,))


def _mean(spec: str, latents: Sequence[Tensor], weights: Tensor) -> Tensor:
    if len(latents) == 1:
        return latents[0]
    if len({tuple(latent.shape) for latent in latents}) > 1:
        raise VoiceError(f"voices of {spec!r} differ in size and cannot be mixed: clone them with the same model")
    stack = torch.stack([latent.to("cpu", torch.float64) for latent in latents])
    return (stack * weights[:, None, None]).sum(0).to(torch.float32)
