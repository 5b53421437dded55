"""Writes ldm-sd-1.5.json and ldm-sd-2.1.json: complete LDM key lists of SD 1.5 and 2.1 with shapes,
and the keys that diffusers' own converters make of them.

The LDM keys come from instantiating the published architectures on the meta device and inverting
the module correspondence; diffusers' converters (single_file_utils) then say, independently of that
inversion, which tensor they put where: every tensor carries an identity of its own in its values,
without memory of its own. A converted tensor is written as [index of the LDM key, first row, shape],
so that slicing is checked too.

Usage: python make_ldm_keys.py
"""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as converters
from transformers import CLIPTextConfig, CLIPTextModel

HERE = Path(__file__).parent
ROWS = 100_000


def unet_config(version: str) -> dict:
    return {
        "block_out_channels": [320, 640, 1280, 1280],
        "cross_attention_dim": 768 if version == "1.5" else 1024,
        "attention_head_dim": 8 if version == "1.5" else [5, 10, 20, 20],
        "layers_per_block": 2,
        "use_linear_projection": version == "2.1",
    }


def vae_config() -> dict:
    return {
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
        "latent_channels": 4,
    }


RESNET = [
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
]


def ldm_unet_key(key: str, state: dict) -> str:
    top = {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
    }
    for ours, theirs in top.items():
        if key.startswith(ours + "."):
            return theirs + key[len(ours) :]
    parts = key.split(".")
    if parts[0] == "mid_block":
        place = {"resnets0": 0, "attentions0": 1, "resnets1": 2}[parts[1] + parts[2]]
        block, rest = f"middle_block.{place}", ".".join(parts[3:])
    else:
        level, kind, index = int(parts[1]), parts[2], int(parts[3])
        rest = ".".join(parts[4:])
        if parts[0] == "down_blocks":
            number = 3 * level + 1 + (2 if kind == "downsamplers" else index)
            slot = {"resnets": 0, "attentions": 1, "downsamplers": 0}[kind]
            block = f"input_blocks.{number}.{slot}"
            rest = rest.replace("conv.", "op.") if kind == "downsamplers" else rest
        else:
            number = 3 * level + (2 if kind == "upsamplers" else index)
            has_attention = any(k.startswith(f"up_blocks.{level}.attentions") for k in state)
            slot = {"resnets": 0, "attentions": 1, "upsamplers": 2 if has_attention else 1}[kind]
            block = f"output_blocks.{number}.{slot}"
    for ours, theirs in RESNET:
        if rest.startswith(ours + ".") and "attentions" not in key:
            rest = theirs + rest[len(ours) :]
    return f"{block}.{rest}"


def ldm_vae_key(key: str) -> str:
    attention = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
    key = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    for i in (0, 1):
        key = key.replace(f"mid_block.resnets.{i}", f"mid.block_{i + 1}")
    for ours, theirs in attention.items():
        key = key.replace(f"mid_block.attentions.0.{ours}.", f"mid.attn_1.{theirs}.")
    for i in range(4):
        key = key.replace(f"down_blocks.{i}.resnets", f"down.{i}.block")
        key = key.replace(f"down_blocks.{i}.downsamplers.0", f"down.{i}.downsample")
        key = key.replace(f"up_blocks.{i}.resnets", f"up.{3 - i}.block")
        key = key.replace(f"up_blocks.{i}.upsamplers.0", f"up.{3 - i}.upsample")
    return key


def clip_keys() -> dict:
    config = CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
    )
    with torch.device("meta"):
        state = CLIPTextModel(config).state_dict()
    prefix = "" if any(k.startswith("text_model.") for k in state) else "text_model."
    shapes = {prefix + k: list(v.shape) for k, v in state.items()}
    shapes["text_model.embeddings.position_ids"] = [1, 77]
    return {f"cond_stage_model.transformer.{k}": v for k, v in shapes.items()}


def open_clip_keys() -> dict:
    shapes = {
        "positional_embedding": [77, 1024],
        "token_embedding.weight": [49408, 1024],
        "ln_final.weight": [1024],
        "ln_final.bias": [1024],
        "text_projection": [1024, 1024],
        "logit_scale": [],
        "attn_mask": [77, 77],
    }
    for i in range(24):
        block = f"transformer.resblocks.{i}."
        shapes |= {
            block + "ln_1.weight": [1024],
            block + "ln_1.bias": [1024],
            block + "attn.in_proj_weight": [3072, 1024],
            block + "attn.in_proj_bias": [3072],
            block + "attn.out_proj.weight": [1024, 1024],
            block + "attn.out_proj.bias": [1024],
            block + "ln_2.weight": [1024],
            block + "ln_2.bias": [1024],
            block + "mlp.c_fc.weight": [4096, 1024],
            block + "mlp.c_fc.bias": [4096],
            block + "mlp.c_proj.weight": [1024, 4096],
            block + "mlp.c_proj.bias": [1024],
        }
    return {f"cond_stage_model.model.{k}": v for k, v in shapes.items()}


def ldm_shapes(version: str) -> dict:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**unet_config(version)).state_dict()
        vae = AutoencoderKL(**vae_config()).state_dict()
    shapes = {f"model.diffusion_model.{ldm_unet_key(k, unet)}": list(v.shape) for k, v in unet.items()}
    for key, value in vae.items():
        shape = list(value.shape)
        projection = ".attentions." in key and len(shape) == 2
        shapes[f"first_stage_model.{ldm_vae_key(key)}"] = shape + [1, 1] if projection else shape
    assert len(shapes) == len(unet) + len(vae)
    shapes |= clip_keys() if version == "1.5" else open_clip_keys()
    shapes |= {"betas": [1000], "alphas_cumprod": [1000], "model_ema.decay": []}
    return shapes


def identify(converted: dict) -> dict:
    out = {}
    for key, value in converted.items():
        number, row = divmod(int(value[(0,) * value.ndim].item()), ROWS)
        out[key] = [number, row, list(value.shape)]
    return out


def convert(version: str) -> dict:
    shapes = ldm_shapes(version)
    # Row r of tensor n holds n * ROWS + r everywhere.
    checkpoint = {}
    for number, (name, shape) in enumerate(shapes.items()):
        rows = torch.arange(shape[0] if shape else 1, dtype=torch.float64)
        rows = (rows + ROWS * number).reshape([-1] + [1] * (len(shape) - 1) if shape else [])
        checkpoint[name] = rows.expand(shape)
    text = (
        converters.convert_ldm_clip_checkpoint(dict(checkpoint))
        if version == "1.5"
        else converters.convert_open_clip_checkpoint(
            CLIPTextModel(CLIPTextConfig(hidden_size=1024, num_hidden_layers=1)), dict(checkpoint)
        )
    )
    return {
        "ldm": shapes,
        "unet": identify(converters.convert_ldm_unet_checkpoint(dict(checkpoint), unet_config(version))),
        "vae": identify(converters.convert_ldm_vae_checkpoint(dict(checkpoint), vae_config())),
        "text_encoder": identify(text),
    }


for version in ("1.5", "2.1"):
    fixture = convert(version)
    path = HERE / f"ldm-sd-{version}.json"
    path.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")
    print(path.name, path.stat().st_size, {k: len(v) for k, v in fixture.items()})
