"""What W&B and TensorBoard show of a run beside its curves."""
