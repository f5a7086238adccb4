"""Makes `renderings.json`: what `transformers` renders of the templates of this folder.

    pip install jinja2==3.1.6 transformers==5.23.0
    python make.py

The templates were written for these tests in the formats of the families that they are named after, with the constructs that the
families' own templates use; `features.jinja` has what others use. CI never runs this.

`renderings.json`: for each template and each conversation of `CONVERSATIONS` the text with add_generation_prompt, or, as `error`, the
message of the template's `raise_exception`.
"""

import json
from pathlib import Path

import jinja2
from transformers.utils.chat_template_utils import render_jinja_template

FOLDER = Path(__file__).resolve().parent


def turns(*contents, system=None):
    head = [{"role": "system", "content": system}] if system is not None else []
    return head + [{"role": ["user", "assistant"][index % 2], "content": content} for index, content in enumerate(contents)]


CONVERSATIONS = {
    "question": turns("What is the capital of France?"),
    "system": turns("Which book?\n", system="  You are terse. "),
    "turns": turns(" Hi. ", "Hello! ", "And\n\nthen? é🦀 {{ x }} <&>\"'"),
    "system turns": turns("a", "b", "c", "d", "e", system="Be brief."),
    "thoughts": turns("2+2?", "<think>\nTwo and two.\n</think>\n\n4", "3+3?"),
    "assistant last": turns("Go on:", "Once upon"),
    "empty": turns(""),
    "two users": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
}


def rendering(source, conversation):
    try:
        rendered, _ = render_jinja_template(conversations=[conversation], chat_template=source, add_generation_prompt=True, bos_token="<s>", eos_token="</s>")
        return {"text": rendered[0]}
    except jinja2.exceptions.TemplateError as error:
        return {"error": str(error)}


def main():
    renderings = {
        path.stem: {name: rendering(path.read_text(), conversation) for name, conversation in CONVERSATIONS.items()}
        for path in sorted(FOLDER.glob("*.jinja"))
    }
    goldens = {"conversations": CONVERSATIONS, "renderings": renderings}
    (FOLDER / "renderings.json").write_text(json.dumps(goldens, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
