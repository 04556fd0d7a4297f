"""What somebody does on the page, and how to wait for what comes of it."""

import time


def until(page, expression, argument=None, timeout=60):
    """Waits until an expression, or a function of `argument`, is true. Asks from outside: the page's policy forbids to
    evaluate a string in it again and again, as wait_for_function would."""
    deadline = time.monotonic() + timeout
    while not page.evaluate(expression, argument):
        assert time.monotonic() < deadline, f"not true after {timeout} s: {expression}"
        page.wait_for_timeout(50)


def shows(page, place, text, timeout=60):
    until(page, "([place, text]) => document.querySelector(place)?.innerText.includes(text)", [place, text], timeout)


def ask(page, text):
    page.fill("#question", text)
    page.press("#question", "Enter")


def answered(page, count=1):
    """Waits until so many questions and answers are shown and none is on its way."""
    until(page, "n => document.querySelectorAll('.message').length === n && document.querySelector('#composer [aria-label=Send]') !== null", 2 * count)


def texts(page):
    return [message.inner_text() for message in page.query_selector_all(".message .body")]
