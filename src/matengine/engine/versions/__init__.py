"""Epochs and versions: what changed, written once and never again."""
