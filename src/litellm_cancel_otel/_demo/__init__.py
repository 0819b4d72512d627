"""The demo: fake providers on loopback, called and cancelled through the real LiteLLM."""
