"""Steps of a run."""

from __future__ import annotations

from typing_extensions import Unpack

from rx_assistant.api import run_steps
from rx_assistant.client.pages import AsyncPaginator, Page
from rx_assistant.client.params import StepList, StepRetrieve, taken
from rx_assistant.client.resource import AsyncResource, Resource
from rx_assistant.types import RunStep


class Steps(Resource):
    """`client.threads.runs.steps`."""

    def retrieve(self, step_id: str, *, thread_id: str, run_id: str, **params: Unpack[StepRetrieve]) -> RunStep:
        """The step."""
        query, options = taken(params, StepRetrieve)
        return self._fetch(RunStep, run_steps.retrieve(step_id, thread_id, run_id, query), options)

    def list(self, run_id: str, thread_id: str, **params: Unpack[StepList]) -> Page[RunStep]:
        """The run's steps. Iterating fetches further pages."""
        query, options = taken(params, StepList)
        return self._page(RunStep, run_steps.list(run_id, thread_id, query), options)


class AsyncSteps(AsyncResource):
    """`client.threads.runs.steps` of the asynchronous client."""

    async def retrieve(self, step_id: str, *, thread_id: str, run_id: str, **params: Unpack[StepRetrieve]) -> RunStep:
        """The step."""
        query, options = taken(params, StepRetrieve)
        return await self._fetch(RunStep, run_steps.retrieve(step_id, thread_id, run_id, query), options)

    def list(self, run_id: str, thread_id: str, **params: Unpack[StepList]) -> AsyncPaginator[RunStep]:
        """The run's steps. Iterating fetches further pages."""
        query, options = taken(params, StepList)
        return self._pages(RunStep, run_steps.list(run_id, thread_id, query), options)
