"""Recordings on disk -> one memory-mapped store of utterances, and which speaker is trained, validated, tested on."""
