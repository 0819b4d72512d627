"""Runs the package on many releases of LiteLLM, Pythons and transports, and writes what it saw.

``python -m tests.versions`` makes ``docs/compatibility.md``.
"""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # before litellm is imported: no network
