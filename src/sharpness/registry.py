"""What is registered by its file's name: each module of such a package is a network, a data set, a problem, ..."""

import ast
import functools
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from sharpness.errors import UserError, unknown

_NO_LITERAL = object()


def names(package: str) -> list[str]:
    """The modules of a package of sharpness, such as "networks" or "evidence.artifacts", sorted."""
    return sorted(module.name for module in pkgutil.iter_modules([str(_folder(package))]))


def load(package: str, name: str, where: str) -> ModuleType:
    """The module of a name.

    Args:
        package: the package, as for `names`.
        name: the file's name without its suffix.
        where: the file and key that ask for it, for the message.

    Raises:
        UserError: the package has no such module.
    """
    check(package, name, where)
    return importlib.import_module(f"sharpness.{package}.{name}")


def check(package: str, name: str, where: str) -> None:
    """As `load`, without the import.

    Raises:
        UserError: the package has no such module.
    """
    if name not in names(package):
        kinds = package.rpartition(".")[2]
        kind = kinds.removesuffix("ies") + "y" if kinds.endswith("ies") else kinds.removesuffix("s")
        raise unknown(kind, name, names(package), where)


def check_constants(package: str, name: str, where: str, *required: str) -> None:
    """As `check`, for a module that must have some constants, which are read from its text.

    Raises:
        UserError: the package has no such module, or that lacks one of them.
    """
    check(package, name, where)
    known = constants(package, name)
    for key in required:
        if key not in known:
            file = f"src/sharpness/{package.replace('.', '/')}/{name}.py"
            raise UserError(f"{file}: no {key} that is written out; add it")


def constants(package: str, name: str) -> dict[str, object]:
    """The constants that a module defines by plain literals, such as TITLE.

    They are read from its text: a network's module imports torch, which is too slow for a title.
    """
    return _literals(_tree(package, name).body)


def arguments(package: str, name: str, constant: str) -> tuple[dict[str, object], dict[str, object]]:
    """What the class that a module has under a constant, such as NETWORK, takes by keyword, read from the text too.

    Returns:
        The keyword arguments with their defaults, and the constants of the class; those that are plain literals.
    """
    body = _tree(package, name).body
    named = next((node.value for node in body if _target(node) == constant), None)
    for node in body:
        if isinstance(node, ast.ClassDef) and isinstance(named, ast.Name) and node.name == named.id:
            own = _literals(node.body)
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    pairs = zip(method.args.kwonlyargs, method.args.kw_defaults, strict=True)
                    return {argument.arg: _literal(default) for argument, default in pairs}, own
            return {}, own
    return {}, {}


@functools.cache
def _tree(package: str, name: str) -> ast.Module:
    return ast.parse((_folder(package) / f"{name}.py").read_text(encoding="utf-8"))


def _target(node: ast.stmt) -> str | None:
    single = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    return node.targets[0].id if single else None


def _literals(body: list[ast.stmt]) -> dict[str, object]:
    """The plain literals that some statements give names to."""
    found = {target: _literal(node.value) for node in body if (target := _target(node))}
    return {name: value for name, value in found.items() if value is not _NO_LITERAL}


def _literal(node: ast.expr | None) -> object:
    try:
        return _NO_LITERAL if node is None else ast.literal_eval(node)
    except ValueError:
        return _NO_LITERAL


def _folder(package: str) -> Path:
    return Path(__file__).parent.joinpath(*package.split("."))
