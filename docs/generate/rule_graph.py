"""Draw the graph of the rules in docs/from-run-to-figure.md, as Snakemake gives it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/from-run-to-figure.md"
MARKED = re.compile("(?<=<!-- rules -->\n).*?(?=<!-- end of rules -->)", re.DOTALL)


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(MARKED.sub(lambda _: drawn(ROOT), page), encoding="utf-8")


def drawn(project: Path) -> str:
    """The graph of a project's rules at its default scale, in Mermaid's language.

    Snakemake's colours go, its order, which is another each time, and the arrows that others imply.

    Raises:
        SystemExit: Snakemake fails; with its reason.
    """
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"rule_graph.py: error: snakemake --rulegraph failed: {done.stderr.strip()}")
    names = dict(re.findall(r"^\t(\w+)\[(\w+)\]$", done.stdout, re.MULTILINE))
    found = re.findall(r"^\t(\w+) --> (\w+)$", done.stdout, re.MULTILINE)
    arrows = {(names[one], names[other]) for one, other in found}
    lines = [f"    {one} --> {other}" for one, other in sorted(arrows) if not implied(one, other, arrows)]
    return "\n".join(["```mermaid", "flowchart LR", *lines, "```", ""])


def implied(one: str, other: str, arrows: set[tuple[str, str]]) -> bool:
    """Whether one rule leads to another over a third one too; there are no circles."""
    return any(start == one and end != other and leads(end, other, arrows) for start, end in arrows)


def leads(one: str, other: str, arrows: set[tuple[str, str]]) -> bool:
    return (one, other) in arrows or any(start == one and leads(end, other, arrows) for start, end in arrows)


if __name__ == "__main__":
    main()
