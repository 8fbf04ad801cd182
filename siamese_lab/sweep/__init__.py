"""Many runs: planned, searched and executed."""
