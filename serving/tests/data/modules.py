"""Writes modules/: halves of two small networks in TorchScript, some that are no halves, and what PyTorch 2.11
answers (modules.json). The halves are cut by docs/cut_model.py, as a user would."""

import io
import json
import sys
import zipfile
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[2] / "docs"))
from cut_model import cut  # noqa: E402

FOLDER = HERE / "modules"


class Tuple(nn.Module):
    def forward(self, x):
        return x, x


class Integers(nn.Module):
    def forward(self, x):
        return x.to(torch.int64)


def save(half, name):
    """Without the debugging tables, which are most of a small file."""
    file = io.BytesIO()
    torch.jit.save(half, file)
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(FOLDER / name, "w") as target:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))
    torch.jit.load(FOLDER / name)


def picture():
    """The pixels that a photo of 256 x 256, (x, y, x ^ y), leaves after the crop, normalised."""
    y, x = torch.meshgrid(torch.arange(16, 240), torch.arange(16, 240), indexing="ij")
    pixels = torch.stack([x, y, x ^ y]).to(torch.float32) / 255
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    return ((pixels - mean) / deviation)[None]


torch.manual_seed(1)
torch.set_num_threads(1)
FOLDER.mkdir(exist_ok=True)
image = nn.Sequential(
    nn.Conv2d(3, 2, 4, stride=16), nn.BatchNorm2d(2), nn.GELU(), nn.AvgPool2d(7), nn.Flatten(), nn.Linear(8, 5)
)
for _ in range(5):
    image(picture() + torch.randn(2, 3, 224, 224))
tensor = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
answers = {}
for name, network, after, example in (
    ("image", image, "2", picture()),
    ("tensor", tensor, "1", torch.linspace(-1, 1, 6)[None]),
):
    a, b = cut(network, after, example)
    save(a, f"{name}_a.pt")
    # One is frozen, as by a user who wants it fast.
    save(torch.jit.freeze(b) if name == "tensor" else b, f"{name}_b.pt")
    with torch.no_grad():
        at_cut, logits = a(example), network.eval()(example)
    answers[name] = {
        "shape": list(at_cut.shape[1:]),
        "at_cut": at_cut.flatten()[:: -(-at_cut.numel() // 16)].tolist(),
        "logits": logits[0].tolist(),
    }
answers["tensor"]["input"] = torch.linspace(-1, 1, 6).tolist()
save(torch.jit.script(Tuple()), "tuple.pt")
save(torch.jit.script(Integers()), "integers.pt")
(HERE / "modules.json").write_text(json.dumps(answers, indent=1) + "\n")
