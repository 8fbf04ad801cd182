"""`launcher=local`: jobs on this machine."""

from typing import Literal


class Local:
    """Starts jobs as fresh processes of this machine.

    Args:
        slots: jobs at once.
        gpu_share: of a GPU that a job takes.
        timeout: seconds after which a job counts as hanging; None = never.
        retries: further attempts in later calls.
    """

    def __init__(
        self, slots: int | Literal["auto"] = "auto", gpu_share: float = 1.0, timeout: float | None = None, retries: int = 2
    ) -> None:
        self.asked, self.gpu_share, self.timeout, self.retries = slots, gpu_share, timeout, retries
