"""Whether torch computes now, or looks at what would be computed."""

import torch


def is_eager() -> bool:
    """Whether torch computes now, rather than compiles, exports or traces, which cannot look into everything."""
    return not torch.compiler.is_compiling() and torch._C._get_tracing_state() is None


def is_exporting() -> bool:
    """Whether a graph is made for other runtimes; torch.compile says that it exports, too."""
    return torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling()
