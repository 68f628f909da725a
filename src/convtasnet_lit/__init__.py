"""Single-channel speech separation with Conv-TasNet, on PyTorch Lightning and Hydra."""

__version__ = "0.1.0"
