"""In which of its steps a run ascends, and how many backward passes it takes."""

from sharpness.optim import After, Every, Last
from sharpness.optim.when import When, radius_factor


def steps_of(epochs: int, images: int, batch_size: int) -> int:
    """The steps of some epochs; an epoch's last batch may be smaller."""
    return epochs * -(-images // batch_size)


def when_of(spec: dict, steps: int | None) -> When | None:
    """In which steps of a training of that many a spec's run ascends; None: in all of them."""
    if "when_every" in spec:
        return Every(spec["when_every"], spec["when_scale"])
    if "when_last" in spec:
        return Last(spec["when_last"], steps)
    if "when_after" in spec:
        return After(spec["when_after"])
    return None


def backward_passes(spec: dict, images: int, epochs: int) -> int:
    """How many backward passes the first epochs of a run take: two for a step that ascends, one for another.

    Args:
        spec: the run's spec.
        images: of the training set.
        epochs: that many.
    """
    done = steps_of(epochs, images, spec["batch_size"])
    if spec["optimizer"] != "sam":
        return done
    when = when_of(spec, steps_of(spec["epochs"], images, spec["batch_size"]))
    return done + sum(radius_factor(when, step) > 0 for step in range(done))
