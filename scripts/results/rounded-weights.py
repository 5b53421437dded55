"""What rounding the weights of a DDPM pipeline to BF16 does to its images, in PyTorch, with all else in
FP32: of all matrices and kernels, of the last convolution alone, and of all but that.

    python scripts/results/rounded-weights.py results/pixel [IMAGES]

Prints the mean PSNR to the images of unrounded weights, and the mean difference of each channel, of 255.
"""

import copy
import sys

import torch
from diffusers import DDPMScheduler, UNet2DModel

folder = sys.argv[1]
images = int(sys.argv[2]) if len(sys.argv) > 2 else 64
unet = UNet2DModel.from_pretrained(folder, subfolder="unet").eval()
shape = (images, unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)


def rounded(is_rounded):
    model = copy.deepcopy(unet)
    for name, weights in model.named_parameters():
        if weights.dim() > 1 and is_rounded(name):
            weights.data = weights.data.bfloat16().float()
    return model


@torch.no_grad()
def draw(model):
    """In the range 0 to 1; the same noise for every model."""
    scheduler = DDPMScheduler.from_pretrained(folder, subfolder="scheduler")
    scheduler.set_timesteps(50)
    noise = torch.Generator().manual_seed(0)
    sample = torch.randn(shape, generator=noise)
    for timestep in scheduler.timesteps:
        output = model(sample, timestep).sample
        sample = scheduler.step(output, timestep, sample, generator=noise).prev_sample
    return (sample.clamp(-1, 1) + 1) / 2


def is_last(name):
    return name.startswith("conv_out")


reference = draw(unet)
for title, is_rounded in [
    ("all", lambda name: True),
    ("the last convolution", is_last),
    ("all but the last convolution", lambda name: not is_last(name)),
]:
    difference = draw(rounded(is_rounded)) - reference
    psnr = -10 * difference.square().mean((1, 2, 3)).log10().mean()
    channels = ", ".join(f"{255 * value:+.2f}" for value in difference.mean((0, 2, 3)))
    print(f"{title}: {psnr:.2f} dB, {channels}")
