# What the rules' inputs are made of: the configuration of the working directory, and the code by package.

TREE = Path(os.path.relpath(ROOT))
CONFIGURATION = ["config/study.yaml", *scale_files(SCALE)]


def code(*packages):
    """The modules of some packages, those of their subpackages not included."""
    folders = [TREE.joinpath("src/sharpness", package) for package in packages]
    return sorted(path for folder in folders for path in folder.glob("*.py"))


SHARED_CODE = code("evidence", "networks")  # a network's module has its title


def artifact_inputs(name):
    """What a table or figure is made from: its jobs' files, the configuration, what all kinds share, and its own kind."""
    artifact = STUDY.artifacts[name]
    kind = type(artifact).__module__.replace(".", "/")
    predictions = code("dynamics") if artifact.section in STUDY.theory else []
    return [
        *(file for job in artifact.jobs(STUDY) for file in job.files),
        *CONFIGURATION,
        "config/published.yaml",
        *SHARED_CODE,
        *predictions,
        TREE / f"src/{kind}.py",
    ]
