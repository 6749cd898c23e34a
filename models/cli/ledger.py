"""What the commands of `breakeven distill` do with the gateway's ledger, which they do not know themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from breakeven.models.harvest.kept import Kept


class LedgerAccess(NamedTuple):
    """The functions that the caller which mounts `cli.distill` passes in, as the context's `obj`.

    `invest`: (config path, name, USD as text) -> message to print. `kept`: (config path, workload or None for all,
    start of the period as given or None) -> the stored conversations, oldest first.
    """

    invest: Callable[[Path, str, str], str]
    kept: Callable[[Path, str | None, str | None], list[Kept]]
