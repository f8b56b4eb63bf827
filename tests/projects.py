"""Copies of the project that a test runs, changes and kills."""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import yaml

from sharpness.study import load_study

ROOT = Path(__file__).parents[1]
GONE = object()  # what `replace` removes
SOURCES = ("Snakefile", "config", "environment.yml", "profiles", "src", "workflow")

# In the place of sharpness/__main__.py: a training process adds a line to the file EVENTS for each epoch that it starts
# and each checkpoint that it begins to write.
NOTING = """
import os, sys
from sharpness.cli import main

def noting(function, event):
    def noted(*arguments):
        with open(os.environ["EVENTS"], "a") as file:
            file.write(f"{event(*arguments)} {sys.argv[sys.argv.index('--run') + 1]}\\n")
        return function(*arguments)
    return noted

if "EVENTS" in os.environ and "--run" in sys.argv:
    from sharpness.training import checkpoint, loop
    loop.draw_epoch = noting(loop.draw_epoch, lambda seed, epoch, *rest: f"epoch {epoch}")
    checkpoint.CheckpointFile.save = noting(checkpoint.CheckpointFile.save, lambda *rest: "checkpoint 0")
sys.exit(main())
"""


def copy(folder: Path) -> Path:
    """Copy what the pipeline needs, without results and data."""
    folder.mkdir(parents=True, exist_ok=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy2(source, folder / name)
    return folder


def note_events(folder: Path) -> None:
    """Let the training processes of a copy note what they do, where EVENTS is set."""
    (folder / "src/sharpness/__main__.py").write_text(NOTING, encoding="utf-8")


def edit(file: Path, change: Callable[[dict], object]) -> None:
    """Change a YAML file through its parsed content."""
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    change(settings)
    file.write_text(yaml.safe_dump(settings, allow_unicode=True, sort_keys=False), encoding="utf-8")


def replace(file: Path, values: dict[str, object]) -> None:
    """Change a YAML file: new values by their dotted keys; GONE removes a key."""

    def change(settings: dict) -> None:
        for key, value in values.items():
            *parents, last = key.split(".")
            place = settings
            for parent in parents:
                place = place[int(parent) if isinstance(place, list) else parent]
            if value is GONE:
                del place[last]
            else:
                place[last] = value

    edit(file, change)


def find_run(folder: Path, scale: str = "smoke", **values: object) -> str:
    """The first run_id of a scale whose spec has these values."""
    runs = load_study(scale, folder).runs
    return next(name for name, job in runs.items() if all(job.spec.get(key) == value for key, value in values.items()))


def environment(folder: Path, **extra: str) -> dict[str, str]:
    """The environment in which commands take the package from the copy."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "PYTHONPATH": str(folder / "src")} | extra


def start(folder: Path, *words: str, **extra: str) -> subprocess.Popen:
    """Start a command in a process group of its own, in the copy; what it prints can be read from it."""
    return subprocess.Popen(
        words,
        cwd=folder,
        env=environment(folder, **extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # Under nohup it is ignored, and a child inherits that.
        preexec_fn=functools.partial(signal.signal, signal.SIGHUP, signal.SIG_DFL),
    )


def run(folder: Path, *words: str, **extra: str) -> subprocess.CompletedProcess:
    """Run a command in the copy to its end; stdout has all that it printed."""
    process = start(folder, *words, **extra)
    output, _ = process.communicate()
    return subprocess.CompletedProcess(words, process.returncode, output)


def snakemake(folder: Path, *words: str, cores: int = 2) -> subprocess.CompletedProcess:
    """Run the pipeline of a copy at the smoke scale; what is asked for comes after the options."""
    return run(folder, "snakemake", "--cores", str(cores), "--config", "scale=smoke", "--", *words)


def train(run_id: str, scale: str = "smoke") -> list[str]:
    """The command that trains one run."""
    return [sys.executable, "-m", "sharpness", "train", "--scale", scale, "--run", run_id, "--device", "cpu"]


def kill(process: subprocess.Popen) -> None:
    """kill -9 a process and everything in its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def running_below(folder: Path) -> list[psutil.Process]:
    """The processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def kill_pipeline(process: subprocess.Popen, folder: Path) -> str:
    """kill -9 Snakemake and everything below it, and return what it had printed; nothing works in the folder then."""
    kill(process)
    output, _ = process.communicate()
    psutil.wait_procs(running_below(folder), timeout=10)
    assert not running_below(folder), "the kill has spared nothing"
    return output


def wait_for(condition: Callable[[], object], process: subprocess.Popen, seconds: float = 60) -> bool:
    """Whether the condition came to hold while the process ran; looks every millisecond."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        if process.poll() is not None:
            return bool(condition())
        time.sleep(0.001)
    raise AssertionError(f"waited {seconds} s in vain")


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def events(file: Path, kind: str) -> list[tuple[int, str]]:
    """What training processes have noted so far of a kind, "epoch" or "checkpoint": its number, and the run."""
    lines = file.read_text(encoding="ascii").splitlines() if file.exists() else []
    return [(int(number), run_id) for name, number, run_id in map(str.split, lines) if name == kind]
