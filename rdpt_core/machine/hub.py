"""The Hugging Face hub: which of its errors are answers, and which say that it is out of reach."""

from __future__ import annotations

from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

REFUSED = (RepositoryNotFoundError, RevisionNotFoundError, GatedRepoError, HFValidationError)
"""Answers of the hub about a model or a data set. Any other failure is one of reaching it: which
exceptions those are has changed with each HTTP library that its client was built on."""
