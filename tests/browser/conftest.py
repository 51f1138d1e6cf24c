"""The real server on a private database, and Chromium to look at it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from looking import FLAGS, HALF_TIME, NAMES, Look, Site, materialize, running_site
from playwright.sync_api import Browser, sync_playwright

from matengine.box.endpoint import LOOPBACK, free_port
from matengine.box.postgres import PrivatePostgres
from matengine.datasets import importer, open_dataset
from matengine.datasets.sample import make_sample
from matengine.settings import Settings


@pytest.fixture(scope="module")
def empty_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with nothing in it."""
    folder = tmp_path_factory.mktemp("empty")
    with (
        PrivatePostgres(folder / "postgres", durable=False) as postgres,
        running_site(folder, Settings(postgres.url, data=folder / "a box")) as site,
    ):
        yield site


@pytest.fixture
def broken_site(tmp_path: Path) -> Iterator[Site]:
    """A server whose database is not there."""
    nowhere = Settings(f"postgresql://nobody@{LOOPBACK}:{free_port()}/postgres")
    with running_site(tmp_path, nowhere) as site:
        yield site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with the sample's datastack in two versions, half and fully proofread."""
    folder = tmp_path_factory.mktemp("site")
    make_sample(folder / "sample", size=64)
    dataset = open_dataset(folder / "sample")
    with (
        PrivatePostgres(folder / "postgres", durable=False) as postgres,
        running_site(folder, Settings(postgres.url, data=folder / "a box")) as site,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in site.settings.environment().items():
            patch.setenv(name, value)
        importer.import_dataset(dataset, until=HALF_TIME)
        materialize(HALF_TIME, "half proofread")
        importer.import_dataset(dataset)
        materialize(None, "a <b>bold</b> note")
        yield site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    assert program, "These tests need Chromium: ./mat install test"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def look(browser: Browser) -> Iterator[Look]:
    """A page of a fresh profile; all it asks for and complains of is noted."""
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    yield Look(context.new_page())
    context.close()
