"""A process that trains one run: what it need not import, and what it need not give back."""

import ctypes
import inspect

import torch

# The numbers by which glibc's mallopt knows two of its settings, from malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
KEPT_BYTES = 2**30


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


def keep_freed_memory() -> None:
    """Keep freed tensors' memory for the next ones, where the C library is glibc.

    As it comes, it returns large blocks to the system at once, which then hands them out again zeroed, page by page: up
    to a fifth of a small network's training time. The process needs no more memory for it than at its peak.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
