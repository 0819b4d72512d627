"""What users may rely on: names, records, settings; it knows neither asyncio nor LiteLLM."""
