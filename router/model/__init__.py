"""The trained router: difficulty, novelty, calibration, and the artifact on disk."""
