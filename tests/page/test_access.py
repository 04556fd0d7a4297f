"""The page by keyboard, by screen reader, on a phone, in the dark."""

import pytest

from steps import answered, ask, shows, texts, until

PHONE = {"viewport": {"width": 360, "height": 720}, "has_touch": True}
LOOKS = {"light": {}, "dark": {"color_scheme": "dark"}, "phone": PHONE, "dark phone": {**PHONE, "color_scheme": "dark"}}


def violations(page, axe):
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{one['id']}: {one['help']}: {[node['html'][:150] for node in one['nodes'][:3]]}" for one in found]


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing(open_page, server, axe, look):
    page = open_page(server.url, **LOOKS[look])
    assert violations(page, axe) == [], "empty"
    ask(page, "sample")
    answered(page)
    ask(page, "tool")
    answered(page, 2)
    ask(page, "think")
    answered(page, 3)
    ask(page, "break")
    page.wait_for_selector(".error")
    page.click(".message.user [aria-label='Edit']")
    assert violations(page, axe) == [], "conversation"
    page.keyboard.press("Escape")
    page.keyboard.press("Alt+o")
    page.wait_for_selector("dialog")
    assert violations(page, axe) == [], "settings"
    page.keyboard.press("Escape")
    page.evaluate("location.hash = '#dashboard'")
    page.wait_for_selector(".line.colour-1")
    assert violations(page, axe) == [], "dashboard"


@pytest.mark.parametrize("look", ["phone", "dark phone"])
def test_the_drawer_of_a_phone(open_page, server, axe, look):
    page = open_page(server.url, **LOOKS[look])
    ask(page, "Hello")
    answered(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not page.is_visible("#search")
    page.click("#menu")
    page.wait_for_selector("#search", state="visible")
    page.click("[aria-label='More about Hello']")
    assert violations(page, axe) == []
    page.keyboard.press("Escape")
    page.wait_for_selector("#search", state="hidden")


def test_everything_by_keyboard_alone(open_page, server):
    page = open_page(server.url)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the link that skips to the question
    page.keyboard.type("Hello")
    page.keyboard.press("Enter")
    answered(page)
    page.keyboard.press("Alt+u")
    page.keyboard.press("Control+a")
    page.keyboard.type("Goodbye")
    page.keyboard.press("Enter")
    shows(page, "#messages", "You said: Goodbye")
    answered(page)
    page.keyboard.press("Alt+r")
    page.wait_for_selector(".message.assistant .branch")
    page.keyboard.press("Alt+i")
    page.keyboard.type("slow")
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('.message').length === 4")
    page.keyboard.press("Escape")
    answered(page, 2)
    page.keyboard.press("Alt+n")
    assert texts(page) == []
    page.keyboard.press("Alt+k")
    page.keyboard.type("Good")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".message.assistant")
    page.keyboard.press("Alt+b")
    page.wait_for_selector("#dashboard", state="visible")
    page.keyboard.press("Alt+h")
    page.wait_for_selector("dialog dl")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")


def test_every_control_can_be_reached_with_tab(page_with_sample):
    page = page_with_sample
    wanted = page.evaluate("[...document.querySelectorAll('button, a[href], input, select, textarea, summary')]"
                           ".filter(e => e.checkVisibility() && !e.disabled && !e.hidden && e.type !== 'file').length")
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(wanted + 30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(() => { const e = document.activeElement; e.dataset.nth ??= Math.random(); "
                                  "return e.matches('button, a, input, select, textarea, summary') ? e.dataset.nth : null; })()"))
    assert len(reached - {None}) == wanted


@pytest.fixture
def page_with_sample(open_page, server):
    page = open_page(server.url)
    ask(page, "sample")
    answered(page)
    return page


def test_a_screen_reader_hears_paragraphs_and_the_end_not_tokens(open_page, server):
    page = open_page(server.url)
    page.evaluate("""window.said = [];
        new MutationObserver(() => said.push(document.querySelector('#spoken').textContent))
            .observe(document.querySelector('#spoken'), {childList: true, characterData: true, subtree: true});""")
    ask(page, "sample")
    until(page, "window.said.join(' ').includes('The answer is complete.')")
    said = page.evaluate("said")
    assert len(said) <= 4 and "Vieta published" in " ".join(said)
    assert page.query_selector("#messages").evaluate("e => e.closest('[aria-live]')") is None


def test_the_theme_is_the_system_s_until_somebody_chooses(open_page, server):
    page = open_page(server.url, color_scheme="dark")
    background = lambda: page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    dark = background()
    page.click("[aria-label='Dark or light']")
    light = background()
    assert dark != light
    page.reload()
    assert background() == light
    page.keyboard.press("Alt+t")
    assert background() == dark


def test_the_stream_does_not_move_somebody_who_reads_above(open_page, server):
    page = open_page(server.url)
    for i in range(3):
        ask(page, "sample")
        answered(page, i + 1)
    ask(page, "slow")
    until(page, "document.querySelectorAll('.message').length === 8")
    page.mouse.move(600, 300)
    page.mouse.wheel(0, -800)
    page.wait_for_timeout(300)
    top = page.evaluate("document.querySelector('#scroll').scrollTop")
    page.wait_for_timeout(800)
    assert page.evaluate("document.querySelector('#scroll').scrollTop") == top
    page.click("#composer [aria-label='Stop']")
