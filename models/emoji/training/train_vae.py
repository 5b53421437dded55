"""Train the VAE: pixels <-> latents.

Loss: L1 + 2 MSE + 0.5 L1 of the pixel gradients + a light KL term, which keeps the latents near
unit variance and makes the decoder tolerate small errors of the denoiser.
"""

import argparse
import math
import os
import time
from pathlib import Path

import numpy as np
import torch

from architecture import make_vae
from dataset import load
from schedule import Clock, parse_deadline, save_checkpoint, set_rate


def gradients(x):
    """Horizontal and vertical differences of [N, C, H, W]."""
    return x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]


def reconstruction_loss(output, target):
    error = output - target
    edges = sum(d.abs().mean() for d in gradients(error))
    return error.abs().mean() + 2 * error.square().mean() + 0.5 * edges


def pixels(emoji):
    """The images as float [-1, 1], [N, 3, 64, 64]."""
    images = np.stack([e.image for e in emoji])
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def psnr(vae, x):
    """Mean over the images of the PSNR (dB, peak 255) of encode (mean) then decode."""
    values = []
    for batch in x.split(32):
        y = vae.decode(vae.encode(batch).latent_dist.mode()).sample.clamp(-1, 1)
        mse = ((y - batch) / 2).square().mean(dim=(1, 2, 3))
        values += (-10 * torch.log10(mse)).tolist()
    return sum(values) / len(values)


@torch.no_grad()
def normalize_latents(vae, x):
    """Fold a shift and a scale per channel into the 1x1 convolutions around the latents.

    Afterwards every latent channel has mean 0 and the same deviation over the training set, and the
    decoded images are unchanged. `scaling_factor` becomes 1 / deviation. A mean far from 0 would
    survive the last noising step (alphas_cumprod ends at 0.0047) and be missed at sampling time.
    """
    means = torch.cat([vae.encode(b).latent_dist.mode() for b in x.split(32)])
    shift = means.mean(dim=(0, 2, 3))
    gain = means.std() / means.std(dim=(0, 2, 3))
    inward, outward = vae.quant_conv, vae.post_quant_conv
    inward.weight[:4] *= gain.view(4, 1, 1, 1)
    inward.bias[:4] = (inward.bias[:4] - shift) * gain
    inward.bias[4:] += 2 * gain.log()
    outward.bias += outward.weight[:, :, 0, 0] @ shift
    outward.weight /= gain.view(1, 4, 1, 1)
    vae.register_to_config(scaling_factor=round(1 / means.std().item(), 5))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--until", required=True, help="HH:MM, when training ends")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the VAE")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--kl", type=float, default=5e-4)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count())
    arguments.out.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.out / "vae.pt"

    x = pixels(load(for_vae=True)).contiguous(memory_format=torch.channels_last)
    vae = make_vae().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        vae.parameters(), lr=arguments.rate, betas=(0.9, 0.98), weight_decay=1e-3, fused=True
    )
    step, started = 0, time.time()
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        vae.load_state_dict(state["vae"])
        optimizer.load_state_dict(state["optimizer"])
        step, started = state["step"], state["started"]
    clock = Clock(parse_deadline(arguments.until), started)

    def forward(batch, noise):
        posterior = vae.encode(batch).latent_dist
        latents = posterior.mean + posterior.std * noise
        return vae.decode(latents).sample, posterior.mean, posterior.logvar

    compiled = torch.compile(forward)
    logged = saved = time.time()
    order, total, count = [], 0.0, 0
    while not clock.over():
        if len(order) < arguments.batch:
            order = torch.randperm(len(x)).tolist()
        chosen, order = order[: arguments.batch], order[arguments.batch :]
        set_rate(optimizer, clock.rate(arguments.rate, step, 50))
        batch = x[chosen].contiguous(memory_format=torch.channels_last)
        noise = torch.randn(arguments.batch, 4, 16, 16)
        with torch.autocast("cpu", torch.bfloat16):
            output, mean, logvar = compiled(batch, noise)
        mean, logvar = mean.float(), logvar.float()
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        reconstruction = reconstruction_loss(output.float(), batch)
        loss = reconstruction + arguments.kl * kl
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        step += 1
        total, count = total + reconstruction.item(), count + 1
        if time.time() - logged > 60:
            speed = count * arguments.batch / (time.time() - logged)
            print(
                f"{clock.progress():.2f} step {step} loss {total / count:.4f} kl {kl.item():.3f} "
                f"sigma {math.exp(0.5 * logvar.mean().item()):.3f} psnr {psnr(vae, x[::8]):.2f} "
                f"{speed:.1f} img/s",
                flush=True,
            )
            logged, total, count = time.time(), 0.0, 0
        if time.time() - saved > 300:
            state = {"vae": vae.state_dict(), "optimizer": optimizer.state_dict()}
            save_checkpoint(checkpoint, {**state, "step": step, "started": started})
            saved = time.time()

    normalize_latents(vae, x)
    vae.save_pretrained(arguments.out / "vae")
    print(f"done: {step} steps, psnr {psnr(vae, x):.2f} dB, scale {vae.config.scaling_factor}")


if __name__ == "__main__":
    main()
