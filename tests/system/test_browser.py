"""The pages of a running Zoo in a real browser: front page, API documentation, sign-in, versions, approval."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, sync_playwright

from .running_zoo import TEAM, RunningZoo

BROWSED = f"{TEAM}/browsed"
CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
METHODS = frozenset({"get", "post", "put", "patch", "delete", "head"})
OPERATIONS_IN_PAGE = """[...document.querySelectorAll(".opblock")].map(block => [
    block.querySelector(".opblock-summary-path").dataset.path,
    block.querySelector(".opblock-summary-method").innerText.toLowerCase(),
])"""
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"),
]


@dataclass
class Visit:
    """A page, everything it asked for, and whatever went wrong in it."""

    page: Page
    origin: str
    strangers: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._note_request)
        self.page.on("response", self._note_response)
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:", "blob:")):
            self.strangers.append(request.url)

    def _note_response(self, response: Response) -> None:
        if response.status >= 400:
            self.faults.append(f"{response.status} {response.url}")

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"console: {message.text}")

    def open(self, path: str) -> Page:
        answer = self.page.goto(f"{self.origin}{path}", wait_until="networkidle")
        assert answer is not None
        assert answer.status == 200, answer.status
        return self.page

    def check(self) -> None:
        """Nothing came from elsewhere, and nothing went wrong."""
        assert (self.strangers, self.faults) == ([], [])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture(scope="module")
def signed_in(browser: Browser, zoo: RunningZoo) -> Iterator[BrowserContext]:
    """A browser in which the administrator has signed in with the token as password."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(f"{zoo.url}/admin/")
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", zoo.token)
    page.click("input[type=submit]")
    page.wait_for_url(f"{zoo.url}/admin/")
    page.close()
    yield context
    context.close()


@pytest.fixture(scope="module")
def candidate(zoo: RunningZoo, digits: str) -> str:
    """A version with a base, a data set and measured accuracy."""
    base = zoo.wait_ended(
        zoo.submit("example.make", {}, into=BROWSED.removeprefix(f"{TEAM}/"), inputs={"data": digits})
    )["result"]
    inputs = {"base": base, "data": digits}
    made = zoo.wait_ended(
        zoo.submit("example.make", {"passes": 3}, into=BROWSED.removeprefix(f"{TEAM}/"), inputs=inputs)
    )["result"]
    assert made is not None
    scored = zoo.wait_ended(zoo.submit("example.score", {}, inputs={"model": made, "data": digits}))
    assert scored["state"] == "succeeded", scored
    return made


def _screenshot(page: Page, folder: Path, name: str) -> None:
    """Kept with the test's temporary files, for people to look at."""
    page.screenshot(path=folder / f"{name}.png", full_page=True)
    assert (folder / f"{name}.png").stat().st_size > 5000, "the picture is empty"


def test_the_front_page_says_what_this_is_and_leads_on(browser: Browser, zoo: RunningZoo, tmp_path: Path) -> None:
    with browser.new_context() as context:
        visit = Visit(context.new_page(), zoo.url)
        page = visit.open("/")
        assert page.title() == "Zoo"
        assert page.locator("h1").inner_text().startswith("Zoo")
        assert f"zoo login {zoo.url}" in page.inner_text("body")
        _screenshot(page, tmp_path, "front-page")
        page.click("text=API documentation")
        page.wait_for_url(f"{zoo.url}/api/docs")
        page.wait_for_load_state("networkidle")
        visit.check()


def test_the_api_documentation_shows_every_operation_from_our_own_server(
    browser: Browser, zoo: RunningZoo, tmp_path: Path
) -> None:
    with browser.new_context() as context:
        visit = Visit(context.new_page(), zoo.url)
        page = visit.open("/api/docs")
        page.wait_for_selector(".opblock")
        document = httpx.get(f"{zoo.url}/api/schema", headers={"Accept": "application/json"}).json()
        operations = {(path, method) for path, methods in document["paths"].items() for method in methods}
        operations = {(path, method) for path, method in operations if method in METHODS}
        assert len(operations) > 50
        shown: set[tuple[str, str]] = set()
        for _ in _scrolled_down(page):
            shown |= {tuple(item) for item in page.evaluate(OPERATIONS_IN_PAGE)}
            if shown >= operations:
                break
        assert shown == operations
        page.reload(wait_until="networkidle")
        submission = page.locator(".opblock-post .opblock-summary-path[data-path='/api/v1/jobs']")
        for _ in _scrolled_down(page):
            if submission.count():
                break
        submission.click()
        page.wait_for_selector(".opblock.is-open >> text=Idempotency-Key")
        _screenshot(page, tmp_path, "api-docs")
        visit.check()


def _scrolled_down(page: Page) -> Iterator[None]:
    """A reader's way through the page: Swagger UI keeps in it only what is near the window."""
    page.mouse.wheel(0, -100_000)
    for _ in range(200):
        page.wait_for_timeout(50)
        yield
        page.mouse.wheel(0, 300)


def test_a_wrong_password_is_refused_in_words(browser: Browser, zoo: RunningZoo) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{zoo.url}/admin/")
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", f"{zoo.token}x")
        page.click("input[type=submit]")
        assert "Please enter the correct username and password" in page.inner_text(".errornote")


def test_the_administrator_finds_a_version_with_its_lineage_and_metrics(
    signed_in: BrowserContext, zoo: RunningZoo, candidate: str, digits: str, tmp_path: Path
) -> None:
    visit = Visit(signed_in.new_page(), zoo.url)
    page = visit.open("/admin/catalog/version/?q=browsed")
    assert page.locator("#result_list tbody tr").count() == len(list(zoo.client.models.versions.iterate(BROWSED)))
    _screenshot(page, tmp_path, "versions")
    page.click(f"#result_list >> text={candidate}")
    page.wait_for_load_state("networkidle")
    text = page.inner_text("#content")
    (base,) = [
        item["reference"] for item in zoo.client.models.versions.show(candidate)["parents"] if item["role"] == "base"
    ]
    for expected in (candidate, base, digits, "trained_on", "top1", "measured", "example.make"):
        assert expected in text, f"the page of {candidate} does not show {expected}"
    top1 = next(item for item in zoo.client.models.versions.metrics(candidate) if item["name"] == "top1")
    assert str(top1["value"])[:6] in text
    _screenshot(page, tmp_path, "version")
    visit.check()
    visit.page.close()


def test_a_curator_approves_a_version_by_the_action(
    signed_in: BrowserContext, zoo: RunningZoo, candidate: str, tmp_path: Path
) -> None:
    assert zoo.client.models.versions.show(candidate)["state"] == "candidate"
    visit = Visit(signed_in.new_page(), zoo.url)
    page = visit.open("/admin/catalog/version/?q=browsed")
    page.locator("#result_list tbody tr", has_text=candidate).locator("input.action-select").check()
    page.select_option("select[name=action]", label="Approve the selected versions")
    page.click("button[name=index]")
    page.wait_for_selector(".messagelist .success")
    assert page.inner_text(".messagelist") == f"Now approved: {candidate}."
    _screenshot(page, tmp_path, "approved")
    visit.check()
    visit.page.close()
    version = zoo.client.models.versions.show(candidate)
    assert version["state"] == "approved"
    change = version["state_changes"][-1]
    assert (change["changed_by"], change["comment"]) == ("admin", "in the admin pages")
    events = zoo.client.audit.iterate(object_name=candidate, action="version.approved")
    assert [event["actor"] for event in events] == ["admin"]
