"""Questions to versions: one relation for each table and moment, filtered, as Arrow."""
