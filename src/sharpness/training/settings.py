"""Settings that the network, the optimizer or the data set at hand does not allow."""

from collections.abc import Iterator
from contextlib import contextmanager

from sharpness.errors import UserError


class SettingError(ValueError):
    """A setting that the network, the optimizer or the data set at hand does not allow.

    Attributes:
        key: where the setting lies in its configuration file.
    """

    def __init__(self, key: str, reason: object):
        super().__init__(f"{key}: {reason}")
        self.key = key

    def at(self, scale: str) -> UserError:
        """The error for the user of a scale, with the file that holds the setting."""
        of_study = self.key.startswith(("methods.", "training."))
        return UserError(f"config/{'study' if of_study else f'scales/{scale}'}.yaml: {self}")


@contextmanager
def setting(key: str) -> Iterator[None]:
    """Say of an error in this context which setting it is about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise SettingError(key, error) from None
