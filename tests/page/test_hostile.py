"""What a model writes is text, whatever it looks like."""

from steps import answered, ask


def test_hostile_text_is_shown_as_text(open_page, server):
    requests = []
    page = open_page(server.url)
    page.on("request", lambda request: requests.append(request.url))
    ask(page, "hostile")
    answered(page)
    text = page.query_selector(".message.assistant .text")
    assert page.evaluate("window.owned") is None
    assert "<script>window.owned = 1</script>" in text.inner_text()
    assert text.query_selector_all("script, img, svg:not(.icon), iframe, object, style, [onclick], [onerror]") == []
    for link in text.query_selector_all("a"):
        assert link.get_attribute("href").startswith("https://") and "noopener" in link.get_attribute("rel")
    assert all(url.startswith(server.url) for url in requests), requests
    assert page.query_selector(".control").inner_text() == "U+202E"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # Each paragraph is an island: what turns the direction of text in it ends with it.
    assert page.evaluate("getComputedStyle(document.querySelector('.message.assistant .text p')).unicodeBidi") == "isolate"


def test_the_policy_refuses_markup_from_text(open_page, server):
    page = open_page(server.url)
    refused = page.evaluate("(() => { try { document.body.innerHTML = 'x'; return false; } catch { return true; } })()")
    assert refused


def test_a_table_of_20_000_rows_leaves_the_page_usable(open_page, server):
    page = open_page(server.url)
    ask(page, "table")
    answered(page)
    assert len(page.query_selector_all(".message.assistant tr")) == 1001
    ask(page, "Still there?")
    answered(page, 2)


def test_hostile_titles_and_names_are_text_too(open_page, server):
    page = open_page(server.url)
    ask(page, "<img src=x onerror=alert(1)> \u202e evil")
    answered(page)
    assert page.query_selector("#conversations img") is None
    assert "<img src=x" in page.query_selector("#conversations .title").inner_text()
