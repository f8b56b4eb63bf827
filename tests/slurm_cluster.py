"""A real Slurm cluster for a test: one node, its daemons on the loopback interface, and nothing left of it after."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo")
PATIENCE = 20  # seconds for a daemon to come up, and for all processes to go

# Two jobs at a time, whatever the machine has; its "GPUs" are devices that every machine has. Only jobs that ask for it
# are requeued, and wait for their credential to expire, here after six seconds.
SLURM_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
JobRequeue=0
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=6
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SchedulerParameters=sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=64000 Gres=gpu:2
PartitionName=test Nodes={host} Default=YES
"""
GRES_CONF = "Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n"


class Cluster:
    """A running cluster.

    Attributes:
        environment: the environment in which Slurm's commands find it.
        folder: its configuration and its daemons' logs, such as slurmctld.log.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        search = os.pathsep.join([str(folder / "bin"), os.environ["PATH"], "/usr/sbin"])
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": search}

    def command(self, *words: str) -> str:
        """Run one of Slurm's commands and return what it prints."""
        return subprocess.run(words, env=self.environment, capture_output=True, text=True, check=True).stdout

    def jobs(self) -> list[dict[str, str]]:
        """Every job so far: id, state, restarts, gpus (such as gres:gpu:1 or N/A) and comment."""
        fields = "JobID:20,State:20,RestartCnt:20,tres-per-job:20,Comment:200"
        rows = self.command("squeue", "--states=all", "--noheader", f"--Format={fields}").splitlines()
        return [dict(zip(("id", "state", "restarts", "gpus", "comment"), row.split(), strict=True)) for row in rows]

    def processes(self) -> list[psutil.Process]:
        """Every process of the cluster: daemons, jobs, and what talks to them."""
        return [process for process in psutil.process_iter() if self._owns(process)]

    def _owns(self, process: psutil.Process) -> bool:
        try:
            if process.name() == "slurmstepd":  # it outlives slurmd, and overwrites its environment; its log tells
                return any(Path(file.path).is_relative_to(self.folder) for file in process.open_files())
            return process.environ().get("SLURM_CONF") == self.environment["SLURM_CONF"]
        except psutil.Error:
            return False


def obstacle() -> str | None:
    """Why no cluster can be started here, if none can."""
    missing = [program for program in PROGRAMS if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")]
    if missing:
        return f"{', '.join(missing)} not found: install slurm-wlm and munge"
    return None if os.geteuid() == 0 else "Slurm's daemons run as root"


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Start a cluster and end it, with every process of its jobs, when the context ends.

    Args:
        folder: an empty folder for its configuration, state and logs.

    Raises:
        RuntimeError: a daemon did not come up, or a process could not be ended.
    """
    cluster = Cluster(folder)
    _configure(folder)
    try:
        _start(cluster, "munged", "--foreground", "--force", *_munge_files(folder))
        wait_for((folder / "munge.socket").exists, PATIENCE, "munged")
        _start(cluster, "slurmctld", "-D")
        _start(cluster, "slurmd", "-D")
        wait_for(lambda: _node_state(cluster) == "idle", PATIENCE, "slurmctld and slurmd")
        yield cluster
    finally:
        _end(cluster)


def wait_for(condition: Callable[[], T], seconds: float, what: str) -> T:
    """Wait until the condition holds, and return what it gave.

    Raises:
        RuntimeError: it does not hold in time.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.1)
    return value


def _configure(folder: Path) -> None:
    host = socket.gethostname().split(".")[0]
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        ports = {"controller_port": first.getsockname()[1], "node_port": second.getsockname()[1]}
    (folder / "slurm.conf").write_text(SLURM_CONF.format(folder=folder, host=host, **ports))
    (folder / "gres.conf").write_text(GRES_CONF)
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    # Inside a job, Snakemake's plugin takes SLURM_CONF away from srun, which then looks for a cluster in /etc.
    srun = folder / "bin/srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)


def _munge_files(folder: Path) -> list[str]:
    return [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "seed")] + [
        f"--socket={folder}/munge.socket"
    ]


def _start(cluster: Cluster, *words: str) -> None:
    with (cluster.folder / f"{words[0]}.out").open("w") as output:
        subprocess.Popen(words, env=cluster.environment, stdout=output, stderr=output, start_new_session=True)


def _node_state(cluster: Cluster) -> str:
    try:
        return cluster.command("sinfo", "--noheader", "--format=%T").strip()
    except subprocess.CalledProcessError:
        return "unknown"


def _end(cluster: Cluster) -> None:
    processes = cluster.processes()
    for process in processes:
        process.terminate()
    psutil.wait_procs(processes, timeout=PATIENCE / 2)
    for process in cluster.processes():
        process.kill()
    wait_for(lambda: not cluster.processes(), PATIENCE / 2, "the end of every process of the cluster")
