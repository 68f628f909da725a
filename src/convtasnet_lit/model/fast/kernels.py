"""The passes as compiled kernels, each one sweep over memory.

On a CPU they come from `passes.cpp`, by the machine's own compiler and within a second or two; on a GPU from `passes`
itself, by torch.compile.
"""

import ctypes
import hashlib
import logging
import os
import shlex
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._triton import has_triton

from convtasnet_lit.files import written_whole
from convtasnet_lit.model.fast import passes
from convtasnet_lit.model.fast.passes import Hidden

_SOURCE = Path(__file__).with_name("passes.cpp")
_FLAGS = shlex.split("-std=c++17 -O3 -march=native -fno-math-errno -fno-trapping-math -fopenmp -shared -fPIC")
_TYPES = {torch.float32: "float", torch.float64: "double", torch.bfloat16: "bfloat16"}
_TENSORS = ("expand_bias", "slope", "scale", "shift", "taps", "bias", "mixed_slope")
_SIZES = ("rows", "channels", "frames", "num_taps", "dilation", "left", "right")


class _Struct(ctypes.Structure):
    """`Hidden` of passes.cpp."""

    _fields_ = [(name, ctypes.c_void_p) for name in _TENSORS] + [(name, ctypes.c_int64) for name in _SIZES]


@dataclass(frozen=True)
class Kernels:
    """The four functions of `passes`, each in one sweep over memory."""

    moments: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    mix: Callable[..., tuple[Tensor, Tensor, Tensor]]
    mix_backward: Callable[[Tensor, Tensor, Hidden, Tensor, Tensor], tuple[Tensor, Tensor, Tensor, Tensor]]
    expand_backward: Callable[[Tensor, Tensor, Hidden, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


class _Library:
    """The four functions compiled from `passes.cpp` for one precision.

    Args:
        library: What was compiled.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

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
        self._library[name](ctypes.byref(struct), *(ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors))


def kernels_for(x: Tensor, precision: torch.dtype = torch.float32) -> Kernels | None:
    """Return the kernels for sequences like this one, if there are any.

    Args:
        x: On a GPU with Triton all have kernels; on a CPU with a C++ compiler float32, float64 and bfloat16.
        precision: Of the parameters; on a CPU float32 for bfloat16, and else that of x.
    """
    if type(x) is not Tensor:  # a fake tensor, or another wrapped one, has no memory that could be read
        return None
    if x.is_cuda:
        return _gpu_kernels() if has_triton() else None
    fits = precision == x.dtype or (x.dtype, precision) == (torch.bfloat16, torch.float32)
    if x.device.type != "cpu" or x.dtype not in _TYPES or not fits:
        return None
    return _cpu_kernels(_TYPES[x.dtype], _TYPES[precision])


@cache
def _gpu_kernels() -> Kernels | None:
    """Compiled at their first call, for any length and dilation at once; torch keeps them on disk for the next run."""
    fast = partial(torch.compile, dynamic=True)
    kernels = Kernels(fast(passes.moments), fast(passes.mix), fast(passes.mix_backward), fast(passes.expand_backward))
    logging.getLogger(__name__).info("compiling kernels for the GPU; they are kept for the next run")
    try:
        _try(kernels)
    except Exception as error:  # Triton needs a C compiler and Python's headers, and says so in many ways
        _say_slower(f"{type(error).__name__}: {error}".splitlines()[0])
        return None
    return kernels


def _try(kernels: Kernels) -> None:
    """Call each of them once on a GPU."""
    y, tables = torch.ones(2, 4, 64, device="cuda"), torch.ones(2, 4, device="cuda")
    hidden = Hidden(
        tables[0], tables[0, :1], tables, tables, torch.ones(4, 3, device="cuda"), tables[0], tables[0, :1], 2, 2
    )
    kernels.moments(y, hidden.expand_bias, hidden.slope)
    kernels.mix(y, hidden)
    kernels.mix_backward(y.clone(), y, hidden, tables, tables)
    kernels.expand_backward(y.clone(), y, hidden, tables, tables)


@cache
def _cpu_kernels(stored: str, real: str) -> Kernels | None:
    shared = loaded(_SOURCE, f"-DREAL={real}", f"-DSTORED={stored}")
    if shared is None:
        return None
    library = _Library(shared)
    return Kernels(library.moments, library.mix, library.mix_backward, library.expand_backward)


def loaded(source: Path, *macros: str) -> ctypes.CDLL | None:
    """Compile functions in C++, the first time on this machine, and load them.

    Args:
        source: The file.
        *macros: As `-DNAME=VALUE`.

    Returns:
        None, and a warning that it will be slower, where there is no compiler or no room.
    """
    try:
        return ctypes.CDLL(str(_compiled(source, *macros)))
    except subprocess.CalledProcessError as error:
        _say_slower((error.stderr.decode(errors="replace").strip() or str(error)).splitlines()[-1])
    except (OSError, RuntimeError) as error:  # no compiler, no home, no room
        _say_slower(str(error))
    return None


def _say_slower(reason: str) -> None:
    logging.getLogger(__name__).warning("slower without compiled kernels: %s", reason)


def _compiled(source: Path, *macros: str) -> Path:
    """The shared library in the user's cache; its name stands for the source, the compiler and the processor."""
    command = [*shlex.split(os.environ.get("CXX", "c++")), *_FLAGS, *macros]
    known = subprocess.run([*command, "-dM", "-E", "-x", "c++", os.devnull], check=True, capture_output=True).stdout
    key = hashlib.sha256(known + source.read_bytes()).hexdigest()[:16]
    cache_home = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(cache_home) if cache_home else Path.home() / ".cache") / "convtasnet_lit"
    library = folder / f"{source.stem}-{key}.so"
    if not library.is_file():
        # the processes of a run, and the threads of one, may all compile at once
        own = folder / f"{library.name}.{os.getpid()}.{threading.get_ident()}"
        with written_whole(own) as partial:
            subprocess.run([*command, str(source), "-o", str(partial)], check=True, capture_output=True)
        own.replace(library)
    return library
