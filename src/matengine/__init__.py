"""Materialization Engine: versions of annotation tables that cost what changed."""
