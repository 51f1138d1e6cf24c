"""A synthetic datastack of any size: neurons, supervoxels, a proofreading history, annotations."""

from matengine.datasets.sample.make import DEFAULT_SIZE, Made, make_sample

__all__ = ["DEFAULT_SIZE", "Made", "make_sample"]
