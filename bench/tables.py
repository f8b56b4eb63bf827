"""Numbers as Markdown tables, and the documents that show them."""

import re
from pathlib import Path


def markdown(header: list[str], rows: list[list[object]]) -> str:
    """A table; all columns but the first are aligned to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f}" if seconds < 1 else f"{1000 * seconds:.0f}"


def times(ratio: float) -> str:
    return f"{ratio:.3f} ×" if ratio < 2 else f"{ratio:.1f} ×"


def fill(document: Path, blocks: dict[str, str]) -> None:
    """Put each block between its marks, <!-- bench: name --> and <!-- end -->, in a Markdown document.

    Marks without a block stay as they are; so does all text around them.
    """
    text = document.read_text(encoding="utf-8")
    document.write_text(filled(text, blocks), encoding="utf-8")


def filled(text: str, blocks: dict[str, str]) -> str:
    def block(match: re.Match) -> str:
        name = match["name"]
        return f"<!-- bench: {name} -->\n{blocks[name]}\n<!-- end -->" if name in blocks else match[0]

    return re.sub(r"<!-- bench: (?P<name>\w+) -->\n.*?<!-- end -->", block, text, flags=re.DOTALL)


def caption(machine: dict) -> str:
    """One line on where the numbers above it come from."""
    versions = machine["versions"]
    commit = (
        f"commit {machine['commit'][:10]}{' with changes' if machine['dirty'] else ''}" if machine["commit"] else ""
    )
    device = [] if machine["device"] == "cpu" else [machine["device"]]
    facts = [
        *device,
        f"{machine['processor']}, {machine['cores']} cores",
        f"load {machine['load_before']:g} before it",
        f"torch {versions['torch']}, Python {versions['python']}",
        commit,
    ]
    return f"*{'; '.join(filter(None, facts))}*"
