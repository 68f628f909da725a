"""The fast path of the network's blocks: the same arithmetic with less memory and fewer passes over it."""
