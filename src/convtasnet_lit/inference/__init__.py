"""A recording in, one recording a speaker out; imports no training code."""
