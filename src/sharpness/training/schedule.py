"""The learning rate by epoch."""


def learning_rate(epoch: int, epochs: int, initial: float, milestones: list[float], factor: float) -> float:
    """The rate of an epoch: `initial`, times `factor` for each milestone that the epochs before it have reached.

    Args:
        epoch: counted from 1.
        epochs: length of the schedule.
        initial: rate of the first epoch.
        milestones: fractions of `epochs`.
        factor: what each milestone multiplies the rate by.
    """
    return initial * factor ** drops(epoch - 1, epochs, milestones)


def drops(finished: int, epochs: int, milestones: list[float]) -> int:
    """How many milestones are at or before a number of finished epochs (exact where fraction × epochs is whole)."""
    return sum(finished >= round(fraction * epochs, 9) for fraction in milestones)
