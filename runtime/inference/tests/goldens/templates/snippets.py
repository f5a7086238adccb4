"""Makes `snippets.json`: what Jinja2 renders of one construct at a time, in the environment of `transformers`.

    pip install jinja2==3.1.6
    python snippets.py

The environment is `transformers.utils.chat_template_utils._compile_jinja_template`'s, written out: the immutable sandbox with trimmed
blocks and loop controls, `tojson` without escapes for HTML, and `raise_exception`. CI never runs this.

`snippets.json`: pairs of a template and its text; null stands for an error.
"""

import json
from pathlib import Path

from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

VARIABLES = {
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " Hi. "}],
    "add_generation_prompt": True,
    "bos_token": "<s>",
    "eos_token": "",
}

VALUES = """
1; 1.0; 1.5e300; 1e16; 1e15; 0.0001; 0.00001; -0.0; 1_000; true; none; 'a'; "it's"; 'a"b\\'c'; []; {}; [1, 'a', none]; {'a': [1.5]}
(1, 2)[0]; 1 + 2 * 3; (1 + 2) * 3; -2 ** 2; 2 ** -1; 2 ** 3 ** 2; 7 // 2; -7 // 2; 7 // -2; 7 % 3; -7 % 3; 7 % -3; 7.5 % 2; -7.5 // 2; 7 / 2; 6 / 2
1 / 0; 1 // 0; 'a' + 'b'; 'a' + 1; 'a' ~ 1 ~ none ~ true ~ 1.0; [1] + [2]; 'ab' * 3; 3 * 'ab'; [1, 2] * 2; 'ab' * -1; true + true; -true; +1; -'a'
1 == 1.0; 1 == true; 'a' == 'a'; [1] == [1.0]; {'a': 1} == {'a': 1}; none == none; none == false; 1 != 2; 1 < 2 < 3; 1 < 2 > 3; 'a' < 'b'; 'B' < 'a'; [1, 2] < [1, 3]; 1 < 'a'
'a' in 'abc'; 'd' not in 'abc'; 1 in [1, 2]; 'a' in {'a': 1}; 1 in 'abc'; 'x' in undefined; 1 in none; not 1; not ''; not none; not undefined; 1 and 2; 0 and 2; 0 or 'x'; '' or none or []
1 if true else 2; 1 if false else 2; 1 if false; (1 if false) is undefined; 1 if 0 else 2 if 0 else 3; undefined; undefined ~ 'a'; undefined + 'a'; undefined.x; undefined is defined; messages.x is defined; messages[9] is defined
messages[0].role; messages[-1]['content']; messages[0]['x']; messages.0.role; 'abc'[0]; 'abc'[-1]; 'abc'[5]; 'héllo'[1]; 'héllo'[1:3]; 'abc'[::-1]; 'abcdef'[1:5:2]; 'abcdef'[5:1:-2]; 'abc'[5:]; 'abc'[:-1]; 'abc'[-2:]; 'abc'[2:1]
[1, 2, 3][::-1]; [1, 2, 3][1:]; [1, 2, 3][:-1]; [1, 2, 3][-10:10]; [1, 2, 3][::2]; [1, 2, 3][5]; [1, 2][none:1]; 'abc'[::0]; ''[::-1]; [][::-1]; {'a': 1}.a; {'a': 1}['a']; {1: 'x'}[1]; {'a': 1}.b
'abc' | upper | length; -1 | abs; (-1) | abs; '  a ' | trim ~ '.'; 1 is odd; 2 is even; 2 is odd; 9 is divisibleby 3; 9 is divisibleby(2); not 1 is odd; 1 is not odd; 1 is number; 1.0 is integer; true is number; true is integer; 'a' is string; [] is sequence; [] is iterable; {} is mapping; {} is sequence; 'a' is iterable
none is none; false is false; 0 is false; 1 is eq 1; 1 is equalto 1; 1 is ne 2; 1 is lt 2; 2 is gt 1; 'a' is in 'abc'; 1 is in [1]; 'a' is lower; 'A' is upper; 'Aa' is upper; true is boolean; 1.5 is float; 1 is sameas 1; range is callable; 1 is callable; 'a' is 'b'
"""

FILTERS = """
'abc' | capitalize; 'hELLO wORLD' | capitalize; 'hello big-world' | title; "it's" | title; 'ÀÉ' | lower; 'straße' | upper; 'a,b' | replace(',', '+'); 'aaa' | replace('a', 'b', 2); 'abc' | replace('', '-'); 123 | replace('2', 'x')
' a b ' | trim; 'xxaxx' | trim('x'); 'xyaxy'.strip('xy'); 1 | trim ~ '.'; none | trim; 'a\\nb\\n\\nc' | indent; 'a\\nb' | indent(2, true); 'a\\n\\nb' | indent(2, blank=true); 'a\\nb' | indent('> '); 'a b  c' | wordcount; '<a & "b">' | e; "it's" | escape; '<a>' | safe
'%s-%d' | format('a', 5); '%s' | format(1.5); '%.2f' | format(3.14159); '%f' | format(1); '%x' | format(255); '%%' | format(); '%s %s' | format('a'); '%s' % 'a'; '%s and %s' % ('a', 'b'); '%r' % 'a'; '%d' % 3.7; '%d' % 'a'
[3, 1, 2] | sort; [3, 1, 2] | sort(reverse=true); ['b', 'A', 'c'] | sort; ['b', 'A'] | sort(case_sensitive=true); messages | sort(attribute='content') | map(attribute='role') | list; [1, 'a'] | sort; [[2, 1], [1, 2]] | sort
[1, 2, 3] | first; [] | first; 'abc' | first; [1, 2, 3] | last; 'abc' | last; 'abc' | reverse; [1, 2] | reverse | list; 'abc' | list; {'a': 1} | list; none | list; undefined | list; [1, 2] | length; 'abc' | count; {'a': 1} | length; 1 | length; undefined | length; none | length
['a', 'b'] | join; ['a', 1, none] | join('-'); messages | join(', ', attribute='role'); 'abc' | join('-'); [] | join('x'); undefined | join('-'); [1, 2, 3] | sum; messages | map(attribute='content') | map('length') | sum; [1, 2] | sum(start=10); [1, 2, 3] | max; ['b', 'A'] | min; [] | max; [1, 1, 2] | unique | list; ['a', 'A'] | unique | list
messages | map(attribute='role') | list; messages | map(attribute='x', default='d') | list; messages | map('length') | list; ['a'] | map('upper') | list; ['a b'] | map('replace', ' ', '-') | list; messages | selectattr('role', 'equalto', 'user') | list | length; messages | rejectattr('role', 'eq', 'user') | map(attribute='role') | first; messages | selectattr('x') | list; [1, 2, 3] | select('odd') | list; [1, 2, 3] | reject('gt', 1) | list; [0, 1, ''] | select | list
undefined | default('d'); '' | default('d'); '' | default('d', true); none | default('d'); none | d('x', boolean=true); undefined | default; {'b': 2, 'a': 1} | dictsort | map('join', '=') | list; {'a': 2, 'b': 1} | dictsort(by='value') | map('first') | list; {'a': 2, 'B': 1} | dictsort(reverse=true) | map('last') | list; {'a': 1} | items | map('join') | list; undefined | items | list; [1] | items | list
'12' | int; 'x' | int; 'x' | int(7); '1.9' | int; 3.9 | int; 'ff' | int(0, 16); none | int; '1.5' | float; 'x' | float; 3 | float; 2.5 | round; 3.5 | round; 2.567 | round(2); 2.567 | round(1, 'floor'); 2.1 | round(0, 'ceil'); -5 | abs; -5.5 | abs; 42 | string ~ 'x'
{'a': [1, 2.5, true, none, 'é"\\n']} | tojson; {} | tojson; [] | tojson(indent=2); {'a': {'b': []}, 'c': [1]} | tojson(indent=2); {'b': 1, 'a': 2} | tojson(sort_keys=true); ['é'] | tojson(ensure_ascii=true); [1, {'a': 2}] | tojson(separators=(',', ':')); '<a>' | tojson; 1e16 | tojson; undefined | tojson; range(3) | list | tojson
'a b c'.split(); ' a  b '.split(); 'a,b,c'.split(','); 'a,b,c'.split(',', 1); 'a b c'.split(none, 1); ' a b c '.split(maxsplit=1); 'a,b,c'.rsplit(',', 1); ' a b c '.rsplit(none, 1); ''.split(); ''.split(','); 'a'.split(''); 'ab'.partition('-') | join('+'); 'a-b-c'.partition('-')[2]; 'a-b-c'.rpartition('-')[0]; 'ab'.rpartition('-')[2]
'a\\nb\\r\\nc\\n'.splitlines(); 'a\\nb\\n'.splitlines(true); ''.splitlines(); 'abc'.startswith('a'); 'abc'.startswith(('x', 'ab')); 'abc'.endswith('bc'); 'abc'.removeprefix('a'); 'abc'.removesuffix('c'); 'abc'.removesuffix('x'); 'abcb'.find('b'); 'abcb'.rfind('b'); 'héb'.find('b'); 'abc'.find('x'); 'abcabc'.count('bc'); 'abc'.count(''); 'aaaa'.count('aa'); 'abc'.index('x')
'  a '.lstrip() ~ '.'; '  a '.rstrip() ~ '.'; 'xax'.strip('x'); 'xax'.lstrip('x'); 'a'.upper(); 'hello world'.title(); 'hELLO'.capitalize(); 'abc'.replace('b', ''); '-'.join(['a', 'b']); '-'.join([1]); '{} {}'.format(1, 'a'); '{0}{1}{0}'.format('a', 'b'); '{x}'.format(x=1); '{{}}'.format(); '{}'.format()
'a1'.isalnum(); 'ab'.isalpha(); '12'.isdigit(); ''.isdigit(); ' '.isspace(); 'ab'.islower(); 'AB'.isupper(); 'Ab'.isupper(); {'a': 1}.get('a'); {'a': 1}.get('b'); {'a': 1}.get('b', 2); {'a': 1}.items() | map('join') | list; {'a': 1}.keys() | list; {'a': 1}.values() | list; [1, 2, 1].count(1); [1, 2].index(2); {'get': 1}.get('get'); [1].append(2); {'a': 1}.update({}); 'a'.nothing(); none.strip()
range(3) | list; range(1, 7, 2) | list; range(3, 0, -1) | list; range(0) | list; dict(a=1); dict({'a': 1}, b=2); namespace(a=1).a; raise_exception('x'); nothing(); 1(); messages()
"""

TEMPLATES = [
    "a\n{% if true %}\nb\n{% endif %}\nc\n",
    "a\n  {% if true %}  \n  b\n  {% endif %}\n c",
    "a {% if true %} b {% endif %} c",
    "a \n {%- if true -%} \n b \n {%- endif -%} \n c",
    "a\n  {%+ if true %}b{% endif +%}\nc",
    "  {{ 'a' }}  \n  {{- 'b' -}}  \n  c",
    "a\n  {# comment #}\nb\n  {#- comment -#}\n c {# x #} d",
    "x\n{% raw %}\n {{ a }} {% b %}\n{% endraw %}\ny",
    "x\n  {%- raw -%}\n {{ a }}\n {%- endraw -%}\n y",
    "{% raw %}{% endraw %}|{%raw%}a{%endraw%}",
    "\n\na\n\n",
    "a\r\nb\r\n{% if true %}\r\nc{% endif %}",
    "{{ {'a': {'b': 1}}['a']['b'] }}}}",
    "{{ '}}' }}{{ \"%}\" }}{% set x = '%}' %}{{ x }}",
    "{{ 'a\\tb\\\\c\\x41\\u00e9\\q' }}{{ 'a' 'b' }}",
    "{% for x in [1, 2, 3] %}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}",
    "{% for x in [] %}a{% else %}none{% endfor %}",
    "{% for x in undefined %}a{% else %}none{% endfor %}",
    "{% for x in none %}a{% endfor %}",
    "{% for a, b in [[1, 2], [3, 4]] %}{{ a }}{{ b }};{% endfor %}",
    "{% for k, v in {'a': 1}.items() %}{{ k }}={{ v }}{% endfor %}",
    "{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [[1]] %}x{% endfor %}",
    "{% for x in range(6) if x % 2 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% else %}none{% endfor %}",
    "{% for x in range(3) if x > 5 %}x{% else %}none{% endfor %}",
    "{% for x in 'ab' %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ x }} {% endfor %}",
    "{% for x in [1, 2, 3] %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}",
    "{% for x in [1, 2, 3] %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in [1, 1, 2] %}{{ loop.changed(x) }} {% endfor %}",
    "{% for x in range(9) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in range(2) %}{% for y in range(3) %}{% if y %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %}",
    "{% for x in [1, [2, [3]]] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}@{{ loop.depth }}{% endif %}{% endfor %}",
    "{% set x = 1 %}{% for i in range(3) %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
    "{% set ns = namespace(n=0, s='') %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }}{{ ns.s }}",
    "{% if true %}{% set x = 1 %}{% endif %}{{ x }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a = 1, 2 %}{{ a | length }}",
    "{% set x %}a{{ 1 }}b{% endset %}{{ x }}|{{ x | length }}",
    "{% set x | upper %}abc{% endset %}{{ x }}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "{% filter upper | replace('A', 'x') %}abc{% endfilter %}",
    "{% macro m(a, b=2, c='x') %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c='y') }}{{ m() }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(x=2) }}",
    "{% macro f(n) %}{% if n > 1 %}{{ n }},{{ f(n - 1) }}{% else %}1{% endif %}{% endmacro %}{{ f(4) }}",
    "{% set g = 'global' %}{% macro m() %}{{ g }}{{ messages | length }}{% endmacro %}{{ m() }}",
    "{% macro m(x) %}{% set y = x * 2 %}{{ y }}{% endmacro %}{{ m(2) }}{{ y is defined }}{{ m('a') | upper }}",
    "{% for x in [1, 2] %}{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(x) }}{% endfor %}",
    "{% if messages is not defined or not messages %}a{% elif messages | length == 2 %}b{% else %}c{% endif %}",
    "{% if 0 %}a{% elif '' %}b{% elif none %}c{% endif %}d",
    "{% generation %}said{% endgeneration %}",
    "{{ messages }}",
    "{{ messages[0] }}{{ none }}{{ true }}{{ 1.0 }}{{ [] }}{{ ['a\\n\\'b'] }}",
    "{{ (messages | map(attribute='role') | list)[0] }}",
    "{{ ('a' if messages else 'b') ~ 'c' }}",
    "{%- for m in messages -%}\n{{- '<' ~ m.role ~ '>' -}}\n{{ m.content | trim }}\n{%- endfor -%}",
    "{{ messages[0].content.split('.')[0].upper()[:4] | lower }}",
    "{% set s = messages[0]['content'] | trim %}{% set messages = messages[1:] %}{{ s }}{{ messages | length }}",
    "{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}",
    "{% if a.b.c %}x{% endif %}",
    "{% unknown %}",
    "{% if %}x{% endif %}",
    "{% endif %}",
    "{% for x in [1] %}x{% endif %}",
    "{{ 1 1 }}",
    "{{ }}",
    "{% set 1 = 2 %}",
    "{% set none = 2 %}",
    "{{ ! }}",
]


def environment():
    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise ValueError(message)

    class Generation(Extension):
        tags = {"generation"}

        def parse(self, parser):
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    return made


def rendering(made, source):
    try:
        return made.from_string(source).render(**VARIABLES)
    except Exception:  # whatever Python raises is an error of the template's
        return None


def main():
    made = environment()
    values = [value.strip() for line in VALUES.strip().splitlines() for value in line.split("; ")]
    filters = [value.strip() for line in FILTERS.strip().splitlines() for value in line.split("; ")]
    sources = ["{{ " + value + " }}" for value in values] + ["{{ " + value + " }}" for value in filters] + TEMPLATES
    lines = [json.dumps([source, rendering(made, source)], ensure_ascii=False) for source in dict.fromkeys(sources)]
    (Path(__file__).resolve().parent / "snippets.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
