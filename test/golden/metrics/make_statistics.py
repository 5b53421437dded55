"""Writes statistics-*.npz as NumPy does: means and covariances of a few features.

Run: python make_statistics.py (needs numpy). The sets are those of make.py, so that distances can be compared.
"""

import pathlib
import sys

import numpy

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "models"))
from hashed_numbers import hashed_uniform  # noqa: E402

DIMENSIONS = 24


def main():
    rows = hashed_uniform("real", (60, DIMENSIONS), 1.0).astype(numpy.float64)
    rows = (rows * 0.5 ** (numpy.arange(DIMENSIONS) % 12)).astype(numpy.float32).astype(numpy.float64)
    mu, sigma = rows.mean(0), numpy.cov(rows, rowvar=False)
    numpy.savez(HERE / "statistics-stored.npz", mu=mu, sigma=sigma)
    numpy.savez_compressed(HERE / "statistics-deflated.npz", mu=mu, sigma=sigma)
    numpy.savez(HERE / "statistics-objects.npz", mu=numpy.array([{"a": 1}, None], dtype=object), sigma=sigma[:2, :2])


main()
