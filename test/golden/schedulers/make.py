"""Records diffusers' schedulers step by step: python test/golden/schedulers/make.py

The model is a stand-in that both sides compute alike, bit for bit: half its input plus uniform
noise of the step. Recorded are the timesteps, the scale of the initial noise, a noised sample (as
image-to-image makes it) and the sample after every step, as base64 of little-endian float32.

A few runs carry a tolerance of their own, on each step's relative L2 error: they cancel nearly equal
numbers, and torch's float32 logarithms and roots, up to one unit in the last place off and not the
same in every build, are then seen in the sixth digit.

spacing.json has a checksum of the timesteps of every number of steps up to 300.
"""

import base64
import json
from pathlib import Path

import diffusers
import torch

SD_1 = {  # scheduler_config.json of Stable Diffusion 1.4 and 1.5
    "_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "beta_start": 0.00085, "num_train_timesteps": 1000,
    "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None,
    "clip_sample": False,
}
SD_2 = {  # of Stable Diffusion 2.1
    "_class_name": "DDIMScheduler", "_diffusers_version": "0.8.0", "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": False,
    "num_train_timesteps": 1000, "prediction_type": "v_prediction", "set_alpha_to_one": False,
    "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None,
}
NAMES = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "pndm": ("PNDMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "dpmpp-2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp-2m-karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "lcm": ("LCMScheduler", {}),
}
LATENT = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
V = {"prediction_type": "v_prediction"}
X0 = {"prediction_type": "sample"}
ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", **V}
COSINE = {"beta_schedule": "squaredcos_cap_v2"}
TRAINED = {"trained_betas": [0.001 + 0.0007 * i for i in range(40)], "num_train_timesteps": 40}
THRESHOLD = {"thresholding": True, "sample_max_value": 1.5, "dynamic_thresholding_ratio": 0.9}
LINSPACE, TRAILING, LEADING = ({"timestep_spacing": s} for s in ("linspace", "trailing", "leading"))
KARRAS, EXPONENTIAL = {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}
SIGMA_MIN = {"final_sigmas_type": "sigma_min"}


def options():
    """Per class: configurations, each with the keywords of its run."""
    yield from (("DDIMScheduler", c, k) for c, k in [
        ({}, {}), ({}, {"steps": 20}), (V, {}), (X0, {}), (LINSPACE, {"steps": 7}),
        (TRAILING, {"steps": 7}), (ZERO_SNR, {}), ({"steps_offset": 1, **LATENT}, {"eta": 1.0}),
        ({"clip_sample_range": 0.5}, {"eta": 0.5}), ({"clip_sample": False}, {"start": 2}),
        (THRESHOLD, {"batch": 2}), (COSINE, {}), (TRAINED, {"steps": 40}),
        ({"set_alpha_to_one": False, **LATENT}, {})])
    yield from (("DDPMScheduler", c, k) for c, k in [
        ({}, {}), ({}, {"steps": 20}), (V, {}), (X0, {}), (LINSPACE, {"steps": 7}),
        (TRAILING, {"steps": 7}), (ZERO_SNR, {}), ({"variance_type": "fixed_small_log"}, {}),
        ({"variance_type": "fixed_large"}, {}), ({"clip_sample": False, **LATENT}, {"start": 2}),
        (THRESHOLD, {"batch": 2}), (COSINE, {}), (TRAINED, {"steps": 40}), ({"steps_offset": 1}, {})])
    yield from (("PNDMScheduler", c, k) for c, k in [
        ({}, {}), (LATENT, {"steps": 20}), (V, {"steps": 8}), ({**LINSPACE, **LATENT}, {"steps": 7}),
        (TRAILING, {"steps": 7}), ({"set_alpha_to_one": True}, {"steps": 4}),
        ({"skip_prk_steps": True}, {}), ({"skip_prk_steps": True}, {"steps": 1}),
        ({"skip_prk_steps": True, **V, **TRAILING}, {"steps": 7}),
        ({"skip_prk_steps": True, **LATENT}, {"start": 3, "steps": 8}), (COSINE, {})])
    yield from (("EulerDiscreteScheduler", c, k) for c, k in [
        ({}, {}), (LATENT, {"steps": 20}), (V, {}), (X0, {}), ({**LEADING, "steps_offset": 1}, {}),
        (TRAILING, {"steps": 7}), (ZERO_SNR, {}), ({**KARRAS, **LATENT}, {"steps": 8}),
        ({**KARRAS, "sigma_min": 0.1, "sigma_max": 10.0}, {}), ({**EXPONENTIAL, **LATENT}, {}),
        (SIGMA_MIN, {}), (LATENT, {"start": 2}), (COSINE, {})])
    yield from (("EulerAncestralDiscreteScheduler", c, k) for c, k in [
        ({}, {}), (LATENT, {"steps": 20}), (V, {}), ({**LEADING, "steps_offset": 1}, {}),
        (TRAILING, {"steps": 7}), (ZERO_SNR, {"tolerance": 2e-5}), (LATENT, {"start": 2})])
    yield from (("DPMSolverMultistepScheduler", c, k) for c, k in [
        ({}, {}), (LATENT, {"steps": 20}), (V, {}), (X0, {}), ({**LEADING, "steps_offset": 1}, {}),
        (TRAILING, {"steps": 7}), (ZERO_SNR, {}), ({"solver_type": "heun"}, {"steps": 16}),
        ({"solver_type": "heun", **KARRAS, **LATENT}, {"steps": 8}), (KARRAS, {}),
        ({**EXPONENTIAL, **LATENT}, {}), ({"lower_order_final": False, **SIGMA_MIN}, {"tolerance": 2e-6}),
        (SIGMA_MIN, {"steps": 16}), ({"euler_at_final": True, **SIGMA_MIN}, {"steps": 16}),
        ({"solver_order": 1}, {}), ({"solver_order": 3, **LATENT}, {"steps": 20}),
        ({"solver_order": 3, **LATENT}, {"steps": 6}), (THRESHOLD, {"batch": 2}),
        ({**COSINE, "lambda_min_clipped": -5.1}, {}), ({**COSINE, **KARRAS}, {}),
        ({**COSINE, "lambda_min_clipped": -5.1, **TRAILING}, {"steps": 7}), (LATENT, {"start": 2})])
    yield from (("UniPCMultistepScheduler", c, k) for c, k in [
        ({}, {}), (LATENT, {"steps": 20}), (V, {}), (X0, {}), ({**LEADING, "steps_offset": 1}, {}),
        (TRAILING, {"steps": 7}), (ZERO_SNR, {}), ({"solver_type": "bh1", **SIGMA_MIN, **LATENT}, {}),
        ({"solver_order": 3, **LATENT}, {"steps": 20}), ({"solver_order": 1, **LATENT}, {}),
        ({"solver_order": 3, "solver_type": "bh1", "lower_order_final": False, **SIGMA_MIN},
         {"steps": 8, "tolerance": 2e-6}),
        ({"predict_x0": False, **SIGMA_MIN, **LATENT}, {"steps": 8}),
        ({"predict_x0": False, "solver_order": 3, **V, **SIGMA_MIN, **LATENT},
         {"steps": 8, "tolerance": 5e-6}),
        ({"predict_x0": False, **X0, **SIGMA_MIN, **LATENT}, {}),
        ({**KARRAS, **LATENT}, {"steps": 8}), ({**KARRAS, **SIGMA_MIN}, {}), ({**EXPONENTIAL, **LATENT}, {}),
        ({"disable_corrector": [0, 2], **LATENT}, {}), (THRESHOLD, {"batch": 2}), (LATENT, {"start": 2})])
    yield from (("LCMScheduler", c, k) for c, k in [
        ({}, {"steps": 4}), ({}, {"steps": 1}), (V, {"steps": 7}), (X0, {}), (ZERO_SNR, {}),
        ({"clip_sample": True}, {}), ({"original_inference_steps": 30, "timestep_scaling": 0.01}, {}),
        (THRESHOLD, {"batch": 2}), ({}, {"start": 2})])


def uniform(seed, shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 4 - 2


def encode(tensors):
    data = torch.stack(list(tensors)).contiguous().numpy().astype("<f4").tobytes()
    return base64.b64encode(data).decode()


def record(name, scheduler, config, steps=5, start=0, batch=1, eta=0.0, tolerance=1e-6):
    shape = (batch, 4, 4, 4 // batch)
    scheduler.set_timesteps(steps)
    timesteps = scheduler.timesteps[start:]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(start)
    noised = scheduler.add_noise(uniform(1, shape), uniform(2, shape), timesteps[:1])
    sigma = torch.as_tensor(scheduler.init_noise_sigma, dtype=torch.float32)
    sample = uniform(3, shape) * sigma
    generator = torch.Generator().manual_seed(4)
    extra = {"eta": eta} if eta else {}
    if "generator" in scheduler.step.__code__.co_varnames:
        extra["generator"] = generator
    samples = []
    for i, t in enumerate(timesteps):
        output = scheduler.scale_model_input(sample, t) * 0.5 + uniform(100 + i, shape)
        sample = scheduler.step(output, t, sample, **extra).prev_sample
        assert torch.isfinite(sample).all(), (name, config, i)
        samples.append(sample)
    return {
        "name": name, "config": config, "steps": steps, "start": start, "batch": batch, "eta": eta,
        "tolerance": tolerance, "timesteps": timesteps.tolist(), "initNoiseSigma": float(sigma), "noised": encode([noised]),
        "samples": encode(samples),
    }


def checksums(class_name, spacing):
    """Of each plan, the sum of its timesteps times their position; leaves out timestep -1, which
    numpy.arange lets trailing spacing have now and then."""
    scheduler = getattr(diffusers, class_name)(timestep_spacing=spacing)
    for steps in range(1, 301):
        scheduler.set_timesteps(steps)
        yield sum(i * int(t) for i, t in enumerate(scheduler.timesteps, 1) if t >= 0)


def write_spacing():
    spacing = {
        f"{class_name} {name}": list(checksums(class_name, name))
        for class_name in ("DDIMScheduler", "DPMSolverMultistepScheduler")
        for name in ("leading", "linspace", "trailing")
    }
    path = Path(__file__).with_name("spacing.json")
    path.write_text(json.dumps(spacing).replace("], ", "],\n") + "\n")


def main():
    torch.set_num_threads(1)
    write_spacing()
    cases = []
    for config, steps in ((SD_1, 20), (SD_2, 10)):
        for name, (class_name, override) in NAMES.items():
            scheduler = getattr(diffusers, class_name).from_config(config, **override)
            cases.append(record(name, scheduler, config, steps=steps))
    for class_name, config, run in options():
        scheduler = getattr(diffusers, class_name)(**config)
        cases.append(record(None, scheduler, {"_class_name": class_name, **config}, **run))
    path = Path(__file__).with_name("steps.json")
    lines = ",\n".join(json.dumps(case) for case in cases)
    path.write_text(f'{{"diffusers": "{diffusers.__version__}", "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
