"""Whether the long sweeps are run whole: ``.ci/run`` asks for it, else a spread of each is run."""

import os

THOROUGH = os.environ.get("REQUIRE_ALL_TESTS") == "1"
