"""One call while it runs, its server's request, and the pure decision of what its end means."""
