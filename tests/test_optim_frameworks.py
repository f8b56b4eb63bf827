"""SAM in other people's loops, where these are installed: clipped, interrupted and resumed, against a loop by hand."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from sharpness import SAM, Every

torch.set_num_threads(1)

pytestmark = pytest.mark.filterwarnings("ignore")

STEPS, BATCH, CLIP = 8, 8, 0.05


def data():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(32, 8, generator=generator), torch.randint(0, 3, (32,), generator=generator)


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))


def sam_of(model):
    return SAM(model.parameters(), torch.optim.AdamW, rho=0.2, when=Every(3), lr=0.05)


def same(model, other):
    return all(torch.equal(*pair) for pair in zip(model.parameters(), other.parameters(), strict=True))


def test_lightning_clips_counts_and_resumes_as_a_loop_by_hand(tmp_path):
    lightning = pytest.importorskip("lightning")

    class Classifier(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.model = network()

        def training_step(self, batch, _):
            optimizer = self.optimizers()

            def one_pass():
                self.manual_backward(F.cross_entropy(self.model(batch[0]), batch[1]))
                self.clip_gradients(optimizer, gradient_clip_val=CLIP, gradient_clip_algorithm="norm")

            one_pass()
            optimizer.step(one_pass)
            optimizer.zero_grad()

        def configure_optimizers(self):
            return sam_of(self)

    def trained(epochs, checkpoint=None):
        trainer = lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
        )
        classifier = Classifier()
        trainer.fit(classifier, DataLoader(TensorDataset(*data()), BATCH), ckpt_path=checkpoint)
        return trainer, classifier.model

    half, _ = trained(epochs=1)
    half.save_checkpoint(tmp_path / "half.ckpt")
    trainer, resumed = trained(epochs=2, checkpoint=tmp_path / "half.ckpt")
    assert trainer.global_step == trainer.optimizers[0].steps == STEPS

    by_hand = network()
    optimizer = sam_of(by_hand)
    for _ in range(2):
        for inputs, labels in zip(*(tensor.split(BATCH) for tensor in data()), strict=True):

            def one_pass(inputs=inputs, labels=labels):
                F.cross_entropy(by_hand(inputs), labels).backward()
                nn.utils.clip_grad_norm_(by_hand.parameters(), CLIP)

            one_pass()
            optimizer.step(one_pass)
            optimizer.zero_grad()
    assert same(resumed, by_hand)


def test_hugging_faces_trainer_resumes_where_it_was(tmp_path):
    transformers = pytest.importorskip("transformers")

    class SAMTrainer(transformers.Trainer):
        def __init__(self, sam, **arguments):
            super().__init__(optimizers=(sam.base_optimizer, None), **arguments)
            self.sam, self.ascents = sam, []

        def training_step(self, model, inputs, num_items_in_batch=None):
            self.sam.steps = self.state.global_step
            loss = super().training_step(model, inputs, num_items_in_batch)
            if self.sam.ascends:
                self.ascents.append(self.state.global_step)
                self.sam.first_step(zero_grad=True)
                super().training_step(model, inputs, num_items_in_batch)
                self.sam.restore()
            return loss

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = network()

        def forward(self, x, labels):
            logits = self.layers(x)
            return {"loss": F.cross_entropy(logits, labels), "logits": logits}

    def trained(checkpoint=None):
        model = Classifier()
        arguments = transformers.TrainingArguments(
            str(tmp_path), max_steps=STEPS, save_steps=4, per_device_train_batch_size=BATCH, use_cpu=True,
            learning_rate=0.05, lr_scheduler_type="constant", report_to="none", disable_tqdm=True,
        )  # fmt: skip
        dataset = [{"x": x, "labels": y} for x, y in zip(*data(), strict=True)]
        trainer = SAMTrainer(sam_of(model), model=model, args=arguments, train_dataset=dataset)
        trainer.train(resume_from_checkpoint=checkpoint)
        return model, trainer.ascents

    whole, ascents = trained()
    resumed, ascents_of_the_rest = trained(str(tmp_path / "checkpoint-4"))
    assert (ascents, ascents_of_the_rest) == ([2, 5], [5])
    assert same(resumed, whole)


def test_accelerate_saves_and_loads_it(tmp_path):
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    model = accelerator.prepare(network())
    optimizer = sam_of(model)
    accelerator.register_for_checkpointing(optimizer)
    inputs, labels = data()

    def train(steps):
        for _ in range(steps):
            accelerator.backward(F.cross_entropy(model(inputs), labels))
            optimizer.step(lambda: accelerator.backward(F.cross_entropy(model(inputs), labels)))
            optimizer.zero_grad()

    train(4)
    accelerator.save_state(str(tmp_path / "saved"))
    train(4)
    whole = copy.deepcopy(model)
    accelerator.load_state(str(tmp_path / "saved"))
    assert optimizer.steps == 4
    train(4)
    assert same(model, whole)
