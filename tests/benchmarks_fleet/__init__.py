"""What a run costs that finds nothing to do, beside others that look after the same files: ``make bench-fleet``."""
