"""PyTorch's side of compare.ts: training steps of a U-Net in a process of its own.

    python peer.py weights REQUEST.json FOLDER
    python peer.py train REQUEST.json FOLDER --precision fp32|bf16 [--layout auto]

REQUEST.json holds `config` (a UNet2DConditionModel config.json), `weights` (its safetensors),
`threads`, `learningRate`, `clipNorm` and `weightDecay`. `weights` writes random ones, by seed, unless
the file is there. `train` reads FOLDER/batches.safetensors, written by compare.ts: `noisy` and
`noise` [batches, batch, height, width, channels], `timesteps` [batches, batch] and `text`
[batches, batch, tokens, width]. It prints one JSON line when the model is ready, and for each line on
standard input, the number of a batch, one with `loss`, `gradientNorm` and `seconds` of that step:
forward, mean squared error to the noise, backward, clipping, AdamW. bf16 is autocast: parameters and
optimizer stay float32.
"""

import argparse
import contextlib
import json
import os
import pathlib
import sys
import time
from importlib.metadata import version

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


def write_weights(request, _options):
    path = pathlib.Path(request["weights"])
    if path.exists():
        return
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_config(request["config"])
    partial = path.with_suffix(".partial")
    save_file(unet.state_dict(), partial)
    partial.rename(path)


class Trainer:
    """One memory layout's model, optimizer and batches."""

    def __init__(self, request, folder, precision, layout):
        self.unet = UNet2DConditionModel.from_config(request["config"])
        state = {name: x.float() for name, x in load_file(request["weights"]).items()}
        self.unet.load_state_dict(state)
        self.unet.train().to(memory_format=FORMATS[layout])
        self.precision, self.clip_norm = precision, request["clipNorm"]
        # One kernel for all of AdamW is the fastest that PyTorch has on CPUs.
        self.optimizer = torch.optim.AdamW(
            self.unet.parameters(),
            lr=request["learningRate"],
            weight_decay=request["weightDecay"],
            fused=True,
        )
        batches = load_file(folder / "batches.safetensors")
        images = {
            name: batches[name].permute(0, 1, 4, 2, 3) for name in ("noisy", "noise")
        }
        self.batches = [
            (noisy.contiguous(memory_format=FORMATS[layout]), noise, timesteps, text)
            for noisy, noise, timesteps, text in zip(
                images["noisy"], images["noise"], batches["timesteps"], batches["text"]
            )
        ]

    def step(self, index):
        """Loss, gradient norm before clipping, and seconds."""
        start = time.perf_counter()
        noisy, noise, timesteps, text = self.batches[index % len(self.batches)]
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            answer = self.unet(noisy, timesteps, text, return_dict=False)[0]
        loss = torch.nn.functional.mse_loss(answer.float(), noise)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.unet.parameters(), self.clip_norm)
        self.optimizer.step()
        return loss.item(), norm.item(), time.perf_counter() - start


def fastest_layout(request, folder, options):
    """The layout whose second step is faster; the first one pays for memory and oneDNN's kernels."""
    if options.layout != "auto":
        return options.layout
    seconds = {}
    for layout in FORMATS:
        trainer = Trainer(request, folder, options.precision, layout)
        trainer.step(0)
        seconds[layout] = min(trainer.step(index)[2] for index in (1, 2))
        print(f"  {layout}: {seconds[layout]:.3f} s", file=sys.stderr, flush=True)
    return min(seconds, key=seconds.get)


def train(request, options, answers):
    torch.set_num_threads(request["threads"])
    layout = fastest_layout(request, options.folder, options)
    trainer = Trainer(request, options.folder, options.precision, layout)

    def answer(content):
        print(json.dumps(content), file=answers, flush=True)

    versions = {package: version(package) for package in ("torch", "diffusers")}
    answer({"details": f"eager, {layout}, fused AdamW", "versions": versions})
    for line in sys.stdin:
        loss, norm, seconds = trainer.step(int(line))
        answer({"loss": loss, "gradientNorm": norm, "seconds": seconds})


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["weights", "train"])
    parser.add_argument("request", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--layout", choices=["auto", *FORMATS], default="auto")
    return parser.parse_args()


def main():
    options = parse_arguments()
    request = json.loads(options.request.read_text())
    # Some libraries greet on standard output, which is for answers only.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        if options.action == "weights":
            write_weights(request, options)
        else:
            with contextlib.suppress(KeyboardInterrupt):
                train(request, options, answers)


if __name__ == "__main__":
    main()
