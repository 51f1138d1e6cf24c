"""Points to supervoxels to roots, for rows that need them."""
