"""Writes the gradient fixtures: PyTorch's gradients of whole small models.

    python make.py            # needs torch, diffusers, transformers, numpy

Weights and inputs are hashed from their names, as for the model fixtures. The loss is the sum of all
outputs times hashed weights, in float64. Of each gradient the file holds its norm and its inner
products with 16 hashed arrays of unit variance: the same products of an error e have the mean square
|e|², give or take a third, so that no error hides from them.
"""

import base64
import pathlib
import sys

import numpy
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNet2DModel
from transformers import CLIPTextConfig, CLIPTextModel

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "models"))

from hashed_numbers import hashed_bits, hashed_input  # noqa: E402
import make as models  # noqa: E402

torch.set_grad_enabled(True)
PROJECTIONS = 16


def with_hashed_weights(model, prefix=""):
    model, _ = models.with_hashed_weights(model, prefix)
    return model.requires_grad_()


def image(name, *shape):
    return models.image_input(name, *shape).requires_grad_()


def backward(**outputs):
    """Outputs with channels last."""
    for name, value in outputs.items():
        weights = hashed_input(f"outputGradient:{name}", tuple(value.shape))
        (value * torch.from_numpy(weights).double()).sum().backward(retain_graph=True)


def summary(name, gradient):
    gradient = gradient.contiguous().numpy()
    products = [
        (hashed_input(f"{name}:{i}", gradient.shape).astype(numpy.float64) * gradient).sum()
        for i in range(PROJECTIONS)
    ]
    numbers = numpy.array([numpy.sqrt((gradient**2).sum()), *products], dtype=numpy.float32)
    return base64.b64encode(numbers.tobytes()).decode()


def write(name, module, prefix="", images={}, tokens={}, **fixture):
    """`images` and `tokens` are the inputs that have gradients."""
    gradients = {prefix + key: value.grad for key, value in module.named_parameters()}
    gradients |= {key: models.channels_last(value.grad) for key, value in images.items()}
    gradients |= {key: value.grad for key, value in tokens.items()}
    fixture["gradients"] = {key: summary(key, value) for key, value in gradients.items()}
    path = HERE / f"{name}.json"
    path.write_text(models.lines(fixture) + "\n")
    print(f"{path.name}: {path.stat().st_size} bytes, {len(gradients)} gradients")


def unet_2d_condition(name, config, batch, height, width, tokens, timesteps):
    model = with_hashed_weights(UNet2DConditionModel.from_config(config))
    sample = image("sample", batch, height, width, config["in_channels"])
    context = hashed_input("encoderHiddenStates", (batch, tokens, config["cross_attention_dim"]))
    text = {"encoderHiddenStates": torch.from_numpy(context).double().requires_grad_()}
    condition = None
    if size := config.get("time_cond_proj_dim"):
        hashed = torch.from_numpy(hashed_input("timestepCondition", (batch, size)))
        condition = text["timestepCondition"] = hashed.double().requires_grad_()
    output = model(
        sample,
        torch.tensor(timesteps, dtype=torch.float64),
        text["encoderHiddenStates"],
        timestep_cond=condition,
    ).sample
    backward(sample=models.channels_last(output))
    write(
        name,
        model,
        images={"sample": sample},
        tokens=text,
        model="unet-2d-condition",
        config=config,
        size={"batch": batch, "height": height, "width": width, "tokens": tokens},
        timesteps=timesteps,
    )


def unet_2d(name, config, batch, height, width, timesteps):
    model = with_hashed_weights(UNet2DModel.from_config(config))
    sample = image("sample", batch, height, width, config["in_channels"])
    output = model(sample, torch.tensor(timesteps, dtype=torch.float64)).sample
    backward(sample=models.channels_last(output))
    write(
        name,
        model,
        images={"sample": sample},
        model="unet-2d",
        config=config,
        size={"batch": batch, "height": height, "width": width},
        timesteps=timesteps,
    )


def autoencoder_kl(name, config, batch, height, width):
    model = with_hashed_weights(AutoencoderKL.from_config(config))
    factor = 2 ** (len(config["block_out_channels"]) - 1)
    sample = image("sample", batch, height * factor, width * factor, 3)
    latents = image("latents", batch, height, width, config["latent_channels"])
    posterior = model.encode(sample).latent_dist
    backward(
        mean=models.channels_last(posterior.mean),
        logVariance=models.channels_last(posterior.logvar),
        sample=models.channels_last(model.decode(latents).sample),
    )
    write(
        name,
        model,
        images={"sample": sample, "latents": latents},
        model="autoencoder-kl",
        config=config,
        size={"batch": batch, "height": height, "width": width},
    )


def clip_text_model(name, config, batch, tokens):
    module = CLIPTextModel(CLIPTextConfig(**config))
    prefix = "" if next(iter(module.state_dict())).startswith("text_model.") else "text_model."
    model = with_hashed_weights(module, prefix)
    bits = hashed_bits("input:inputIds", batch * tokens).astype(numpy.int64)
    ids = torch.from_numpy(bits % config["vocab_size"]).reshape(batch, tokens)
    backward(lastHiddenState=model(ids).last_hidden_state)
    write(
        name,
        model,
        prefix,
        model="clip-text-model",
        config=config,
        size={"batch": batch, "tokens": tokens},
    )


if __name__ == "__main__":
    # Odd extents: 5×7 halves to 3×4, which is enlarged to 5×7 by repeating unevenly.
    unet_2d_condition("unet-sd1", models.TWO_LEVELS, 2, 5, 7, 3, [981, 21])
    unet_2d_condition(
        "unet-options",
        {
            **models.TWO_LEVELS,
            "attention_head_dim": [2, 4],
            "center_input_sample": True,
            "downsample_padding": 0,
            "mid_block_scale_factor": 1.5,
            "time_cond_proj_dim": 12,
            "transformer_layers_per_block": [2, 1],
            "use_linear_projection": True,
        },
        1, 4, 6, 5, [249.5],
    )
    levels = {
        "block_out_channels": [16, 32],
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
        "layers_per_block": 1,
    }
    unet_2d("ddpm", {**models.DDPM_UNET, **levels}, 1, 6, 4, [371])
    autoencoder_kl(
        "vae",
        {
            **models.SD_VAE,
            "block_out_channels": [16, 32],
            "down_block_types": ["DownEncoderBlock2D"] * 2,
            "up_block_types": ["UpDecoderBlock2D"] * 2,
            "layers_per_block": 1,
        },
        1, 3, 2,
    )
    clip_text_model("clip", {**models.CLIP, "num_hidden_layers": 2}, 2, 11)
    clip_text_model("clip-gelu", {**models.CLIP, "hidden_act": "gelu"}, 1, 20)
