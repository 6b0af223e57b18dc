"""Turn the downloaded wheels into a libtorch folder that only computes on the CPU.

argv: the folder of the wheels, the folder to fill, the version.
Writes `build-version`, which torch-sys checks, and last of all `files`: "bytes path" of each library.
"""
import ctypes
import os
import shutil
import sys
import zipfile

wheels, target, version = sys.argv[1:]

# Name in the wheel (a file, or a folder ending in /) to the name in our folder.
WANTED = {
    "torch-": {
        "torch/lib/libtorch_cpu.so": "lib/libtorch_cpu.so",
        "torch/lib/libc10.so": "lib/libc10.so",
        "torch/lib/libgomp.so.1": "lib/libgomp.so.1",
        "torch/include/": "include/",
        "torch-%s.dist-info/licenses/" % version: "licenses/",
    },
    # libtorch_cpu asks for these two by name, and calls neither without a GPU.
    "nvidia_cuda_runtime-": {"nvidia/cu13/lib/libcudart.so.13": "lib/libcudart.so.13"},
    "nvidia_cuda_cupti-": {"nvidia/cu13/lib/libcupti.so.13": "lib/libcupti.so.13"},
}
# The wheel's libtorch.so wants CUDA, and -lgomp wants a name without a number: linker scripts stand in.
SCRIPTS = {"lib/libtorch.so": "INPUT(libtorch_cpu.so)\n", "lib/libgomp.so": "INPUT(libgomp.so.1)\n"}


def place(member):
    for source, name in members.items():
        if member == source or (source.endswith("/") and member.startswith(source)):
            return name + member[len(source):]
    return None


libraries = list(SCRIPTS)
for prefix, members in WANTED.items():
    found = [name for name in os.listdir(wheels) if name.startswith(prefix) and name.endswith(".whl")]
    if len(found) != 1:
        sys.exit("expected one wheel %s*, found %s" % (prefix, found or "none"))
    missing = set(members)
    with zipfile.ZipFile(os.path.join(wheels, found[0])) as wheel:
        for info in wheel.infolist():
            name = place(info.filename)
            if name is None or info.is_dir():
                continue
            missing -= {source for source in members if info.filename.startswith(source)}
            path = os.path.join(target, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if info.file_size > 1 << 20:
                print("  unpacking %s (%d MB)" % (name, info.file_size >> 20), flush=True)
            with wheel.open(info) as packed, open(path, "wb") as plain:  # reading to the end checks the CRC
                shutil.copyfileobj(packed, plain, 1 << 20)
            if name.startswith("lib/"):
                libraries.append(name)
    if missing:
        sys.exit("%s lacks %s" % (found[0], ", ".join(sorted(missing))))

for name, text in SCRIPTS.items():
    with open(os.path.join(target, name), "w") as script:
        script.write(text)
with open(os.path.join(target, "build-version"), "w") as file:
    file.write(version + "\n")

# Loading it here finds a C library that is too old before a linker does.
try:
    ctypes.CDLL(os.path.join(target, "lib/libtorch_cpu.so"))
except OSError as error:
    sys.exit("the unpacked libtorch does not load on this machine: %s" % error)

with open(os.path.join(target, "files"), "w") as file:
    for name in libraries:
        file.write("%d %s\n" % (os.path.getsize(os.path.join(target, name)), name))
