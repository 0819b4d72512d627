"""Kinds of command line arguments, each with one clear line for what does not fit."""

import argparse


def positive(text: str) -> float:
    """Return a number above 0; raise ArgumentTypeError for anything else."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return value


def port(text: str) -> int:
    """Return a port, 0 for any that is free; raise ArgumentTypeError for anything else."""
    value = int(text)
    if not 0 <= value <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} is no port; it must be from 0 to 65535")
    return value
