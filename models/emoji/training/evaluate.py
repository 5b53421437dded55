"""Retrieval: is the training image nearest to a generated one that of its prompt?

200 prompts are drawn from the names in ../prompts.txt, each with a seed of its own that training
never saw. The distance is L2 between RGB images averaged down to 16x16; the candidates are all
training images.

    python evaluate.py --model ..                      generate with diffusers and score
    python evaluate.py --write-prompts prompts.jsonl   {"index", "prompt", "seed"} for another program
    python evaluate.py --images DIR                    score DIR/<index>.png from that program
"""

import argparse
import json
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dataset import load

FIRST_SEED = 1000


def cases(emoji, count):
    """`count` distinct emoji in a fixed random order, as (index, emoji number, prompt, seed)."""
    chosen = random.Random(2311).sample(range(len(emoji)), count)
    return [(i, n, emoji[n].name, FIRST_SEED + i) for i, n in enumerate(chosen)]


def signature(image):
    """uint8 [H, W, 3] to a float vector: means over a 16x16 grid, 0..255."""
    size = image.shape[0]
    if image.shape != (size, size, 3) or size % 16:
        raise SystemExit(f"an image is {image.shape}; expected a square RGB one of a multiple of 16")
    cell = size // 16
    blocks = image.reshape(16, cell, 16, cell, 3).astype(np.float64)
    return blocks.mean(axis=(1, 3)).ravel()


def nearest(image, references):
    return int(np.argmin(((references - signature(image)) ** 2).sum(axis=1)))


def generate(model, chosen, arguments):
    """Images from diffusers, one seed each, as uint8 [64, 64, 3]."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(model, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    images = []
    for start in range(0, len(chosen), 50):
        part = chosen[start : start + 50]
        images += pipeline(
            [prompt for _, _, prompt, _ in part],
            num_inference_steps=arguments.steps,
            guidance_scale=arguments.guidance,
            generator=[torch.Generator().manual_seed(seed) for *_, seed in part],
            output_type="np",
        ).images.tolist()
    return [np.round(np.asarray(image) * 255).astype(np.uint8) for image in images]


def read_images(folder, chosen):
    found = {int(p.stem): p for p in folder.glob("*.png") if p.stem.isdigit()}
    missing = [index for index, *_ in chosen if index not in found]
    if missing:
        raise SystemExit(f"{folder} lacks {len(missing)} of {len(chosen)} images: {missing[:10]} ...")
    return [np.asarray(Image.open(found[index]).convert("RGB")) for index, *_ in chosen]


def write_sheet(path, images, columns=10):
    """A contact sheet of the images in reading order."""
    rows = [images[i : i + columns] for i in range(0, len(images), columns)]
    blank = np.full_like(images[0], 255)
    grid = [np.concatenate(row + [blank] * (columns - len(row)), axis=1) for row in rows]
    Image.fromarray(np.concatenate(grid)).save(path, optimize=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="folder of a saved pipeline")
    parser.add_argument("--images", type=Path, help="folder of <index>.png to score instead")
    parser.add_argument("--write-prompts", type=Path, help="write the cases as JSONL and stop")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--save", type=Path, help="folder for the images generated with --model")
    parser.add_argument("--sheet", type=Path, help="PNG for a contact sheet of the first 60")
    arguments = parser.parse_args()
    emoji = load()
    chosen = cases(emoji, arguments.count)
    if arguments.write_prompts:
        rows = [json.dumps({"index": i, "prompt": p, "seed": s}) for i, _, p, s in chosen]
        arguments.write_prompts.write_text("".join(f"{row}\n" for row in rows))
        return
    if (arguments.model is None) == (arguments.images is None):
        parser.error("give either --model or --images")

    if arguments.images:
        images = read_images(arguments.images, chosen)
    else:
        images = generate(arguments.model, chosen, arguments)
    if arguments.save:
        arguments.save.mkdir(parents=True, exist_ok=True)
        for (index, *_), image in zip(chosen, images):
            Image.fromarray(image).save(arguments.save / f"{index}.png")
    if arguments.sheet:
        write_sheet(arguments.sheet, images[:60])
    references = np.stack([signature(e.image) for e in emoji])
    found = [nearest(image, references) for image in images]
    wrong = [(p, emoji[f].name) for (_, n, p, _), f in zip(chosen, found) if n != f]
    for prompt, name in wrong:
        print(f"{prompt!r} looks more like {name!r}")
    own = references[[n for _, n, _, _ in chosen]]
    made = np.stack([signature(image) for image in images])
    print(f"RMS distance to the right picture, 16x16, 0..255: {np.sqrt(((made - own) ** 2).mean()):.2f}")
    right = len(chosen) - len(wrong)
    print(f"retrieval {right}/{len(chosen)} = {100 * right / len(chosen):.1f}%")


if __name__ == "__main__":
    main()
