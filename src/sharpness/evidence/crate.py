"""A finished scale as a Workflow Run RO-Crate, which other tools read: what was run, by what, from what, to what.

The profile is Provenance Run Crate 0.5 (https://w3id.org/ro/wfrun/provenance/0.5): an action for the workflow, one for
each job, and one for each table, figure, runs.csv and claims.csv.
"""

from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import yaml
from rocrate.model import Entity
from rocrate.rocrate import ROCrate

from sharpness import files, paths, provenance
from sharpness.errors import UserError
from sharpness.evidence import manifest
from sharpness.evidence.publish.records import files_of_others
from sharpness.evidence.verify import verify
from sharpness.jobs import Job
from sharpness.scales import scale_files
from sharpness.study import Study

PROFILES = [
    "https://w3id.org/ro/wfrun/process/0.5",
    "https://w3id.org/ro/wfrun/workflow/0.5",
    "https://w3id.org/ro/wfrun/provenance/0.5",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
]
COMPLETED = {"@id": "http://schema.org/CompletedActionStatus"}
TYPES = {".csv": "text/csv", ".json": "application/json", ".html": "text/html", ".pdf": "application/pdf"}
TYPES |= {".svg": "image/svg+xml", ".png": "image/png", ".yaml": "application/yaml", ".md": "text/markdown"}
RULES = {
    "train": "a training run",
    "compute": "a toy problem",
    "table": "a table",
    "figure": "a figure",
    "runs": "the training runs in one table",
    "claims": "the verdicts on the findings",
    "report": "the report",
}


def write_crate(study: Study) -> Path:
    """Write results/<scale>/crate.zip, and return its path.

    Raises:
        UserError: the scale is not finished, or its results are not what the tree gives.
    """
    findings = verify(study)
    if findings:
        raise UserError(
            f"{paths.results(study.scale)}: incomplete, or not what the tree gives ({len(findings)} findings of "
            f"`sharpness verify --scale {study.scale}`, first {findings[0]}); finish it first"
        )
    path = paths.crate(study.scale)
    with files.replacing(path) as temporary:
        _Crate(study).crate.write_zip(temporary)
    return path


class _Crate:
    """Gathers the entities; those that several actions share are made once."""

    def __init__(self, study: Study):
        self.study, self.crate, self.files = study, ROCrate(version="1.1"), {}
        self.crate.metadata.extra_contexts.append("https://w3id.org/ro/terms/workflow-run/context")
        self.citation = yaml.safe_load(paths.shipped("CITATION.cff").read_text(encoding="utf-8"))
        self.agent = self._add("#authors", "Organization", name=self.citation["authors"][0]["name"])
        self.tools = {
            rule: self._add(
                f"#sharpness-{rule}",
                "SoftwareApplication",
                name=f"sharpness {rule}",
                description=f"Makes {text}.",
                version=self.citation["version"],
            )
            for rule, text in RULES.items()
        }
        self._describe_root()
        self.configuration = [
            self._file(Path(file))
            for file in ("config/study.yaml", "config/claims.yaml", "config/published.yaml", *scale_files(study.scale))
        ]
        runs = {job.id: job.read() for job in study.jobs.values()}
        jobs = [self._job(job, runs[job.id]) for job in study.jobs.values()]
        made = [self._artifact(name, own) for name, own in manifest.artifact_files(study).items()]
        report = [self._file(file) for file in (*paths.report(study.scale), paths.manifest(study.scale))]
        sources = [file for action in made for file in action["result"]]
        sources += [self._file(file) for file in files_of_others(study.scale)]
        made.append(self._action("report", "report", "The report.", [*self.configuration, *sources], report))
        workflow = self._workflow_run(report, _times([run["cost"] for run in runs.values()]))
        self.crate.root_dataset["mentions"] = [workflow, *jobs, *made]

    def _describe_root(self) -> None:
        scale = self.study.scale
        for url in PROFILES:
            self._add(
                url,
                "CreativeWork",
                name=url.removeprefix("https://w3id.org/").replace("/", " "),
                version=url.rpartition("/")[2],
            )
        root = self.crate.root_dataset
        root["name"] = f"{self.citation['title']}, scale {scale}"
        root["description"] = self.citation["abstract"].strip()
        root["license"] = self._add(
            f"https://spdx.org/licenses/{self.citation['license']}", "CreativeWork", name=self.citation["license"]
        )
        root["author"] = self.agent

    def _workflow_run(self, report: list[Entity], times: dict) -> Entity:
        """The workflow, its parameters, steps and tools, and the action that is its run."""
        source = paths.shipped("Snakefile")
        commit = provenance.commit()["commit"]
        about = {
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "name": "sharpness",
            "version": commit or self.citation["version"],
            "license": self.crate.root_dataset["license"],
        }
        workflow = self.crate.add_workflow(source, "Snakefile", main=True, lang="snakemake", properties=about)
        scale = self._value("scale", self.study.scale)
        inputs = [self._parameter("scale", "Text", scale)]
        inputs += [self._parameter(file.id, "File", file) for file in self.configuration]
        workflow["input"] = inputs
        workflow["output"] = [self._parameter(Path(file.id).name, "File", file) for file in report]
        workflow["hasPart"] = list(self.tools.values())
        workflow["step"] = [
            self._add(f"#step-{rule}", "HowToStep", name=rule, position=str(position), workExample=tool)
            for position, (rule, tool) in enumerate(self.tools.items())
        ]
        self.crate.root_dataset["conformsTo"] = [{"@id": url} for url in PROFILES]
        text = f"All of the study at the scale {self.study.scale}."
        return self._action(workflow, "workflow", text, [*self.configuration, scale], report, **times)

    def _job(self, job: Job, run: dict) -> Entity:
        """The action of a run or a toy problem, whose settings are its objects."""
        cost, origin = run["cost"], run["provenance"]
        text = (
            f"{run['status']}; {cost['seconds']:g} s of work, {cost['cpu_seconds']:g} s of processor time, "
            f"{cost['peak_memory_mb']:g} MB of memory, on {origin['processor']}, device {origin['device']}, "
            f"commit {origin['commit']}. Its start is its end less its seconds of work."
        )
        rule = "train" if job.id in self.study.runs else "compute"
        settings = [self._value(name, value) for name, value in job.spec.items()]
        result = [self._file(file) for file in job.files]
        return self._action(rule, job.id, text, [*self.configuration, *settings], result, **_times([cost]))

    def _artifact(self, name: str, own: list[Path]) -> Entity:
        """The action of a table, a figure, runs.csv or claims.csv; when it was made is not recorded."""
        rule = next((rule for rule in RULES if name.startswith(rule)), "figure")  # which a forest plot is, too
        sources = [self._file(job.data) for job in manifest.artifact_jobs(self.study, name)]
        return self._action(
            rule, name, f"{name}, from its jobs.", [*self.configuration, *sources], list(map(self._file, own))
        )

    def _action(self, tool: str | Entity, name: str, text: str, uses: list, makes: list, **times: str) -> Entity:
        about = {"name": name, "description": text, "agent": self.agent, "actionStatus": COMPLETED, **times}
        instrument = self.tools[tool] if isinstance(tool, str) else tool
        return self.crate.add_action(instrument, f"#run-{name}", uses, makes, about)

    def _parameter(self, name: str, kind: str, example: Entity) -> Entity:
        return self._add(f"#parameter-{name}", "FormalParameter", name=name, additionalType=kind, workExample=example)

    def _value(self, name: str, value: object) -> Entity:
        return self._add(f"#{name}={quote(str(value))}", "PropertyValue", name=name, value=str(value))

    def _file(self, path: Path) -> Entity:
        if path not in self.files:
            about = {
                "name": path.name,
                "encodingFormat": TYPES.get(path.suffix, "text/plain"),
                "sha256": files.sha256(path),
            }
            self.files[path] = self.crate.add_file(path, str(path), properties=about, record_size=True)
        return self.files[path]

    def _add(self, identifier: str, kind: str, **properties: object) -> Entity:
        known = self.crate.get(identifier)
        return known or self.crate.add(Entity(self.crate, identifier, properties={"@type": kind, **properties}))


def _times(costs: list[dict]) -> dict[str, str]:
    """When some jobs began and ended, if all of them have recorded it."""
    if any("finished" not in cost for cost in costs):
        return {}
    ends = [datetime.fromisoformat(cost["finished"]) for cost in costs]
    starts = [end - timedelta(seconds=cost["seconds"]) for end, cost in zip(ends, costs, strict=True)]
    return {"startTime": min(starts).isoformat(timespec="seconds"), "endTime": max(ends).isoformat(timespec="seconds")}
