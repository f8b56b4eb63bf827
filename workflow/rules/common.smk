# What the rules have in common: their log, and what their inputs are made of, the configuration of the working directory
# and the code by package.

# A job's output is in its log, and its fault too, unless the log itself cannot be written (exit status 74).
LOGGED = (
    " > {log:q} 2>&1 || {{ status=$?; if [ $status -eq 74 ]; then"
    " echo {log:q}': cannot be written: the disk or quota is full; free some space and run again' >&2; fi; exit $status; }}"
)


def logged(command):
    """A shell command whose output is in the rule's log."""
    return f"{command}{LOGGED}"


TREE = Path(os.path.relpath(ROOT))
CONFIGURATION = ["config/study.yaml", *scale_files(SCALE)]


def code(*packages):
    """The modules of some packages, those of their subpackages not included."""
    folders = [TREE.joinpath("src/sharpness", package) for package in packages]
    return sorted(path for folder in folders for path in folder.glob("*.py"))


SHARED_CODE = code("evidence", "networks")  # a network's module has its title
JUDGING = [
    "config/claims.yaml",
    *code("evidence/quantities"),
    TREE / "src/sharpness/training/schedule.py",
]


def artifact_inputs(name):
    """What a table or figure is made from: its jobs' files, the configuration, what all kinds share, and its own kind."""
    artifact = STUDY.artifacts[name]
    kind = type(artifact).__module__.replace(".", "/")
    predictions = code("dynamics") if artifact.section in STUDY.theory else []
    judging = JUDGING if artifact.judges else []
    return [
        *(file for job in artifact.jobs(STUDY) for file in job.files),
        *CONFIGURATION,
        "config/published.yaml",
        *SHARED_CODE,
        *predictions,
        *judging,
        TREE / f"src/{kind}.py",
    ]
