"""The `sharpness` command: one verb for each kind of job, called by the workflow's rules and by people."""

import argparse
import errno
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from sharpness import __version__
from sharpness.config import check_config, load_config
from sharpness.errors import MEMORY_EXHAUSTED, UNSAID, UserError, is_out_of_memory
from sharpness.references import lookup
from sharpness.scales import scale_names
from sharpness.source import check_source
from sharpness.study import load_run, load_study

AS_BEFORE = ", the same result as before"

# Each verb imports what it needs when it runs: help must not wait for torch, nor a figure either.


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 1 after a fault that one line explains, 128 + signal.

    It is UNSAID where the line could not be written.
    """
    try:
        options = _parser().parse_args(arguments)
        check_source()
        return options.verb(options) or 0
    except UserError as error:
        fault = str(error)
    except BrokenPipeError:  # whoever read the output has gone
        return 128 + signal.SIGPIPE
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        fault = f"{place}{error.strerror or error}; {_remedy(error)}"
    except (MemoryError, RuntimeError, ImportError) as error:
        if not is_out_of_memory(error):
            raise
        fault = MEMORY_EXHAUSTED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    try:
        print(f"sharpness: error: {fault}", file=sys.stderr, flush=True)
    except OSError:
        return UNSAID
    return 1


def _train(options: argparse.Namespace) -> int:
    from sharpness.training.job import run_training
    from sharpness.training.process import Interrupted

    config = _config(options)
    job, dataset = load_run(options.scale, options.run)
    try:
        outcome, repeated = run_training(
            job,
            dataset,
            Path(config["data_dir"]),
            config["device"],
            config["runs_per_gpu"],
            config["cuda_graph"],
            config["tracking"],
        )
    except Interrupted as interruption:
        print(f"sharpness: {job.id}: {interruption}; run again to continue", file=sys.stderr)
        return 128 + interruption.signal
    last = outcome.history[-1]
    _say(
        f"{job.id}: {outcome.status} after epoch {last['epoch']}, test accuracy {last['test_accuracy']:.4f}, "
        f"test loss {last['test_loss']:.4f}, {outcome.seconds:.1f} s{AS_BEFORE if repeated else ''}"
    )
    return 0


def _say(text: str) -> None:
    """Print what was done: it is done, even where a full disk does not take the line."""
    try:
        print(text, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _work(options: argparse.Namespace) -> int:
    from sharpness.archive import check_target, export_results, import_results
    from sharpness.work import alone, work

    config, study = _config(options), load_study(options.scale, theory=True)
    if not (options.minutes or options.archive or options.export):
        raise UserError("work: nothing to do; give --minutes, --import or --export")
    if options.export:
        check_target(options.export)
    if options.archive:
        with alone():
            print(f"{options.archive}: {import_results(study, options.archive)} jobs taken in")
    failed = 0
    if options.minutes:
        failed = work(study, options.minutes, options.at_once, config)
    if options.export:
        print(f"{options.export}: {export_results(study, options.export)} jobs packed")
    return 1 if failed else 0


def _compute(options: argparse.Namespace) -> None:
    from sharpness.compute import compute

    study = load_study(options.scale, theory=True)
    problems = {job.id: job for job in study.problems.values()}
    if compute(lookup("problem", options.job, problems, f"scale {options.scale}")):
        _say(f"{options.job}: computed{AS_BEFORE}")


def _data(options: argparse.Namespace) -> None:
    from sharpness.datasets import prepare

    config = _config(options)
    study = load_study(options.scale)
    print(prepare(study.settings["dataset"], Path(config["data_dir"]), sys.stderr.isatty()))


def _estimate(options: argparse.Namespace) -> None:
    from sharpness.training.device import claim_device
    from sharpness.training.estimate import describe, estimate, runs_at_once

    config = _config(options)
    study = load_study(options.scale)
    with claim_device(config["device"], config["runs_per_gpu"]) as device:
        estimates = estimate(list(study.runs.values()), study.settings["dataset"], Path(config["data_dir"]), device)
        print(describe(study.scale, estimates, device, runs_at_once(device, config["runs_per_gpu"])))


def _status(options: argparse.Namespace) -> int:
    from sharpness.watch import follow, show

    study = load_study(options.scale)
    if options.follow:
        return 0 if follow(study) else 1
    show(study)
    return 0


def _runs(options: argparse.Namespace) -> None:
    from sharpness.evidence.runs import write_runs

    write_runs(load_study(options.scale))


def _artifact(options: argparse.Namespace) -> None:
    study = load_study(options.scale, theory=True)
    study.artifact(options.name).write(study)


def _figure(options: argparse.Namespace) -> None:
    from sharpness.evidence.partial import draw_partial

    if options.partial:
        print(draw_partial(load_study(options.scale, theory=True), options.name))
    else:
        _artifact(options)


def _claims(options: argparse.Namespace) -> None:
    from sharpness.evidence.claims import write_claims

    write_claims(load_study(options.scale, theory=options.theory))


def _report(options: argparse.Namespace) -> None:
    from sharpness.evidence.report import write_report

    write_report(load_study(options.scale, theory=options.theory))


def _verify(options: argparse.Namespace) -> int:
    from sharpness.evidence.verify import verify

    findings = verify(load_study(options.scale, theory=options.theory))
    print("\n".join(findings) or f"results/{options.scale} and figures/{options.scale} are complete and match the tree")
    return 1 if findings else 0


def _publish(options: argparse.Namespace) -> None:
    from sharpness.evidence.publish import publish

    publish()


def _crate(options: argparse.Namespace) -> None:
    from sharpness.evidence.crate import write_crate

    print(write_crate(load_study(options.scale, theory=options.theory)))


def _config(options: argparse.Namespace) -> dict:
    """config/config.yaml, overridden by the options given."""
    config = load_config()
    given = {key: value for key, value in vars(options).items() if key in config and value is not None}
    return check_config(config | given)


def _remedy(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "the disk or quota is full: free some space and run again; finished work is kept"
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return "make it writable and readable for you, and run again"
        case errno.EEXIST | errno.ENOTDIR:
            return "a file, or a link to what is gone, is in a folder's place: move it away and run again"
    return "fix this and run again"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sharpness",
        description="The jobs behind the workflow, each usable alone from the project's root. Configuration is read "
        "from config/; results go to results/<scale>/ and figures/<scale>/.",
        epilog="`snakemake --cores all` runs train, compute, runs, table, figure, claims and report in order.",
    )
    parser.add_argument("--version", action="version", version=f"sharpness {__version__}")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")

    def verb_of_all(name: str, function, text: str, *options: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", parents=options)
        added.set_defaults(verb=function)
        return added

    def verb(name: str, function, text: str, *options: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return verb_of_all(name, function, text, scale, *options)

    scales = ", ".join(scale_names()) or "the files of config/scales/"
    scale = _option("--scale", required=True, help=f"one of {scales}")
    # Each of these has its default in config/config.yaml.
    data = _option("--data-dir", help="folder of the prepared data sets")
    device = _option("--device", choices=["auto", "cpu", "cuda"], help="where to train")
    sharing = _option("--runs-per-gpu", type=int, help="runs that may share one GPU")
    graph = _option(
        "--cuda-graph", action=argparse.BooleanOptionalAction, help="on a GPU, replay each step as one CUDA graph"
    )
    tracking = _option(
        "--tracking", choices=["none", "tensorboard", "wandb", "trackio"], help="show the epochs there too"
    )
    part_two = _option(
        "--theory",
        action=argparse.BooleanOptionalAction,
        help="with Part II (default: if the configuration asks for it, or all of its tables and figures are there)",
    )
    name = _option("name", help="its name in config/study.yaml, such as table1 or figure3")

    verb("data", _data, "prepare the scale's data set and print its folder", data)
    text = "time some steps here and print what the scale's missing runs would take"
    verb("estimate", _estimate, text, data, device, sharing)
    text = "show what is done, runs, waits and has failed, and the time left at the speeds measured so far"
    watched = verb("status", _status, text)
    watched.add_argument("--follow", action="store_true", help="until all is done, or nothing works on it any longer")
    text = "train one run, or continue it, and write its history.csv and run.json"
    training = verb("train", _train, text, data, device, sharing, graph, tracking)
    training.add_argument("--run", required=True, help="its id, the name of its folder; `snakemake -n` lists them")
    text = "train what the scale lacks, several runs at a time, and stop cleanly when the time is up"
    box = verb("work", _work, text, data, device, graph, tracking)
    box.add_argument("--minutes", type=_above_zero(float), help="how long to train; packing comes on top")
    box.add_argument("--at-once", type=_above_zero(int), default=1, metavar="N", help="runs at a time (default: 1)")
    box.add_argument("--import", dest="archive", type=Path, metavar="FILE", help="first take in what --export packed")
    box.add_argument("--export", type=Path, metavar="FILE", help="at the end pack finished jobs and last checkpoints")
    problem = verb("compute", _compute, "compute one toy problem and write its data.csv and run.json")
    problem.add_argument("--job", required=True, help="its id, the name of its folder")
    verb("runs", _runs, "collect every training run into runs.csv, one row each")
    verb("table", _artifact, "write one table as CSV, Markdown and LaTeX", name)
    drawn = verb("figure", _figure, "draw one figure as PDF, PNG and SVG, with the CSV behind it", name)
    text = "from what there is of its runs, marked as such, to figures/<scale>/partial/"
    drawn.add_argument("--partial", action="store_true", help=text)
    verb("claims", _claims, "judge the report's findings by config/claims.yaml and write claims.csv", part_two)
    verb("report", _report, "write report.html, report.pdf and MANIFEST.json", part_two)
    text = "compare all results of the scale with the tree; print what is missing, stale or altered"
    verb("verify", _verify, text, part_two)
    verb_of_all("publish", _publish, "write docs/results.md and README's table from the scales that are finished")
    text = "pack a finished scale and how it was made as a Workflow Run RO-Crate, crate.zip"
    verb("crate", _crate, text, part_two)
    return parser


def _option(*names: str, **settings) -> argparse.ArgumentParser:
    """A parser of one argument, which several verbs share."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(*names, **settings)
    return parser


def _above_zero(kind: type) -> Callable[[str], float]:
    def number(text: str) -> float:
        if not 0 < (value := kind(text)) < math.inf:
            raise ValueError
        return value

    number.__name__ = f"{kind.__name__} above zero"  # argparse says: invalid int above zero value: '0'
    return number
