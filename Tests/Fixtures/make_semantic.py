#!/usr/bin/env python3
"""Writes the fixtures of the semantic residual tokenizers (asvr_tokenizer, dualtoken): tiny random weights under the
names of the two generations of public files, and the reference's codes. The tower is transformers' SigLIP; projection
and residual quantisation are written here from their description, in fp64 beside fp32, so that no code is a near tie.

    make_semantic.py --out DIR        torch 2.13.0, transformers 5.23.0
"""
import argparse
import json
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import SiglipVisionConfig, SiglipVisionModel

SEED, DEPTH, CODES, LAYER = 20250611, 4, 24, 2
VISION = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, image_size=32, patch_size=7)


def normal(name, *shape, scale=1.0):
    stream = np.random.Generator(np.random.PCG64([SEED, zlib.crc32(name.encode())]))
    return torch.from_numpy(stream.standard_normal(shape) * scale)


def projection(tag, width, code):
    shapes = {"norm1.weight": [width], "norm1.bias": [width], "attn.qkv.weight": [3 * width, width],
              "attn.q_bias": [width], "attn.v_bias": [width], "attn.zero_k_bias": [width],
              "attn.proj.weight": [code, code], "attn.proj.bias": [code], "proj.weight": [code, width], "proj.bias": [code],
              "norm3.weight": [width], "norm3.bias": [width], "norm2.weight": [code], "norm2.bias": [code],
              "mlp.norm.weight": [code], "mlp.norm.bias": [code], "mlp.w0.weight": [2 * code, code], "mlp.w0.bias": [2 * code],
              "mlp.w1.weight": [2 * code, code], "mlp.w1.bias": [2 * code], "mlp.w2.weight": [code, 2 * code],
              "mlp.w2.bias": [code]}
    made = {}
    for name, shape in shapes.items():
        value = normal(f"{tag}/{name}", *shape, scale=1 / shape[-1] ** 0.5 if len(shape) > 1 else 0.2)
        if "norm" in name and name.endswith("weight"):
            value = 1 + value
        made[name] = torch.zeros(shape, dtype=torch.float64) if name.endswith("zero_k_bias") else value
    return made


def project(w, x, heads):
    width, code = w["proj.weight"].shape[1], w["proj.weight"].shape[0]
    norm = lambda v, name, eps: F.layer_norm(v, v.shape[-1:], w[name + ".weight"], w[name + ".bias"], eps)
    bias = torch.cat([w["attn.q_bias"], w["attn.zero_k_bias"], w["attn.v_bias"]])
    q, k, v = F.linear(norm(x, "norm1", 1e-5), w["attn.qkv.weight"], bias).chunk(3, -1)
    split = lambda t: t.unflatten(-1, (heads, width // heads)).transpose(1, 2)
    scores = split(q) @ split(k).transpose(-1, -2) / (width // heads) ** 0.5
    seen = (scores.softmax(-1) @ split(v)).mean(1)
    y = F.linear(norm(x, "norm3", 1e-5), w["proj.weight"], w["proj.bias"]) + F.linear(seen, w["attn.proj.weight"], w["attn.proj.bias"])
    u = norm(norm(y, "norm2", 1e-5), "mlp.norm", 1e-6)
    inner = F.gelu(F.linear(u, w["mlp.w0.weight"], w["mlp.w0.bias"]), approximate="tanh") * F.linear(u, w["mlp.w1.weight"], w["mlp.w1.bias"])
    return y + F.linear(inner, w["mlp.w2.weight"], w["mlp.w2.bias"])


def quantise(x, books):
    """Codes, quantised vectors, and the smallest gap between the nearest and the second nearest squared distance."""
    rest, codes, gap = x, [], float("inf")
    for book in books:
        distance = (rest[..., None, :] - book[:-1]).square().sum(-1)
        two = distance.topk(2, largest=False).values
        gap = min(gap, float((two[..., 1] - two[..., 0]).min()))
        codes.append(distance.argmin(-1))
        rest = rest - book[codes[-1]]
    return torch.stack(codes, -1), x - rest, gap


def family(out, name, code_width, shared):
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    config = SiglipVisionConfig(**VISION)
    config._attn_implementation = "eager"
    tower = SiglipVisionModel(config).double().eval()
    weights = {}
    with torch.no_grad():
        for key, p in tower.named_parameters():
            scale = 1 / p[0].numel() ** 0.5 if p.ndim > 1 else 0.1
            p.copy_(normal(f"{name}/{key}", *p.shape, scale=scale) + (1 if p.ndim == 1 and "norm" in key and key.endswith("weight") else 0))
            key = key if key.startswith("vision_model.") else "vision_model." + key
            weights["siglip_model." + key] = p.detach().clone()
    width = VISION["hidden_size"]
    side = VISION["image_size"]
    pixels = normal(f"{name}/pixels", 2, 3, side, side).tanh()
    large = normal(f"{name}/large", 1, 3, 2 * side, 2 * side).tanh()
    pre = projection(name, width, code_width) if code_width != width else None

    def vectors(p):
        hidden = tower(pixel_values=p, output_hidden_states=True).hidden_states[LAYER]
        return hidden, (project(pre, hidden, width // code_width) if pre else hidden)

    with torch.no_grad():
        hidden, x = vectors(pixels)
        for attempt in range(400):  # codebooks of which no choice is a near tie
            spread = [x.std() * 0.9 ** d for d in range(DEPTH)]
            books = [normal(f"{name}/book{0 if shared else d}#{attempt}", CODES + 1, code_width) * (x.std() if shared else spread[d])
                     for d in range(DEPTH)]
            codes, quantised, gap = quantise(x, books)
            big = F.interpolate(large, size=(side, side), mode="bilinear", align_corners=False)
            large_codes, _, large_gap = quantise(vectors(big)[1], books)
            if min(gap, large_gap) > 1e-3:
                break
        else:
            raise SystemExit(f"{name}: every codebook has near ties")
        partial = torch.stack([torch.stack([books[d][codes[..., d]] for d in range(k + 1)]).sum(0) for k in range(DEPTH)])
        commitment = torch.stack([(x - q).square().mean() for q in partial]).mean()
    prefix = "quantizer_sem" if pre else "quantizer_semantic"
    for d, book in enumerate(books):
        book = book.clone()
        book[-1] = 0
        weights[f"{prefix}.codebooks.{d}.weight"] = book
        if pre:
            weights[f"{prefix}.codebooks.{d}.cluster_size_ema"] = torch.ones(CODES)
            weights[f"{prefix}.codebooks.{d}.embed_ema"] = book[:-1].clone()
    for key, value in (pre or {}).items():
        weights["prequant_sem." + key] = value
    # what a whole file holds besides
    other = "quantizer_pix" if pre else "quantizer"
    weights[f"{other}.codebooks.0.weight"] = torch.zeros(CODES + 1, code_width)
    weights["siglip_model.logit_scale"] = torch.zeros(())
    weights["siglip_model.text_model.head.weight"] = torch.zeros(4, 4)
    weights["post_quant_conv.weight"] = torch.zeros(4, 4, 1, 1)
    weights["decoder.conv_in.weight"] = torch.zeros(4, 4, 3, 3)
    save_file({k: v.float().contiguous() for k, v in weights.items()}, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({
        "model_type": "semantic_tokenizer", "vision_config": VISION, "semantic_layer": LAYER,
        "projection": "attention" if pre else "none", "code_depth": DEPTH, "codebook_size": CODES, "code_dim": code_width},
        indent=1, sort_keys=True) + "\n")
    save_file({k: v.contiguous() for k, v in {
        "in.pixel_values": pixels.float(), "in.large.pixel_values": large.float(), "out.hidden_state": hidden.float(),
        "out.vectors": x.float(), "out.codes": codes, "out.large.codes": large_codes, "out.quantized": quantised.float(),
        "out.commitment": commitment.float()}.items()}, str(folder / "golden.safetensors"), metadata={"format": "pt"})
    print(f"{name}: smallest gap {min(gap, large_gap):.4f}, {len(set(codes.reshape(-1).tolist()))} of {CODES} codes used")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    family(arguments.out, "asvr_tokenizer", 32, shared=False)
    family(arguments.out, "dualtoken", 8, shared=True)
