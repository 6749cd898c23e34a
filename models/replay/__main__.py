"""`python -m breakeven.models.replay` starts the replay server."""

from breakeven.models.replay.server import main

if __name__ == "__main__":
    raise SystemExit(main())
