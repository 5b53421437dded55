"""Writes the fixtures of CLIP scores: transformers' CLIPModel and image processor on small models.

    python make.py            # needs torch, transformers, pillow, numpy

Weights, images and token ids come from names (../models/hashed_numbers.py), so a fixture holds
configuration, parameter shapes and outputs alone. The model computes in float64.
"""

import base64
import json
import pathlib
import sys

import numpy
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent / "models"))

from hashed_numbers import hashed_bits, hashed_parameter  # noqa: E402

torch.set_num_threads(1)
torch.set_grad_enabled(False)

TOKENIZER = HERE.parent / "pipelines/models/sd/tokenizer"
PROMPTS = ["a red apple", "two green pears, photo", "", "the end " * 60]
IMAGES = {"wide": (41, 30), "tall": (9, 23), "large": (130, 131), "exact": (24, 24)}

QUICK = {
    "model_type": "clip",
    "projection_dim": 20,
    "text_config": {
        "eos_token_id": 516,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "vocab_size": 517,
    },
    "vision_config": {
        "hidden_size": 24,
        "image_size": 24,
        "intermediate_size": 40,
        "num_attention_heads": 3,
        "num_hidden_layers": 3,
        "patch_size": 8,
    },
}

# Older files: the half ending in _dict counts, and the end token is said to be 2. Of the image, a
# border is left over beside the patches.
EXACT = {
    "model_type": "clip",
    "projection_dim": 12,
    "text_config": None,
    "text_config_dict": {**QUICK["text_config"], "eos_token_id": 2, "hidden_act": "gelu"},
    "vision_config": {},
    "vision_config_dict": {**QUICK["vision_config"], "hidden_act": "gelu", "patch_size": 7},
}

PREPROCESSING = {
    "crop_size": {"height": 24, "width": 24},
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": {"shortest_edge": 24},
}


def image(name, width, height):
    values = hashed_bits("input:" + name, width * height * 3) % 256
    return Image.fromarray(values.astype(numpy.uint8).reshape(height, width, 3))


def encoded(array):
    return {
        "shape": list(array.shape),
        "data": base64.b64encode(numpy.ascontiguousarray(array).tobytes()).decode(),
    }


def floats(values):
    return encoded(values.to(torch.float32).numpy())


def model_fixture(config):
    model = CLIPModel(CLIPConfig(**config))
    state = {
        name: torch.from_numpy(hashed_parameter(name, tuple(value.shape)))
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    model.double().eval()
    processor = CLIPImageProcessorPil(**PREPROCESSING)
    pixels = processor([image(name, *size) for name, size in IMAGES.items()], return_tensors="pt")
    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER)
    tokens = tokenizer(PROMPTS, padding="max_length", truncation=True, return_tensors="pt")
    pixel_values = pixels.pixel_values
    result = model(input_ids=tokens.input_ids, pixel_values=pixel_values.double())
    return {
        "config": config,
        "preprocessing": PREPROCESSING,
        "images": IMAGES,
        "prompts": PROMPTS,
        "parameters": {name: list(value.shape) for name, value in state.items()},
        "outputs": {
            "pixelValues": floats(pixel_values[1:2].permute(0, 2, 3, 1)),
            "imageEmbeds": floats(result.image_embeds),
            "textEmbeds": floats(result.text_embeds),
            "logitsPerImage": floats(result.logits_per_image),
        },
    }


def resample_fixture():
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    sizes = [("wide", 20, 9), ("tall", 31, 40), ("tall", 9, 11), ("wide", 13, 30), ("large", 24, 24)]
    return [
        {
            "image": name,
            "size": IMAGES[name],
            "filter": filter_name,
            "output": encoded(numpy.asarray(image(name, *IMAGES[name]).resize((w, h), number))),
        }
        for filter_name, number in filters.items()
        for name, w, h in sizes
    ]


def lines(value, depth=0):
    """JSON with one line per entry of the outer two levels."""
    if depth == 2 or not isinstance(value, dict):
        return json.dumps(value)
    inner = " " * (depth + 1)
    entries = (f"{inner}{json.dumps(k)}: {lines(v, depth + 1)}" for k, v in value.items())
    return "{\n" + ",\n".join(entries) + "\n" + " " * depth + "}"


if __name__ == "__main__":
    for name, config in {"quick-gelu": QUICK, "gelu": EXACT}.items():
        (HERE / f"{name}.json").write_text(lines(model_fixture(config)) + "\n")
    rows = ",\n".join(json.dumps(row) for row in resample_fixture())
    (HERE / "resample.json").write_text(f"[\n{rows}\n]\n")
