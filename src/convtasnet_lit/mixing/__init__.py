"""Utterances -> mixtures: which, how loud, from where; normalized, augmented, batched."""
