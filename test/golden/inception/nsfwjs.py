"""Writes nsfwjs.json: what npm's nsfwjs makes of the images of fid.json, layer by layer as its topology says.

Run: python nsfwjs.py FOLDER (the package's; needs torch, numpy and Node for reading its scripts). Also
records the names and shapes of its weights, so that tests need no package.
"""

import base64
import json
import pathlib
import subprocess
import sys

import numpy
import torch
import torch.nn.functional as F
from make import SIZES, hashed_image

HERE = pathlib.Path(__file__).parent
FOLDER = pathlib.Path(sys.argv[1]) / "dist" / "models" / "inception_v3"
torch.set_num_threads(1)


def exported(name):
    """What a script of the package exports, by running it."""
    run = "process.stdout.write(JSON.stringify(require(process.argv[1])))"
    script = (FOLDER / f"{name}.min.js").resolve()
    return json.loads(subprocess.run(["node", "-e", run, script], capture_output=True, check=True).stdout)


def read_weights(manifest):
    weights = {}
    for group in manifest:
        data = b"".join(base64.b64decode(exported(path)) for path in group["paths"])
        at = 0
        for entry in group["weights"]:
            count, grid = int(numpy.prod(entry["shape"])), entry["quantization"]
            codes = numpy.frombuffer(data, numpy.uint8, count, at).astype(numpy.float32)
            values = codes * numpy.float32(grid["scale"]) + numpy.float32(grid["min"])
            weights[entry["name"]] = values.reshape(entry["shape"])
            at += count
    return weights


def evaluate(layers, weights, image):
    """The result of the first Flatten, which follows the last pooling layer."""
    values = {}
    for layer in layers:
        name, config = layer["name"], layer["config"]
        inputs = [values[edge[0]] for edge in (layer["inbound_nodes"] or [[]])[0]]
        tensor = lambda part: torch.from_numpy(weights[f"{name}/{part}"])
        match layer["class_name"]:
            case "InputLayer":
                values[name] = image
            case "Conv2D":
                kernel = tensor("kernel").permute(3, 2, 0, 1)
                values[name] = F.conv2d(inputs[0], kernel, None, config["strides"], padding=config["padding"])
            case "BatchNormalization":
                mean, variance = tensor("moving_mean"), tensor("moving_variance")
                values[name] = F.batch_norm(inputs[0], mean, variance, None, tensor("beta"), eps=config["epsilon"])
            case "Activation":
                values[name] = F.relu(inputs[0])
            case "MaxPooling2D":
                values[name] = F.max_pool2d(inputs[0], config["pool_size"], config["strides"])
            case "AveragePooling2D":
                padding = 1 if config["padding"] == "same" else 0
                size, strides = config["pool_size"], config["strides"]
                values[name] = F.avg_pool2d(inputs[0], size, strides, padding, count_include_pad=False)
            case "Concatenate":
                values[name] = torch.cat(inputs, 1)
            case "Flatten":
                return inputs[0].flatten()
            case other:
                raise ValueError(other)


@torch.no_grad()
def main():
    model = exported("model")
    weights = read_weights(model["weightsManifest"])
    layers = model["modelTopology"]["model_config"]["config"]["layers"]
    width, height = SIZES[2]
    pixels = hashed_image(f"image {width}x{height}", width, height)
    unit = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    resized = F.interpolate(unit, size=(299, 299), mode="bilinear", align_corners=False)
    features = evaluate(layers, weights, resized)
    lines = {
        "features": base64.b64encode(features.numpy().astype(numpy.float32)).decode(),
        "weights": " ".join(f"{n}:{'x'.join(map(str, w.shape))}" for n, w in weights.items()),
    }
    (HERE / "nsfwjs.json").write_text(json.dumps(lines, indent=1) + "\n")
    print(features.mean(), features.std(), (features > 0).float().mean())


main()
