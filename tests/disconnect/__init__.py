"""The disconnect matrix: every way in which a client goes away, on real servers and sockets."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # before litellm is imported: no network
