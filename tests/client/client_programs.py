"""A program over both clients: what each call gives, and what each refuses."""

from __future__ import annotations

from pathlib import Path

from typed_programs import Programs

PROGRAMS = Programs(right=Path(__file__).with_name("client_typing_program.py").read_text("utf-8"))
