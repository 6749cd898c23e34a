"""`breakeven demo`: replayed or live upstreams, the gateway, a traffic player, and what came of it."""

from breakeven.gateway.demo.rows import DemoRow, from_outcomes, from_recorded
from breakeven.gateway.demo.run import Prices, Setup, run

__all__ = ["DemoRow", "Prices", "Setup", "from_outcomes", "from_recorded", "run"]
