"""Loads the folders that InteropTests wrote with transformers and diffusers and compares outputs.

usage: check.py FOLDER            (make interop runs it)
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import load_file

TOLERANCE = 1e-4
failures = []


def compare(name, what, actual, expected):
    if actual.shape != expected.shape:
        failures.append(name)
        print(f"{name:16} {what:10} shape {tuple(actual.shape)}, expected {tuple(expected.shape)}")
        return
    difference = (actual.double() - expected.double()).abs().max().item()
    verdict = "ok" if difference <= TOLERANCE else "DIFFERS"
    if difference > TOLERANCE:
        failures.append(name)
    print(f"{name:16} {what:10} {difference:.2e} {verdict}")


def loaded(cls, path):
    """The model, with every weight taken from the file and none left over."""
    model, info = cls.from_pretrained(str(path), output_loading_info=True, low_cpu_mem_usage=False)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info.get(kind):
            failures.append(path.name)
            print(f"{path.name:16} {kind}: {sorted(info[kind])[:5]}")
    return model.eval()


def vision(cls, path, values):
    out = loaded(cls, path)(pixel_values=values["pixels"])
    compare(path.name, "last", out.last_hidden_state, values["last"])
    compare(path.name, "pooled", out.pooler_output, values["pooled"])


def language(cls, path, values):
    out = loaded(cls, path)(input_ids=values["ids"], use_cache=False)
    compare(path.name, "logits", out.logits, values["logits"])


def llava(cls, path, values):
    # LLaVA-1.5 sees one square and takes no sizes.
    sizes = {"image_sizes": values["sizes"]} if "sizes" in values else {}
    out = loaded(cls, path)(input_ids=values["ids"], pixel_values=values["tiles"], use_cache=False, **sizes)
    compare(path.name, "logits", out.logits, values["logits"])


def denoiser(cls, path, values):
    out = loaded(cls, path)(
        hidden_states=values["latents"], encoder_hidden_states=values["context"],
        pooled_projections=values["pooled"], timestep=values["times"]).sample
    compare(path.name, "velocity", out, values["velocity"])


def autoencoder(cls, path, values):
    model = loaded(cls, path)
    mean = model.encode(values["pixels"]).latent_dist.mean
    compare(path.name, "mean", mean, values["mean"])
    compare(path.name, "decoded", model.decode(values["mean"]).sample, values["decoded"])


def vq(cls, path, values):
    model = loaded(cls, path)
    latents = model.encode(values["pixels"]).latents
    indices = model.quantize(latents)[2][2].reshape(values["indices"].shape)
    compare(path.name, "indices", indices, values["indices"])
    compare(path.name, "decoded", model.decode(latents).sample, values["decoded"])


@torch.no_grad()
def main():
    import diffusers
    import transformers

    kinds = {
        "CLIPVisionModel": (transformers, vision), "SiglipVisionModel": (transformers, vision),
        "Dinov2Model": (transformers, vision), "LlamaForCausalLM": (transformers, language),
        "Qwen2ForCausalLM": (transformers, language), "MistralForCausalLM": (transformers, language),
        "LlavaNextForConditionalGeneration": (transformers, llava),
        "LlavaForConditionalGeneration": (transformers, llava),
        "SD3Transformer2DModel": (diffusers, denoiser), "AutoencoderKL": (diffusers, autoencoder),
        "VQModel": (diffusers, vq),
    }
    root = pathlib.Path(sys.argv[1])
    folders = sorted(path.parent for path in root.glob("*/vlsa.safetensors"))
    for path in folders:
        config = json.loads((path / "config.json").read_text())
        name = config.get("_class_name") or config["architectures"][0]
        library, check = kinds[name]
        check(getattr(library, name), path, load_file(path / "vlsa.safetensors"))
    expected = set(kinds) - {json.loads((path / "config.json").read_text()).get("_class_name")
                             or json.loads((path / "config.json").read_text())["architectures"][0] for path in folders}
    if expected:
        sys.exit(f"{root}: no folder of {', '.join(sorted(expected))}")
    if failures:
        sys.exit(f"differing or incomplete: {', '.join(sorted(set(failures)))}")
    print(f"{len(folders)} folders load with equal outputs")


main()
