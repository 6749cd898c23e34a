"""`breakeven demo`: replayed or live upstreams, the gateway, a traffic player, and what came of it."""

from gateway.demo.rows import DemoRow, from_outcomes, from_recorded
from gateway.demo.run import Prices, Setup, run

__all__ = ["DemoRow", "Prices", "Setup", "from_outcomes", "from_recorded", "run"]
