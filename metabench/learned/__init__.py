"""Learned optimizers, how they are meta-trained, and the peers they are checked against."""
