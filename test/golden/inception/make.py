"""Writes fid.json: what pytorch-fid's Inception-V3 makes of a few images, with weights hashed from their names.

Run: python make.py (needs torch, torchvision, pytorch-fid, clean-fid, numpy, pillow). Its resizing and
scaling are pytorch-fid's own; `clean` resizes with clean-fid's resizer and scales as its network does.
"""

import base64
import json
import pathlib
import sys

import numpy
import pytorch_fid.inception as fid
import torch
import torchvision
from cleanfid.resize import build_resizer

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "models"))
from hashed_numbers import hashed_bits, hashed_uniform  # noqa: E402

torch.set_num_threads(1)
SIZES = ((96, 64), (299, 299), (340, 410))  # width, height


def hashed_tensor(name, shape):
    """Keeps activations near unit variance behind ReLU, with norms that do something."""
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if len(shape) >= 2:
        bound = numpy.sqrt(6 / numpy.prod(shape[1:]))
        return torch.from_numpy(hashed_uniform(name, shape, float(bound)))
    center = 1.0 if name.endswith(("bn.weight", "running_var")) else 0.0
    return torch.from_numpy(hashed_uniform(name, shape, 0.25, center))


def hashed_image(name, width, height):
    """Noise that is stronger to the right, over a gradient."""
    noise = (hashed_bits(name, width * height * 3) >> 24).astype(numpy.int64).reshape(height, width, 3)
    x = numpy.arange(width)[None, :, None]
    y = numpy.arange(height)[:, None, None]
    ramp = (x * 3 + y * 5 + numpy.arange(3) * 40) % 256
    return ((noise * x + ramp * (width - x)) // width).astype(numpy.uint8)


def network():
    model = torchvision.models.inception.Inception3
    load = model.load_state_dict

    def load_hashed(self, _):
        shapes = {name: tuple(t.shape) for name, t in self.state_dict().items()}
        return load(self, {name: hashed_tensor(name, shape) for name, shape in shapes.items()})

    model.load_state_dict = load_hashed
    fid.load_state_dict_from_url = lambda *_, **__: {}
    inception = fid.InceptionV3().eval()
    model.load_state_dict = load
    return inception


def encode(array):
    return base64.b64encode(numpy.ascontiguousarray(array, dtype=numpy.float32)).decode()


@torch.no_grad()
def main():
    inception = network()
    classifier = hashed_tensor("fc.weight", (1008, 2048))
    clean = build_resizer("clean")
    images = []
    for width, height in SIZES:
        name = f"image {width}x{height}"
        pixels = hashed_image(name, width, height)
        unit = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        features = inception(unit)[0].flatten()
        resized = torch.from_numpy(clean(pixels)).permute(2, 0, 1)[None]
        inception.resize_input = inception.normalize_input = False
        cleaned = inception((resized - 128) / 128)[0].flatten()
        inception.resize_input = inception.normalize_input = True
        images.append(
            {
                "name": name,
                "width": width,
                "height": height,
                "features": encode(features),
                "clean": encode(cleaned),
                "logits": encode((classifier @ features)[::16]),
            }
        )
        print(name, features.mean().item(), features.std().item(), (features - cleaned).norm().item())
    text = json.dumps({"images": images}, indent=1)
    (HERE / "fid.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
