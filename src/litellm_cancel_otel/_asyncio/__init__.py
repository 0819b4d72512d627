"""What asyncio knows of tasks, cancels, generators and waiting; LiteLLM is not known here."""
