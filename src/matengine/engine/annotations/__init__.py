"""Live annotation tables, in the layout the CAVE annotation service writes."""
