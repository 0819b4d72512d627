"""Keeps LiteLLM off the network, and what it prints out of the demo's picture."""

from __future__ import annotations

import logging
import os
import warnings


def before_litellm() -> None:
    """Set what LiteLLM and its clients read when they are imported or made."""
    # It would fetch its table of prices.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    for name in ("NO_PROXY", "no_proxy"):
        known = os.environ.get(name)
        os.environ[name] = f"{known},127.0.0.1" if known else "127.0.0.1"
    # LiteLLM 1.72 and the pydantic of today disagree about its chunks.
    warnings.filterwarnings("ignore", category=UserWarning, module="pydantic")
    # LiteLLM makes some of its coroutines in a thread, and a cancel meanwhile leaves them unused.
    warnings.filterwarnings("ignore", message=".* was never awaited", category=RuntimeWarning)


def libraries() -> None:
    """Keep LiteLLM from printing advice about each error, for the errors here are meant.

    An exporter speaks when it has given up, not of each attempt.
    """
    import litellm

    litellm.suppress_debug_info = True
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)
