"""Train the U-Net and the text encoder together on the VAE's cached latents.

Plain epsilon prediction under Stable Diffusion's noise schedule, captions dropped in a tenth of the
cases for classifier-free guidance. Two things speed convergence: the loss weights of
`loss_weights`, and an exponential average of the parameters, which is what export.py saves.
"""

import argparse
import os
import random
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKL

from architecture import MAX_TOKENS, make_scheduler, make_text_encoder, make_unet
from dataset import load
from schedule import Clock, parse_deadline, save_checkpoint, set_rate
from tokenizer import make_tokenizer
from train_vae import pixels


def loss_weights(alphas_cumprod):
    """Weight of the squared epsilon error for each t.

    SNR > 5: min-SNR-5 (Hang et al. 2023, equation 9), because the last details cost much and show
    little. SNR < 1: SNR^-0.3, because there the image still has to be recalled from the caption
    and an error in it barely moves epsilon.
    """
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return torch.minimum(snr, torch.tensor(5.0)) / snr * torch.clamp(snr, max=1).pow(-0.3)


class Captions:
    """Random captions as token ids, [N, MAX_TOKENS]."""

    def __init__(self, emoji, dropout):
        self.emoji, self.dropout = emoji, dropout
        self.tokenizer, self.cache, self.rng = make_tokenizer(), {}, random.Random(0)

    def ids(self, text):
        if text not in self.cache:
            self.cache[text] = self.tokenizer(
                text, padding="max_length", max_length=MAX_TOKENS, truncation=True
            ).input_ids
        return self.cache[text]

    def draw(self, indices):
        rows = []
        for i in indices:
            dropped = self.rng.random() < self.dropout
            rows.append(self.ids("" if dropped else self.emoji[i].caption(self.rng)))
        return torch.tensor(rows)

    def names(self, indices):
        return torch.tensor([self.ids(self.emoji[i].name) for i in indices])


@torch.no_grad()
def encode(folder):
    """Scaled latents (posterior means) of the training set, [N, 4, 16, 16]."""
    vae = AutoencoderKL.from_pretrained(folder)
    latents = [vae.encode(batch).latent_dist.mode() for batch in pixels().split(32)]
    return torch.cat(latents) * vae.config.scaling_factor


class Average:
    """Exponential moving average of the parameters of several modules, kept in float32."""

    def __init__(self, modules, decay):
        self.modules, self.decay, self.steps = modules, decay, 0
        self.shadow = {k: [p.detach().clone() for p in m.parameters()] for k, m in modules.items()}

    def update(self):
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for key, module in self.modules.items():
            torch._foreach_lerp_(
                self.shadow[key], [p.detach() for p in module.parameters()], 1 - decay
            )

    def swap(self):
        """Exchange the averages with the live parameters."""
        for key, module in self.modules.items():
            for average, live in zip(self.shadow[key], module.parameters()):
                held = live.detach().clone()
                live.data.copy_(average)
                average.copy_(held)

    def state(self):
        self.swap()
        state = {
            key: {name: t.detach().clone() for name, t in module.state_dict().items()}
            for key, module in self.modules.items()
        }
        self.swap()
        return state

    def load(self, state, steps):
        self.steps = steps
        for key, module in self.modules.items():
            for average, (name, _) in zip(self.shadow[key], module.named_parameters()):
                average.copy_(state[key][name])


def add_noise(latents, noise, t, alphas_cumprod):
    alpha = alphas_cumprod[t].view(-1, 1, 1, 1)
    return alpha.sqrt() * latents + (1 - alpha).sqrt() * noise


@torch.no_grad()
def noise_loss(unet, text_encoder, latents, captions, alphas_cumprod):
    """Unweighted mean squared error of epsilon: fixed noise, t spread evenly over the schedule."""
    generator = torch.Generator().manual_seed(1)
    indices = list(range(0, len(latents), 3))
    noise = torch.randn(len(indices), 4, 16, 16, generator=generator)
    t = torch.linspace(0, 999, len(indices)).long()[torch.randperm(len(indices), generator=generator)]
    noisy = add_noise(latents[indices], noise, t, alphas_cumprod)
    hidden = text_encoder(captions.names(indices))[0]
    return (unet(noisy, t, hidden).sample - noise).square().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--until", required=True, help="HH:MM, when training ends")
    parser.add_argument("--run", type=Path, required=True, help="folder with vae/; checkpoints go there")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=7e-4)
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count())
    checkpoint = arguments.run / "unet.pt"

    emoji = load()
    captions = Captions(emoji, dropout=0.1)
    latents = encode(arguments.run / "vae")
    print(f"latents {tuple(latents.shape)} mean {latents.mean():.3f} std {latents.std():.3f}", flush=True)
    alphas_cumprod = make_scheduler().alphas_cumprod
    weights = loss_weights(alphas_cumprod)
    weights = weights / weights.mean()

    unet = make_unet().to(memory_format=torch.channels_last).train()
    text_encoder = make_text_encoder(captions.tokenizer).train()
    modules = {"unet": unet, "text_encoder": text_encoder}
    parameters = [p for module in modules.values() for p in module.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=arguments.rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True
    )
    average = Average(modules, decay=0.999)
    step, started = 0, time.time()
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for key, module in modules.items():
            module.load_state_dict(state["modules"][key])
        optimizer.load_state_dict(state["optimizer"])
        average.load(state["average"], state["step"])
        step, started = state["step"], state["started"]
    clock = Clock(parse_deadline(arguments.until), started)
    predict = torch.compile(unet) if arguments.compile else unet

    def save():
        state = {key: module.state_dict() for key, module in modules.items()}
        state = {"modules": state, "optimizer": optimizer.state_dict(), "average": average.state()}
        save_checkpoint(checkpoint, {**state, "step": step, "started": started})

    def report(total, count, seconds):
        average.swap()
        plain = noise_loss(unet, text_encoder, latents, captions, alphas_cumprod)
        average.swap()
        print(
            f"{clock.progress():.3f} step {step} weighted {total / count:.4f} noise loss {plain:.4f} "
            f"{count * arguments.batch / seconds:.1f} img/s",
            flush=True,
        )

    logged = saved = time.time()
    order, total, count = [], 0.0, 0
    while not clock.over():
        if len(order) < arguments.batch:
            order = order + torch.randperm(len(latents)).tolist()
        chosen, order = order[: arguments.batch], order[arguments.batch :]
        set_rate(optimizer, clock.rate(arguments.rate, step, 200))
        # One t from each of `batch` equal intervals: the same distribution, less variance.
        t = (torch.rand(arguments.batch) + torch.arange(arguments.batch)) / arguments.batch
        t = (t * 1000).long().clamp(max=999)
        noise = torch.randn(arguments.batch, 4, 16, 16)
        noisy = add_noise(latents[chosen], noise, t, alphas_cumprod)
        with torch.autocast("cpu", torch.bfloat16):
            hidden = text_encoder(captions.draw(chosen))[0]
            output = predict(noisy.contiguous(memory_format=torch.channels_last), t, hidden).sample
        error = (output.float() - noise).square().mean(dim=(1, 2, 3))
        loss = (weights[t] * error).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()
        average.update()
        step, total, count = step + 1, total + loss.item(), count + 1
        if time.time() - logged > 120:
            report(total, count, time.time() - logged)
            logged, total, count = time.time(), 0.0, 0
        if time.time() - saved > 300:
            save()
            saved = time.time()
    save()
    report(total, max(count, 1), time.time() - logged)


if __name__ == "__main__":
    main()
