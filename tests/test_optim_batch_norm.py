"""BatchNorm in the second pass."""

import pytest
import torch
from optim_networks import SGD, assert_same_bits, backward, batch, network
from torch import nn
from torch.utils.checkpoint import checkpoint

from sharpness.optim import SAM, frozen_statistics


class TestFrozenStatistics:
    def test_statistics_move_in_the_first_pass_only(self):
        model = network()
        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.5, **SGD)
        backward(model)
        after_first_pass = [buffer.clone() for buffer in model.buffers()]
        assert any((a != b).any() for a, b in zip(after_first_pass, network().buffers(), strict=True))
        optimizer.first_step(zero_grad=True)
        with frozen_statistics(model):
            backward(model)
        optimizer.second_step()
        assert_same_bits(list(model.buffers()), after_first_pass)
        backward(model)
        assert not torch.equal(model[1].running_mean, after_first_pass[0])

    @pytest.mark.parametrize("momentum", [0.1, None])
    def test_the_batch_still_normalises(self, momentum):
        model, tracking = network(), network()
        for module in (*model, *tracking):
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = momentum
        images, _ = batch(0)
        with frozen_statistics(model):
            inside = model(images)
        assert torch.equal(inside, tracking(images))

    def test_evaluation_mode_still_reads_the_running_statistics(self):
        model = network()
        backward(model)
        model.eval()
        images, _ = batch(1)
        with frozen_statistics(model):
            inside = model(images)
        assert torch.equal(inside, model(images))

    def test_tracking_returns_after_an_exception_and_only_where_it_was(self):
        model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False), nn.SyncBatchNorm(3))

        def fail_inside():
            with frozen_statistics(model):
                assert not any(module.track_running_stats for module in model)
                raise KeyError

        with pytest.raises(KeyError):
            fail_inside()
        assert [module.track_running_stats for module in model] == [True, False, True]

    def test_one_may_be_entered_again_also_inside_itself(self):
        model = network()
        frozen, norm = frozen_statistics(model), model[1]
        for _ in range(2):
            with frozen:
                with frozen:
                    assert not norm.track_running_stats
                assert not norm.track_running_stats
            assert norm.track_running_stats


def batch_norm_block():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_statistics_stay_frozen_in_a_recomputation_inside(use_reentrant):
    block = batch_norm_block()
    images = torch.randn(8, 1, 6, 6, requires_grad=True)
    before = [buffer.clone() for buffer in block.buffers()]
    with frozen_statistics(block):
        checkpoint(block, images, use_reentrant=use_reentrant).sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(block.buffers(), before, strict=True))
    assert block[0].weight.grad is not None


@pytest.mark.filterwarnings("ignore")
def test_scripted_and_traced_batch_norms_are_refused():
    script = torch.jit.script(batch_norm_block())
    trace = torch.jit.trace(batch_norm_block(), torch.randn(2, 1, 6, 6))
    for model in (script, trace, nn.Sequential(script)):
        with pytest.raises(ValueError, match=r"^model: its BatchNorm '.*1' is scripted"):
            frozen_statistics(model)
    frozen_statistics(torch.jit.script(nn.Linear(2, 2)))
