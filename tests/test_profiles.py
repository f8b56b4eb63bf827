"""The Slurm profile replaces the default one, and must not lose what that sets."""

from pathlib import Path

import yaml

PROFILES = Path(__file__).parents[1] / "profiles"


def test_the_slurm_profile_repeats_the_default_one():
    default, slurm = (yaml.safe_load((PROFILES / name / "config.yaml").read_text()) for name in ("default", "slurm"))
    shared = {key: slurm.get(key) for key in default}
    shared["default-resources"] = [resource for resource in slurm["default-resources"] if resource.startswith("gpu=")]
    assert shared == default
