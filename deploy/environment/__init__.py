"""What an environment consists of, and how it is named: pure data, the same for every host that gets it."""
