"""What people who mean no good, or are unlucky, do to a command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from shell import Shell, one_line, write_clip
from tutortoietts.cli.common import print_json, termination_raised
from tutortoietts.cli.inputs import read_text
from tutortoietts.cli.output import keep_inputs, plan_outputs
from tutortoietts.core.errors import OptionError, TextError

HUGE = 10**400


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--candidates", 10**9], 2, ["--candidates is 1000000000", "1..4096"]),
        (["--num-autoregressive-samples", HUGE], 2, ["num_autoregressive_samples is enormous", "1..4096"]),
        (["--num-autoregressive-samples", -HUGE], 2, ["num_autoregressive_samples", "1..4096"]),
        (["--temperature", 0], 2, ["temperature is 0", "0.01..10"]),
        (["--temperature", "inf"], 2, ["temperature is inf"]),
        (["--top-p", 1.01], 2, ["top_p is 1.01", "..1"]),
        (["--device", "meta"], 2, ["device 'meta'", "cpu"]),
        (["-o", "."], 2, ["'.'", ".wav"]),
        (["-o", ""], 2, [".wav"]),
        (["-o", "folder.wav"], 1, ["folder.wav is a folder"]),
        (["-o", "a" * 300 + ".wav"], 1, ["too long"]),
        (["-v", ""], 2, ["empty"]),
        (["-v", "anna+"], 2, ["empty name"]),
        (["-v", "anna", "-v", "ben"], 2, ["--voice is given 2 times", "'anna+ben'"]),
        (["-v", "anna, ben"], 2, ["'anna, ben'", "a mix of voices is written 'anna+ben'"]),
        (["-v", "you.wav"], 2, ["no file 'you.wav'"]),
        (["-p", ""], 2, ["unknown preset ''"]),
        (["-v", "anna*nan"], 2, ["weight", "above 0"]),
        (["-v", "/dev/zero"], 2, ["/dev/zero is a pipe or device"]),
        (["-v", "./queue.wav"], 2, ["queue.wav", "pipe or device"]),
        (["-v", "~nobody-here/x.wav"], 2, ["~nobody-here"]),
        (["--models-dir", "nowhere"], 2, ["models_dir 'nowhere' does not exist"]),
        (["--tokenizer-vocab-file", "me.wav"], 1, ["me.wav"]),
        (["--ar-checkpoint", "me.wav", "-v", "me.wav"], 1, ["me.wav", "not a checkpoint"]),
    ],
)
def test_refusals(shell: Shell, arguments: list[object], code: int, words: list[str]) -> None:
    write_clip(Path("me.wav"))
    Path("folder.wav").mkdir()
    os.mkfifo("queue.wav")
    one_line(shell("generate", "Hi.", *arguments), code, *words)
    assert shell.files() == ["me.wav", "queue.wav"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which nothing can be made")
def test_what_others_may_not_touch(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """As somebody who is not root: the system's word is asked for, not tried."""
    write_clip(Path("me.wav"))
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "me.wav" and allowed(path, mode))
    one_line(shell("generate", "Hi.", "-v", "me.wav"), 1, "me.wav cannot be read, permission denied")
    one_line(shell("generate", "Hi.", "-o", "me.wav"), 1, "me.wav is write-protected")
    one_line(shell("generate", "Hi.", "-o", "/proc/me.wav"), 1, "/proc/me.wav", "choose another place")


def test_a_clip_is_never_the_output(shell: Shell) -> None:
    Path("clips").mkdir()
    clip = write_clip(Path("clips/one.wav"))
    before = clip.read_bytes()
    Path("link.wav").symlink_to(clip)
    for voice in ("clips/one.wav", "clips", "anna+clips/one.wav*2", "link.wav"):
        for output in ("clips/one.wav", "./clips/../clips/one.wav", "link.wav"):
            one_line(shell("generate", "Hi.", "-v", voice, "-o", output), 2, "own clips")
    one_line(shell("clone", "-n", "eve", "-s", "clips/*.wav", "-t", "Hi.", "-o", "clips/one.wav"), 2, "own clips")
    assert clip.read_bytes() == before
    keep_inputs([Path("clips/new.wav"), Path("-")], ["clips", "clips/one.wav", "", "no such"])


def test_odd_names_are_just_names(shell: Shell) -> None:
    write_clip(Path("my voice é (1).wav"))
    assert shell("clone", "-n", "Åsa K. 2", "-s", "my voice *.wav", "-q").exit_code == 0
    decomposed = "A\u030asa K. 2"
    result = shell("clone", "-n", decomposed, "-s", "my voice é (1).wav", "--json", "-q")
    assert result.exit_code == 0, result.output
    assert shell("generate", "Hi.", "-v", "Åsa K. 2", "-o", "naïve 語.flac", "--seed", -(10**30)).exit_code == 0
    assert Path("naïve 語.flac").stat().st_size > 0
    one_line(shell("clone", "-n", "x", "-s", "nothing*.wav"), 1, "nothing*.wav")
    one_line(shell("clone", "-n", "x", "-s", ""), 1, "empty")
    one_line(shell("clone", "-n", "../x", "-s", "my voice é (1).wav"), 2, "../x")
    one_line(shell("voices", "show", "../x"), 2, "../x")
    one_line(shell("voices", "remove", "../x", "-y"), 2, "../x")
    one_line(shell("voices", "list", "--model", "nowhere"), 2, "--model", "nowhere")


def test_convert_leaves_its_source(shell: Shell, tiny_model: Path) -> None:
    source = tiny_model / "vocoder.safetensors"
    Path("out.safetensors").mkdir()
    Path("same.safetensors").symlink_to(source)
    one_line(shell("models", "convert", source, "-o", "same.safetensors", "--kind", "vocos"), 2, "source itself")
    one_line(shell("models", "convert", source, "-o", "out.safetensors", "--kind", "vocos"), 2, "is a folder")


def test_text_that_never_ends_or_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/zero", "rb") as zeros:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=zeros, isatty=lambda: False))
        with pytest.raises(TextError, match="more than 10000000 bytes"):
            read_text("-")
    monkeypatch.setattr(sys, "stdin", None)  # what a program started with <&- has
    with pytest.raises(OptionError, match="no text"):
        read_text(None)
    with pytest.raises(TextError, match="empty"):
        read_text("-")
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OptionError, match="name a file"):
        plan_outputs(Path("-"), 1)


def test_json_of_a_name_that_is_not_utf8(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"path": "x\udce9.wav"})
    assert capsys.readouterr().out == '{\n  "path": "x\\udce9.wav"\n}\n'


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("stop", "times", "code", "word"),
    [(signal.SIGINT, 1, 130, "interrupted"), (signal.SIGTERM, 2, 143, "terminated")],
)
def test_a_real_interrupt(
    tiny_model: Path, tmp_path: Path, stop: signal.Signals, times: int, code: int, word: str
) -> None:
    words = ["generate", "-", "--streaming", "-o", "x.wav", "--seed", "1", "--model", str(tiny_model)]
    command = [sys.executable, "-m", "tutortoietts", *words]
    pipe = subprocess.PIPE
    heeded = partial(signal.signal, stop, signal.SIG_DFL)  # a job in the background ignores SIGINT
    with subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stderr=pipe, stdout=pipe, preexec_fn=heeded) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(b"The quick brown fox jumps over the lazy dog. " * 2000)
        process.stdin.close()
        first = process.stderr.readline()  # a warning about a part that is cut off: speaking has begun
        for _ in range(times):
            process.send_signal(stop)
        rest = process.stderr.read().decode()
    assert process.returncode == code and first
    assert rest.splitlines()[-1] == f"error: {word}; nothing was left half-written" and "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []


def test_who_handles_termination_keeps_it() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with termination_raised():
        assert signal.getsignal(signal.SIGTERM) != before
        inner = signal.getsignal(signal.SIGTERM)
        with termination_raised():
            assert signal.getsignal(signal.SIGTERM) is inner
    assert signal.getsignal(signal.SIGTERM) == before
