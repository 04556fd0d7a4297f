"""The dashboard against a server that tells all, and one that tells nothing."""

import re

from steps import shows, until


def panels(page):
    return [title.inner_text() for title in page.query_selector_all("#panels h2") if title.is_visible()]


def test_all_that_the_server_tells_is_drawn(open_page, server):
    page = open_page(server.url)
    page.click("text=Dashboard")
    until(page, "document.querySelectorAll('.line').length === 8")
    assert panels(page) == ["Memory", "Steps", "Tokens a second", "Requests", "Found in a cache", "Disk", "In the engine", "Answered since the start"]
    assert "of 14.9 GiB" in page.inner_text(".parts")
    assert "384 of 812" in page.inner_text("#panels")
    assert "70 %" in page.inner_text(".tiles")
    until(page, "document.querySelector('canvas').ariaLabel.includes('at most 4 rows')")  # from the fourth poll on
    assert re.match(r"\d+ steps, 37\.. milliseconds each", page.query_selector("canvas").get_attribute("aria-label"))
    label = page.query_selector(".chart svg").get_attribute("aria-label")
    assert label.startswith("Tokens a second: written")


def test_polling_ends_when_the_dashboard_is_left(open_page, server):
    page = open_page(server.url)
    page.click("text=Dashboard")
    page.wait_for_selector(".line")
    page.click("#views >> text=Chat")
    page.wait_for_timeout(300)
    polls = server.polls
    page.wait_for_timeout(2500)
    assert server.polls == polls


def test_a_server_that_tells_little_is_no_error(open_page, server, monkeypatch):
    import fake_server

    monkeypatch.setattr(fake_server, "metrics", lambda _: "sluice_requests_running 1\nnonsense{\n")
    monkeypatch.setattr(fake_server, "slots", lambda *_: [{"id": 0, "is_processing": False}, {"id": 1, "is_processing": True}])
    page = open_page(server.url)
    page.click("text=Dashboard")
    page.wait_for_selector(".chart:not([hidden])")
    assert panels(page) == ["Requests", "In the engine"]


def test_a_server_that_has_gone_is_said_and_forgiven(open_page, server, monkeypatch):
    import fake_server

    page = open_page(server.url)
    with monkeypatch.context() as patch:
        patch.setattr(fake_server.Handler, "do_GET", lambda self: self.send_json(500, {"error": "out of order"}))
        page.click("text=Dashboard")
        shows(page, "#dashboard-state", "out of order")
    until(page, "document.querySelector('#dashboard-state').innerText === ''")
