"""Setting a solved threshold on a running gateway."""

from __future__ import annotations

import os
from typing import Any

import httpx2

from breakeven.gateway.config.routing import Escalation
from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import BreakevenError
from breakeven.gateway.reports.tuning import Tuned
from breakeven.router.masking import masked


def apply(tuned: Tuned, config: Config, url: str | None) -> dict[str, Any]:
    """Set the threshold, and the solved escalation floor, on a running gateway through its admin API.

    `url` is its base URL; None: the address in the config. Returns the policy now in force. Raises BreakevenError.
    """
    key = os.environ.get(config.admin.key_env)
    if not key:
        raise BreakevenError(f"--apply needs the admin key in the environment variable {config.admin.key_env}")
    base = (url or f"http://{config.server.host}:{config.server.port}").rstrip("/")
    body: dict[str, Any] = {"threshold": tuned.chosen.threshold, "artifact": tuned.artifact}
    if tuned.goal.escalation:
        floor = tuned.chosen.min_logprob
        rule = config.routing.escalation or Escalation()
        changed = None if floor is None else rule.model_copy(update={"min_mean_logprob": floor}).model_dump()
        body["escalation"] = changed
    try:
        answer = httpx2.put(f"{base}/admin/policy", json=body, headers={"authorization": f"Bearer {key}"}, timeout=10.0)
        said = answer.json()
    except (httpx2.HTTPError, ValueError):
        raise BreakevenError(f"no gateway answers at {masked(base)}; give its address with --url") from None
    if answer.status_code != 200:
        raise BreakevenError(f"the gateway refused: {said.get('error', {}).get('message', answer.status_code)}")
    return dict(said)
