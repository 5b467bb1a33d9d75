import json
from collections.abc import Callable
from typing import Any

import pytest

from jobs.cli import main


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[[str], Any]:
    """What a command line answers as JSON, without NaN."""

    def answer(line: str) -> Any:
        assert main([*line.split(), "--format", "json"]) == 0
        return json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))

    return answer


@pytest.fixture
def text_of(capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """What a command line prints for people; it fits 80 columns."""

    def printed(line: str) -> str:
        assert main(line.split()) == 0
        text = capsys.readouterr().out
        assert max(map(len, text.splitlines())) <= 80
        return text

    return printed


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """The one line by which bad input is refused, as a document too."""

    def message(line: str) -> str:
        assert main(line.split()) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert main([*line.split(), "--format", "json"]) == 2
        again = capsys.readouterr()
        assert again.err == printed.err == f"error: {json.loads(again.out)['error']}\n"
        assert len(printed.err.splitlines()) == 1
        return printed.err

    return message
