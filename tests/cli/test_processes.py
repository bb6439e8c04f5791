"""The console command as a process: signals at any moment, closed and full streams, pipes, no home folder, forks."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import soundfile

from shell import Shell, write_clip
from tutortoietts import TextToSpeech
from tutortoietts.cli import signals
from tutortoietts.cli.common import explain, printable, say, texts_last
from tutortoietts.core.errors import OptionError

posix = pytest.mark.skipif(os.name != "posix", reason="signals, descriptors")
HEED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "


def command(*words: object, model: Path) -> list[str]:
    return [sys.executable, "-m", "tutortoietts", "generate", *map(str, words), "--model", str(model)]


# signals

SLOW_MODULE = """
import os, signal
try:
    os.kill(os.getpid(), signal.{name})
    sum(range(3_000_000))
except BaseException:
    print("swallowed", flush=True)
"""


@posix
@pytest.mark.parametrize(("name", "code", "word"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")])
def test_a_signal_during_an_import_is_raised_after_it(tmp_path: Path, name: str, code: int, word: str) -> None:
    (tmp_path / "slow_module.py").write_text(SLOW_MODULE.format(name=name))
    script = HEED + (
        "import sys, time, tutortoietts.cli.generate as g\n"
        "def read(text):\n"
        "    import slow_module\n"
        "    while True: time.sleep(0.01)\n"
        "g.read_text = read\n"
        "from tutortoietts.cli import run\n"
        "sys.argv = ['tutortoietts', 'generate', 'Hi.']\n"
        "run()\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert (run.returncode, run.stdout) == (code, "")
    assert run.stderr == f"error: {word}; nothing was left half-written\n"


@posix
def test_a_signal_while_weights_are_read_is_no_damaged_file(tiny_model: Path, tmp_path: Path) -> None:
    script = HEED + (
        "import os, signal, sys\n"
        "import tutortoietts.weights.read as read\n"
        "opened = read.safe_open\n"
        "def slow(*given):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return opened(*given)\n"
        "read.safe_open = slow\n"
        "from tutortoietts.cli import run\n"
        f"sys.argv = ['tutortoietts', 'generate', 'Hi.', '-q', '--model', {str(tiny_model)!r}]\n"
        "run()\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (130, "error: interrupted; nothing was left half-written\n")
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.15, 0.6])
def test_signals_soon_after_the_start(tiny_model: Path, tmp_path: Path, which: signal.Signals, seconds: float) -> None:
    words = command("Hello there. " * 300, "-q", "-o", tmp_path / "x.wav", model=tiny_model)
    starter = [sys.executable, "-c", HEED + "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"]
    with subprocess.Popen([*starter, *words], stderr=subprocess.PIPE) as process:
        threading.Event().wait(seconds)
        process.send_signal(which)
        assert process.stderr is not None
        said = process.stderr.read().decode()
    died = process.returncode == -which
    assert died or process.returncode == 128 + which
    assert died or (said.startswith("error: ") and said.count("\n") == 1)
    assert list(tmp_path.iterdir()) == []


@posix
def test_further_signals_wait_for_the_clearing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with signals.termination_raised():
        with pytest.raises(signals.Terminated):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # `timeout` sends two
        assert signals.received() == signal.SIGTERM
        clock[0] += 2
        with pytest.raises(signals.Terminated):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signals.received() is None


# streams


@posix
@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize("streaming", [[], ["--streaming"]])
def test_a_stderr_that_is_closed_or_full(tiny_model: Path, tmp_path: Path, closed: str, streaming: list[str]) -> None:
    words = command("Hi.", "-o", "-", "--seed", 1, *streaming, model=tiny_model)
    run = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *words], capture_output=True, check=False)
    assert run.returncode == 0 and run.stdout[:4] == b"RIFF" and run.stderr == b""


def test_messages_never_go_to_stdout(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    say("hello")
    assert capsys.readouterr().out == ""


def test_control_characters_and_long_keys_do_not_reach_the_terminal() -> None:
    assert printable("a\x1b[31mb\x9bc\td") == "a\\x1b[31mb\\x9bc\td"
    assert len(printable("k" * 100_000)) < 2000


@posix
@pytest.mark.parametrize("words", [["voices", "list"], ["--help"], ["models", "list"]])
def test_a_reader_that_goes_away_is_no_error(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    run = subprocess.run(
        [sys.executable, "-m", "tutortoietts", *words], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (run.returncode, run.stderr) == (0, b"")


@posix
def test_streaming_into_a_named_pipe(shell: Shell) -> None:
    os.mkfifo("queue.wav")
    heard: list[bytes] = []
    listener = threading.Thread(target=lambda: heard.append(Path("queue.wav").read_bytes()))
    listener.start()
    result = shell("generate", "Hi there.", "--streaming", "-o", "queue.wav", "--seed", 1)
    listener.join()
    assert result.exit_code == 0, result.output
    assert heard[0][:4] == b"RIFF" and len(heard[0]) > 44
    assert shell("generate", "Hi there.", "--streaming", "-o", "file.wav", "--seed", 1).exit_code == 0
    samples = soundfile.read("file.wav", dtype="int16")[0]
    assert abs(numpy.frombuffer(heard[0][44:], "<i2").astype(int) - samples).max() <= 1


# the command line


@pytest.mark.parametrize("text", ["- Buy milk", "-5 degrees outside", "--- a rule of dashes", "-- so it goes"])
def test_text_that_begins_with_a_dash(shell: Shell, text: str) -> None:
    for words in ([text, "-o", "x.wav"], ["-o", "x.wav", "--seed", 1, text]):
        result = shell("generate", *words)
        assert result.exit_code == 0, result.output


def test_a_text_that_looks_like_an_option_is_told_how_to_be_said(shell: Shell) -> None:
    result = shell("generate", "-5", "-o", "x.wav")
    assert result.exit_code == 2 and "goes behind -- or into stdin" in result.stderr


def test_options_stay_options() -> None:
    parameters = [
        SimpleNamespace(
            param_type_name="option", opts=["--voice", "-v"], secondary_opts=[], is_flag=False, count=False
        ),
        SimpleNamespace(param_type_name="option", opts=["--quiet", "-q"], secondary_opts=[], is_flag=True, count=False),
    ]
    for words in (["-v", "- a b", "Hi."], ["-va b"], ["--voice=a b", "Hi."], ["-q", "Hi."], ["--", "-a b"], ["-x"]):
        assert texts_last(words, parameters) == words
    assert texts_last(["-5 below", "-v", "-x y", "-q"], parameters) == ["-v", "-x y", "-q", "--", "-5 below"]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("streaming", [[], ["--streaming"]])
def test_files_tell_that_they_are_generated(shell: Shell, suffix: str, streaming: list[str]) -> None:
    for name, options in (("marked", []), ("bare", ["--no-mark"])):
        result = shell("generate", "Hi.", "-o", f"{name}.{suffix}", "--seed", 1, *streaming, *options)
        assert result.exit_code == 0, result.output
    with soundfile.SoundFile(f"marked.{suffix}") as marked, soundfile.SoundFile(f"bare.{suffix}") as bare:
        assert (marked.comment, bare.comment) == ("AI-generated speech", "")
        assert numpy.array_equal(marked.read(), bare.read())


# memory, home folder, processes


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
)
def test_a_lack_of_memory_is_named(error: Exception) -> None:
    assert explain(error)[0].startswith("out of memory")


NO_HOME = """
import os, pwd, sys
def unknown(*_):
    raise KeyError
pwd.getpwuid = unknown
for name in ("HOME", "TUTORTOIETTS_VOICES", "TUTORTOIETTS_CACHE", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
    os.environ.pop(name, None)
from tutortoietts.cli import run
run()
"""


@posix
def test_without_a_home_folder_it_speaks_and_keeps_nothing(tiny_model: Path, tmp_path: Path) -> None:
    write_clip(tmp_path / "me.wav")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "TUTORTOIETTS_NATIVE": "0"}
        return subprocess.run(
            [sys.executable, "-c", NO_HOME, *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=environment,
        )

    spoken = run("generate", "Hi.", "-v", "me.wav", "-o", "x.wav", "--model", str(tiny_model))
    assert spoken.returncode == 0 and (tmp_path / "x.wav").exists(), spoken.stderr
    assert run("voices", "list").returncode == 0
    refused = run("clone", "-n", "me", "-s", "me.wav", "--model", str(tiny_model))
    assert refused.returncode == 2 and "set TUTORTOIETTS_VOICES" in refused.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["me.wav", "x.wav"]


def test_data_home_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tutortoietts.voices.store import default_folder

    monkeypatch.delenv("TUTORTOIETTS_VOICES")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "tutortoietts" / "voices"


FORKED = """
import multiprocessing, sys, torch
from tutortoietts import TextToSpeech
torch.set_num_threads(2)
tts = TextToSpeech(model=sys.argv[1])
options = dict(verbose=False, use_deterministic_seed=1, num_autoregressive_samples=1, diffusion_iterations=2)
tts.tts("Hi.", **options)
def speak(queue):
    queue.put(tts.tts("Hi.", **options).shape[-1])
context = multiprocessing.get_context("fork")
queue = context.Queue()
child = context.Process(target=speak, args=(queue,))
child.start()
print(queue.get(timeout=60))
child.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_speaks(tiny_model: Path) -> None:
    run = subprocess.run([sys.executable, "-c", FORKED, str(tiny_model)], capture_output=True, text=True, check=False)
    assert run.returncode == 0 and int(run.stdout) > 0, run.stderr


def test_an_engine_is_not_sent_to_another_process(tiny_model: Path) -> None:
    with pytest.raises(OptionError, match="make one in each process"):
        pickle.dumps(TextToSpeech(model=tiny_model))


LOST = """
import ctypes, os, signal, threading
from tutortoietts.cli import signals
signals.install()
call = ctypes.CFUNCTYPE(None)(lambda: os.kill(os.getpid(), signal.SIGTERM))
try:
    call()
    threading.Event().wait(60)
except signals.Terminated:
    print("raised again")
"""


@posix
def test_a_signal_that_is_lost_in_a_callback_is_raised_again() -> None:
    run = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("raised again\n", "")


# brackets, by the bundled model


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [("Robots[, get him!]", 0.4, 1.0), ("Go[, get him right now!]", 0.2, 0.6), ("Yes [no].", 0.3, 0.7)],
)
def test_visible_words_stay_and_hidden_ones_go(text: str, least: float, most: float) -> None:
    tts = TextToSpeech()
    for seed in (1, 2):
        seconds = tts.speak(text, voice="joe", seed=seed).seconds  # whose pace these seconds are
        assert least < seconds < most
