"""What the project exists for: annotations, lookups, epochs, versions, queries. No HTTP here."""
