"""Train the U-Net on the VAE's cached latents and the frozen text encoder's captions.

Plain epsilon prediction under Stable Diffusion's noise schedule, captions dropped in a tenth of the
cases for classifier-free guidance. Two things speed convergence: the loss weights of
`loss_weights`, and an exponential average of the parameters, which is what export.py saves.

The work is done by single-threaded processes on parameters and optimizer state in shared memory,
each applying its own gradients without locks (Hogwild, Niu et al. 2011). At low priority beside
other programs that is several times faster than threads, which wait for each other at every
operator. With --workers 1 it is the ordinary loop, and reproducible.
"""

import argparse
import copy
import os
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from diffusers.models.attention_processor import AttnProcessor

from architecture import make_scheduler, make_text_encoder, make_unet
from captions import Captions
from dataset import load
from schedule import Clock, parse_deadline, save_checkpoint, set_rate
from train_vae import pixels


def loss_weights(alphas_cumprod):
    """Weight of the squared epsilon error for each t.

    SNR > 5: min-SNR-5 (Hang et al. 2023, equation 9), because the last details cost much and show
    little. SNR < 1: SNR^-0.3, because there the image still has to be recalled from the caption
    and an error in it barely moves epsilon.
    """
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return torch.minimum(snr, torch.tensor(5.0)) / snr * torch.clamp(snr, max=1).pow(-0.3)


@torch.no_grad()
def encode(folder, emoji):
    """Scaled latents (posterior means) of the emoji, [N, 4, 16, 16]."""
    vae = AutoencoderKL.from_pretrained(folder)
    latents = [vae.encode(batch).latent_dist.mode() for batch in pixels(emoji).split(32)]
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

    def state(self):
        """The modules' state dicts with the averages for parameters."""
        result = {}
        for key, module in self.modules.items():
            state = dict(module.state_dict())
            names = [name for name, _ in module.named_parameters()]
            result[key] = {**state, **dict(zip(names, self.shadow[key]))}
        return result

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
    """Unweighted mean squared error of epsilon with the right captions and with wrong ones.

    Fixed noise, t spread evenly over the schedule. Equal values mean that captions are ignored.
    """
    generator = torch.Generator().manual_seed(1)
    indices = list(range(0, len(latents), 3))
    noise = torch.randn(len(indices), 4, 16, 16, generator=generator)
    t = torch.linspace(0, 999, len(indices)).long()[torch.randperm(len(indices), generator=generator)]
    noisy = add_noise(latents[indices], noise, t, alphas_cumprod)
    hidden = text_encoder(captions.names(indices))[0]
    return [
        (unet(noisy, t, h).sample - noise).square().mean().item() for h in (hidden, hidden.roll(1, 0))
    ]


def share(optimizer):
    """Create AdamW's state, by a step of rate 0 if there is none, and move it to shared memory."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if not optimizer.state:
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        set_rate(optimizer, 0.0)
        optimizer.step()
        optimizer.zero_grad()
    for parameter in parameters:
        for value in optimizer.state[parameter].values():
            value.share_memory_()


def load_trunk(unet, path):
    """Start from another run's averaged U-Net, all but its cross-attention."""
    state = torch.load(path, weights_only=True)["average"]["unet"]
    trunk = {name: tensor for name, tensor in state.items() if ".attn2." not in name}
    unet.load_state_dict(trunk, strict=False)


class Trainer:
    """What all workers share: modules, optimizer, latents, clock and the count of steps."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.checkpoint = arguments.run / "unet.pt"
        self.captions = Captions(load(), dropout=0.1)
        self.latents = encode(arguments.run / "vae", self.captions.emoji)
        self.alphas_cumprod = make_scheduler().alphas_cumprod
        weights = loss_weights(self.alphas_cumprod)
        self.weights = weights / weights.mean()
        # On these sizes plain matrix products take half the time of the fused attention's backward,
        # and channels-first three quarters of channels-last (PyTorch 2.15, bf16, one core).
        self.unet = make_unet().train()
        self.unet.set_attn_processor(AttnProcessor())
        self.text_encoder = make_text_encoder(self.captions.tokenizer).eval().requires_grad_(False)
        state = torch.load(arguments.run / "text_encoder.pt", weights_only=True)
        self.text_encoder.load_state_dict(state)
        if arguments.trunk:
            load_trunk(self.unet, arguments.trunk)
        self.modules = {"unet": self.unet}
        self.parameters = [p for module in self.modules.values() for p in module.parameters()]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=arguments.rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True
        )
        self.average = Average(self.modules, decay=0.998)
        self.step = torch.zeros(1, dtype=torch.int64).share_memory_()
        started = time.time()
        if self.checkpoint.exists():
            started = self.load()
        self.clock = Clock(parse_deadline(arguments.until), started)
        for module in self.modules.values():
            module.share_memory()
        share(self.optimizer)

    def load(self):
        state = torch.load(self.checkpoint, weights_only=True)
        for key, module in self.modules.items():
            module.load_state_dict(state["modules"][key])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load(state["average"], state["step"])
        self.step.fill_(state["step"])
        return state["started"]

    def save(self):
        state = {
            "modules": {key: module.state_dict() for key, module in self.modules.items()},
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state(),
            "step": self.step.item(),
            "started": self.clock.start,
        }
        save_checkpoint(self.checkpoint, state)

    def train_step(self, chosen):
        """One update from the examples `chosen`; returns the weighted loss."""
        count = len(chosen)
        # One t from each of `count` equal intervals: the same distribution, less variance.
        t = (torch.rand(count) + torch.arange(count)) / count
        t = (t * 1000).long().clamp(max=999)
        noise = torch.randn(count, 4, 16, 16)
        noisy = add_noise(self.latents[chosen], noise, t, self.alphas_cumprod)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                hidden = self.text_encoder(self.captions.draw(chosen))[0]
            output = self.unet(noisy, t, hidden).sample
        error = (output.float() - noise).square().mean(dim=(1, 2, 3))
        loss = (self.weights[t] * error).mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True)
        set_rate(self.optimizer, self.clock.rate(self.arguments.rate, self.step.item(), 200))
        self.optimizer.step()
        self.step += 1
        return loss.item()

    def losses(self, worker):
        """Train until the deadline, yielding each loss; batches are cut from shuffled passes."""
        torch.manual_seed(1000 * self.step.item() + worker)
        self.captions.rng.seed(worker)
        order = []
        while not self.clock.over():
            if len(order) < self.arguments.batch:
                order = order + torch.randperm(len(self.latents)).tolist()
            chosen, order = order[: self.arguments.batch], order[self.arguments.batch :]
            yield self.train_step(chosen)

    def report(self, losses, images, seconds):
        """Print the noise loss of the average (of a copy: the other workers go on)."""
        unet = copy.deepcopy(self.unet)
        for parameter, average in zip(unet.parameters(), self.average.shadow["unet"]):
            parameter.data = average
        right, wrong = noise_loss(
            unet, self.text_encoder, self.latents, self.captions, self.alphas_cumprod
        )
        print(
            f"{self.clock.progress():.3f} step {self.step.item()} "
            f"weighted {sum(losses) / max(1, len(losses)):.4f} noise loss {right:.4f} (wrong captions {wrong:.4f}) "
            f"{images / seconds:.1f} img/s",
            flush=True,
        )


def follow(trainer, worker, parent):
    """The life of a worker process: it ends with the deadline or with its parent."""
    for _ in trainer.losses(worker):
        if os.getppid() != parent:
            break
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--until", required=True, help="HH:MM, when training ends")
    parser.add_argument("--run", type=Path, required=True, help="folder with vae/; checkpoints go there")
    parser.add_argument("--trunk", type=Path, help="unet.pt whose trunk to start from")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=7e-4)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    trainer = Trainer(arguments)
    parent, children = os.getpid(), []
    for worker in range(1, arguments.workers):
        child = os.fork()
        if child == 0:
            follow(trainer, worker, parent)
        children.append(child)

    logged = saved = time.time()
    losses, step = [], trainer.step.item()
    for loss in trainer.losses(0):
        trainer.average.update()
        losses.append(loss)
        if time.time() - logged > 120:
            images = (trainer.step.item() - step) * arguments.batch
            trainer.report(losses, images, time.time() - logged)
            logged, losses, step = time.time(), [], trainer.step.item()
        if time.time() - saved > 300:
            trainer.save()
            saved = time.time()
    for child in children:
        os.waitpid(child, 0)
    trainer.save()
    images = (trainer.step.item() - step) * arguments.batch
    trainer.report(losses, images, time.time() - logged)


if __name__ == "__main__":
    main()
