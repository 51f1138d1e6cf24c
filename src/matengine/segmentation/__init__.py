"""The outside world of voxels and roots."""
