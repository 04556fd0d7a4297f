"""The page's chat, as somebody uses it."""

import json
import re

import pytest

from fake_server import SAMPLE, FakeServer
from steps import answered, ask, shows, texts, until

def test_a_question_is_answered_with_its_cost(page_with_answer):
    page, server = page_with_answer
    assert texts(page) == ["Hello there", "You said: Hello there"]
    assert page.query_selector(".message.assistant strong").inner_text() == "Hello there"
    cost = page.query_selector(".message.assistant .cost").inner_text()
    assert re.fullmatch(r"31 tokens read \(24 cached\) · 12 written · 48 tok/s · first after .*", cost)
    body = server.asked[0]
    assert body["stream"] is True and body["stream_options"] == {"include_usage": True}
    assert body["model"] == "smollm2-135m-instruct" and body["messages"] == [{"role": "user", "content": "Hello there"}]
    assert page.title() == "Hello there · Sluice"


@pytest.fixture
def page_with_answer(open_page, server):
    page = open_page(server.url)
    ask(page, "Hello there")
    answered(page)
    return page, server


def test_stop_ends_the_answer_and_the_server_hears_of_it(open_page, server):
    page = open_page(server.url)
    ask(page, "slow please")
    until(page, "document.querySelector('.message.assistant .text')?.textContent.includes('word3')")
    page.click("#composer [aria-label='Stop']")
    answered(page)
    assert server.left.wait(10)
    assert "Stopped here." in texts(page)[1]
    ask(page, "and again")  # what was written until then is part of the conversation
    answered(page, 2)
    assert server.asked[1]["messages"][1]["content"].startswith("word0 word1")


def test_an_edited_question_is_a_branch_and_both_survive_a_reload(page_with_answer):
    page, server = page_with_answer
    page.click(".message.user [aria-label='Edit']")
    page.fill(".message.user textarea", "Hello moon")
    page.click(".message.user .strong")
    shows(page, "#messages", "You said: Hello moon")
    answered(page)
    assert len(server.asked[1]["messages"]) == 1
    page.reload()
    page.wait_for_selector(".message.assistant")
    assert texts(page)[0] == "Hello moon"
    page.click(".message.user [aria-label='Previous version']")
    shows(page, "#messages", "You said: Hello there")
    assert page.query_selector(".message.user .branch").get_attribute("aria-label") == "Version 1 of 2"


def test_answering_again_keeps_the_first_answer(page_with_answer):
    page, server = page_with_answer
    page.click(".message.assistant [aria-label='Answer again']")
    page.wait_for_selector(".message.assistant .branch")
    answered(page)
    assert page.query_selector(".message.assistant .branch").get_attribute("aria-label") == "Version 2 of 2"
    assert server.asked[0]["messages"] == server.asked[1]["messages"]


def test_settings_are_sent_and_empty_ones_are_not(open_page, server):
    page = open_page(server.url)
    page.click("[aria-label='Settings']")
    page.fill("#set-system", "Be brief.")
    for name, value in {"temperature": "0.5", "top_k": "40", "seed": "7", "max_tokens": "64"}.items():
        page.fill(f"#set-{name}", value)
    page.fill("#set-stop", "END\n###")
    page.select_option("#set-thinking", "off")
    page.click("dialog .strong")
    page.select_option("#model", "qwen3-30b-a3b")
    ask(page, "Hi")
    answered(page)
    body = server.asked[0]
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body["temperature"], body["top_k"], body["seed"], body["max_tokens"]) == (0.5, 40, 7, 64)
    assert body["stop"] == ["END", "###"] and body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["model"] == "qwen3-30b-a3b" and not {"top_p", "min_p", "tools"} & body.keys()


def test_reasoning_is_folded(open_page, server):
    page = open_page(server.url)
    ask(page, "think hard")
    answered(page)
    details = page.query_selector("details.reasoning")
    assert details.get_attribute("open") is None and details.query_selector("summary").inner_text() == "Thoughts"
    details.query_selector("summary").click()
    assert details.query_selector("em").inner_text() == "ponder"
    assert "It is so." in texts(page)[1]


def test_a_tool_call_is_shown_and_can_be_answered(open_page, server):
    page = open_page(server.url)
    ask(page, "tool time")
    answered(page)
    assert page.query_selector(".call code").inner_text() == "look_up"
    assert json.loads(page.query_selector(".call pre").inner_text()) == {"city": "Paris"}
    page.click(".call summary")
    page.fill(".call textarea", "Sunny.")
    page.click(".call button")
    answered(page, 2)
    _, assistant, tool = server.asked[1]["messages"]
    assert assistant["tool_calls"][0]["id"] == tool["tool_call_id"] == "call_1" and tool["content"] == "Sunny."


@pytest.mark.parametrize(("question", "words", "kept"), [
    ("break it", "the model's file was changed", "Half an ans"),
    ("cut it", "ended the answer before it was finished", "Half an ans"),
])
def test_an_answer_that_fails_keeps_what_came_and_says_why(open_page, server, question, words, kept):
    page = open_page(server.url)
    ask(page, question)
    page.wait_for_selector(".error")
    assert words in page.query_selector(".error").inner_text() and kept in texts(page)[1]


def test_a_busy_server_can_be_asked_again(open_page, server):
    server.busy = 1
    page = open_page(server.url)
    ask(page, "Hello")
    page.click(".error button")
    shows(page, "#messages", "You said: Hello")


def test_a_server_that_is_gone_is_named_so(open_page, server):
    page = open_page(server.url)
    page.context.set_offline(True)
    ask(page, "Hello")
    page.wait_for_selector(".error")
    assert "cannot be reached" in page.query_selector(".error").inner_text()


def test_a_key_is_asked_for_and_kept_for_the_tab_only(browser):
    server = FakeServer(key="s3cret")
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    page.fill("#api-key", "s3cret")
    page.click("dialog .strong")
    page.wait_for_selector("#model option", state="attached")
    ask(page, "Hello")
    answered(page)
    assert page.evaluate("Object.values(localStorage).concat(document.cookie).join().includes('s3cret')") is False
    page.reload()
    page.wait_for_selector("#model option", state="attached")  # the tab still has it
    context.close()
    server.shutdown()


def test_conversations_are_listed_searched_renamed_deleted_and_brought_back(page_with_answer):
    page, _ = page_with_answer
    page.click("[aria-label='New conversation']")
    ask(page, "Something about ducks")
    answered(page)
    titles = lambda: [item.inner_text() for item in page.query_selector_all("#conversations .title")]
    assert titles() == ["Something about ducks", "Hello there"]
    page.fill("#search", "said there")
    assert titles() == ["Hello there"]
    page.fill("#search", "")
    page.click("[aria-label='More about Hello there']")
    page.click("text=Rename")
    page.fill("#conversations input", "Greetings")
    page.keyboard.press("Enter")
    assert sorted(titles()) == ["Greetings", "Something about ducks"]
    page.click("[aria-label='More about Something about ducks']")
    page.click("text=Delete")
    until(page, "document.querySelectorAll('#conversations .title').length === 1")
    page.click("text=Undo")
    until(page, "document.querySelectorAll('#conversations .title').length === 2")


def test_what_is_exported_can_be_imported_elsewhere(page_with_answer, open_page, server, tmp_path):
    page, _ = page_with_answer
    page.click("[aria-label='More about Hello there']")
    with page.expect_download() as markdown:
        page.click("text=As Markdown")
    assert "## Answer\n\nYou said: **Hello there**" in markdown.value.path().read_text()
    with page.expect_download() as exported:
        page.click("text=Export all")
    file = tmp_path / "all.json"
    exported.value.save_as(file)
    other = open_page(server.url)
    other.set_input_files("#import-file", file)
    other.wait_for_selector(".message.assistant")
    assert texts(other) == ["Hello there", "You said: Hello there"]
    other.set_input_files("#import-file", {"name": "x.json", "mimeType": "application/json", "buffer": b"{}"})
    shows(other, "#notices", "no conversations of Sluice")


def test_answers_and_code_can_be_copied_as_they_were_written(open_page, server):
    page = open_page(server.url, permissions=["clipboard-read", "clipboard-write"])
    ask(page, "sample")
    answered(page)
    page.click(".message.assistant .foot [aria-label='Copy']")
    until(page, "document.querySelector('.foot [data-said=Copied]') !== null")
    assert page.evaluate("navigator.clipboard.readText()") == SAMPLE
    page.click("[aria-label='Copy code']")
    until(page, "document.querySelector('.code-head [data-said=Copied]') !== null")
    assert page.evaluate("navigator.clipboard.readText()").startswith("def roots(a, b, c):\n    ")
    shows(page, "#spoken", "Copied")


def test_a_full_browser_is_said_in_words(open_page, server):
    page = open_page(server.url)
    page.evaluate("void (IDBObjectStore.prototype.put = () => { throw new DOMException('full', 'QuotaExceededError'); })")
    ask(page, "Hello")
    answered(page)
    shows(page, "#notices", "no more room")


def test_another_tab_hears_of_a_new_conversation(page_with_answer):
    page, server = page_with_answer
    other = page.context.new_page()
    other.goto(server.url)
    other.wait_for_selector(".message.assistant")
    ask(page, "More")
    answered(page, 2)
    until(other, "document.querySelectorAll('.message').length === 4")


def test_an_answer_goes_on_while_another_conversation_is_shown(open_page, server):
    page = open_page(server.url)
    ask(page, "slow one")
    page.wait_for_selector(".message.assistant")
    page.click("[aria-label='New conversation']")
    page.wait_for_selector("#composer [aria-label='Send']")
    ask(page, "Hello")
    answered(page)
    page.click("#conversations >> text=slow one")
    until(page, "document.querySelector('.message.assistant .text').textContent.includes('word5')")
    page.click("#composer [aria-label='Stop']")
    answered(page)
