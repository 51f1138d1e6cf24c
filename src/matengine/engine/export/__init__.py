"""Tables in the formats of other programs."""
