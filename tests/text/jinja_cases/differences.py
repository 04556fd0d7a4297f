"""Templates that ours and Jinja2 treat differently: each with the name under which jinja/README.md says why."""

DIFFERENCES = {
    "{{ 'a'.upper }}": "address",
    "{{ d.items }}": "address",
    "{{ range }}": "address",
    "{{ cycler('a') }}": "address",
    "{{ joiner() }}": "address",
    "{{ items|map('upper') }}": "address",
    "{{ items|reverse }}": "address",
    "{{ 2 ** 200 }}": "big-integer",
    "{{ 'x'.encode('utf-8') }}": "bytes",
    "{{ '\\N{BULLET}' }}": "character-name",
    "{{ 'a'|random }}": "random",
    "{{ lipsum() }}": "random",
    "{{ 'http://x.org'|urlize }}": "urlize",
    "{% autoescape true %}{{ html }}{% endautoescape %}": "autoescape",
    "{% block a %}x{% endblock %}{{ self.a() }}": "self",
    "{{ 5[1:2] }}": "constant-slice",
}
