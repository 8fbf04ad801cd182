"""One run from its config to its figures: assembled, trained, interrupted, resumed, finished."""
