"""What is open: who follows it, finds it stuck, and cleans up behind it."""
