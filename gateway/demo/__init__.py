"""`breakeven demo`: replayed or real upstreams, the gateway, a load generator, and a summary of costs and quality."""

from breakeven.gateway.demo.rows import DemoRow, from_outcomes, from_recorded
from breakeven.gateway.demo.run import run
from breakeven.gateway.demo.settings import Prices, Setup

__all__ = ["DemoRow", "Prices", "Setup", "from_outcomes", "from_recorded", "run"]
