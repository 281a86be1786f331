"""What a model file is, and whether loading it could run code: found from its bytes, none of which is executed."""

from zoo_inspection.findings import Finding, Inspection
from zoo_inspection.inspection import INSPECTOR_VERSION, inspect
from zoo_inspection.limits import Limits

__all__ = ["INSPECTOR_VERSION", "Finding", "Inspection", "Limits", "inspect"]
