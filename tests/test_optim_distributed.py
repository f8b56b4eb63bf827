"""Two real processes (gloo) against one with the whole batch: DistributedDataParallel, fully_shard, and their kin.

One pair of processes runs every scenario; each test looks at what one of them left.
"""

import copy
import math
import os
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import DTensor
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from sharpness import SAM, Every, preset

pytestmark = pytest.mark.skipif(not dist.is_gloo_available(), reason="torch is built without gloo")

WORLD, STEPS, BATCH = 2, 4, 12
SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}

BALLS = {
    "sam": preset("sam", rho=0.5),
    "asam": preset("asam"),
    "asam-as-run": preset("asam-as-run"),
    "usam": preset("usam"),
    "linf": preset("linf", rho=0.01),
    "linf-as-run": preset("linf-as-run"),
    "l1": preset("l1", rho=0.5),
    "p3": {"rho": 0.5, "p": 3.0},
    "p40-fisher": {"rho": 0.5, "p": 40.0, "geometry": "fisher", "eta": 1.0},
    "weights-alone": {"rho": 0.5, "perturb": "*weight"},
    "every-second": {"rho": 0.5, "when": Every(2)},
}


def network() -> nn.Module:
    """Without dropout or BatchNorm, which differ between processes; its sizes are odd, so that shards are uneven."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def optimizer_of(model: nn.Module, ball: dict) -> SAM:
    return SAM(model.named_parameters(), torch.optim.SGD, **ball, **SGD)


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    inputs = torch.randn(BATCH, 4, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(0, 3, (BATCH,), generator=generator)


def part(step: int, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(tensor.chunk(WORLD)[rank] for tensor in batch(step))


def backward(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, share: float = 1.0) -> None:
    (share * F.cross_entropy(model(inputs), labels)).backward()


def train(model: nn.Module, optimizer: SAM, batch_of) -> None:
    for step in range(STEPS):
        backward(model, *batch_of(step))
        optimizer.step(lambda step=step: backward(model, *batch_of(step)))
        optimizer.zero_grad()


def train_accumulating(model: nn.Module, optimizer: SAM, batch_of, last_only) -> None:
    """Two micro-batches in each pass; gradients are averaged over the processes with the last one alone."""
    for step in range(STEPS):
        micro_batches = list(zip(*(tensor.chunk(2) for tensor in batch_of(step)), strict=True))

        def one_pass(micro_batches=micro_batches):
            with last_only(False):
                backward(model, *micro_batches[0], share=0.5)
            with last_only(True):
                backward(model, *micro_batches[1], share=0.5)

        one_pass()
        optimizer.step(one_pass)
        optimizer.zero_grad()


def weights_of(model: nn.Module) -> list[torch.Tensor]:
    return [
        (weight.full_tensor() if isinstance(weight, DTensor) else weight).detach().clone()
        for weight in model.parameters()
    ]


def unsharded(model: DistributedDataParallel):
    """A context for each backward pass: whether it averages."""
    return lambda average: torch.enable_grad() if average else model.no_sync()


def shard(model: nn.Module) -> nn.Module:
    mesh = init_device_mesh("cpu", (WORLD,))
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


class averaging:
    def __init__(self, model):
        self.model = model

    def __call__(self, average):
        self.model.set_requires_gradient_sync(average)
        return torch.enable_grad()


def scenarios(rank: int) -> dict:
    found = {}
    for name, ball in BALLS.items():
        model = DistributedDataParallel(network())
        train(model, optimizer_of(model.module, ball), lambda step: part(step, rank))
        found["ddp", name] = weights_of(model)
        model = shard(network())
        train(model, optimizer_of(model, ball), lambda step: part(step, rank))
        found["fsdp2", name] = weights_of(model)

    model = DistributedDataParallel(network())
    optimizer = optimizer_of(model.module, BALLS["sam"])
    train_accumulating(model, optimizer, lambda step: part(step, rank), unsharded(model))
    found["ddp", "accumulated"] = weights_of(model)

    model = shard(network())
    train_accumulating(model, optimizer_of(model, BALLS["sam"]), lambda step: part(step, rank), averaging(model))
    found["fsdp2", "accumulated"] = weights_of(model)

    model = DistributedDataParallel(network())
    optimizer = optimizer_of(model.module, BALLS["sam"])
    for step in range(STEPS):
        with model.no_sync():
            backward(model, *part(step, rank))
        optimizer.first_step(zero_grad=True)
        backward(model, *part(step, rank))
        optimizer.second_step(zero_grad=True)
    found["ddp", "local"] = weights_of(model)

    model = DistributedDataParallel(network())
    sharded_state = ZeroRedundancyOptimizer(model.module.parameters(), torch.optim.SGD, **SGD)
    train(model, SAM.wrap(sharded_state, **BALLS["sam"]), lambda step: part(step, rank))
    found["ddp", "zero"] = weights_of(model)

    model = shard(network())
    optimizer = optimizer_of(model, BALLS["asam"])
    backward(model, *part(0, rank))
    before = [weight.to_local().clone() for weight in model.parameters()]
    optimizer.first_step(zero_grad=True)
    moved = [weight.to_local() for weight in model.parameters()]
    found["moved"] = not all(torch.equal(a, b) for a, b in zip(before, moved, strict=True))
    optimizer.restore()
    found["back"] = all(torch.equal(a, b) for a, b in zip(before, moved, strict=True))
    found["copied"] = sum(copy.numel() for copy in optimizer._copies._of.values())
    found["owned"] = sum(tensor.numel() for tensor in before)

    found["resumed"] = resumed(rank)

    found["refused"] = []
    for use_orig_params in (False, True):
        flat = FullyShardedDataParallel(network(), device_id=torch.device("cpu"), use_orig_params=use_orig_params)
        try:
            SAM(flat.parameters(), torch.optim.SGD, lr=0.1)
        except ValueError as error:
            found["refused"].append(str(error))
    return found


def resumed(rank: int) -> bool:
    """Whether a sharded run that torch.distributed.checkpoint's functions carry over goes on bit for bit."""
    model = shard(network())
    optimizer = optimizer_of(model, BALLS["every-second"])
    train(model, optimizer, lambda step: part(step, rank))
    model_state, state = copy.deepcopy(get_state_dict(model, optimizer.base_optimizer))
    other = shard(network())
    its = SAM(other.named_parameters(), torch.optim.SGD, when=Every(2), lr=7.0)
    set_state_dict(other, its.base_optimizer, model_state_dict=model_state, optim_state_dict=state)
    its.steps = optimizer.steps
    for net, sam in ((model, optimizer), (other, its)):
        train(net, sam, lambda step: part(STEPS + step, rank))
    pairs = zip(model.parameters(), other.parameters(), strict=True)
    return its.steps == 2 * STEPS and all(torch.equal(a.to_local(), b.to_local()) for a, b in pairs)


def run(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=WORLD)
    torch.save(scenarios(rank), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def left_by(tmp_path_factory) -> list[dict]:
    """What each process left, by rank."""
    folder = tmp_path_factory.mktemp("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(run, (port, str(folder)), WORLD)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(WORLD)]


def assert_equal(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for weight, other in zip(found, expected, strict=True):
        assert (weight - other).abs().max() <= 1e-12 * other.abs().max()


@pytest.mark.parametrize("name", BALLS)
@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_two_processes_equal_one_with_the_whole_batch(left_by, kind, name):
    model = network()
    start = weights_of(model)
    train(model, optimizer_of(model, BALLS[name]), batch)
    expected = weights_of(model)
    assert (expected[0] - start[0]).norm() > 1e-2
    for left in left_by:
        assert_equal(left[kind, name], expected)


@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_accumulation_in_two_processes_equals_one_batch_in_one(left_by, kind):
    model = network()
    train(model, optimizer_of(model, BALLS["sam"]), batch)
    for left in left_by:
        assert_equal(left[kind, "accumulated"], weights_of(model))


def test_a_sharded_optimizer_state_is_wrapped(left_by):
    model = network()
    train(model, optimizer_of(model, BALLS["sam"]), batch)
    for left in left_by:
        assert_equal(left["ddp", "zero"], weights_of(model))


def test_no_sync_in_the_first_pass_perturbs_by_each_processs_own_part(left_by):
    """m-sharpness, written out: the mean of the gradients at w + ε, one for each part of the batch."""
    model = network()
    plain = torch.optim.SGD(model.parameters(), **SGD)
    for step in range(STEPS):
        total = [torch.zeros_like(weight) for weight in model.parameters()]
        for rank in range(WORLD):
            there = copy.deepcopy(model)
            backward(there, *part(step, rank))
            norm = torch.cat([weight.grad.flatten() for weight in there.parameters()]).norm()
            with torch.no_grad():
                for weight in there.parameters():
                    weight.add_(0.5 * weight.grad / (norm + 1e-12))
            there.zero_grad()
            backward(there, *part(step, rank))
            for sum_, weight in zip(total, there.parameters(), strict=True):
                sum_ += weight.grad / WORLD
        for weight, gradient in zip(model.parameters(), total, strict=True):
            weight.grad = gradient
        plain.step()
    for left in left_by:
        assert_equal(left["ddp", "local"], weights_of(model))
    assert all(torch.equal(*pair) for pair in zip(*(left["ddp", "local"] for left in left_by), strict=True))
    whole = network()
    train(whole, optimizer_of(whole, BALLS["sam"]), batch)
    assert not math.isclose(weights_of(whole)[0][0, 0].item(), weights_of(model)[0][0, 0].item(), rel_tol=1e-6)


def test_shards_are_copied_alone_and_come_back_bit_for_bit(left_by):
    whole = sum(weight.numel() for weight in network().parameters())
    for left in left_by:
        assert left["moved"]
        assert left["back"]
        assert left["copied"] == left["owned"] < whole
    assert sum(left["owned"] for left in left_by) == whole


def test_a_sharded_run_is_saved_and_loaded_by_torchs_functions(left_by):
    assert all(left["resumed"] for left in left_by)


def test_the_older_sharding_is_refused_in_one_line(left_by):
    for left in left_by:
        assert len(left["refused"]) == 2
        for message in left["refused"]:
            assert message.startswith("params: FullyShardedDataParallel hides what it shards; use ")
            assert "\n" not in message
