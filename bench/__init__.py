"""Benchmarks: what the engine costs, measured on this machine. `./mat bench --help`."""
