"""What the tests share: a telemetry in memory, processes, loops, applications."""
