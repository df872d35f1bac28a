"""Throughput of training steps, in turns."""
