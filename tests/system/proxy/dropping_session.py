"""Loaded by a proxy under test, from its config's directory: an HTTP layer that cancels by itself.

LiteLLM sends what goes to OpenAI and Azure through ``litellm.aclient_session`` where there is one.
"""

import httpx
import litellm
from litellm.integrations.custom_logger import CustomLogger

from litellm_cancel_otel._demo.dropping import DroppingTransport


class ByDeployment(httpx.AsyncBaseTransport):
    """Drops requests to the deployments ``drop-connect`` and ``drop-body``, sends every other."""

    def __init__(self) -> None:
        self._send = DroppingTransport()
        self._drop = {
            "/drop-connect/": DroppingTransport("connect"),
            "/drop-body/": DroppingTransport("body"),
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        for deployment, transport in self._drop.items():
            if deployment in request.url.path:
                return await transport.handle_async_request(request)
        return await self._send.handle_async_request(request)


litellm.aclient_session = httpx.AsyncClient(transport=ByDeployment())

handler = CustomLogger()
