"""Draws with diffusers, for verify.ts.

    python reference.py REQUEST.json OUTPUT.safetensors

The request holds `model` (a folder), `prompts`, `seed`, `steps`, `guidanceScale` and `schedulers`.
For each scheduler the output has the images of all prompts in one tensor, [prompts, height, width,
3], 0 to 1, under `SCHEDULER.float32` and `SCHEDULER.bfloat16`. Prompt i has the seed `seed` + i.
"""

import json
import sys
import time

import torch
import transformers
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
)
from diffusers.utils import logging
from safetensors.torch import save_file

DPM = {"algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": False}
SCHEDULERS = {
    "ddim": (DDIMScheduler, {}),
    "pndm": (PNDMScheduler, {}),
    "euler": (EulerDiscreteScheduler, {}),
    "dpmpp-2m": (DPMSolverMultistepScheduler, DPM),
}
logging.set_verbosity_error()
logging.disable_progress_bar()
transformers.logging.disable_progress_bar()


def draw(pipeline, request, dtype):
    """Noise is drawn in float32 whatever the type of the model, as Bookend does."""
    images = []
    extent = pipeline.unet.config.sample_size
    for i, prompt in enumerate(request["prompts"]):
        generator = torch.Generator().manual_seed(request["seed"] + i)
        noise = torch.randn((1, pipeline.unet.config.in_channels, extent, extent), generator=generator)
        image = pipeline(
            prompt,
            num_inference_steps=request["steps"],
            guidance_scale=request["guidanceScale"],
            latents=noise.to(dtype),
            output_type="pt",
        ).images
        images.append(image.float())
    return torch.cat(images).permute(0, 2, 3, 1).contiguous()


def main(request_path, output_path):
    with open(request_path) as file:
        request = json.load(file)
    outputs = {}
    for dtype in (torch.float32, torch.bfloat16):
        pipeline = StableDiffusionPipeline.from_pretrained(
            request["model"], dtype=dtype, safety_checker=None
        )
        pipeline.set_progress_bar_config(disable=True)
        own = pipeline.scheduler.config
        for name in request["schedulers"]:
            scheduler_class, options = SCHEDULERS[name]
            pipeline.scheduler = scheduler_class.from_config(own, **options)
            start = time.monotonic()
            kind = str(dtype).removeprefix("torch.")
            outputs[f"{name}.{kind}"] = draw(pipeline, request, dtype)
            seconds = time.monotonic() - start
            print(f"  diffusers {name} {kind}: {seconds:.1f} s", file=sys.stderr, flush=True)
    save_file(outputs, output_path)


if __name__ == "__main__":
    with torch.no_grad():
        main(*sys.argv[1:])
