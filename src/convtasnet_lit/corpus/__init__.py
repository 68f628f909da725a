"""Recordings on disk -> a store of utterances in shards, and which speaker is trained, validated, tested on."""
