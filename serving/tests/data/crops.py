"""Writes crops.csv: what Pillow makes of every photo, as torchvision's Resize(256) and CenterCrop(224) call it.

    python crops.py FOLDER_OF_PHOTOS > crops.csv

A row has the file's name, the size of the photo, and the FNV-1a hash (64 bits) of the crop's rows of RGB.
"""

import pathlib
import sys

from PIL import Image


def fnv1a64(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def crop(image):
    width, height = image.size
    if width <= height:
        size = (256, int(256 * height / width))
    else:
        size = (int(256 * width / height), 256)
    image = image.resize(size, Image.BILINEAR)
    left, top = (round((side - 224) / 2.0) for side in size)
    return image.crop((left, top, left + 224, top + 224))


print("file,width,height,fnv1a64")
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*")):
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png", ".gif", ".webp"):
        continue
    try:
        image = Image.open(path).convert("RGB")
        pixels = crop(image).tobytes()
    except Exception:  # what Pillow refuses has no row
        continue
    name = path.relative_to(sys.argv[1]).as_posix()
    print(f"{name},{image.size[0]},{image.size[1]},{fnv1a64(pixels):016x}")
