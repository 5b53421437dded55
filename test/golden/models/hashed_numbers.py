"""Numbers that Python and TypeScript derive alike from a name, so that fixtures need no weights.

Element i of the tensor NAME is murmur3's 32-bit finalizer of FNV-1a(NAME) + i * 0x9E3779B9, read as
a uniform number in [-1, 1). `src/models/random-weights.ts` is the other side.
"""

import numpy


def hashed_bits(name: str, count: int) -> numpy.ndarray:
    """`count` uniform 32-bit words as uint64."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x01000193) & 0xFFFFFFFF
    words = numpy.arange(count, dtype=numpy.uint32)
    words = words * numpy.uint32(0x9E3779B9) + numpy.uint32(seed)
    words ^= words >> numpy.uint32(16)
    words *= numpy.uint32(0x85EBCA6B)
    words ^= words >> numpy.uint32(13)
    words *= numpy.uint32(0xC2B2AE35)
    words ^= words >> numpy.uint32(16)
    return words


def hashed_uniform(name: str, shape, bound: float, center: float = 0.0) -> numpy.ndarray:
    """Uniform in [center - bound, center + bound), computed in float64 and rounded to float32."""
    count = int(numpy.prod(shape, dtype=numpy.int64))
    unit = hashed_bits(name, count).astype(numpy.float64) / 2147483648.0 - 1.0
    return (unit * bound + center).astype(numpy.float32).reshape(shape)


def hashed_parameter(path: str, shape) -> numpy.ndarray:
    """A parameter that keeps activations near unit variance.

    Matrices and kernels have variance 1 / fan-in, norm scales lie around one, biases around zero.
    """
    if len(shape) >= 2:
        fan_in = int(numpy.prod(shape[1:]))
        return hashed_uniform(path, shape, float(numpy.sqrt(3.0 / fan_in)))
    return hashed_uniform(path, shape, 0.2, 1.0 if path.endswith("weight") else 0.0)


def hashed_input(name: str, shape) -> numpy.ndarray:
    """Unit variance, zero mean."""
    return hashed_uniform("input:" + name, shape, float(numpy.sqrt(3.0)))
