"""Writes saved/: small files of torch.save, for the reader of them (PyTorch 2.11). The legacy format names its
storages by their addresses, so that file's bytes differ from run to run; what is in it does not."""

import io
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch

FOLDER = Path(__file__).parent / "saved"


class Old:
    """A tensor as PyTorch 0.3 saved it."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __reduce__(self):
        t = self.tensor
        return torch._utils._rebuild_tensor, (t._typed_storage(), t.storage_offset(), tuple(t.size()), t.stride())


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("touch pwned",)


def state():
    """Six types; views that share a storage, with an offset, transposed, and with a hole."""
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) / 8 - 1
    return OrderedDict(
        plain=base,
        transposed=base.permute(2, 0, 1),
        window=base[1, :, 1:3],
        parameter=torch.nn.Parameter(torch.tensor([0.5, -0.25])),
        float64=torch.tensor([[1.0], [1 / 3]], dtype=torch.float64),
        float16=torch.tensor([1.5, -65504.0, 6e-8, 0.1], dtype=torch.float16),
        bfloat16=torch.tensor([1.5, -3e38, 0.1, 0.0], dtype=torch.bfloat16),
        int64=torch.tensor(7),
        empty=torch.zeros(0, 3),
    )


def zipped(thing, **how):
    file = io.BytesIO()
    torch.save(thing, file, **how)
    return file.getvalue()


def wide(file):
    """The same zip with every number of its directory in 64 bits, as beyond 4 GB."""
    ends = zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT
    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = -1, 0
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(file)) as source, zipfile.ZipFile(out, "w") as target:
        for entry in source.infolist():
            target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))
    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = ends
    return out.getvalue()


def write(name, data):
    (FOLDER / name).write_bytes(data)
    if name != "evil.pth":
        torch.load(io.BytesIO(data), weights_only=False)


FOLDER.mkdir(exist_ok=True)
network = torch.nn.BatchNorm2d(2)  # its state dict has a _metadata
write("zip.pth", zipped(state()))
write("legacy.pth", zipped(OrderedDict(state(), old=Old(torch.arange(6.0).reshape(2, 3).T)),
                           _use_new_zipfile_serialization=False))
write("wide.pth", wide(zipped(network.state_dict(), pickle_protocol=4)))
write("training.pth", zipped({"epoch": 3, "loss": 0.5, "model": network.state_dict(), "lr": [0.1, 1e-3]},
                             _use_new_zipfile_serialization=False))
write("tensor.pt", zipped(torch.arange(6.0).reshape(1, 2, 3)))
write("evil.pth", zipped({"weight": torch.zeros(2), "more": Evil()}))
