"""Writes metrics.json: what other implementations make of features, logits and images hashed from names.

Run: python make.py (needs numpy, scipy, torch, torchvision, pytorch-fid, scikit-image). The Fréchet
distance is pytorch-fid's, SSIM and PSNR scikit-image's; the others are their papers' formulas in NumPy.
"""

import json
import pathlib
import sys

import numpy
from pytorch_fid.fid_score import calculate_frechet_distance
from scipy.spatial.distance import cdist, pdist
from scipy.special import softmax
from scipy.stats import entropy
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "models"))
from hashed_numbers import hashed_bits, hashed_uniform  # noqa: E402

DIMENSIONS, CLASSES = 24, 10


def features(name, count, scale, shift):
    """Columns of very different size, exactly the same in both languages."""
    rows = hashed_uniform(name, (count, DIMENSIONS), 1.0).astype(numpy.float64)
    rows = rows * scale + shift
    return (rows * 0.5 ** (numpy.arange(DIMENSIONS) % 12)).astype(numpy.float32)


def frechet(a, b):
    a, b = a.astype(numpy.float64), b.astype(numpy.float64)
    return calculate_frechet_distance(a.mean(0), numpy.cov(a, rowvar=False), b.mean(0), numpy.cov(b, rowvar=False))


def kernel_distance(a, b):
    """The unbiased estimate from all rows of two sets of one size."""
    a, b = a.astype(numpy.float64), b.astype(numpy.float64)
    m = len(a)
    k = lambda x, y: (x @ y.T / DIMENSIONS + 1) ** 3
    within = lambda x: (k(x, x).sum() - numpy.trace(k(x, x))) / (m * (m - 1))
    return within(a) + within(b) - 2 * k(a, b).mean()


def precision_recall(real, generated, k=3):
    radius = lambda x: numpy.sort(cdist(x, x), axis=1)[:, k]
    between = cdist(real, generated)
    precision = (between <= radius(real)[:, None]).any(0).mean()
    recall = (between <= radius(generated)[None]).any(1).mean()
    return [precision, recall]


def inception_score(logits, splits):
    probabilities = softmax(logits.astype(numpy.float64), axis=1)
    scores = []
    for part in numpy.array_split(probabilities, splits):
        marginal = part.mean(0)
        scores.append(numpy.exp(numpy.mean([entropy(p, marginal) for p in part])))
    return [numpy.mean(scores), numpy.std(scores)]


def image_pair(width, height):
    a = (hashed_bits("a", width * height * 3) >> 24).astype(numpy.int64)
    noise = (hashed_bits("noise", width * height * 3) >> 26).astype(numpy.int64)
    return [x.astype(numpy.uint8).reshape(height, width, 3) for x in (a, numpy.minimum(255, a + noise))]


def main():
    real, generated = features("real", 60, 1.0, 0.0), features("generated", 60, 0.8, 0.25)
    logits = hashed_uniform("logits", (40, CLASSES), 3.0)
    a, b = image_pair(29, 17)
    result = {
        "frechet": frechet(real, generated),
        "frechetOfFew": frechet(real[:9], generated),
        "kernel": kernel_distance(real, generated),
        "precisionRecall": precision_recall(real, generated),
        "inceptionScore": inception_score(logits, 4),
        "paired": cdist(real, generated).diagonal().tolist()[:5],
        "pairwise": pdist(real[:7].astype(numpy.float64)).mean(),
        "ssim": structural_similarity(
            a, b, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
        ),
        "psnr": peak_signal_noise_ratio(a, b, data_range=255),
    }
    (HERE / "metrics.json").write_text(json.dumps(result, indent=1) + "\n")
    print(result)


main()
