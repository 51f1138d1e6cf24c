"""Oracles: the brute-force answers that the engine is tested against."""
