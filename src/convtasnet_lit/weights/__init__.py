"""Trained networks on disk and on the Hub: our own, published ones, those of other toolkits."""
