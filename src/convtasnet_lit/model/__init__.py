"""The Conv-TasNet network alone: plain PyTorch, no Lightning, no Hydra."""
