"""Evaluates one U-Net with diffusers, for verify.ts.

    python reference.py REQUEST.json FOLDER

The request holds `name`, `config` (a UNet2DConditionModel config.json), `batch`, `height`, `width`
and `tokens`. FOLDER receives `unet/` (config and float32 weights as diffusers saves them) and
`outputs.safetensors`: the inputs, and the outputs in float32 and bfloat16, channels-last. Weights
and inputs are hashed from their names, so every machine gets the same.
"""

import json
import pathlib
import sys
import time

import torch
from diffusers import UNet2DConditionModel
from diffusers.utils import logging
from safetensors.torch import save_file

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "test" / "golden" / "models"))
sys.dont_write_bytecode = True

from hashed_numbers import hashed_input, hashed_parameter  # noqa: E402

TIMESTEPS = [801.0, 81.0]
logging.set_verbosity_error()


def note(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def build(request):
    model = UNet2DConditionModel.from_config(request["config"]).eval()
    for path, parameter in model.named_parameters():
        hashed = hashed_parameter(f"{request['name']}/{path}", tuple(parameter.shape))
        parameter.data.copy_(torch.from_numpy(hashed))
    return model


def inputs_of(request):
    batch, name = request["batch"], request["name"]
    size = (batch, request["height"], request["width"], request["config"]["in_channels"])
    context = (batch, request["tokens"], request["config"]["cross_attention_dim"])
    return {
        "sample": torch.from_numpy(hashed_input(f"{name}/sample", size)),
        "timestep": torch.tensor((TIMESTEPS * batch)[:batch]),
        "encoderHiddenStates": torch.from_numpy(hashed_input(f"{name}/context", context)),
    }


def evaluate(model, inputs, dtype):
    start = time.monotonic()
    output = model(
        inputs["sample"].permute(0, 3, 1, 2).to(dtype),
        inputs["timestep"],
        inputs["encoderHiddenStates"].to(dtype),
    ).sample
    note(f"diffusers {dtype}: {time.monotonic() - start:.1f} s")
    return output.float().permute(0, 2, 3, 1).contiguous()


@torch.no_grad()
def main(request_path, folder):
    request_text = pathlib.Path(request_path).read_text()
    request = json.loads(request_text)
    folder = pathlib.Path(folder)
    start = time.monotonic()
    model = build(request)
    model.save_pretrained(folder / "unet", max_shard_size="100GB")
    note(f"built and saved: {time.monotonic() - start:.1f} s")
    tensors = inputs_of(request)
    tensors["float32"] = evaluate(model, tensors, torch.float32)
    tensors["bfloat16"] = evaluate(model.to(torch.bfloat16), tensors, torch.bfloat16)
    save_file(tensors, folder / "outputs.safetensors", metadata={"request": request_text})


if __name__ == "__main__":
    main(*sys.argv[1:])
