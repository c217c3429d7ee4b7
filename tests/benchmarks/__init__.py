"""`make bench-mcp`: files/jupyter_mcp measured beside the strongest peer, with the goals that it has to reach."""
