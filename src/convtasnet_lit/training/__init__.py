"""Losses, metrics, schedules and the LightningModule that trains the network."""
