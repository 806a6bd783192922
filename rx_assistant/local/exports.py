"""The public names of `rx_assistant.local`. Type checkers read these imports; `rx_assistant.lazy` does at run time."""

from rx_assistant.local.engine import Engine as Engine, RunContext as RunContext
from rx_assistant.local.in_process import Transport as Transport
from rx_assistant.local.server import Server as Server
from rx_assistant.local.serving import app as app, run as run, serve as serve, transport as transport
