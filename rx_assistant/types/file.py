"""Files: those that were uploaded, and those that runs have written."""

from typing import Literal, TypeAlias

from rx_assistant.types._base import ABSENT, Wire, WireModel, Word

FilePurpose: TypeAlias = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
"""The purposes for which a file may be uploaded."""

FileContent: TypeAlias = str
"""The content of a text file."""


class FileObject(WireModel):
    """A file. A separate request fetches its content."""

    object: Word[Literal["file"]] = "file"
    id: Wire[str] = ABSENT
    purpose: Word[
        Literal[
            "assistants",
            "assistants_output",
            "batch",
            "batch_output",
            "fine-tune",
            "fine-tune-results",
            "vision",
            "user_data",
        ]
    ] = ABSENT
    filename: Wire[str] = ABSENT
    bytes: Wire[int] = ABSENT
    created_at: Wire[int] = ABSENT
    expires_at: int | None = None
    status: Word[Literal["uploaded", "processed", "error"]] = ABSENT
    status_details: str | None = None


class FileDeleted(WireModel):
    """The reply to a request that deletes a file."""

    object: Word[Literal["file"]] = "file"
    id: Wire[str] = ABSENT
    deleted: Wire[bool] = ABSENT
