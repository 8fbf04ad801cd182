"""What a comparison computes: estimates, contrasts and marginal means over seeds."""
