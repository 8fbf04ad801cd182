"""Names for the mappings whose values are of many types."""

from typing import Any

JsonObject = dict[str, Any]
"""An object of a JSON file, as `json` reads it. Whoever takes a value out of it checks its type."""

StateDict = dict[str, Any]
"""What a part of a run puts into a checkpoint, and gets back from it: the `state_dict` of torch and Lightning."""
