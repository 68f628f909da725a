"""The passes as compiled kernels for CPUs, each one sweep over memory.

The machine's own C++ compiler makes them of `passes.cpp`, within a second or two, the first time they are used on it.
"""

import ctypes
import hashlib
import logging
import os
import shlex
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from convtasnet_lit.model.fast.passes import Hidden

_SOURCE = Path(__file__).with_name("passes.cpp")
_FLAGS = shlex.split("-std=c++17 -O3 -march=native -fno-math-errno -fno-trapping-math -fopenmp -shared -fPIC")
_TYPES = {torch.float32: "float", torch.float64: "double", torch.bfloat16: "bfloat16"}
_FUNCTIONS = ("moments", "mix", "mix_backward", "expand_backward")
_TENSORS = ("expand_bias", "slope", "scale", "shift", "taps", "bias", "mixed_slope")
_SIZES = ("rows", "channels", "frames", "num_taps", "dilation", "left", "right")


class _Struct(ctypes.Structure):
    """`Hidden` of passes.cpp."""

    _fields_ = [(name, ctypes.c_void_p) for name in _TENSORS] + [(name, ctypes.c_int64) for name in _SIZES]


class Kernels:
    """The four functions of `passes`, compiled for one precision.

    Args:
        path: The shared library.

    Raises:
        OSError: It cannot be loaded.
        AttributeError: It lacks one of them.
    """

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        self._functions = {name: getattr(library, name) for name in _FUNCTIONS}

    def moments(self, y: Tensor, bias: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """See `passes.moments`."""
        none = bias.new_empty(0)
        hidden = Hidden(bias, slope, none, none, bias.new_empty(0, 1), none, none, 1, 0)
        sums = bias.new_empty(2, *y.shape[:2])
        self._call("moments", y, hidden, y, *sums)
        return sums[0], sums[1]

    def mix(self, y: Tensor, hidden: Hidden, overwrite: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """See `passes.mix`."""
        q, sums = y if overwrite else torch.empty_like(y), hidden.bias.new_empty(2, *y.shape[:2])
        self._call("mix", y, hidden, y, q, *sums)
        return q, sums[0], sums[1]

    def mix_backward(
        self, gradient: Tensor, y: Tensor, hidden: Hidden, constant: Tensor, linear: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See `passes.mix_backward`; the gradient of z takes the place of the one given."""
        slopes = hidden.bias.new_empty(y.shape[:2])
        correlations, sums = hidden.bias.new_empty(2, *y.shape[:2], hidden.taps.shape[1])
        added = constant.contiguous(), linear.contiguous()
        self._call("mix_backward", y, hidden, gradient, y, *added, slopes, correlations, sums)
        return gradient, slopes, correlations, sums

    def expand_backward(
        self, gradient: Tensor, y: Tensor, hidden: Hidden, constant: Tensor, linear: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `passes.expand_backward`; the gradient of y takes the place of the one given."""
        slopes, sums = hidden.bias.new_empty(2, *y.shape[:2])
        added = constant.contiguous(), linear.contiguous()
        self._call("expand_backward", y, hidden, gradient, y, *added, slopes, sums)
        return gradient, slopes, sums

    def _call(self, name: str, y: Tensor, hidden: Hidden, *tensors: Tensor) -> None:
        parts = [getattr(hidden, part).contiguous() for part in _TENSORS]  # kept alive until the call returns
        (batch, channels, frames), num_taps = y.shape, hidden.taps.shape[1]
        right = (num_taps - 1) * hidden.dilation - hidden.left
        sizes = batch * channels, channels, frames, num_taps, hidden.dilation, hidden.left, right
        struct = _Struct(*(part.data_ptr() for part in parts), *sizes)
        assert all(tensor.is_contiguous() for tensor in tensors)
        self._functions[name](ctypes.byref(struct), *(ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors))


@cache
def kernels_for(stored: torch.dtype, precision: torch.dtype) -> Kernels | None:
    """Return the kernels for sequences in a CPU's memory, if there are any.

    Args:
        stored: What the sequences are in: float32, float64 or bfloat16.
        precision: Of the parameters: float32 for bfloat16, and else the same.

    Returns:
        None for other precisions; None, and one line that says why, where they cannot be compiled.
    """
    if stored not in _TYPES or precision not in (stored, torch.float32 if stored == torch.bfloat16 else stored):
        return None
    try:
        return _made(f"-DREAL={_TYPES[precision]}", f"-DSTORED={_TYPES[stored]}")
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.decode(errors="replace").strip() or str(error)).splitlines()[-1]
    except (OSError, RuntimeError, ValueError, AttributeError) as error:  # no compiler, no home, no room, CXX="'"
        reason = str(error)
    logging.getLogger(__name__).warning("slower without compiled kernels: %s", reason)
    return None


def _made(*macros: str) -> Kernels:
    """Load what was compiled before; what is missing or damaged is compiled anew.

    A library's name stands for the source, the compiler and the processor, and for its own bytes: to load one that was
    cut short may end the process.
    """
    command = [*shlex.split(os.environ.get("CXX") or "c++"), *_FLAGS, *macros]
    known = subprocess.run([*command, "-dM", "-E", "-x", "c++", os.devnull], check=True, capture_output=True).stdout
    stem = f"{_SOURCE.stem}-{_digest(known + _SOURCE.read_bytes())}"
    folder = _cache_folder()
    for library in folder.glob(f"{stem}-*.so"):
        if library.is_file() and _is_ours(library) and library.stem == f"{stem}-{_digest(library.read_bytes())}":
            return Kernels(library)
    with TemporaryDirectory(dir=folder) as own:  # several processes may compile at once
        built = Path(own) / f"{stem}.so"
        subprocess.run([*command, str(_SOURCE), "-o", str(built)], check=True, capture_output=True)
        compiled = Kernels(built)
        built.chmod(0o755)
        built.replace(folder / f"{stem}-{_digest(built.read_bytes())}.so")
    return compiled


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _cache_folder() -> Path:
    """The user's folder for kernels: what is loaded from it runs, so nobody else may write to it."""
    home = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(home) if home else Path.home() / ".cache") / "convtasnet_lit"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_ours(folder):
        raise OSError(f"{folder} belongs to somebody else, or others may write to it")
    return folder


def _is_ours(path: Path) -> bool:
    """Whether nobody but this user can write there, as far as the system tells."""
    status = path.stat()
    return not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & 0o022)
