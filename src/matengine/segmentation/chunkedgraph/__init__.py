"""Supervoxel to root id at any time: the protocol, its HTTP client, the embedded graph."""
