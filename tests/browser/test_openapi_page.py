"""The description of the interface as a page, on a machine without a network."""

from urllib.parse import urlsplit

from looking import Look, Site
from playwright.sync_api import Route, expect


def test_the_interface_can_be_read_offline(look: Look, empty_site: Site) -> None:
    def only_here(route: Route) -> None:
        here = urlsplit(route.request.url).netloc == urlsplit(empty_site.url).netloc
        route.continue_() if here or route.request.url.startswith("data:") else route.abort()

    look.page.route("**/*", only_here)
    page = look.at(empty_site)
    page.get_by_role("link", name="HTTP interface").click()
    expect(page.locator("h1", has_text="Materialization Engine")).to_be_visible()
    for tag in ("materialize", "chunkedgraph", "annotation"):
        expect(page.locator(f"#operations-tag-{tag}")).to_be_visible()
    query = page.locator(".opblock", has_text="Rows of tables joined")
    expect(query).to_be_visible()
    query.click()
    expect(query.get_by_text("Only rows that have a partner in every table.")).to_be_visible()
    expect(query.get_by_text("413", exact=True)).to_be_visible()
    assert look.complaints == []
