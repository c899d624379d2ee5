"""Checks of response models, under the module name that earlier releases had."""

from batchata.core.flat import validate_flat_model

__all__ = ["validate_flat_model"]
