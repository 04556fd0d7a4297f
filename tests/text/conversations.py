"""Conversations that between them use what chat templates look at."""

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather <now> & \"soon\" in a city, in °C",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "its name"},
                    "days": {"type": "integer", "default": 1, "minimum": 0.5},
                    "unit": {"type": "string", "enum": ["C", "F"]},
                },
                "required": ["city"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "now",
            "description": "The time",
            "parameters": {"type": "object", "properties": {}, "required": []},
        },
    },
]

_CALL = {
    "type": "function",
    "id": "call00001",
    "function": {"name": "get_weather", "arguments": {"city": "Zürich", "days": 2, "deep": [1, 2.5, None, True]}},
}

# name -> (messages, tools, further variables)
CONVERSATIONS = {
    "one question": ([{"role": "user", "content": "Hi"}], None, {}),
    "system and turns": (
        [
            {"role": "system", "content": " Be brief. "},
            {"role": "user", "content": "1 < 2?\n"},
            {"role": "assistant", "content": "Yes, 'it' is \"so\"."},
            {"role": "user", "content": "Warum? 为什么 🙂"},
        ],
        None,
        {},
    ),
    "tools offered": (
        [{"role": "system", "content": "Help."}, {"role": "user", "content": "Weather in Zürich?"}],
        TOOLS,
        {},
    ),
    "a tool was called": (
        [
            {"role": "user", "content": "Weather in Zürich?"},
            {"role": "assistant", "content": "", "tool_calls": [_CALL]},
            {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": '{"temp": 21.5}'},
            {"role": "assistant", "content": "It is 21.5 °C."},
            {"role": "user", "content": "Thanks"},
        ],
        TOOLS,
        {},
    ),
    "reasoning": (
        [
            {"role": "user", "content": "2+2?"},
            {"role": "assistant", "content": "<think>\nAdd.\n</think>\n\n4", "reasoning_content": "Add."},
            {"role": "user", "content": "And 3+3?"},
        ],
        None,
        {"enable_thinking": False},
    ),
    "parts": ([{"role": "user", "content": [{"type": "text", "text": "Hello "}, {"type": "text", "text": "there"}]}], None, {}),
}
