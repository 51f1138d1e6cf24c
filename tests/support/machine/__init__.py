"""Everything that can be done to datastacks, one step at a time, each from its own dice."""

from machine.machine import STEPS, Machine, Step, draw, small_units

__all__ = ["STEPS", "Machine", "Step", "draw", "small_units"]
