"""Writes the model fixtures: small random-weight models evaluated by diffusers and transformers.

    python make.py            # needs torch, diffusers, transformers, numpy

Weights and inputs are hashed from their names (hashed_numbers.py), so a fixture holds only the
configuration, the parameter shapes and the outputs. Everything runs in float64, but for the time
sinusoids, which diffusers always computes in float32; outputs are stored as float32, images
channels-last.
"""

import base64
import json
import pathlib

import numpy
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNet2DModel
from transformers import CLIPTextConfig, CLIPTextModel

from hashed_numbers import hashed_bits, hashed_input, hashed_parameter

HERE = pathlib.Path(__file__).parent
torch.set_num_threads(1)
torch.set_grad_enabled(False)


def with_hashed_weights(model, prefix=""):
    state = {
        name: torch.from_numpy(hashed_parameter(prefix + name, tuple(value.shape)))
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    shapes = {prefix + name: list(value.shape) for name, value in state.items()}
    return model.double().eval(), shapes


def image_input(name, batch, height, width, channels):
    values = hashed_input(name, (batch, height, width, channels)).astype(numpy.float64)
    return torch.from_numpy(values).permute(0, 3, 1, 2).contiguous()


def encoded(values):
    data = values.to(torch.float32).contiguous().numpy()
    return {"shape": list(data.shape), "data": base64.b64encode(data.tobytes()).decode()}


def channels_last(images):
    return images.permute(0, 2, 3, 1)


def lines(value, depth=0):
    """JSON with one line per entry of the outer two levels."""
    if depth == 2 or not isinstance(value, dict):
        return json.dumps(value)
    inner = " " * (depth + 1)
    entries = (f"{inner}{json.dumps(k)}: {lines(v, depth + 1)}" for k, v in value.items())
    return "{\n" + ",\n".join(entries) + "\n" + " " * depth + "}"


def write(name, **fixture):
    """`saved_config` is what the library would save, every default spelled out."""
    path = HERE / f"{name}.json"
    path.write_text(lines(fixture) + "\n")
    print(f"{path.name}: {path.stat().st_size} bytes")


def unet_2d_condition(name, config, batch, height, width, tokens, timesteps):
    model, parameters = with_hashed_weights(UNet2DConditionModel.from_config(config))
    context = hashed_input("encoderHiddenStates", (batch, tokens, config["cross_attention_dim"]))
    condition_size = config.get("time_cond_proj_dim")
    condition = hashed_input("timestepCondition", (batch, condition_size or 0))
    output = model(
        image_input("sample", batch, height, width, config["in_channels"]),
        torch.tensor(timesteps, dtype=torch.float64),
        torch.from_numpy(context).double(),
        timestep_cond=torch.from_numpy(condition).double() if condition_size else None,
    ).sample
    write(
        name,
        model="unet-2d-condition",
        config=config,
        saved_config=json.loads(model.to_json_string()),
        size={"batch": batch, "height": height, "width": width, "tokens": tokens},
        timesteps=timesteps,
        parameters=parameters,
        outputs={"sample": encoded(channels_last(output))},
    )


def unet_2d(name, config, batch, height, width, timesteps):
    model, parameters = with_hashed_weights(UNet2DModel.from_config(config))
    sample = image_input("sample", batch, height, width, config["in_channels"])
    output = model(sample, torch.tensor(timesteps, dtype=torch.float64)).sample
    write(
        name,
        model="unet-2d",
        config=config,
        saved_config=json.loads(model.to_json_string()),
        size={"batch": batch, "height": height, "width": width},
        timesteps=timesteps,
        parameters=parameters,
        outputs={"sample": encoded(channels_last(output))},
    )


def autoencoder_kl(name, config, batch, height, width):
    """`height` and `width` are those of the latents."""
    model, parameters = with_hashed_weights(AutoencoderKL.from_config(config))
    factor = 2 ** (len(config["block_out_channels"]) - 1)
    image = image_input("sample", batch, height * factor, width * factor, 3)
    latents = image_input("latents", batch, height, width, config["latent_channels"])
    posterior = model.encode(image).latent_dist
    write(
        name,
        model="autoencoder-kl",
        config=config,
        saved_config=json.loads(model.to_json_string()),
        size={"batch": batch, "height": height, "width": width},
        parameters=parameters,
        outputs={
            "mean": encoded(channels_last(posterior.mean)),
            "logVariance": encoded(channels_last(posterior.logvar)),
            "sample": encoded(channels_last(model.decode(latents).sample)),
        },
    )


def clip_text_model(name, config, batch, tokens):
    module = CLIPTextModel(CLIPTextConfig(**config))
    # Published checkpoints carry this prefix; some versions of transformers drop it in memory.
    prefix = "" if next(iter(module.state_dict())).startswith("text_model.") else "text_model."
    model, parameters = with_hashed_weights(module, prefix)
    bits = hashed_bits("input:inputIds", batch * tokens).astype(numpy.int64)
    ids = torch.from_numpy(bits % config["vocab_size"]).reshape(batch, tokens)
    result = model(ids, output_hidden_states=True)
    norm = getattr(model, "text_model", model).final_layer_norm
    write(
        name,
        model="clip-text-model",
        config=config,
        saved_config=json.loads(model.config.to_json_string(use_diff=False)),
        size={"batch": batch, "tokens": tokens},
        parameters=parameters,
        outputs={
            "lastHiddenState": encoded(result.last_hidden_state),
            # diffusers' clip_skip = 1: the penultimate layer, through the final norm.
            "penultimate": encoded(norm(result.hidden_states[-2])),
        },
    )


SD1_UNET = {
    "_class_name": "UNet2DConditionModel",
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [16, 32, 32, 32],
    "center_input_sample": False,
    "cross_attention_dim": 24,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 8,
    "out_channels": 4,
    "sample_size": 16,
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}

SD2_UNET = {
    **SD1_UNET,
    "attention_head_dim": [2, 4, 8, 8],
    "dual_cross_attention": False,
    "num_class_embeds": None,
    "only_cross_attention": False,
    "use_linear_projection": True,
    "upcast_attention": True,
}

TWO_LEVELS = {
    **SD1_UNET,
    "block_out_channels": [16, 32],
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "layers_per_block": 1,
}

DDPM_UNET = {
    "_class_name": "UNet2DModel",
    "act_fn": "silu",
    "attention_head_dim": None,
    "block_out_channels": [16, 32, 32],
    "center_input_sample": False,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "in_channels": 3,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-06,
    "norm_num_groups": 8,
    "out_channels": 3,
    "sample_size": 12,
    "time_embedding_type": "positional",
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
}

SD_VAE = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "block_out_channels": [16, 32, 32],
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 8,
    "out_channels": 3,
    "sample_size": 64,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
}

CLIP = {
    "hidden_act": "quick_gelu",
    "hidden_size": 32,
    "intermediate_size": 64,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 20,
    "model_type": "clip_text_model",
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "vocab_size": 99,
    "bos_token_id": 97,
    "eos_token_id": 98,
    "pad_token_id": 1,
}

if __name__ == "__main__":
    unet_2d_condition("unet-sd1", SD1_UNET, 2, 10, 14, 7, [981, 21])
    unet_2d_condition("unet-sd2", SD2_UNET, 1, 8, 16, 7, [500])
    unet_2d_condition("unet-inpaint", {**TWO_LEVELS, "in_channels": 9}, 1, 7, 9, 5, [999])
    unet_2d_condition(
        "unet-options",
        {
            **TWO_LEVELS,
            "attention_head_dim": [2, 4],
            "center_input_sample": True,
            "conv_in_kernel": 1,
            "conv_out_kernel": 5,
            "downsample_padding": 0,
            "layers_per_block": [1, 2],
            "mid_block_scale_factor": 1.5,
            "time_cond_proj_dim": 12,
            "time_embedding_dim": 40,
            "transformer_layers_per_block": [2, 1],
        },
        1, 6, 8, 5, [249.5],
    )
    unet_2d_condition("unet-no-mid", {**TWO_LEVELS, "mid_block_type": None}, 1, 4, 6, 5, [1])
    unet_2d("ddpm-cifar", DDPM_UNET, 2, 12, 8, [999, 0])
    unet_2d(
        "ddpm-options",
        {
            **DDPM_UNET,
            "attention_head_dim": 8,
            "attn_norm_num_groups": 4,
            "center_input_sample": True,
            "downsample_padding": 1,
            "flip_sin_to_cos": True,
            "freq_shift": 0,
            "layers_per_block": 1,
            "mid_block_scale_factor": 1.5,
        },
        1, 8, 8, [371],
    )
    autoencoder_kl("vae-sd", SD_VAE, 1, 3, 5)
    autoencoder_kl(
        "vae-options",
        {
            **SD_VAE,
            "block_out_channels": [16, 32],
            "down_block_types": ["DownEncoderBlock2D"] * 2,
            "layers_per_block": 1,
            "mid_block_add_attention": False,
            "up_block_types": ["UpDecoderBlock2D"] * 2,
            "use_post_quant_conv": False,
            "use_quant_conv": False,
        },
        2, 4, 4,
    )
    clip_text_model("clip-quick-gelu", CLIP, 2, 20)
    clip_text_model("clip-gelu", {**CLIP, "hidden_act": "gelu", "num_attention_heads": 2}, 1, 13)
