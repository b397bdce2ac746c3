"""Judges behind an endpoint: any server that speaks OpenAI's protocol, vLLM's for one."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any

from chexjax.config import local
from chexjax.data.tokens import chat_text
from chexjax.families import TextFamily, preset
from chexjax.judges.answer import AGAIN_SEED, AGAIN_TEMPERATURE, LONGEST
from chexjax.judges.prompt import Question
from chexjax.judges.store import Answer

if TYPE_CHECKING:
    import openai

_FIELD = "judge.green.endpoint"


class JudgeError(RuntimeError):
    """A judge that gives no answers; the message names it, the reason and the remedy."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A server that writes a judge's answers.

    Attributes:
      url: Its base, such as `http://127.0.0.1:8000/v1`.
      model: What it calls the judge.
      frame: A text family whose turns go around a question, which the server then continues as it
        is (`/completions`). Where it is empty the server puts its own turns around
        (`/chat/completions`). GREEN's own is "green_llama2_7b".
      max_tokens: Most tokens of an answer.
      key: Environment variable with the bearer token, if there is one.
      concurrency: Questions on their way at once.
      timeout: Seconds that an answer may take.
      retries: Tries after a failed one, further and further apart, or when the server says.
      prices: Dollars for a million tokens of questions and of answers.
    """

    url: str = local("")
    model: str = ""
    frame: str = ""
    max_tokens: int = LONGEST
    key: str = local("OPENAI_API_KEY")
    concurrency: int = local(32)
    timeout: float = local(300.0)
    retries: int = local(6)
    prices: tuple[float, float] = local((0.0, 0.0))

    def check(self) -> None:
        """Finds what is wrong before anything is asked.

        Raises:
          ValueError: a field that nothing can be asked with.
        """
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(
                f"{_FIELD}.url={self.url!r}: set it to the base of an OpenAI-compatible server, "
                "such as http://127.0.0.1:8000/v1"
            )
        if not self.model:
            raise ValueError(f"{_FIELD}.model='': set it to what the server calls the judge")
        for name in ("max_tokens", "concurrency", "timeout"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{_FIELD}.{name}={getattr(self, name)} must be above 0")
        if self.retries < 0:
            raise ValueError(f"{_FIELD}.retries={self.retries} must be 0 or more")
        if self.frame and preset(self.frame, TextFamily).chat is None:
            raise ValueError(f"{_FIELD}.frame={self.frame!r}: of this family no turns are known")

    def cost(self, asked: int, written: int) -> float:
        """Dollars for tokens of questions and of answers."""
        return (asked * self.prices[0] + written * self.prices[1]) / 1e6


class RemoteWriter:
    """Writes answers by asking an endpoint (extra `remote`)."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Connects to nothing yet.

        Raises:
          ValueError: a field of the endpoint is wrong, or the client is not installed.
        """
        endpoint.check()
        try:
            import openai
        except ModuleNotFoundError as error:
            raise ValueError(
                "a judge behind an endpoint needs the package openai: pip install chexjax[remote]"
            ) from error
        self._endpoint = endpoint
        # The server's tokenizer puts the start token in front.
        chat = preset(endpoint.frame, TextFamily).chat if endpoint.frame else None
        self._chat = chat and dataclasses.replace(chat, start="")
        # What a body becomes that is no JSON, or not the one that was asked for, beside its own.
        self._failures = (openai.OpenAIError, AttributeError, LookupError, TypeError, ValueError)
        self._client: openai.OpenAI = openai.OpenAI(
            base_url=endpoint.url,
            api_key=os.environ.get(endpoint.key) or "none",
            timeout=endpoint.timeout,
            max_retries=endpoint.retries,
        )

    @property
    def identity(self) -> tuple[str | int, ...]:
        """What decides its answers, beside the question."""
        return ("endpoint", self._endpoint.model, self._endpoint.frame, self._endpoint.max_tokens)

    def write(
        self, questions: Sequence[Question], keep: Callable[[int, Answer], None], *, again: bool
    ) -> None:
        """Answers questions, several at once and in whatever order they are answered.

        Args:
          questions: What to ask.
          keep: Gets the number of each question and its answer, in the caller's thread.
          again: Take other settings than the greedy ones.

        Raises:
          JudgeError: all tries of a question failed; answers that were on their way are kept.
        """
        failure: BaseException | None = None
        stopped = threading.Event()

        def ask(question: Question) -> Answer | None:
            return None if stopped.is_set() else self._ask(question.text, again)

        pool = ThreadPoolExecutor(self._endpoint.concurrency)
        try:
            asked = {pool.submit(ask, question): k for k, question in enumerate(questions)}
            for future in as_completed(asked):
                if error := future.exception():
                    failure = failure or error
                    stopped.set()
                elif answer := future.result():
                    keep(asked[future], answer)
        finally:
            stopped.set()
            pool.shutdown(wait=False)
        if failure is not None:
            raise failure

    def _ask(self, question: str, again: bool) -> Answer:
        settings: dict[str, Any] = {"temperature": 0.0, "max_tokens": self._endpoint.max_tokens}
        if again:
            settings |= {"temperature": AGAIN_TEMPERATURE, "seed": AGAIN_SEED}
        try:
            if self._chat is None:
                return self._said(question, settings)
            return self._continued(chat_text(self._chat, [("user", question)]), settings)
        except self._failures as error:
            # Its type and status alone: a server's message may repeat the reports.
            status = getattr(error, "status_code", None)
            reason = type(error).__name__ + (f" (HTTP {status})" if status else "")
            raise JudgeError(
                f"judge {self._endpoint.model!r} at {self._endpoint.url}: {reason} after "
                f"{self._endpoint.retries} retries; see the server's log. Answers so far are kept: "
                "the same command goes on"
            ) from None

    def _continued(self, text: str, settings: dict[str, Any]) -> Answer:
        done = self._client.completions.create(model=self._endpoint.model, prompt=text, **settings)
        return _answer(done.choices[0].text, done.usage)

    def _said(self, question: str, settings: dict[str, Any]) -> Answer:
        done = self._client.chat.completions.create(
            model=self._endpoint.model, messages=[{"role": "user", "content": question}], **settings
        )
        return _answer(done.choices[0].message.content, done.usage)


def _answer(text: str | None, usage: Any) -> Answer:
    asked, written = (
        getattr(usage, name, None) or 0 for name in ("prompt_tokens", "completion_tokens")
    )
    return Answer(text or "", asked, written)
