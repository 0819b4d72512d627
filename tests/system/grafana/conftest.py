"""What the tests of dashboards and rules share: a Prometheus that has data of every metric."""

from collections.abc import Iterator

import pytest
from grafana_boards import RULES
from grafana_load import FAULTS, Loaded, Replica
from grafana_stack import Prometheus, impatient, wait_until


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """Two replicas, one of them with every fault there is, scraped a dozen times."""
    home = tmp_path_factory.mktemp("prometheus")
    with Replica("a", seed=1) as healthy, Replica("b", seed=2) as faulty:
        faulty.faults.update(FAULTS)
        targets = {replica.name: replica.port for replica in (healthy, faulty)}
        rules = impatient(RULES, home / "rules")
        with Prometheus(home, targets, interval="1s", rules=rules) as prometheus:
            seen = 'count_over_time(litellm_cancel_internal_errors_total{seam="none"}[1m]) >= 12'
            wait_until("dozen scrapes of both", lambda: len(prometheus.query(seen)) == 2)
            yield Loaded(prometheus, (healthy, faulty))
