"""Save the model in the Hugging Face layout: bf16 safetensors, no pickle.

    python export.py --run DIR --out DIR [--random]

`--run` holds what the three trainings wrote; `--random` saves untrained weights of the
same shapes, for tests.
"""

import argparse
import json
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from architecture import make_scheduler, make_text_encoder, make_unet, make_vae
from tokenizer import make_tokenizer


def save(out, vae, unet, text_encoder):
    """Write a StableDiffusionPipeline without safety checker to `out`."""
    tokenizer = make_tokenizer()
    pipeline = StableDiffusionPipeline(
        vae=vae,
        unet=unet,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.bfloat16)
    pipeline.save_pretrained(out, safe_serialization=True)
    make_tokenizer(out / "tokenizer")
    name_like_stable_diffusion(out / "text_encoder" / "model.safetensors")
    drop_private_names(out)


def name_like_stable_diffusion(path):
    """Published checkpoints prefix the encoder's tensors with `text_model.`; transformers 5 omits it."""
    tensors = load_file(path)
    prefix = "text_model."
    renamed = {prefix + name.removeprefix(prefix): value for name, value in tensors.items()}
    save_file(renamed, path, metadata={"format": "pt"})


def drop_private_names(out):
    """Configurations remember the folder they were loaded from; that is of no use to others."""
    for path in (out / "model_index.json", *out.glob("*/*config.json")):
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)
        path.write_text(json.dumps(config, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--random", action="store_true")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    vae, unet = make_vae(), make_unet()
    text_encoder = make_text_encoder(make_tokenizer())
    if not arguments.random:
        vae = type(vae).from_pretrained(arguments.run / "vae")
        state = torch.load(arguments.run / "unet.pt", weights_only=True, map_location="cpu")
        unet.load_state_dict(state["average"]["unet"])
        text = torch.load(arguments.run / "text_encoder.pt", weights_only=True, map_location="cpu")
        text_encoder.load_state_dict(text)
    save(arguments.out, vae, unet, text_encoder)
    size = sum(p.stat().st_size for p in arguments.out.glob("**/*") if p.is_file())
    print(f"{arguments.out}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
