"""Starting quickly: a short run should not spend a tenth of its time on an import that it never uses."""

import inspect

import torch


def skip_compiler_import() -> None:
    """Keep torch.optim from importing torch's compiler, which takes about as long as importing torch itself.

    Some of Optimizer's methods import the compiler when first called, only to be exempt from it, and keep their exempt
    version in an attribute; SGD.step imports it to say that a graph breaks there. A process that compiles nothing needs
    neither: here the plain functions take their place. Where a version of torch does this otherwise, nothing changes.
    """
    for method in vars(torch.optim.Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if plain is not None and not hasattr(plain, "__dynamo_disable"):
            plain.__dynamo_disable = plain
    torch.optim.SGD.step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))
