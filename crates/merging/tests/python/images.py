"""Writes the reference of the image tests: pictures, and what the processors of transformers make of them.

Needs pillow, numpy, torch and transformers; run as `python crates/merging/tests/python/images.py`.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

OUT = Path(__file__).parent.parent / "reference" / "images"

# Waves of several lengths, and an edge that a resampling kernel swings beside.
y, x = np.mgrid[0:70, 0:93].astype(float)
waves = [np.sin(x / (3 + 2 * c) + c) * np.cos(y / (9 - 2 * c)) for c in range(3)]
colour = np.stack([127 + 80 * w for w in waves], axis=-1)
colour[20:44, 30:61] = [250, 10, 128]
colour = colour.round().clip(0, 255).astype(np.uint8)
alpha = np.full((70, 93, 1), 60, np.uint8)

OUT.mkdir(parents=True, exist_ok=True)
Image.fromarray(colour).save(OUT / "colour.png")
Image.fromarray(colour).save(OUT / "colour.jpg", quality=90)
Image.fromarray(colour[:, :, 0]).save(OUT / "grey.png")
Image.fromarray(np.concatenate([colour, alpha], axis=-1)).save(OUT / "alpha.png")

clip = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
small = CLIPImageProcessorPil(size={"shortest_edge": 20}, crop_size={"height": 32, "width": 32})
large = CLIPImageProcessorPil(size={"shortest_edge": 85}, crop_size={"height": 40, "width": 40})
vit = ViTImageProcessorPil(size={"height": 24, "width": 40})
runs = {"clip": clip, "small": small, "large": large, "vit": vit}
for name in ["colour.png", "colour.jpg", "grey.png", "alpha.png"]:
    for run, processor in runs.items():
        if run != "clip" and name != "colour.png":
            continue
        # The default of ViT's would leave grey and transparency as they are.
        pixels = processor(Image.open(OUT / name), do_convert_rgb=True, return_tensors="np")["pixel_values"]
        np.save(OUT / f"{Path(name).stem}-{Path(name).suffix[1:]}-{run}.npy", pixels.astype(np.float32))
