"""Writes the pipeline fixtures: what diffusers makes of tiny models with random weights.

    python make.py            # needs torch, diffusers, transformers, pillow, numpy, safetensors

models/ gets everything of a model folder but the weights, which are hashed from their names
(../models/hashed_numbers.py) and rounded to the type that DTYPES gives; tiny-models.ts writes the
same ones. cases.json gets the requests in Bookend's words, expected.safetensors the final latents
(float32) and the decoded images before clamping (float16: rounding costs 80 dB), channels-last.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import numpy
import torch
from diffusers import (
    AutoencoderKL,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UNet2DModel,
    UniPCMultistepScheduler,
)
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "models"))

from hashed_numbers import hashed_bits, hashed_parameter  # noqa: E402

torch.set_num_threads(1)
torch.set_grad_enabled(False)

DTYPES = {"unet": torch.bfloat16, "text_encoder": torch.float16, "vae": torch.float32}
PIXELS = 32
STEPS = 6

DPM = {"algorithm_type": "dpmsolver++", "solver_order": 2}
SCHEDULERS = {
    "ddim": (DDIMScheduler, {}),
    "ddpm": (DDPMScheduler, {}),
    "pndm": (PNDMScheduler, {}),
    "euler": (EulerDiscreteScheduler, {}),
    "euler-ancestral": (EulerAncestralDiscreteScheduler, {}),
    "dpmpp-2m": (DPMSolverMultistepScheduler, {**DPM, "use_karras_sigmas": False}),
    "dpmpp-2m-karras": (DPMSolverMultistepScheduler, {**DPM, "use_karras_sigmas": True}),
    "unipc": (UniPCMultistepScheduler, {}),
    "lcm": (LCMScheduler, {}),
}

LATENT_NOISE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}


def hashed(model, component, prefix=""):
    """Gives a model the weights of its component, as they read after being stored."""
    state = {
        name: torch.from_numpy(hashed_parameter(prefix + name, tuple(value.shape)))
        .to(DTYPES[component])
        .float()
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model.eval()


def conditional_unet(**options):
    config = {
        "sample_size": PIXELS // 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": [8, 16],
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
        "layers_per_block": 1,
        "attention_head_dim": 2,
        "cross_attention_dim": 16,
        "norm_num_groups": 4,
        **options,
    }
    return hashed(UNet2DConditionModel(**config), "unet")


def unconditional_unet():
    config = {
        "sample_size": 8,
        "block_out_channels": [8, 16],
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": None,
    }
    return hashed(UNet2DModel(**config), "unet")


def autoencoder():
    config = {
        "block_out_channels": [8, 8, 8, 8],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": 4,
        "sample_size": PIXELS,
    }
    return hashed(AutoencoderKL(**config), "vae")


def text_encoder(vocabulary_size):
    config = CLIPTextConfig(
        vocab_size=vocabulary_size,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=vocabulary_size - 2,
        eos_token_id=vocabulary_size - 1,
        pad_token_id=vocabulary_size - 1,
    )
    model = CLIPTextModel(config)
    prefix = "" if next(iter(model.state_dict())).startswith("text_model.") else "text_model."
    if prefix:
        # diffusers looks for the final norm in there, for clip_skip; a plain attribute, no module.
        object.__setattr__(model, "text_model", model)
    return hashed(model, "text_encoder", prefix)


def tokenizer():
    """CLIP's format with three merges; every byte is a token, alone and at the end of a word."""
    symbols = list(bytes_to_unicode().values())
    merges = [("a", "p"), ("ap", "p"), ("l", "e</w>")]
    tokens = symbols + [s + "</w>" for s in symbols] + [a + b for a, b in merges]
    vocabulary = {t: i for i, t in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
        lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
        (folder / "merges.txt").write_text("\n".join(lines) + "\n")
        return CLIPTokenizer(
            vocab=str(folder / "vocab.json"),
            merges=str(folder / "merges.txt"),
            model_max_length=77,
        )


def stable_diffusion(pipeline_class, scheduler, **unet_options):
    words = tokenizer()
    return pipeline_class(
        vae=autoencoder(),
        text_encoder=text_encoder(len(words)),
        tokenizer=words,
        unet=conditional_unet(**unet_options),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save(name, pipeline, only=None):
    """Saves without weights; `only` names the parts that differ from the model `sd`."""
    folder = HERE / "models" / name
    with tempfile.TemporaryDirectory() as scratch:
        pipeline.save_pretrained(scratch)
        for path in pathlib.Path(scratch).rglob("*"):
            inside = path.relative_to(scratch)
            if not path.is_file() or path.suffix == ".safetensors":
                continue
            if only is None or inside.parts[0] in only:
                (folder / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, folder / inside)
    if only is None or "scheduler" in only:
        # As loaded, every option is explicit; one made in memory hands its defaults to no other.
        saved = type(pipeline.scheduler).from_pretrained(folder / "scheduler")
        pipeline.register_modules(scheduler=saved)
    return pipeline


def photo(width, height):
    values = hashed_bits("input:photo", width * height * 3) % 256
    return Image.fromarray(values.astype(numpy.uint8).reshape(height, width, 3))


def mask(width, height):
    """White in a rectangle that ends between latent pixels, grays on both sides of the threshold."""
    values = numpy.zeros((height, width), numpy.uint8)
    values[5:23, 10:] = 255
    values[:, :3] = 127
    values[27:] = 128
    return Image.fromarray(values)


CASES, EXPECTED = [], {}


def channels_last(images):
    return images.permute(0, 2, 3, 1).contiguous()


def record(name, model, kind, request, latents, images):
    CASES.append({"name": name, "model": model, "kind": kind, "request": request})
    EXPECTED[f"{name}.images"] = channels_last(images).to(torch.float16)
    if latents is not None:
        EXPECTED[f"{name}.latents"] = channels_last(latents).float()


def generators(seed, count):
    return [torch.Generator().manual_seed(seed + i) for i in range(count)]


def run_prompted(name, model, kind, pipeline, request, batches):
    """`batches`: seeds of each call. A call with several images uses a generator for each."""
    if "scheduler" in request:
        scheduler_class, options = SCHEDULERS[request["scheduler"]]
        if kind == "inpaint":
            # The one pipeline that does not turn the clipping of pixels off for latents.
            options = {**options, "clip_sample": False}
        scheduler = scheduler_class.from_config(pipeline.scheduler.config, **options)
    else:
        scheduler = pipeline.scheduler
    called = type(pipeline)(**{**pipeline.components, "scheduler": scheduler},
                            requires_safety_checker=False)
    called.set_progress_bar_config(disable=True)
    width, height = request.get("width", PIXELS), request.get("height", PIXELS)
    arguments = {"width": width, "height": height}
    if kind != "text-to-image":
        arguments["image"] = photo(width, height)
        arguments["strength"] = request["strength"]
    if kind == "inpaint":
        arguments["mask_image"] = mask(width, height)
    if kind == "image-to-image":
        del arguments["width"], arguments["height"]
    if "eta" in request:
        arguments["eta"] = request["eta"]
    if "clipSkip" in request:
        arguments["clip_skip"] = request["clipSkip"]
    latents = torch.cat([
        called(
            request["prompt"],
            negative_prompt=request.get("negativePrompt"),
            num_inference_steps=request["numInferenceSteps"],
            guidance_scale=request["guidanceScale"],
            num_images_per_prompt=len(seeds),
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="latent",
            **arguments,
        ).images
        for seeds in batches
    ])
    images = called.vae.decode(latents / called.vae.config.scaling_factor).sample
    record(name, model, kind, request, latents, images)


def common(**request):
    return {
        "prompt": "a red apple",
        "numInferenceSteps": STEPS,
        "guidanceScale": 5,
        "seed": 7,
        **request,
    }


def text_to_image(base):
    def run(name, **request):
        asked = common(**request)
        seeds = [asked["seed"] + i for i in range(asked.get("numImages", 1))]
        run_prompted(name, "sd", "text-to-image", base, asked, [seeds])

    for name in SCHEDULERS:
        run(f"text-to-image-{name}", scheduler=name, negativePrompt="blurry", numImages=2)
    run("text-to-image-own-scheduler", negativePrompt="blurry, gray")
    run("text-to-image-unguided", scheduler="ddim", guidanceScale=1)
    run("text-to-image-wide", scheduler="euler", width=48, height=24)
    run("text-to-image-clip-skip", scheduler="ddim", clipSkip=1)
    run("text-to-image-eta", scheduler="ddim", eta=0.5, numImages=2)


def from_images(base):
    redraw = StableDiffusionImg2ImgPipeline(**base.components, requires_safety_checker=False)
    for name in SCHEDULERS:
        request = common(scheduler=name, strength=0.6, numInferenceSteps=10)
        run_prompted(f"image-to-image-{name}", "sd", "image-to-image", redraw, request, [[7]])
    request = common(scheduler="euler-ancestral", strength=0.5, numImages=2)
    run_prompted("image-to-image-two", "sd", "image-to-image", redraw, request, [[7, 8]])


def inpainting(base):
    nine = stable_diffusion(StableDiffusionInpaintPipeline, base.scheduler, in_channels=9)
    save("sd-inpaint", nine, ["unet"])
    four = StableDiffusionInpaintPipeline(**base.components, requires_safety_checker=False)
    for model, pipeline in (("sd", four), ("sd-inpaint", nine)):
        for name in ("ddim", "pndm", "euler", "euler-ancestral"):
            for strength in (1, 0.7):
                request = common(scheduler=name, strength=strength)
                title = f"inpaint-{model}-{name}-{strength}"
                run_prompted(title, model, "inpaint", pipeline, request, [[7]])
        # One call for each image: in a batch, diffusers encodes the picture with one generator.
        request = common(scheduler="ddim", strength=0.7, numImages=2)
        title = f"inpaint-{model}-two"
        run_prompted(title, model, "inpaint", pipeline, request, [[7], [8]])


def zero_terminal_snr():
    scheduler = DDIMScheduler(
        **LATENT_NOISE,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    model = stable_diffusion(StableDiffusionPipeline, scheduler)
    save("sd-zero-snr", model, ["scheduler"])
    for name in (None, "euler", "ddpm"):
        request = common(**({"scheduler": name} if name else {}))
        title = f"zero-snr-{name or 'own-scheduler'}"
        run_prompted(title, "sd-zero-snr", "text-to-image", model, request, [[7]])


def distilled():
    """A U-Net that is told the guidance scale instead of running twice."""
    scheduler = LCMScheduler(**LATENT_NOISE, clip_sample=False, set_alpha_to_one=False)
    model = stable_diffusion(StableDiffusionPipeline, scheduler, time_cond_proj_dim=12)
    save("sd-distilled", model, ["unet", "scheduler"])
    request = common(guidanceScale=8.5, numInferenceSteps=4, numImages=2)
    run_prompted("distilled", "sd-distilled", "text-to-image", model, request, [[7, 8]])


def unconditional():
    for name, pipeline_class, scheduler, etas in (
        ("ddpm", DDPMPipeline, DDPMScheduler(), [None]),
        ("ddim", DDIMPipeline, DDIMScheduler(), [0, 0.5]),
    ):
        pipeline = save(name, pipeline_class(unet=unconditional_unet(), scheduler=scheduler))
        pipeline.set_progress_bar_config(disable=True)
        for eta in etas:
            request = {"numInferenceSteps": 8, "seed": 3, "numImages": 2}
            if eta is not None:
                request["eta"] = eta
            images = pipeline(
                batch_size=2,
                generator=generators(3, 2),
                num_inference_steps=8,
                output_type="np",
                **({"eta": eta} if eta is not None else {}),
            ).images
            title = f"unconditional-{name}" + (f"-eta-{eta}" if eta else "")
            pixels = torch.from_numpy(images).permute(0, 3, 1, 2) * 2 - 1
            record(title, name, "unconditional", request, None, pixels)


def main():
    shutil.rmtree(HERE / "models", ignore_errors=True)
    scheduler = PNDMScheduler(**LATENT_NOISE, skip_prk_steps=True, steps_offset=1)
    base = save("sd", stable_diffusion(StableDiffusionPipeline, scheduler))
    text_to_image(base)
    from_images(base)
    inpainting(base)
    zero_terminal_snr()
    distilled()
    unconditional()
    lines = ",\n".join(json.dumps(case) for case in CASES)
    (HERE / "cases.json").write_text(f"[\n{lines}\n]\n")
    save_file(EXPECTED, HERE / "expected.safetensors")
    print(len(CASES), "cases,", (HERE / "expected.safetensors").stat().st_size, "bytes")
    for name, value in EXPECTED.items():
        if name.endswith(".images"):
            print(f"{name}: std {value.float().std():.3f}, largest {value.abs().max():.2f}")


main()
