"""``python -m litellm_cancel_otel``: the same as the command ``litellm-cancel-otel``."""

import sys

from ._cli import main

sys.exit(main())
