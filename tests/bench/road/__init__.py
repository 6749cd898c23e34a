"""The road, played: outcome files as traffic through the real sampling, learning, stages and watch, from cold."""
