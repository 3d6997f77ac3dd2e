"""Every rule of the doctor, gathered."""

from __future__ import annotations

from longtail_export.doctor_capacity_rules import CAPACITY_RULES
from longtail_export.doctor_config_rules import CONFIG_RULES
from longtail_export.doctor_version_rules import VERSION_RULES

RULES = (*CONFIG_RULES, *VERSION_RULES, *CAPACITY_RULES)
"""The rules, in the order in which `longtail doctor --explain` lists them."""
