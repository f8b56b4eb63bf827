"""What runs is what is recorded: jobs run the code beside the Snakefile, or nothing runs."""

import shutil
import subprocess
import sys

import projects
import pytest

POISON = "raise SystemExit('a module of the project root runs in the place of the real one')\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return projects.copy(tmp_path_factory.mktemp("source") / "project")


def error(done: subprocess.CompletedProcess) -> list[str]:
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    return [line for line in done.stdout.splitlines() if "so that other code would run" in line]


def test_a_colon_in_the_project_s_path_does_not_let_another_clone_s_code_run(project, tmp_path):
    colon = tmp_path / "one:two"
    shutil.copytree(project, colon)
    other = tmp_path / "one/sharpness"  # where the first half of the path points
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("", encoding="utf-8")
    (other / "__main__.py").write_text("open('other-code-ran', 'w')\n", encoding="utf-8")

    [line] = error(projects.run(colon, "snakemake", "--cores", "1", "--config", "scale=smoke", "--", "figure2"))

    assert str(colon) in line
    assert "rename that folder" in line
    assert not (colon / "other-code-ran").exists()

    work = "import sys; sys.path.insert(0, 'src'); from sharpness.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["-P", "-c", work, "work", "--scale", "smoke", "--minutes", "1"]
    [line] = error(projects.run(colon, sys.executable, *words, PYTHONPATH=""))
    assert line.startswith("sharpness: error: ")


def test_modules_in_the_project_s_root_do_not_shadow_the_real_ones(project):
    (project / "yaml.py").write_text(POISON, encoding="utf-8")
    (project / "sharpness").mkdir()
    for name in ("__init__.py", "__main__.py"):
        (project / "sharpness" / name).write_text(POISON, encoding="utf-8")

    done = projects.snakemake(project, "figure2")

    assert done.returncode == 0, done.stdout
    assert (project / "figures/smoke/figure2.svg").exists()


def test_the_code_of_another_clone_does_not_compute_for_this_one(project, tmp_path):
    other = projects.copy(tmp_path / "other")

    done = projects.run(
        other, sys.executable, "-P", "-m", "sharpness", "runs", "--scale", "smoke", PYTHONPATH=str(project / "src")
    )

    assert done.returncode == 1
    [line] = done.stdout.splitlines()
    assert line.startswith(f"sharpness: error: {other}/src/sharpness: this project's code is not what runs")
