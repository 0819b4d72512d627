"""Draws the documents' pictures: a quarter of an hour in which things go wrong.

``python -m grafana_pictures FOLDER``, with ``src``, ``tests`` and this folder on PYTHONPATH. Three
replicas run well for four minutes; then Azure cancels calls by itself, and in one replica streams
get stuck and the clean-up is late. Prometheus has the shipped rules, so that their alerts fire.
"""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from grafana_boards import DASHBOARDS, RULES
from grafana_load import Replica
from grafana_stack import GRAFANA, Prometheus, wait_until

sys.path.append(str(GRAFANA / "tools"))  # a tool, and no part of the package

from draw.__main__ import draw

WELL = 240
"""Seconds before things go wrong."""
FIRING = {"LitellmCancelStreamsStuck", "LitellmCancelInternalAboveUsual"}
SCRAPE = 5
USUAL = (
    'job_provider:litellm_cancel_internal:ratio_increase15m{job="chat",'
    'gen_ai_provider_name="azure.ai.openai"}'
)


def main() -> None:
    """Run the replicas until the alerts fire, and draw every dashboard."""
    parser = argparse.ArgumentParser(prog="grafana_pictures", description=__doc__)
    parser.add_argument("out", type=Path, metavar="FOLDER")
    out = parser.parse_args().out
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        names = ("chat-7d4f-a", "chat-7d4f-b", "chat-7d4f-c")
        well, slow, stuck = (
            stack.enter_context(Replica(name, seed, 8)) for seed, name in enumerate(names)
        )
        ports = {replica.name: replica.port for replica in (well, slow, stuck)}
        past = {USUAL: 0.004}
        prometheus = stack.enter_context(
            Prometheus(home, ports, interval=f"{SCRAPE}s", rules=RULES, past=past)
        )
        began = time.monotonic()
        wait_until("past", lambda: time.monotonic() - began > WELL, WELL + 60)
        for replica in (well, slow, stuck):
            replica.faults.add("internal")
        slow.faults.update({"late_finally", "undelivered"})
        stuck.faults.update({"after_disconnect", "orphaned", "no_chunk", "swallowed", "faults"})
        wait_until("firing alerts", lambda: firing(prometheus) >= FIRING, 1_200)
        seconds = time.monotonic() - began
        for path in sorted(DASHBOARDS.glob("*.json")):
            draw(path, prometheus.url, out, seconds, SCRAPE, None)


def firing(prometheus: Prometheus) -> set[str]:
    """Return the alerts that fire."""
    alerts = prometheus.alerts().items()
    return {name for name, found in alerts if any(one["state"] == "firing" for one in found)}


if __name__ == "__main__":
    main()
