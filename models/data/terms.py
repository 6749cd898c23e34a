"""What holds for a dataset for ever: settings that all runs share, and the creator's word on the teacher's terms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from breakeven.models.errors import DistillError
from breakeven.router.files import write_atomically

CONSENT = (
    "many providers forbid training competing models on their outputs: check the teacher's terms, and give "
    "--i-may-train-on-these-outputs once for this dataset"
)


def agreed(out: Path, fixed: Mapping[str, Any], *, consent: bool, of: str = "") -> dict[str, Any]:
    """The settings of the dataset in `out`, as its first run wrote them, with the time of the `consent`.

    Raises DistillError where they are not those in `fixed`, or where nobody consented yet: `of` then says what the
    outputs are.
    """
    path = out / "settings.json"
    if path.exists():
        try:
            terms: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise DistillError(f"{path} is damaged; delete it and run again with the same options") from None
        for name, value in fixed.items():
            if terms.get(name) != value:
                raise DistillError(
                    f"{out} holds answers with {name} {terms.get(name)!r}, not {value!r}; "
                    "use the same value, or another --out"
                )
        return terms
    if not consent:
        raise DistillError(f"{of}{CONSENT}")
    terms = {**fixed, "consent": datetime.now(UTC).isoformat(timespec="seconds")}
    write_atomically(path, json.dumps(terms, indent=1) + "\n")
    return terms
